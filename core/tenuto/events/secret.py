"""The life of a leaked secret: found, rotated, purged. The secret itself is never in an event, only a keyed fingerprint."""

from __future__ import annotations

from uuid import UUID

from .base import Event, Hash, Name


class SecretLeaked(Event, frozen=True, kw_only=True, tag="secret.leaked"):
    """A secret of this type was found in `place`; `fingerprint` is an HMAC, so it cannot be guessed from outside."""

    secret_type: Name
    fingerprint: Hash
    place: Name


class SecretRotated(Event, frozen=True, kw_only=True, tag="secret.rotated"):
    """The leaked value no longer opens anything."""

    secret_type: Name
    fingerprint: Hash


class SecretPurged(Event, frozen=True, kw_only=True, tag="secret.purged"):
    """The payload of `target` that held the secret was made unreadable."""

    fingerprint: Hash
    target: UUID
