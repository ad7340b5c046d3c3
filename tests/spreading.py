"""Which tests run on the same worker, and which come first, where tests run side by side (`make test` does).

What takes long to start is started once: an Apache Kafka, a console with its browser, a demonstration, programs that are
built. What such a part lets only one test at a time do is safe then, too. pytest-xdist has a mark for this, and pytest 9.2
made it do nothing without a word: the mark changes a name that is not read any more. So the groups are formed here, from a
test's file, which every version names.
"""

from __future__ import annotations

from collections import OrderedDict
from pathlib import PurePosixPath
from typing import Any

from xdist.scheduler import LoadScopeScheduling

ON_ONE_WORKER = frozenset(
    {"fire", "contracts", "console", "interop", "opa", "infrastructure", "containers", "platforms", "retention", "unit/notify", "unit/siem"}
)
"""Folders whose tests share a part that takes long to start."""

TOGETHER = {"end_to_end/test_tamper": "end_to_end/test_demo"}
"""Files that read what another file's demonstration left."""

LONGEST_FIRST = (
    "contracts", "console", "fire", "opa", "interop", "end_to_end/test_stops", "end_to_end/test_demo", "infrastructure", "containers",
    "platforms", "end_to_end/test_pull_request_attacks", "end_to_end/test_control_attacks", "retention", "end_to_end/test_secret_leak", "end_to_end/test_purge_copies",
    "end_to_end/test_wheel",
)  # fmt: skip
"""A long group that began last would leave the other workers idle. Some of them build programs where a machine is new."""


def group_of(nodeid: str) -> str:
    """The group of a test: what is in one group runs on one worker, in its order. A file is never split."""
    place = PurePosixPath(nodeid.partition("::")[0]).with_suffix("")
    parts = place.parts[place.parts.index("tests") + 1 :] if "tests" in place.parts else place.parts
    for length in (1, 2):
        if (folder := "/".join(parts[:length])) in ON_ONE_WORKER:
            return folder
    name = "/".join(parts)
    return TOGETHER.get(name, name)


def rank_of(group: str) -> int:
    """Where the group stands in the queue."""
    return LONGEST_FIRST.index(group) if group in LONGEST_FIRST else len(LONGEST_FIRST)


class GroupsOnOneWorker(LoadScopeScheduling):
    """Hands whole groups to workers, the longest first."""

    def __init__(self, config: Any, log: Any = None) -> None:
        config.option.loadscopereorder = False  # by the number of tests, which says nothing about how long they take
        super().__init__(config, log)
        self.workqueue = LongestFirst()

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)


class LongestFirst(OrderedDict[str, dict[str, bool]]):
    """A queue of groups, out of which the longest comes first."""

    def popitem(self, last: bool = True) -> tuple[str, dict[str, bool]]:
        group = min(self, key=rank_of)
        return group, self.pop(group)
