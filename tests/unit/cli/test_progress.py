"""What the demonstration shows and answers while it follows a run."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from itertools import count
from typing import Any

import pytest
from tenuto.approvals import Approvals
from tenuto.cli import progress
from tenuto.cli.progress import STAND_IN_CONSOLE, Progress, told
from tenuto.cli.unattended import StandIn
from tenuto.documents import ApprovalCard, ImageChange, Result
from tenuto.embedded import PartFailed
from tenuto.events import (
    ApprovalExpired,
    ApprovalListed,
    ApprovalRequested,
    ApprovalSigned,
    ApprovalViewed,
    Event,
    PolicyDecided,
    RunFinished,
    ToolRequested,
    ToolStarted,
)

from tests.reviewing import committed, listed
from tests.unit.projections.written import DIGEST, START, MemoryFollower, WrittenLedger, start_run

REVIEWER = "unattended-reviewer"
CARD = ApprovalCard(title="Release", sentence="Deploy it.", images=(ImageChange(name="shop", after=DIGEST),))
LOOKS = 12


class Platform:
    """The parts; one of them is gone when a test says so."""

    settings = None

    def __init__(self) -> None:
        self.looks, self.gone_at = 0, 0

    def demand_running(self) -> None:
        self.looks += 1
        if self.looks == self.gone_at:
            raise PartFailed("The process `ingest` has ended.")


class Reviewer:
    """The door of the unattended reviewer, or of its console, straight into the ledger."""

    def __init__(self, ledger: WrittenLedger, author: str = REVIEWER) -> None:
        self.ledger, self.author, self.closed = ledger, author, False

    def record(self, kind: type[Event], *, document: Any = None, **fields: Any) -> Event:
        return self.ledger.write(self.author, kind, document, **fields)

    def close(self) -> None:
        self.closed = True


class CatchingUp(MemoryFollower):
    """A follower that has `catch_up`; after each look the world goes on by one step."""

    def __init__(self, ledger: WrittenLedger, *steps: Any) -> None:
        super().__init__(ledger)
        self._steps = list(steps)

    def catch_up(self) -> list[Any]:
        found = [one for page in self.pages() for one in page]
        if self._steps:
            self._steps.pop(0)()
        return found


@pytest.fixture
def ledger() -> WrittenLedger:
    ledger = WrittenLedger()
    people = (("pipeline", "pipeline"), ("deployment", "agent"), (REVIEWER, "reviewer"), (STAND_IN_CONSOLE, "console"))
    for author, role in people:
        ledger.register(author, role, insecure_demo=role in ("reviewer", "console"))
    start_run(ledger, "old")
    start_run(ledger, "new")
    return ledger


@pytest.fixture
def reviewer(ledger: WrittenLedger, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reviewer]:
    reviewer, console = Reviewer(ledger), Reviewer(ledger, STAND_IN_CONSOLE)
    doors = {REVIEWER: reviewer, STAND_IN_CONSOLE: console}
    monkeypatch.setattr(progress, "open_recorder", lambda _, author, **__: doors[author])
    seconds = count(step=60)  # each look at the clock is a minute later: long enough for any piece
    monkeypatch.setattr(progress, "StandIn", partial(StandIn, monotonic=lambda: next(seconds)))
    monkeypatch.setattr(progress, "LOOK_SECONDS", 0.0)
    return reviewer


def ask(ledger: WrittenLedger, run: str, approval: str) -> Event:
    target = {"tool": "deploy.production", "resource": "service:shop", "digest": DIGEST}
    ledger.write("deployment", ToolRequested, call=approval, **target)
    decided = ledger.write(
        "deployment", PolicyDecided, call=approval, effect="allow", rules=("r",), bundle=DIGEST, engine="e", obligation="approval"
    )
    for part in listed(CARD):
        ledger.write("deployment", ApprovalListed, approval=approval, digest=DIGEST, **part)
    return ledger.write(
        "deployment", ApprovalRequested, CARD, run=run, approval=approval, subject="release", initiator="mara", quorum=1,
        cause=(decided.id,), call=approval, expires=START + timedelta(days=1), **target, **committed(CARD),
    )  # fmt: skip


def finish(ledger: WrittenLedger, run: str, outcome: str = "succeeded") -> Event:
    return ledger.write("deployment", RunFinished, run=run, outcome=outcome)


def fold(ledger: WrittenLedger) -> Approvals:
    approvals = Approvals()
    for verified in ledger.verified():
        approvals.apply(verified)
    return approvals


def signed(ledger: WrittenLedger) -> list[str]:
    return [event.approval for event in ledger.events if isinstance(event, ApprovalSigned)]


def follow(ledger: WrittenLedger, *steps: Any, run: str = "new", unattended: str | None = REVIEWER) -> str:
    """Follow while the world goes on by a step at each look; there are looks enough before the last one to show and sign."""
    steps = (*steps[:-1], *[lambda: None] * LOOKS, *steps[-1:])
    return Progress(Platform(), CatchingUp(ledger, *steps), unattended=unattended).follow(run, seconds=None)  # type: ignore[arg-type]


def test_the_outcome_of_the_run_that_was_asked_for_is_returned(ledger: WrittenLedger, reviewer: Reviewer) -> None:
    finish(ledger, "old", "failed")
    assert follow(ledger, lambda: finish(ledger, "new")) == "succeeded"
    assert reviewer.closed


def test_what_is_asked_is_opened_and_then_approved_over_its_digest(ledger: WrittenLedger, reviewer: Reviewer) -> None:
    asked = ask(ledger, "new", "a-1")
    follow(ledger, lambda: finish(ledger, "new"))
    kinds = [one.kind for one in ledger.events if one.author in (REVIEWER, STAND_IN_CONSOLE)][-5:]
    assert kinds == ["session.opened", "approval.opened", *["approval.viewed"] * 2, "approval.signed"]
    [approved] = [one for one in ledger.events if isinstance(one, ApprovalSigned)]
    assert fold(ledger).standing("a-1", ledger.now).state == "granted", "it counts"
    assert (approved.digest, approved.cause, approved.run) == (DIGEST, (asked.id,), "new")


def test_a_piece_that_was_not_open_for_its_least_time_is_not_recorded_and_nothing_is_signed(
    ledger: WrittenLedger, reviewer: Reviewer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "StandIn", partial(StandIn, monotonic=lambda: 7.0))
    ask(ledger, "new", "a-1")
    follow(ledger, lambda: finish(ledger, "new"))
    assert not any(isinstance(one, ApprovalViewed | ApprovalSigned) for one in ledger.events)


def test_an_agent_that_waits_for_an_older_run_is_answered_too(ledger: WrittenLedger, reviewer: Reviewer) -> None:
    """Otherwise it would never come to this run."""
    ask(ledger, "old", "a-old")
    follow(ledger, lambda: ask(ledger, "new", "a-new"), lambda: finish(ledger, "new"))
    assert signed(ledger) == ["a-old", "a-new"]


def test_what_was_answered_or_ran_out_in_an_earlier_life_is_left_alone(ledger: WrittenLedger, reviewer: Reviewer) -> None:
    ask(ledger, "old", "a-1")
    reviewer.record(ApprovalSigned, approval="a-1", digest=DIGEST, decision="approve")
    ask(ledger, "old", "a-2")
    ledger.write("deployment", ApprovalExpired, approval="a-2")
    follow(ledger, lambda: finish(ledger, "new"))
    assert signed(ledger) == ["a-1"]


def test_with_a_person_at_the_console_nothing_is_answered(ledger: WrittenLedger, reviewer: Reviewer) -> None:
    ask(ledger, "new", "a-1")
    follow(ledger, lambda: finish(ledger, "new"), unattended=None)
    assert signed(ledger) == []


def test_only_the_run_is_shown_and_demo_keys_are_marked(
    ledger: WrittenLedger, reviewer: Reviewer, capsys: pytest.CaptureFixture[str]
) -> None:
    ask(ledger, "old", "a-old")
    ask(ledger, "new", "a-new")
    follow(ledger, lambda: None, lambda: finish(ledger, "new"))
    *lines, verdict = capsys.readouterr().err.splitlines()
    assert verdict == "The run succeeded."
    assert [line.split()[3] for line in lines] == [
        "run.started", "approval.requested", "approval.opened", *["approval.viewed"] * 2, "approval.signed", "run.finished",
    ]  # fmt: skip
    assert ["insecure demo key" in line for line in lines] == [False, False, *[True] * 4, False]


def test_a_part_that_is_gone_ends_the_following(ledger: WrittenLedger, reviewer: Reviewer) -> None:
    platform = Platform()
    platform.gone_at = 2
    with pytest.raises(PartFailed, match="ingest"):
        Progress(platform, CatchingUp(ledger), unattended=REVIEWER).follow("new", seconds=None)  # type: ignore[arg-type]


def test_a_run_that_takes_too_long_is_said(ledger: WrittenLedger, reviewer: Reviewer) -> None:
    with pytest.raises(PartFailed, match="did not end within 0 s"):
        Progress(Platform(), CatchingUp(ledger), unattended=None).follow("new", seconds=0)  # type: ignore[arg-type]


def test_a_line_tells_closed_header_fields_only(ledger: WrittenLedger) -> None:
    call = {"call": "c-1", "run": "new"}
    ledger.write("deployment", PolicyDecided, effect="allow", rules=("one", "two"), bundle=DIGEST, engine="cedar", **call)
    ledger.write("deployment", ToolStarted, b"a secret", tool="git.diff", resource="repo:shop", digest=DIGEST, **call)
    decided, started = (told(one) for one in ledger.verified()[-2:])
    assert decided == "allow one two"
    assert started == "git.diff repo:shop"


def test_the_verdict_is_said_with_its_reason_and_no_control_character(
    ledger: WrittenLedger, reviewer: Reviewer, capsys: pytest.CaptureFixture[str]
) -> None:
    why = Result(text="The model approved it\x1b[2J against the analysis.")
    follow(ledger, lambda: ledger.write("deployment", RunFinished, why, run="new", outcome="refused"))
    said = capsys.readouterr().err
    assert "The run was refused: a control or a person stopped it. The model approved it�[2J against the analysis." in said
    assert "\x1b[2J" not in said


def test_a_run_that_ends_without_a_word_has_a_verdict_too(
    ledger: WrittenLedger, reviewer: Reviewer, capsys: pytest.CaptureFixture[str]
) -> None:
    follow(ledger, lambda: finish(ledger, "new"))
    assert "The run succeeded." in capsys.readouterr().err
