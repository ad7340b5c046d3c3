"""Passkeys (W3C WebAuthn level 2) with which people sign decisions in their browser, so that no console can sign for them."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from .base import Count, Event, Hash, Name

Base64Url = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{2,1368}$(?!\n)")]
"""Bytes in base64url without padding (RFC 4648, section 5), as WebAuthn writes them; at most 1,026 bytes."""

WebOrigin = Annotated[str, msgspec.Meta(pattern=r"^https?://[a-z0-9.-]{1,100}(:[0-9]{1,5})?$(?!\n)")]
"""Scheme, host and port of a web page, such as `https://tenuto.example`."""


Assertion = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\.[0-9a-f]{64}(\.[A-Za-z0-9_-]{2,1368}){3}$(?!\n)", max_length=2400)]
"""What an authenticator answered to a challenge, verbatim, in five parts joined by dots: SHA-256 of the credential's id, the
nonce in the challenge, then client data, authenticator data and signature (WebAuthn 5.2.2) in base64url.
"""


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
