"""Who may sign what, as a pure fold over the ledger: no key table is ever trusted.

The fold starts from one pinned key, the root's. Every other key enters by a `key.registered` event that the root signed,
is replaced by `key.rotated`, and leaves by `key.revoked`. The order is the ledger's, so "valid at that time" means: valid
at that position. Roles say which kinds an author may write (M27): a valid signature alone entitles nobody.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from .errors import Refused
from .events import Event, KeyRegistered, KeyRevoked, KeyRotated
from .signing import key_id, verify_public_key

ROOT = "root"
_OWN = frozenset({
    "session.opened", "session.epoch_followed", "session.closed", "key.rotated", "key.revoked", "record.lost", "record.spooled",
    "record.unaccounted",
})  # fmt: skip
_GATE = frozenset({
    "tool.requested", "tool.started", "tool.finished", "tool.failed", "tool.unknown", "policy.decided",
    "approval.listed", "approval.requested", "approval.granted", "approval.denied", "approval.expired", "approval.consumed",
    "approval.revoked",
})  # fmt: skip
_MESSAGES = frozenset({"message.sent", "message.delivered", "message.refused"})
_HOLDS = frozenset({"hold.placed", "hold.lifted"})
_AGENT = _GATE | _MESSAGES | frozenset({
    "decision.made", "run.finished", "deployment.started", "deployment.healthy", "deployment.unhealthy",
    "deployment.rolled_back", "deployment.quarantined", "drift.detected", "drift.reverted", "secret.leaked",
    "secret.rotated", "secret.purged", "alert.raised", "state.attested",
})  # fmt: skip

ENTITLED: Mapping[str, frozenset[str]] = {
    "root": _OWN
    | {"key.registered", "key.epoch_opened", "key.epoch_destroyed", "key.storage_renewed"}
    | {"policy.changed", "reviewer.enrolled", "reviewer.limited"}
    | {"passkey.enrolled", "passkey.revoked", "reviewer.bound", "reviewer.unbound", "retention.applied"}
    | _HOLDS,
    "agent": _OWN | _AGENT,
    "gate": _OWN | _GATE,
    "pipeline": _OWN | _MESSAGES | {"run.started", "run.finished"},
    "reviewer": _OWN
    | {"approval.opened", "approval.viewed", "approval.signed", "approval.revoked", "spotcheck.signed"}
    | {"tool.reconciled", "alert.acknowledged", "alert.closed", "exercise.requested"},
    "ingest": _OWN | {"record.refused", "record.gap", "record.equivocation"},
    "delivery": _OWN,
    "detector": _OWN | {"alert.raised"},
    "console": _OWN
    | {"approval.opened", "approval.viewed", "approval.signed", "spotcheck.signed", "passkey.offered"},
    "router": _OWN | {"approval.assigned", "spotcheck.drawn"},
    "administrator": _OWN
    | {"passkey.enrolled", "passkey.revoked", "reviewer.enrolled", "reviewer.bound", "reviewer.unbound"},
    "custodian": _OWN | _HOLDS,
    "redteam": _OWN | _MESSAGES | {"run.started", "run.finished", "exercise.requested", "exercise.started", "exercise.ended"},
    "keeper": _OWN | _GATE | {"record.purged", "retention.applied"} | {"secret.leaked", "secret.rotated", "secret.purged", "alert.raised"},
    "statekeeper": _OWN | {"state.accessed", "state.written", "state.refused"},
}
"""Which kinds each role may author. The table is the policy: a kind that is not in a role's row is refused."""


class KeyringRefused(Refused):
    """The author has no such key, no longer has it, or may not do this with it."""

    reason = "unknown_key"


@dataclass(frozen=True, slots=True)
class Key:
    """One key in the ring. Positions count from 0; `until` is the position of its revocation or rotation."""

    author: str
    key_id: str
    public_key: bytes
    role: str
    owner: str
    insecure_demo: bool
    since: int
    until: int | None = None


class Keyring:
    """The keys after a prefix of the ledger; `apply` takes the next event, in order."""

    def __init__(self, root_public_key: bytes) -> None:
        """Pin the root's Ed25519 public key; raises KeyRefused for a degenerate one."""
        verify_public_key(root_public_key)
        root = Key(ROOT, key_id(root_public_key), root_public_key, ROOT, ROOT, insecure_demo=False, since=-1)
        self._keys: dict[tuple[str, str], Key] = {(ROOT, root.key_id): root}

    def copy(self) -> Keyring:
        """Return an independent ring with the same keys, to try events on."""
        twin = object.__new__(Keyring)
        twin._keys = dict(self._keys)
        return twin

    def keys(self) -> tuple[Key, ...]:
        """Every key that was ever in the ring, in the order of arrival."""
        return tuple(self._keys.values())

    def find(self, author: str, name: str) -> Key:
        """Return the key `name` of `author` if it is valid now; raises KeyringRefused if unknown or revoked."""
        key = self._keys.get((author, name))
        if key is None:
            raise KeyringRefused(f"No key {name} of {author} is registered.")
        if key.until is not None:
            raise KeyringRefused(f"The key {name} of {author} was revoked at position {key.until}.", reason="revoked_key")
        return key

    def current(self, author: str) -> Key:
        """Return the newest valid key of `author`; raises KeyringRefused when there is none."""
        for key in reversed(self._keys.values()):
            if key.author == author and key.until is None:
                return key
        raise KeyringRefused(f"{author} has no valid key.")

    def verify_entitlement(self, event: Event) -> Key:
        """Return the author's key; raises KeyringRefused unless its role may write this kind."""
        key = self.find(event.author, event.key_id)
        if event.kind not in ENTITLED[key.role]:
            sentence = f"{event.author} has the role {key.role}, which may not write {event.kind}."
            raise KeyringRefused(sentence, reason="entitlement")
        return key

    def apply(self, event: Event, position: int) -> None:
        """Take the next event, which stands at `position`; raises KeyringRefused when its author may not say this."""
        if isinstance(event, KeyRegistered):
            self._add(event, position, role=event.role, owner=event.owner, insecure=event.insecure_demo)
        elif isinstance(event, KeyRotated):
            old = self._own_or_root(event, event.subject, event.old_key_id)
            self._add(event, position, role=old.role, owner=old.owner, insecure=old.insecure_demo)
            self._end(old, position)
        elif isinstance(event, KeyRevoked):
            self._end(self._own_or_root(event, event.subject, event.subject_key_id), position)

    def _add(self, event: KeyRegistered | KeyRotated, position: int, *, role: str, owner: str, insecure: bool) -> None:
        public_key = bytes.fromhex(event.public_key)
        verify_public_key(public_key)
        name = key_id(public_key)
        if name != event.subject_key_id:
            raise KeyringRefused(f"The key of {event.subject} is named {event.subject_key_id}, its own name is {name}.")
        if any(key.public_key == public_key for key in self._keys.values()):
            raise KeyringRefused(f"The key {name} is in the ring already; no two authors share one (M28).")
        self._keys[event.subject, name] = Key(event.subject, name, public_key, role, owner, insecure, position)

    def _own_or_root(self, event: Event, subject: str, name: str) -> Key:
        if event.author not in (ROOT, subject):
            raise KeyringRefused(f"{event.author} may not change a key of {subject}.", reason="entitlement")
        return self.find(subject, name)

    def _end(self, key: Key, position: int) -> None:
        self._keys[key.author, key.key_id] = replace(key, until=position)
