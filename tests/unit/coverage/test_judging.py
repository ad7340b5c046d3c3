"""Coverage is computed from evidence: it is never greener than what is on record, and it ages."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy
from tenuto.events import DecisionMade, ExerciseEnded, ExerciseRequested, ExerciseStarted
from tenuto.threats import load_threat_model
from tenuto_projections.coverage.evidence import Evidence, evidence_of
from tenuto_projections.coverage.judging import Judged, Report, judge
from tenuto_projections.coverage.model import METADATA, CoverageModel, evidence, exercises

from tests.unit.projections.written import DIGEST, WrittenLedger

MONTH = timedelta(days=30)


@pytest.fixture
def ledger() -> WrittenLedger:
    made = WrittenLedger()
    made.register("code-review", "agent", "ann")
    made.register("range-agent", "agent", "eve")
    made.register("red-team", "redteam", "eve")
    return made


def ended(ledger: WrittenLedger, verdict: str, *, scenario: str = "forged", held: tuple[str, ...] = (), refs: Any = ("T7", "M27")) -> None:
    name = f"exercise-{len(ledger.events)}"
    ledger.write("red-team", ExerciseStarted, exercise=name, scenario=scenario, refs=refs)
    ledger.write("red-team", ExerciseEnded, exercise=name, scenario=scenario, verdict=verdict, held=held, evidence=(), milliseconds=5, refs=refs)


def decided(ledger: WrittenLedger, author: str = "code-review") -> None:
    ledger.write(
        author, DecisionMade, subject="commit", subject_digest=DIGEST, verdict="approve", model="m:1", confidence=900, findings=0,
        diverges=False, evidence=(), refs=("T1", "M4"),
    )  # fmt: skip


def report(ledger: WrittenLedger, *, later: timedelta = timedelta(0)) -> Report:
    return judge(load_threat_model(), evidence_of([ledger.verified()]), ledger.now + later, MONTH)


def state(of: Report, name: str) -> str:
    every = (*of.mitigations, *of.rules, *of.chains, *(threat.judged for threat in of.threats))
    return next(one for one in every if one.id == name).state


def test_without_evidence_nothing_is_green(ledger: WrittenLedger) -> None:
    empty = report(ledger)
    every: list[Judged] = [*empty.mitigations, *empty.rules, *empty.chains, *(threat.judged for threat in empty.threats)]
    assert {one.state for one in every} == {"never"}
    assert [threat.residual for threat in empty.threats] == [float(threat.inherent) for threat in empty.threats]


def test_a_control_that_held_is_green_until_its_evidence_is_too_old(ledger: WrittenLedger) -> None:
    ended(ledger, "held", held=("M27",))
    assert state(report(ledger), "M27") == state(report(ledger), "T7") == "held"
    assert state(report(ledger, later=MONTH - timedelta(hours=1)), "M27") == "held"
    assert state(report(ledger, later=MONTH + timedelta(hours=1)), "M27") == "stale"


def test_a_control_that_was_tried_and_is_not_shown_to_have_held_is_not_green(ledger: WrittenLedger) -> None:
    ended(ledger, "held", held=("M29",))
    ended(ledger, "unproven", scenario="other")
    ended(ledger, "not_run", scenario="third", held=())
    assert state(report(ledger), "M27") == "never"


def test_one_attack_that_reached_its_goal_outweighs_ten_that_did_not(ledger: WrittenLedger) -> None:
    for number in range(10):
        ended(ledger, "held", scenario=f"forged-{number}", held=("M27",))
    ended(ledger, "broken", scenario="clever")
    found = report(ledger)
    assert {state(found, name) for name in ("M27", "T7", "R1")} == {"broken"}
    threat = next(one for one in found.threats if one.judged.id == "T7")
    assert threat.residual == threat.inherent
    assert "M27" in [one.id for one in found.broken]


def test_a_break_is_over_when_the_same_attack_is_held_again(ledger: WrittenLedger) -> None:
    ended(ledger, "broken")
    ended(ledger, "held", held=("M27",))
    assert state(report(ledger), "M27") == "held"


def test_a_part_that_is_missing_today_takes_no_evidence_of_yesterday_away(ledger: WrittenLedger) -> None:
    ended(ledger, "held", held=("M27",))
    ended(ledger, "not_run")
    assert state(report(ledger), "M27") == "held"
    assert read_model(ledger, 2)[0].newest == evidence_of([ledger.verified()]).newest


def test_real_work_counts_as_work_and_what_the_red_team_plays_does_not(ledger: WrittenLedger) -> None:
    decided(ledger, "range-agent")
    assert state(report(ledger), "M4") == "never"
    decided(ledger)
    assert state(report(ledger), "M4") == "working"


def test_risk_falls_with_every_control_that_held_and_by_half_as_much_with_one_at_work(ledger: WrittenLedger) -> None:
    risks = []
    for step in (lambda: None, lambda: decided(ledger), lambda: ended(ledger, "held", held=("M4",), refs=("T1", "M4")),
                 lambda: ended(ledger, "held", scenario="b", held=("M2",), refs=("T1", "M2"))):  # fmt: skip
        step()
        risks.append(next(one.residual for one in report(ledger).threats if one.judged.id == "T1"))
    assert risks == pytest.approx([12, 12 * 0.85, 12 * 0.7, 12 * 0.7 * 0.4])


def test_a_chain_is_held_by_more_than_one_layer(ledger: WrittenLedger) -> None:
    ended(ledger, "held", held=("M27",), refs=("C1", "M27"))
    assert state(report(ledger), "C1") != "held"
    ended(ledger, "held", scenario="b", held=("M13",), refs=("T4", "M13"))
    assert state(report(ledger), "C1") == "held"


def test_the_read_model_says_what_the_fold_says(ledger: WrittenLedger) -> None:
    decided(ledger)
    ended(ledger, "held", held=("M27",))
    ended(ledger, "broken", scenario="b")
    decided(ledger)
    ended(ledger, "held", scenario="b", held=("M29",))
    ledger.write("red-team", ExerciseRequested, exercise="asked-1", scenario="forged")
    folded = evidence_of([ledger.verified()])
    for size in (1, 3, 50):
        read, shown = read_model(ledger, size)
        assert read.newest == folded.newest
        assert read.work == folded.work
        assert shown[0][:2] == ("asked-1", "asked")


def read_model(ledger: WrittenLedger, page: int) -> tuple[Evidence, list[tuple[str, str]]]:
    """The read model over the ledger, filled in pages of this size."""
    engine = sqlalchemy.create_engine("sqlite://").execution_options(schema_translate_map={"read_model": None})
    with engine.begin() as connection:
        METADATA.create_all(connection)
        verified = ledger.verified()
        for start in range(0, len(verified), page):
            CoverageModel().apply(connection, verified[start : start + page])
        found = evidence(connection, len(verified)), [(one.exercise, one.verdict) for one in exercises(connection)]
    engine.dispose()
    return found
