"""The epochs as they are now, for processes that run on: a rotation adds one, a destruction takes one away.

Ingest looks into the key folder, and who records into its trust file.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from ..errors import NotConfigured
from ..trust import Trust, load_trust
from . import keyfiles

log = logging.getLogger(__name__)

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


@dataclass
class TrustNow:
    """The trust file of a home, `pinned` as it was at the start: calling it gives the facts with the epoch of now.

    Only the epoch is followed. A file that says anything else that is new, or cannot be read, changes nothing before the
    next start, which refuses it aloud.
    """

    home: Path
    pinned: Trust
    now: Callable[[], float] = time.monotonic
    _looked: float = field(default=float("-inf"))

    def __call__(self) -> Trust:
        """Return the facts; the file is looked at every LOOK_SECONDS. Any thread may call, one at a time."""
        if self.now() - self._looked >= LOOK_SECONDS:
            self._looked = self.now()
            try:
                found = load_trust(self.home)
            except NotConfigured as refusal:
                log.warning("%s", refusal)
                return self.pinned
            followed = msgspec.structs.replace(self.pinned, epoch=found.epoch, epoch_public_key=found.epoch_public_key)
            if found == followed and found.epoch > self.pinned.epoch:
                self.pinned = followed
        return self.pinned
