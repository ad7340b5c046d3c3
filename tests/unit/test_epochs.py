"""An epoch's key is there whole or not at all, whenever its destruction is cut off."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from tenuto.adapters import keyfiles
from tenuto.adapters.keyfiles import shred

KEY = b"k" * 32


class CutOff(Exception):
    """The process ends here."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    keyfiles.create_folder(tmp_path / "keys")
    for number in (1, 2):
        keyfiles.create_key(tmp_path / "keys", keyfiles.epoch_file(number))
    return tmp_path / "keys"


def cut(monkeypatch: pytest.MonkeyPatch, owner: object, name: str, after: int) -> None:
    """End the process at the call number `after` of this function."""
    real: Callable[..., object] = getattr(owner, name)
    calls = iter(range(100))

    def called(*arguments: object) -> object:
        if next(calls) == after:
            raise CutOff
        return real(*arguments)

    monkeypatch.setattr(owner, name, called)


@pytest.mark.parametrize(("name", "after"), [("flush", 0), ("fsync", 1), ("unlink", 0), ("flush", 1)])
def test_a_key_is_never_half_there_and_the_same_command_finishes(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, after: int
) -> None:
    owners = {"flush": (keyfiles, "flush_folder"), "fsync": (os, "fsync"), "unlink": (Path, "unlink")}
    secret = keyfiles.load_epoch_secret(folder, 1)
    with monkeypatch.context() as patch:
        cut(patch, *owners[name], after)
        with pytest.raises(CutOff):
            shred(folder / keyfiles.epoch_file(1))
    assert keyfiles.epochs(folder) == [2], "what is left of it has no name that anybody reads"
    assert not shred(folder / keyfiles.epoch_file(1))
    assert not [file for file in folder.iterdir() if "epoch-1." in file.name]
    assert all(secret.hex().encode() not in file.read_bytes() and secret not in file.read_bytes() for file in folder.iterdir())
    keyfiles.load_epoch_secret(folder, 2)


def test_a_key_that_is_there_is_gone_afterwards_and_said_to_have_been_there(folder: Path) -> None:
    assert shred(folder / keyfiles.epoch_file(1))
    assert not shred(folder / keyfiles.epoch_file(1))
