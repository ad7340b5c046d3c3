"""A piece of work that can be begun again; see `tests.faults.works`."""

from __future__ import annotations

from pathlib import Path


class Work:
    """A piece of work on a home; what `__init__` does is there before it begins, and meets no fault."""

    def __init__(self, home: Path) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self.home = home

    def restart(self) -> None:
        """The process is dead; nothing of it is in memory any more."""

    def do(self) -> None:
        raise NotImplementedError

    def end(self) -> object:
        raise NotImplementedError
