"""A clock that a test sets ahead while processes run; `ahead/sitecustomize.py` says how a process comes to follow it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

FOLDER = Path(__file__).with_name("ahead")


class SetClock:
    """The clock of the processes that were started with its `environment`; `now` is what they read."""

    def __init__(self, file: Path) -> None:
        """`file` is where they look how far ahead they are."""
        self._file, self.ahead = file, timedelta(0)
        self.put(timedelta(0))

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def put(self, ahead: timedelta) -> None:
        """Set it ahead of the machine's by so many whole seconds; it is never set back."""
        self.ahead = timedelta(seconds=int(ahead.total_seconds()))
        staged = self._file.with_suffix(".new")
        staged.write_text(str(int(self.ahead.total_seconds())), encoding="utf-8")
        staged.replace(self._file)

    @property
    def environment(self) -> Mapping[str, str]:
        """What a process has to be started with."""
        paths = [str(FOLDER), *filter(None, [os.environ.get("PYTHONPATH")])]
        return {"AHEAD_SECONDS_FILE": str(self._file), "PYTHONPATH": os.pathsep.join(paths)}

    @contextmanager
    def inherited(self) -> Iterator[None]:
        """What is started in the block goes by this clock."""
        before = {name: os.environ.get(name) for name in self.environment}
        os.environ.update(self.environment)
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value
