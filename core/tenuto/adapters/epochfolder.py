"""The epoch keys of a key folder, as they are now: a rotation adds one while ingest runs, a destruction takes one away."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from . import keyfiles

LOOK_SECONDS = 0.5
"""So long ingest goes by what it found before it looks again; a destroyed key is out of its reach after this time."""


class EpochFolder(Mapping[int, bytes]):
    """Secrets by epoch number. Any thread may call."""

    def __init__(self, folder: Path, *, now: Callable[[], float] = time.monotonic) -> None:
        """Nothing is read before it is asked for."""
        self._folder, self._now = folder, now
        self._secrets: dict[int, bytes] = {}
        self._looked = -LOOK_SECONDS

    def __getitem__(self, epoch: int) -> bytes:
        """Return the secret of an epoch; raises KeyError when it is not there, or not any more."""
        return self._look()[epoch]

    def __iter__(self) -> Iterator[int]:
        """The epochs that can be opened, ascending."""
        return iter(self._look())

    def __len__(self) -> int:
        """How many there are."""
        return len(self._look())

    def _look(self) -> dict[int, bytes]:
        if self._now() - self._looked >= LOOK_SECONDS:
            known = self._secrets
            self._secrets = {
                epoch: known.get(epoch) or keyfiles.load_epoch_secret(self._folder, epoch)
                for epoch in keyfiles.epochs(self._folder)
            }
            self._looked = self._now()
        return self._secrets
