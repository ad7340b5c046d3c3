"""Registering, rotating and revoking keys: key files and ledger never contradict each other, wherever it is interrupted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tenuto.adapters import keyfiles
from tenuto.errors import Busy, NotConfigured
from tenuto.events import Event, KeyRegistered
from tenuto.keyring import Keyring, KeyringRefused
from tenuto.registering import Enrolment, missing, register, revoke, rotate

from tests.written import ROOT, Author

ADA = Enrolment("code-review", "agent", "ada")
BEN = Enrolment("deployment", "agent", "ben")
LENA = Enrolment("lena", "reviewer", "lena", insecure_demo=True)
SECONDS = 5.0


class Root:
    """The root's door: what it records is in the ledger once it is waited for, unless the ledger is away."""

    def __init__(self) -> None:
        self.author, self.keyring, self.away = Author("root"), Keyring(ROOT.public_key), False
        self.recorded: list[Event] = []
        self.seconds: list[float] = []
        self.author.open()

    def record(self, kind: type[Event], **fields: Any) -> Event:
        event = self.author.write(kind, **fields).event
        self.recorded.append(event)
        return event

    def wait(self, event: Event, seconds: float) -> None:
        self.seconds.append(seconds)
        if self.away:
            raise Busy("No receipt came.")
        self.keyring.apply(event, event.seq)


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    keyfiles.create_folder(tmp_path / "keys")
    return tmp_path / "keys"


@pytest.fixture
def root() -> Root:
    return Root()


def enrol(root: Root, keys: Path, *people: Enrolment) -> list[str]:
    return register(root, root.keyring, keys, people, SECONDS)  # type: ignore[arg-type]


def test_registered_authors_can_sign_with_the_key_that_was_made_for_them(root: Root, keys: Path) -> None:
    assert enrol(root, keys, ADA, LENA) == ["code-review", "lena"]
    for person in (ADA, LENA):
        key = root.keyring.current(person.author)
        assert key.public_key == keyfiles.load_signer(keys, person.author).public_key
        assert (key.role, key.owner, key.insecure_demo) == (person.role, person.owner, person.insecure_demo)
    assert root.seconds == [SECONDS, SECONDS]


def test_who_is_registered_is_left_alone(root: Root, keys: Path) -> None:
    enrol(root, keys, ADA)
    before = keyfiles.load_signer(keys, "code-review").key_id
    assert enrol(root, keys, ADA, BEN) == ["deployment"]
    assert keyfiles.load_signer(keys, "code-review").key_id == before
    assert missing(root.keyring, keys, [ADA, BEN, LENA]) == [LENA]


def test_a_key_that_was_made_but_not_registered_is_registered_the_next_time(root: Root, keys: Path) -> None:
    root.away = True
    with pytest.raises(Busy):
        enrol(root, keys, ADA)
    made = keyfiles.load_signer(keys, "code-review").key_id
    root.away = False
    assert enrol(root, keys, ADA) == ["code-review"]
    assert root.keyring.current("code-review").key_id == made


def test_a_key_file_that_is_not_the_registered_one_is_said(root: Root, keys: Path) -> None:
    enrol(root, keys, ADA)
    (keys / "code-review.seed").unlink()
    with pytest.raises(NotConfigured, match="no key at"):
        enrol(root, keys, ADA)
    keyfiles.create_key(keys, "code-review.seed")
    with pytest.raises(NotConfigured, match="Restore the file, or revoke the key"):
        enrol(root, keys, ADA)
    assert len(root.recorded) == 1


def test_a_rotation_changes_the_file_only_once_the_ledger_has_it(root: Root, keys: Path) -> None:
    enrol(root, keys, ADA)
    old = keyfiles.load_signer(keys, "code-review").key_id
    new = rotate(root, root.keyring, keys, "code-review", SECONDS)  # type: ignore[arg-type]
    assert keyfiles.load_signer(keys, "code-review").key_id == new != old
    assert root.keyring.current("code-review").key_id == new
    assert {file.name for file in keys.iterdir()} == {"code-review.seed"}


def test_a_rotation_without_a_receipt_leaves_the_old_key_in_use_and_can_be_repeated(root: Root, keys: Path) -> None:
    enrol(root, keys, ADA)
    old = keyfiles.load_signer(keys, "code-review").key_id
    root.away = True
    with pytest.raises(Busy):
        rotate(root, root.keyring, keys, "code-review", SECONDS)  # type: ignore[arg-type]
    assert keyfiles.load_signer(keys, "code-review").key_id == old
    root.away = False
    new = rotate(root, root.keyring, keys, "code-review", SECONDS)  # type: ignore[arg-type]
    assert keyfiles.load_signer(keys, "code-review").key_id == new != old


def test_a_rotation_that_the_ledger_had_before_the_crash_is_finished(root: Root, keys: Path) -> None:
    """The receipt was lost, not the event: the staged key is the one that counts now."""
    enrol(root, keys, ADA)
    root.away = True
    with pytest.raises(Busy):
        rotate(root, root.keyring, keys, "code-review", SECONDS)  # type: ignore[arg-type]
    root.away = False
    lost = root.recorded[-1]
    root.keyring.apply(lost, lost.seq)
    recorded = len(root.recorded)
    new = rotate(root, root.keyring, keys, "code-review", SECONDS)  # type: ignore[arg-type]
    assert keyfiles.load_signer(keys, "code-review").key_id == new == root.keyring.current("code-review").key_id
    assert len(root.recorded) == recorded


def test_a_revoked_key_counts_no_more_and_a_new_one_can_be_registered(root: Root, keys: Path) -> None:
    enrol(root, keys, ADA)
    event = revoke(root, root.keyring, "code-review", "lost", SECONDS)  # type: ignore[arg-type]
    assert (event.subject, event.reason) == ("code-review", "lost")
    with pytest.raises(KeyringRefused):
        root.keyring.current("code-review")
    (keys / "code-review.seed").unlink()
    assert enrol(root, keys, ADA) == ["code-review"]


def test_nobody_unknown_can_be_rotated_or_revoked(root: Root, keys: Path) -> None:
    with pytest.raises(KeyringRefused):
        rotate(root, root.keyring, keys, "nobody", SECONDS)  # type: ignore[arg-type]
    with pytest.raises(KeyringRefused):
        revoke(root, root.keyring, "nobody", "lost", SECONDS)  # type: ignore[arg-type]
    assert root.recorded == []
    assert list(keys.iterdir()) == []


def test_an_author_with_a_slash_in_its_name_has_a_file(root: Root, keys: Path) -> None:
    person = Enrolment("team/agent", "agent", "ada")
    assert enrol(root, keys, person) == ["team/agent"]
    assert isinstance(root.recorded[0], KeyRegistered)
    assert root.keyring.current("team/agent").key_id == keyfiles.load_signer(keys, "team/agent").key_id
