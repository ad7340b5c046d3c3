"""Private keys in files: nobody else may read them, nothing overwrites them, and what is wrong with one is said."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
from tenuto.adapters import keyfiles
from tenuto.errors import NotConfigured
from tenuto.signing import SEED_BYTES


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "home" / "keys"
    keyfiles.create_folder(folder)
    return folder


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_keys_and_their_folder_are_closed_to_others(folder: Path) -> None:
    keyfiles.create_key(folder, "a.seed")
    assert (mode(folder), mode(folder / "a.seed")) == (0o700, 0o600)


def test_a_folder_that_was_open_is_closed_again(folder: Path) -> None:
    folder.chmod(0o755)
    keyfiles.create_folder(folder)
    assert mode(folder) == 0o700


def test_a_key_is_read_back_as_it_was_made(folder: Path) -> None:
    made = keyfiles.create_key(folder, "a.seed")
    assert len(made) == SEED_BYTES
    assert keyfiles.load_key(folder, "a.seed") == made


def test_two_keys_are_never_the_same(folder: Path) -> None:
    assert keyfiles.create_key(folder, "a.seed") != keyfiles.create_key(folder, "b.seed")


def test_a_key_is_never_overwritten(folder: Path) -> None:
    made = keyfiles.create_key(folder, "a.seed")
    with pytest.raises(NotConfigured, match="never overwritten"):
        keyfiles.create_key(folder, "a.seed")
    assert keyfiles.load_key(folder, "a.seed") == made


def test_of_many_who_make_a_key_at_once_one_makes_it_and_all_have_the_same(folder: Path) -> None:
    """Agents start side by side, and each of them wants the key of the home's fingerprints."""
    for name in (f"{number}.key" for number in range(20)):
        with ThreadPoolExecutor(8) as pool:
            assert len(set(pool.map(partial(made_or_told, folder), [name] * 8))) == 1
    assert not list(folder.glob(".*"))


def made_or_told(folder: Path, name: str) -> bytes:
    with suppress(NotConfigured):
        return keyfiles.create_key(folder, name)
    return keyfiles.load_key(folder, name)


@pytest.mark.parametrize("bits", [0o640, 0o604, 0o620, 0o602, 0o610, 0o601, 0o777])
def test_a_key_that_others_may_touch_is_not_loaded(folder: Path, bits: int) -> None:
    keyfiles.create_key(folder, "a.seed")
    (folder / "a.seed").chmod(bits)
    with pytest.raises(NotConfigured, match="chmod 600"):
        keyfiles.load_key(folder, "a.seed")


def test_a_missing_key_is_named_with_the_remedy(folder: Path) -> None:
    with pytest.raises(NotConfigured, match=r"no key at .*a\.seed.*tenuto key add"):
        keyfiles.load_key(folder, "a.seed")


@pytest.mark.parametrize("text", ["", "zz" * 32, "ab" * 31, "ab" * 33, "a" * 63])
def test_a_damaged_key_is_said_without_showing_it(folder: Path, text: str) -> None:
    (folder / "a.seed").write_text(text)
    (folder / "a.seed").chmod(0o600)
    with pytest.raises(NotConfigured, match="64 hex digits") as caught:
        keyfiles.load_key(folder, "a.seed")
    assert not text or text not in str(caught.value)


def test_a_file_that_is_no_text_is_said(folder: Path) -> None:
    (folder / "a.seed").write_bytes(b"\xff" * 32)
    with pytest.raises(NotConfigured, match="cannot be read"):
        keyfiles.load_key(folder, "a.seed")


def test_names_with_a_slash_stay_inside_the_folder(folder: Path) -> None:
    name = keyfiles.author_file("team/agent")
    assert "/" not in name
    keyfiles.create_key(folder, name)
    assert keyfiles.load_signer(folder, "team/agent").author == "team/agent"
    assert "/" not in keyfiles.spool_file("team/agent")


def test_each_purpose_has_a_file_of_its_own(folder: Path) -> None:
    names = (keyfiles.LOG_KEY, keyfiles.WITNESS_KEY, keyfiles.STORAGE_KEY, keyfiles.epoch_file(1), keyfiles.epoch_file(2),
             keyfiles.author_file("log"), keyfiles.author_file("root"))  # fmt: skip
    assert len(set(names)) == len(names)
    made = {name: keyfiles.create_key(folder, name) for name in names}
    assert keyfiles.load_epoch_secret(folder, 2) == made[keyfiles.epoch_file(2)]
    assert keyfiles.load_log_signer(folder, "example.com/log").name == "example.com/log"
