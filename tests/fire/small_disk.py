"""A disk that can be filled: a small file system in memory, where this account may mount one."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

FILLER = "filler"
CHUNK = 4096


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[None]:
    """Mount an empty file system of this size at `folder` for the length of the block; skips where nobody may."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0711", "tmpfs", str(folder)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        pytest.skip(f"A full disk needs the right to mount a small one (run as root): {ended.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def full(folder: Path) -> Iterator[None]:
    """There is no room left on the disk of `folder` for the length of the block."""
    filler = folder / FILLER
    descriptor = os.open(filler, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        for size in (1024 * CHUNK, CHUNK, 1):
            _fill(descriptor, size)
        yield
    finally:
        os.close(descriptor)
        filler.unlink()


def _fill(descriptor: int, size: int) -> None:
    try:
        while os.write(descriptor, bytes(size)) == size:
            pass
    except OSError:
        return
