"""The storage key's file: replaced whole, picked up by whoever has it open, and safe between two purges at once."""

from __future__ import annotations

import os
import secrets
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tenuto.adapters import keyfiles, keytreefile
from tenuto.adapters.keytreefile import LOOK_SECONDS, KeyTreeFile, puncture
from tenuto.errors import NotConfigured
from tenuto.keytree import KeyDestroyed, KeyTree

COMMITS = [secrets.token_bytes(32) for _ in range(24)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    keyfiles.create_folder(tmp_path / "keys")
    keyfiles.create_key(tmp_path / "keys", keyfiles.STORAGE_KEY)
    return tmp_path / "keys"


def test_a_process_that_has_the_file_open_forgets_what_was_cut_out(folder: Path) -> None:
    moment = 0.0
    live = KeyTreeFile(folder, now=lambda: moment)
    kept = live.key_for(COMMITS[0])
    assert puncture(folder, [COMMITS[1]]) == 1
    moment = LOOK_SECONDS
    with pytest.raises(KeyDestroyed):
        live.key_for(COMMITS[1])
    assert live.key_for(COMMITS[0]) == kept
    puncture(folder, [COMMITS[2]])
    live.refresh(at_once=True)
    with pytest.raises(KeyDestroyed):
        live.key_for(COMMITS[2])


def test_two_purges_at_once_lose_nothing(folder: Path) -> None:
    with ThreadPoolExecutor(4) as threads:
        assert sum(threads.map(lambda commit: puncture(folder, [commit]), COMMITS)) == len(COMMITS)
    assert KeyTreeFile(folder).tree.gone == {commit[:8].hex() for commit in COMMITS}
    assert puncture(folder, COMMITS) == 0


def test_the_old_bytes_are_overwritten_and_nothing_is_left_beside_the_file(folder: Path) -> None:
    old = (folder / keyfiles.STORAGE_KEY).read_text().strip()
    with (folder / keyfiles.STORAGE_KEY).open("rb") as held:
        puncture(folder, COMMITS[:1])
        assert not any(held.read())
    assert not any(old in path.read_text() for path in folder.iterdir())
    assert {path.name for path in folder.iterdir()} == {keyfiles.STORAGE_KEY, keyfiles.STORAGE_KEY + ".lock"}
    assert (folder / keyfiles.STORAGE_KEY).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("at", ["fsync", "replace"])
def test_a_crash_leaves_the_old_file_and_the_next_purge_works(folder: Path, at: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: object) -> None:
        raise OSError("power fails")

    before = KeyTreeFile(folder).key_for(COMMITS[0])
    with monkeypatch.context() as patch:
        patch.setattr(keytreefile.os, "fsync", crash) if at == "fsync" else patch.setattr(Path, "replace", crash)
        with pytest.raises(OSError, match="power fails"):
            puncture(folder, COMMITS[:1])
    assert KeyTreeFile(folder).key_for(COMMITS[0]) == before
    assert puncture(folder, COMMITS[:1]) == 1
    assert puncture(folder, COMMITS[1:2]) == 1
    assert not (folder / "storage.key.new").exists()


@pytest.mark.parametrize(("text", "sentence"), [("zz", "damaged"), ("", "damaged"), (None, "no key at")])
def test_a_file_that_is_no_key_is_said_with_the_remedy(folder: Path, text: str | None, sentence: str) -> None:
    path = folder / keyfiles.STORAGE_KEY
    path.unlink() if text is None else path.write_text(text)
    for use in (lambda: KeyTreeFile(folder), lambda: puncture(folder, COMMITS[:1])):
        with pytest.raises(NotConfigured, match=sentence):
            use()


def test_a_key_that_others_may_read_is_not_loaded(folder: Path) -> None:
    os.chmod(folder / keyfiles.STORAGE_KEY, 0o640)
    with pytest.raises(NotConfigured, match="chmod 600"):
        KeyTreeFile(folder)


def test_the_first_file_is_the_whole_tree(folder: Path) -> None:
    root = bytes.fromhex((folder / keyfiles.STORAGE_KEY).read_text())
    assert KeyTreeFile(folder).key_for(COMMITS[0]) == KeyTree.whole(root).key_for(COMMITS[0])
