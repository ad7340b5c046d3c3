"""`tenuto purge`: ask people, and once they agreed, destroy the keys of payloads, delete their rows, and say so on record.

The order is the point. The start of the call is under a signed checkpoint before anything is destroyed (the gate's step 5),
and `record.purged` is written only when everything is. Between the two the log says that a purge began, and whoever misses
a payload reads which one. `apply` may be repeated after a crash at any point, and after a restore that brought back a
database or a key file: it destroys what is there again and says on record only what is not there yet.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from .clock import NewId
from .documents import ApprovalCard, Arguments, PlannedChange, Result, from_payload
from .errors import Refused
from .events import ApprovalRequested, MessageSent, RecordPurged, ToolFinished, ToolRequested
from .events.record import TARGETS_MAX
from .following import Follower
from .gate import Action, Gate
from .keytree import PATH_BYTES
from .purges import PURGE_TOOL, Purges, Target, purge_digest
from .recorder import Recorder
from .verification import LogWalk
from .verified import Verified

WHY_CHARACTERS_MAX = 2_000


class Vessel(Protocol):
    """Where the keys and the rows of payloads are: what a purge reaches, and what it must leave to time."""

    def open(self, verified: Verified) -> bytes | None:
        """Return the payload of an event, or None when it is gone."""
        ...

    def is_destroyed(self, commits: Sequence[bytes]) -> bool:
        """Whether the keys of all these payloads are gone already."""
        ...

    def destroy(self, commits: Sequence[bytes], positions: Sequence[int]) -> tuple[int, int]:
        """Destroy the keys, then delete the rows, both durably; return how many of each were there. May be repeated."""
        ...

    def still_readable(self) -> Sequence[str]:
        """Say in sentences what of the payloads may be readable still, by whom, and what ends it."""
        ...


@dataclass(frozen=True, slots=True)
class Asked:
    """A purge that people were asked for: the request on record, and its targets as the ledger has them."""

    request: ApprovalRequested
    reason: str
    targets: tuple[Verified, ...]

    @property
    def positions(self) -> tuple[int, ...]:
        """The positions, ascending."""
        return tuple(target.position for target in self.targets)

    @property
    def commits(self) -> tuple[bytes, ...]:
        """The payload commitments, in the order of the positions."""
        return tuple(bytes.fromhex(target.event.payload_commit or "") for target in self.targets)

    @property
    def hashes(self) -> tuple[str, ...]:
        """The header hashes, in the order of the positions."""
        return tuple(target.header_hash for target in self.targets)


@dataclass(frozen=True, slots=True)
class Applied:
    """What `apply` did. keys, rows: how many it found and destroyed. before: the purge was on record already."""

    asked: Asked
    keys: int
    rows: int
    before: bool
    still_readable: tuple[str, ...]


@dataclass
class Survey:
    """One walk over the whole log for the events that are asked for, by position or id, and their doubles.

    Eight bytes of each payload's commitment are kept, the path of its key: events that share one share their fate.
    """

    wanted: frozenset[str]
    found: list[Verified] = field(default_factory=list)
    purges: Purges = field(default_factory=Purges)
    _paths: array[int] = field(default_factory=lambda: array("Q"))
    _places: array[int] = field(default_factory=lambda: array("Q"))

    def walk(self, follower: Follower) -> None:
        """Take every event that the log has signed; raises VerificationFailed."""
        for page in follower.pages():
            for verified in page:
                event = verified.event
                if event.payload_commit is not None:
                    self._paths.append(_path(event.payload_commit))
                    self._places.append(verified.position)
                if str(verified.position) in self.wanted or str(event.id) in self.wanted:
                    self.found.append(verified)
        self.purges = follower.walk.purges

    def doubles(self) -> list[int]:
        """Return the positions of other events whose payload has the key of one that was asked for."""
        own = {verified.position for verified in self.found}
        paths = {_path(verified.event.payload_commit) for verified in self.found if verified.event.payload_commit}
        return [place for path, place in zip(self._paths, self._places, strict=True) if path in paths and place not in own]


class Purging:
    """One keeper's way to purge. The gate decides, as for any other tool."""

    def __init__(
        self, *, recorder: Recorder, gate: Gate, walk: LogWalk, open_follower: Callable[[], Follower], vessel: Vessel,
        new_id: NewId,
    ) -> None:  # fmt: skip
        """`walk` is that of the gate's follower. `open_follower` returns another one, which opens no payloads."""
        self.recorder, self._gate, self._walk, self._open_follower = recorder, gate, walk, open_follower
        self._origin, self._vessel, self._new_id = walk.origin, vessel, new_id

    def request(self, names: Sequence[str], reason: str, why: str, initiator: str) -> Asked:
        """Ask people to clear the purge of these events, each an id or a position; raises Refused, with the remedy."""
        survey = self._survey(names)
        targets = sorted(survey.found, key=lambda one: one.position)
        _demand_purgeable(names, targets, survey)
        run = f"purge-{self._new_id()}"
        asked = self._gate.request(self._action(targets, reason, why, initiator), run=run)
        return Asked(asked, reason, tuple(targets))

    def wait(self, asked: Asked) -> None:
        """Return once people have decided, or the time of the request is over."""
        self._gate.wait(asked.request)

    def apply(self, approval: str) -> Applied:
        """Destroy what the request names, if it was granted; may be repeated after a crash at any point.

        Raises Busy while people have not decided or a part is away, ActionRefused when they or the rules said no, Held
        when a legal hold stands over an event whose key is still there.
        """
        asked, survey = self._asked(approval)
        done = [0, 0]
        told, ended = survey.purges.is_told(approval), self._is_finished(asked)

        def execute() -> Result:
            self._demand_free(asked)
            keys, rows = self._vessel.destroy(asked.commits, asked.positions)
            done[0], done[1] = done[0] + keys, done[1] + rows
            if not told:
                self._tell(asked)
            return Result(text=f"{keys} keys and {rows} rows of {len(asked.targets)} payloads were destroyed.")

        if ended and told:
            execute()
        else:
            self._demand_free(asked)
            self._gate.resume(asked.request, self._action(asked.targets, asked.reason, "", asked.request.initiator), execute)
        return Applied(asked, done[0], done[1], told, (*self._vessel.still_readable(), *_receivers(asked.targets)))

    def _tell(self, asked: Asked) -> None:
        """The ledger has it, or it was not said: ingest recomputes that it counts."""
        event = self.recorder.record(
            RecordPurged, run=asked.request.run, cause=(asked.request.id,), approval=asked.request.approval,
            positions=asked.positions, header_hashes=asked.hashes, reason=asked.reason,
        )  # fmt: skip
        self.recorder.wait(event)

    def _asked(self, approval: str) -> tuple[Asked, Survey]:
        """Read the request back from the ledger; its digest says whether this is what people were asked for."""
        request = self._gate.approvals.request(approval).event
        if request.tool != PURGE_TOOL:
            raise Refused(f"{approval} asks for {request.tool}, which is no purge.")
        calls = [one for one in self._gate.events_of(request.run or "") if isinstance(one.event, ToolRequested)]
        payload = self._vessel.open(calls[0]) if calls else None
        said = from_payload(payload, Arguments).values
        survey = self._survey([str(position) for position in said.get("positions", ())])
        targets, reason = tuple(survey.found), str(said.get("reason", ""))
        if purge_digest(self._origin, reason, _named(targets)) != request.digest:
            raise Refused(f"What {approval} asked for is not what its call names; nothing is destroyed.")
        return Asked(request, reason, targets), survey

    def _survey(self, names: Sequence[str]) -> Survey:
        survey = Survey(frozenset(names))
        survey.walk(self._open_follower())
        return survey

    def _demand_free(self, asked: Asked) -> None:
        """Raise Held when a hold stands over a target that is not destroyed yet, as the log says at this moment."""
        if self._vessel.is_destroyed(asked.commits):
            return
        _ = self._gate.approvals  # takes in what was signed since, holds among it
        for target in asked.targets:
            self._walk.purges.holds.verify_free(target.position, target.event.run)

    def _is_finished(self, asked: Asked) -> bool:
        run = self._gate.events_of(asked.request.run or "")
        return any(isinstance(one.event, ToolFinished) and one.event.tool == PURGE_TOOL for one in run)

    def _action(self, targets: Sequence[Verified], reason: str, why: str, initiator: str) -> Action:
        several = "payload" if len(targets) == 1 else "payloads"
        sentence = f"The keys of {len(targets)} {several} are destroyed ({reason}). Nobody can undo it; the events stay and verify."
        card = ApprovalCard(
            title=f"Purge {len(targets)} {several} from the ledger", sentence=sentence,
            changes=tuple(_change(target) for target in targets), verdict_reasoning=why[:WHY_CHARACTERS_MAX],
        )  # fmt: skip
        return Action(
            tool=PURGE_TOOL, resource=f"ledger:{self._origin}", subject=PURGE_TOOL, risks=("deletion",), card=card,
            digest=purge_digest(self._origin, reason, _named(targets)), initiator=initiator,
            arguments={"positions": [target.position for target in targets], "reason": reason},
        )  # fmt: skip


