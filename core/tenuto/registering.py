"""Registering, rotating and revoking the keys of authors: events that the root signs, on the same road as all others."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from .adapters import keyfiles
from .errors import NotConfigured
from .events import KeyRegistered, KeyRevoked, KeyRotated
from .events.key import Role
from .keyring import Keyring, KeyringRefused
from .log.durable import flush_folder
from .recorder import Recorder
from .signing import SeedSigner

STAGED_SUFFIX = ".next"


@dataclass(frozen=True, slots=True)
class Enrolment:
    """Who is to be registered: the author, its role, and the person who answers for it."""

    author: str
    role: Role
    owner: str
    insecure_demo: bool = False


def missing(keyring: Keyring, keys: Path, people: Iterable[Enrolment]) -> list[Enrolment]:
    """Return those of `people` that have no valid key in the ring; raises NotConfigured for a key that is not the file's."""
    new = []
    for person in people:
        try:
            known = keyring.current(person.author)
        except KeyringRefused:
            new.append(person)
        else:
            _demand_here(keys, known.author, known.key_id)
    return new


def register(root: Recorder, keyring: Keyring, keys: Path, people: Iterable[Enrolment], seconds: float) -> list[str]:
    """Register those of `people` that have no valid key yet, making their key files; return their names.

    May be repeated after a crash at any point: a key that was made but not registered is registered then. Raises Busy
    when no receipt comes within `seconds`, NotConfigured when an author is registered and its key file is not here.
    """
    new = missing(keyring, keys, people)
    for person in new:  # all keys before the first event, so that a key that cannot be made leaves nothing half asked for
        file = keyfiles.author_file(person.author)
        if not (keys / file).exists():
            keyfiles.create_key(keys, file)
    sent = [_register(root, keys, person) for person in new]
    for event in sent:
        root.wait(event, seconds)
    return [event.subject for event in sent]


def rotate(root: Recorder, keyring: Keyring, keys: Path, author: str, seconds: float) -> str:
    """Replace the key of `author` and return the new one's id; the file changes only once the ledger has the event.

    May be repeated after a crash at any point, or after Busy: what was begun is finished with the key that was made then,
    since the ledger may know it already.
    """
    old = keyring.current(author)
    staged = keyfiles.author_file(author) + STAGED_SUFFIX
    if not (keys / staged).exists():
        keyfiles.create_key(keys, staged)
    new = SeedSigner(author, keyfiles.load_key(keys, staged))
    if new.key_id != old.key_id:
        event = root.record(
            KeyRotated, subject=author, old_key_id=old.key_id, subject_key_id=new.key_id, public_key=new.public_key.hex()
        )
        root.wait(event, seconds)
    (keys / staged).replace(keys / keyfiles.author_file(author))
    flush_folder(keys)
    return new.key_id


def revoke(root: Recorder, keyring: Keyring, author: str, reason: str, seconds: float) -> KeyRevoked:
    """End the current key of `author`; nothing that it signs counts from the next event on."""
    current = keyring.current(author)
    event = root.record(KeyRevoked, subject=author, subject_key_id=current.key_id, reason=reason)
    root.wait(event, seconds)
    return event


def _register(root: Recorder, keys: Path, person: Enrolment) -> KeyRegistered:
    signer = keyfiles.load_signer(keys, person.author)
    return root.record(
        KeyRegistered, subject=person.author, subject_key_id=signer.key_id, public_key=signer.public_key.hex(),
        role=person.role, owner=person.owner, insecure_demo=person.insecure_demo,
    )  # fmt: skip


def _demand_here(keys: Path, author: str, key_id: str) -> None:
    found = keyfiles.load_signer(keys, author).key_id
    if found != key_id:
        sentence = f"The key file of {author} holds {found}, the ledger knows {key_id}."
        raise NotConfigured(sentence + " Restore the file, or revoke the key and register anew.")
