"""What happens when a spool is found damaged: it is put aside, never deleted, and what was lost with it goes on record.

The recorder works on in a fresh spool. Which events can no longer be sent is read from what is left of the old one; the
file beside it keeps its name `<spool>.damaged-<n>` until the loss is on disk as an event, and is `<spool>.told-<n>` then.
A crash in between tells it twice, never not at all.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from uuid import UUID

from .spool import Spool
from .spoolfile import SpoolDamaged, connect, take_ownership

DAMAGED, TOLD = "damaged", "told"
_COMPANIONS = ("", "-wal", "-shm")
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Loss:
    """Events of one session, first to last, that had no receipt and cannot be sent again."""

    session: UUID
    first_seq: int
    last_seq: int


def open_spool(path: Path) -> tuple[Spool, tuple[Loss, ...]]:
    """Open the spool, or a fresh one in place of a damaged one; return it with the losses that are not told yet.

    Raises NotConfigured as `Spool` does when another process has it open or it is of another release.
    """
    try:
        spool = Spool(path)
    except SpoolDamaged as damage:
        _put_aside(path)
        log.error("%s It was put aside beside its place and a fresh spool was started.", damage)
        spool = Spool(path)
    losses: list[Loss] = []
    for damaged in _aside(path, DAMAGED):
        found = losses_in(damaged)
        if not found:
            log.error("What waited in %s cannot be told from what is left of it. Keep it for its owner.", damaged)
        losses += found
    return spool, tuple(losses)


def losses_told(path: Path) -> None:
    """Remember that the losses of this spool are on record."""
    name = f"{path.name}.{DAMAGED}-"
    # A companion may be alone: its database was renamed before an interruption.
    numbers = {one.name.removeprefix(name).partition("-")[0] for one in path.parent.glob(f"{name}*")}
    for number in sorted(filter(str.isdecimal, numbers)):
        for companion in _COMPANIONS:
            _rename(path.with_name(name + number), companion, path.with_name(f"{path.name}.{TOLD}-{number}"))


def losses_in(damaged: Path) -> Sequence[Loss]:
    """Return what had no receipt in a damaged spool: by its events, or else by the two counts that stand elsewhere."""
    try:
        with closing(sqlite3.connect(f"{damaged.absolute().as_uri()}?mode=ro", uri=True)) as left:
            try:
                rows = left.execute("SELECT session, min(seq), max(seq) FROM outbox GROUP BY session").fetchall()
            except sqlite3.DatabaseError:
                rows = left.execute(
                    "SELECT session, max(0, seq - rows + 1), seq FROM chain, total WHERE name = 'outbox' AND rows > 0"
                ).fetchall()
        return [Loss(UUID(bytes=session), first, last) for session, first, last in rows]
    except (sqlite3.Error, ValueError, TypeError):
        return []


def _put_aside(path: Path) -> None:
    ownership = take_ownership(path)
    try:
        try:
            connect(path).close()
        except SpoolDamaged:
            aside = _free_name(path)
            # The log goes first: beside a fresh spool it would be taken for that one's.
            for companion in reversed(_COMPANIONS):
                _rename(path, companion, aside)
    finally:
        os.close(ownership)


def _aside(path: Path, state: str) -> list[Path]:
    found = path.parent.glob(f"{path.name}.{state}-*")
    return sorted(one for one in found if one.name.rpartition("-")[2].isdecimal())


def _free_name(path: Path) -> Path:
    names = ((path.with_name(f"{path.name}.{state}-{number}") for state in (DAMAGED, TOLD)) for number in count(1))
    return next(damaged for damaged, told in names if not damaged.exists() and not told.exists())


def _rename(path: Path, companion: str, target: Path) -> None:
    source = path.with_name(path.name + companion)
    if source.exists():
        source.rename(target.with_name(target.name + companion))