def _demand_purgeable(names: Sequence[str], targets: Sequence[Verified], survey: Survey) -> None:
    """Raise Refused naming what cannot be purged, or what else has to go with it."""
    known = {str(one.position) for one in targets} | {str(one.event.id) for one in targets}
    if unknown := sorted(set(names) - known):
        raise Refused(f"The signed log has no event {unknown[0]}. Name events by id or position.")
    if len(targets) > TARGETS_MAX:
        raise Refused(f"One purge names at most {TARGETS_MAX} events, not {len(targets)}. Ask for several.")
    for target in targets:
        if not target.event.has_payload:
            raise Refused(f"Nothing lies beside the event at position {target.position}; there is nothing to purge.")
        if (purge := survey.purges.covering(target.position)) is not None:
            raise Refused(f"The payload at position {target.position} was {purge.sentence}.")
        survey.purges.holds.verify_free(target.position, target.event.run)
    if doubles := survey.doubles():
        places = ", ".join(map(str, doubles))
        raise Refused(f"The same payload lies beside the events at {places} as well, under the same key. Name them too.")


def _named(targets: Sequence[Verified]) -> list[Target]:
    return [Target(target.position, target.header_hash) for target in targets]


def _receivers(targets: Sequence[Verified]) -> list[str]:
    names = sorted({str(target.event.to) for target in targets if isinstance(target.event, MessageSent)})
    return [
        f"{name} received it: the copy in tenuto.inbox.{name} opens with its own key until that topic's retention has passed."
        for name in names
    ]


def _change(target: Verified) -> PlannedChange:
    """What the reviewers see of one event: everything but the payload that is to go."""
    event = target.event
    shown = {
        "author": event.author, "run": event.run, "recorded_at": target.recorded_at.isoformat(), "id": str(event.id),
        "payload": f"{event.payload_len:,} bytes of {event.payload_type}", "header_sha256": target.header_hash,
    }  # fmt: skip
    return PlannedChange(
        address=f"position {target.position}", type=event.kind, actions=("delete",), before=shown, risks=("deletion",)
    )


def _path(commit: str) -> int:
    return int(commit[: PATH_BYTES * 2], 16)
