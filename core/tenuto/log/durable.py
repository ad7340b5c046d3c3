"""Files that are there whole or not at all, also after the power fails.

Written beside their place, flushed to the disk, then renamed over it; at last the folders are flushed, since a rename
is only durable with its folder. Everything that a log or a witness must not forget goes through here.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path


def write_durably(files: Mapping[Path, bytes]) -> None:
    """Write each file atomically, creating folders; on return all are durable.

    If it raises or the machine stops, each file is either as before or as given. One writer at a time for each file.
    """
    touched: set[Path] = set()
    for path, data in files.items():
        _make_folder(path.parent, touched)
        touched.add(path.parent)
        _write_flushed(_beside(path), data)
    for path in files:
        _beside(path).replace(path)
    for folder in touched:
        flush_folder(folder)


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.new")


def _make_folder(folder: Path, touched: set[Path]) -> None:
    if not folder.is_dir():
        _make_folder(folder.parent, touched)
        folder.mkdir(exist_ok=True)
        touched.add(folder.parent)


def _write_flushed(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def flush_folder(folder: Path) -> None:
    """Make what was created, renamed or removed in `folder` durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
