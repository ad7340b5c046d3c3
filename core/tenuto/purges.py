"""Whether a purge counts: the same answer for ingest, every reader, verification and the console.

`record.purged` says that the payloads at some positions were made unreadable. It counts by these rules:

 1. it names each event once, by position and header hash, in order, all of them before itself
 2. its author asked for exactly this: the request's digest is over these positions, these hashes and this reason
 3. people granted the request, and its author consumed it (the numbered rules of approvals, none of them weaker here)
 4. the call that consumed it was started on record, so that the intent stood in the log before anything was destroyed
 5. no legal hold was in force over any of the events when that call started

A hold that is placed after the start comes too late for what was destroyed by then; whoever finishes an interrupted purge
looks at the holds again and destroys nothing more. A purge that is told twice is told once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from .approvals import Approvals
from .approvals.kinds import APPROVAL_KINDS
from .errors import Refused
from .events import ApprovalConsumed, HoldLifted, HoldPlaced, RecordPurged, ToolStarted
from .holding import Holds, Placed
from .verified import Verified

PURGE_TOOL = "ledger.purge"
RULES: dict[int, str] = {
    1: "it names each event once, in order, before itself",
    2: "its author asked for exactly this",
    3: "the request was granted and its author consumed it",
    4: "the start of the call is on record",
    5: "no legal hold was in force",
}
FOLDED = APPROVAL_KINDS | {HoldPlaced, HoldLifted, RecordPurged}
"""The kinds that decide about purges; all others change nothing here."""


class PurgeRefused(Refused):
    """The purge does not count; `rule` is the number of the rule that fails."""

    reason = "entitlement"

    def __init__(self, rule: int, sentence: str) -> None:
        """`rule` is a number of RULES."""
        super().__init__(f"The purge does not count. Rule {rule} ({RULES[rule]}) does not hold: {sentence}")
        self.rule = rule


@dataclass(frozen=True, slots=True)
class Target:
    """An event whose payload is to go."""

    position: int
    header_hash: str


@dataclass(frozen=True, slots=True)
class Started:
    """A purge whose start is on record: who, under which request, over which digest, and the holds in force just then."""

    approval: str
    author: str
    digest: str
    position: int
    holds: tuple[Placed, ...]

    def holds_over(self, position: int, run: str | None) -> tuple[str, ...]:
        """Return the names of the holds that were in force over an event, which belongs to `run`."""
        over = [one for one in self.holds if one.meets(position, position) or (run is not None and run == one.run)]
        return tuple(dict.fromkeys(one.hold for one in over))


@dataclass(frozen=True, slots=True)
class Purge:
    """A purge that counts. `position` and `recorded_at` are those of `record.purged`; `hashes` by the position purged."""

    author: str
    approval: str
    reason: str
    position: int
    recorded_at: datetime
    hashes: dict[int, str]
    started: Started

    @property
    def sentence(self) -> str:
        """Who, when, under which request and why, as it is shown everywhere."""
        return _sentence(self.author, self.recorded_at, self.approval, self.reason)


def purge_sentence(event: RecordPurged, recorded_at: datetime) -> str:
    """Return the same sentence for the event itself, which the ledger recorded at this time."""
    return _sentence(event.author, recorded_at, event.approval, str(event.reason))


def purge_digest(origin: str, reason: str, targets: Iterable[Target]) -> str:
    """Return what reviewers approve: SHA-256, hex, over the log, the reason, and position and header hash of each event."""
    lines = [PURGE_TOOL, origin, reason, *(f"{target.position} {target.header_hash}" for target in targets)]
    return hashlib.sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()


def targets_of(event: RecordPurged) -> list[Target]:
    """Return what a purge names; raises PurgeRefused (rule 1) when it does not name it properly."""
    if len(event.header_hashes) != len(event.positions) or event.reason is None:
        raise PurgeRefused(1, "it does not give a header hash for each position, and a reason.")
    if list(event.positions) != sorted(set(event.positions)):
        raise PurgeRefused(1, "its positions are not in order, or one is named twice.")
    return [Target(*pair) for pair in zip(event.positions, event.header_hashes, strict=True)]


def _sentence(author: str, at: datetime, approval: str, reason: str) -> str:
    return f"purged by {author} on {at:%Y-%m-%d} under {approval} ({reason})"


class Purges:
    """The fold. `apply` takes verified events in ledger order, of all kinds or of FOLDED only."""

    def __init__(self) -> None:
        """Start before the first event."""
        self.approvals, self.holds = Approvals(), Holds()
        self._calls: dict[str, str] = {}
        self._started: dict[str, Started] = {}
        self._told: set[str] = set()
        self._over: dict[int, Purge] = {}

    def apply(self, verified: Verified) -> None:
        """Take the next event; raises PurgeRefused at a purge that does not count."""
        event = verified.event
        if type(event) not in FOLDED:
            return
        if isinstance(event, RecordPurged):
            self._cover(event, verified)
        elif isinstance(event, HoldPlaced | HoldLifted):
            self.holds.apply(verified)
        else:
            self.approvals.apply(verified)
            if isinstance(event, ToolStarted):
                self._start(event, verified)
            elif isinstance(event, ApprovalConsumed) and self.approvals.consumed_by(event.approval) == event.call:
                self._calls.setdefault(event.call, event.approval)

    def verify(self, event: RecordPurged, position: int, runs: Sequence[str | None] = ()) -> Started:
        """Return the start of the purge that `event`, at `position`, reports; raises PurgeRefused unless it counts.

        `runs` are those of the events named, in their order, for who knows them; without, holds over a run are not asked.
        """
        targets = targets_of(event)
        if targets[-1].position >= position:
            raise PurgeRefused(1, f"position {targets[-1].position} does not come before it.")
        if event.approval not in self.approvals.requests():
            raise PurgeRefused(2, f"no request named {event.approval} is in the ledger.")
        asked = self.approvals.request(event.approval).event
        digest = purge_digest(event.log_origin, str(event.reason), targets)
        if (asked.author, asked.tool, asked.digest) != (event.author, PURGE_TOOL, digest):
            raise PurgeRefused(2, f"{asked.author} asked for something else under {event.approval}.")
        call = self.approvals.consumed_by(event.approval)
        if call is None:
            raise PurgeRefused(3, f"{event.approval} was not consumed.")
        started = self._started.get(event.approval)
        if started is None:
            raise PurgeRefused(4, f"the ledger does not know that {call} was started.")
        for target, run in zip(targets, [*runs, *[None] * (len(targets) - len(runs))], strict=True):
            if holds := started.holds_over(target.position, run):
                raise PurgeRefused(5, f"position {target.position} was under the legal hold {', '.join(holds)}.")
        return started

    def covering(self, position: int) -> Purge | None:
        """Return the purge that took the payload at `position`, the first if there are several, or None."""
        return self._over.get(position)

    def positions(self) -> list[int]:
        """Return all positions whose payload was purged."""
        return sorted(self._over)

    def unfinished(self) -> list[Started]:
        """Return the purges that were started and are not on record as done."""
        return [started for approval, started in self._started.items() if approval not in self._told]

    def started(self, approval: str) -> Started | None:
        """Return the start of the purge under this request, or None."""
        return self._started.get(approval)

    def is_told(self, approval: str) -> bool:
        """Whether the purge under this request is on record as done."""
        return approval in self._told

    def _start(self, event: ToolStarted, verified: Verified) -> None:
        approval = self._calls.get(event.call)
        if event.tool != PURGE_TOOL or approval is None or approval in self._started:
            return
        asked = self.approvals.request(approval).event
        if (asked.author, asked.tool, asked.digest) == (event.author, event.tool, event.digest):
            self._started[approval] = Started(
                approval, event.author, event.digest, verified.position, self.holds.in_force()
            )

    def _cover(self, event: RecordPurged, verified: Verified) -> None:
        started = self.verify(event, verified.position)
        hashes = dict(zip(event.positions, event.header_hashes, strict=True))
        purge = Purge(
            event.author, event.approval, str(event.reason), verified.position, verified.recorded_at, hashes, started
        )
        for position in event.positions:
            self._over.setdefault(position, purge)
        self._told.add(event.approval)
