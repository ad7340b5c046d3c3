"""Passkeys (W3C WebAuthn level 2) with which people sign decisions in their browser, so that no console can sign for them."""

from __future__ import annotations

from typing import Literal

from .base import Base64Url, Count, Event, Hash, Name, WebOrigin


class PasskeyOffered(Event, frozen=True, kw_only=True, tag="passkey.offered"):
    """A person made a passkey in the console; nothing is signed with it before somebody else enrols it.

    credential: SHA-256 of the credential's id, `credential_id`. public_key: its COSE key (RFC 9052). web_origin: the page it
    was made on, which is the only one it counts for; relying_party: the domain it belongs to.
    """

    reviewer: Name
    credential: Hash
    credential_id: Base64Url
    public_key: Base64Url
    relying_party: Name
    web_origin: WebOrigin
    sign_count: Count


class PasskeyEnrolled(Event, frozen=True, kw_only=True, tag="passkey.enrolled"):
    """An administrator says that the passkey offered under this credential is this reviewer's. It counts from here on.

    owner: the person, by whom approvals exclude; the same as that of the reviewer's other keys, where there are any.
    """

    reviewer: Name
    owner: Name
    credential: Hash


class PasskeyRevoked(Event, frozen=True, kw_only=True, tag="passkey.revoked"):
    """From the next event on nothing signed with this passkey counts."""

    reviewer: Name
    credential: Hash
    reason: Literal["lost", "compromised", "retired", "owner_left"]
