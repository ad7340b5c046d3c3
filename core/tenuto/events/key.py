"""Who may sign, and for how long: the key ring is a fold over these events, rooted in one pinned key."""

from __future__ import annotations

from typing import Literal

from .base import Count, Event, Hash, Name

Role = Literal[
    "root", "agent", "reviewer", "pipeline", "ingest", "delivery", "gate", "detector", "console", "router", "administrator",
    "custodian", "keeper", "redteam", "statekeeper",
]  # fmt: skip


class KeyRegistered(Event, frozen=True, kw_only=True, tag="key.registered"):
    """`subject` may sign with `public_key` (Ed25519, hex) from the next event on. Only the root may say so.

    owner: the person who answers for this author; approvals exclude by it, not by name.
    insecure_demo: the private key lies unprotected on a demo machine; everything signed with it is marked.
    """

    subject: Name
    subject_key_id: Name
    public_key: Hash
    role: Role
    owner: Name
    insecure_demo: bool = False


class KeyRotated(Event, frozen=True, kw_only=True, tag="key.rotated"):
    """`subject` replaces `old_key_id` by a new key; signed with the old key or by the root."""

    subject: Name
    old_key_id: Name
    subject_key_id: Name
    public_key: Hash


class KeyEpochOpened(Event, frozen=True, kw_only=True, tag="key.epoch_opened"):
    """From here on authors seal their payloads to this X25519 key of the ledger (hex); the root says so."""

    epoch: Count
    public_key: Hash


class KeyEpochDestroyed(Event, frozen=True, kw_only=True, tag="key.epoch_destroyed"):
    """The secret key of this epoch is gone: what lies sealed to it in a bus or its backups cannot be opened any more."""

    epoch: Count


class KeyStorageRenewed(Event, frozen=True, kw_only=True, tag="key.storage_renewed"):
    """The storage key that wraps payload keys was renewed for the `renewal`th time, and the one before is destroyed.

    kept: how many payloads of before open by what was kept for them; they are purged as those that come. gone: how many the
    storage keys before had lost to purges, and lost for ever.
    """

    renewal: Count
    kept: Count
    gone: Count


class KeyRevoked(Event, frozen=True, kw_only=True, tag="key.revoked"):
    """From the next event on nothing signed with this key counts; signed with the key itself or by the root."""

    subject: Name
    subject_key_id: Name
    reason: Literal["compromised", "retired", "lost", "owner_left"]
