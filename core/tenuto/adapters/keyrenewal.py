"""A storage key is renewed in its folder: first the change, then the end of what was before.

    1. keep      the leaves that are still wanted, under a new tree       nothing has changed
    2. link      the present key gets a second name                       nothing has changed
    3. change    the new key takes the place of the present one           COMMIT: both are read, the new one is written under
    4. end       late leaves are kept too, the key before is destroyed    the renewal is over; purges go on

A crash after any step is met by the same two calls again: `change` begins anew unless it was done, `end` is repeated. Between
3 and 4 nothing can be purged, since the key before would still open it.
"""

from __future__ import annotations

import os
import secrets
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path

from ..keystock import KeyStock, Past
from ..keytree import NODE_BYTES, PATH_BYTES, KeyTree
from ..log.durable import flush_folder
from .keptleaves import kept_file, write_kept
from .keyfiles import STORAGE_KEY, shred
from .keytreefile import FORMER, alone, forget_attempt, read_stock, replace_stock, stage_stock


def change(folder: Path, paths: array[int], covered: int) -> int:
    """Put a new storage key in the place of the present one, durably; return how many leaves of the present one are kept.

    `paths`: the first 64 bits, as a number, of the commitment of every payload among the first `covered` events of the log, in
    any order. The key before stays beside it until `end`. Does nothing while a renewal is under way. Purges wait meanwhile.
    """
    with alone(folder):
        _, present = read_stock(folder)
        if present.closing is not None:
            return 0
        forget_attempt(folder)
        number, tree = present.past.renewal + 1, KeyTree.whole(secrets.token_bytes(NODE_BYTES))
        kept = write_kept(folder / kept_file(number), _carried(present, tree, paths))
        staged = stage_stock(folder, KeyStock(tree, Past(number, covered, present.gone)))
        os.link(folder / STORAGE_KEY, folder / FORMER)
        flush_folder(folder)
        staged.replace(folder / STORAGE_KEY)
        flush_folder(folder)
        # The commit point: one line earlier the key is the one before, from here on what is written is written under the new.
        return kept


def end(folder: Path, late: Iterable[bytes]) -> int:
    """Keep these payloads too and destroy the storage key before; return how many more leaves are kept for them.

    `late`: commitments of payloads that were wrapped under the key before and are not among those that `change` was given.
    Once the renewal is over it only takes away what an interrupted end left.
    """
    with alone(folder):
        _, present = read_stock(folder)
        added = 0
        if present.closing is not None:
            found = {commit[:PATH_BYTES] for commit in late}
            boxes = {path.hex(): tuple(present.closing.carried(path, present.tree)) for path in found}
            boxes = {path: some for path, some in boxes.items() if some and path not in present.past.late}
            added = sum(map(len, boxes.values()))
            if boxes:
                past = replace(present.past, late={**present.past.late, **boxes})
                replace_stock(folder, KeyStock(present.tree, past, present.kept, present.closing))
        forget_attempt(folder)  # or the key of now would be destroyed under its second name
        shred(folder / FORMER)
        for file in folder.glob("storage-*.kept"):
            if file.name != kept_file(present.past.renewal):
                file.unlink()  # its key is destroyed; what is in it is noise
        flush_folder(folder)
        return added


def _carried(present: KeyStock, tree: KeyTree, paths: array[int]) -> Iterator[tuple[int, Sequence[bytes]]]:
    for number, _ in groupby(sorted(paths)):
        yield number, present.carried(number.to_bytes(PATH_BYTES, "big"), tree)
