"""Which calls a tool server admitted: one empty file a call, made only where there is none.

A start is good for a few minutes, so what is older than a day is taken away when a server begins; that it was used then no
longer matters, since it is refused for its age.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from ..clock import Clock
from ..errors import Refused
from ..log.durable import flush_folder

KEPT = timedelta(days=1)


class SpentFolder:
    """A folder that is shared by all servers of one home, since a caller may start as many of them as it likes."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        """Makes `folder` if it is not there, mode 0700, and takes away what is older than KEPT."""
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        before = (clock.now() - KEPT).timestamp()
        for file in folder.iterdir():
            with suppress(FileNotFoundError):  # another server begins as well
                if file.stat().st_mtime < before:
                    file.unlink()

    def spend(self, agent: str, call: str) -> None:
        """See `admission.Spent`: durable on return."""
        file = self._folder / name_of(agent, call)
        try:
            os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        except FileExistsError:
            raise Refused(f"the call {call} was used before.") from None
        flush_folder(self._folder)


def name_of(agent: str, call: str) -> str:
    """The file of a call."""
    return hashlib.sha256(f"{agent}\0{call}".encode()).hexdigest()
