"""Read model `coverage/1`: the evidence of `coverage.evidence` in two tables, so that a page need not walk the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import BigInteger, Column, Connection, Index, MetaData, Text, func, select
from tenuto.events import ExerciseEnded, ExerciseRequested, ExerciseStarted
from tenuto.verification import Verified

from ..tables import Instant, Rows, table
from .evidence import NOT_RUN, Evidence, Exercise, Work, exercise_of, is_work

EXERCISES_SHOWN_MAX = 200

METADATA = MetaData()
EXERCISE = table(
    "exercise", METADATA,
    Column("exercise", Text, primary_key=True),
    Column("scenario", Text, nullable=False),
    Column("verdict", Text, nullable=False),
    Column("refs", Text, nullable=False),
    Column("held", Text, nullable=False),
    Column("evidence", Text, nullable=False),
    Column("at", Instant, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("milliseconds", BigInteger, nullable=False),
)  # fmt: skip
Index("exercise_scenario", EXERCISE.c.scenario, EXERCISE.c.position)
WORK = table(
    "threat_work", METADATA,
    Column("ref", Text, primary_key=True),
    Column("events", BigInteger, nullable=False),
    Column("at", Instant, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
)  # fmt: skip
ASKED, RUNNING = "asked", "running"
"""Verdicts of an exercise that has not ended."""


class CoverageModel:
    """The projection."""

    name = "coverage/1"
    tables = METADATA

    def fold(self, page: Sequence[Verified]) -> None:
        """Nothing is kept in memory."""

    def apply(self, connection: Connection, page: Sequence[Verified]) -> None:
        """Write what this page says."""
        self._exercises(connection, page)
        works = [verified for verified in page if is_work(verified)]
        rows = Rows(connection, WORK, {(ref,) for verified in works for ref in verified.event.refs})
        for verified in works:
            newest = {"at": verified.recorded_at, "position": verified.position, "kind": verified.event.kind}
            for ref in verified.event.refs:
                row = rows.add(ref=ref, events=0, **newest)
                row.update(newest, events=row["events"] + 1)
        rows.write()

    def _exercises(self, connection: Connection, page: Sequence[Verified]) -> None:
        told = [(verified, verified.event) for verified in page]
        names = [(event.exercise,) for _, event in told if isinstance(event, ExerciseRequested | ExerciseStarted | ExerciseEnded)]
        rows = Rows(connection, EXERCISE, names)
        for verified, event in told:
            if isinstance(event, ExerciseRequested | ExerciseStarted):
                verdict = ASKED if isinstance(event, ExerciseRequested) else RUNNING
                row = rows.add(
                    exercise=event.exercise, scenario=event.scenario, verdict=verdict, refs=" ".join(event.refs), held="",
                    evidence="", at=verified.recorded_at, position=verified.position, milliseconds=0,
                )  # fmt: skip
                if verdict == RUNNING and row["verdict"] == ASKED:
                    row.update(verdict=RUNNING, refs=" ".join(event.refs))
            elif isinstance(event, ExerciseEnded):
                row = rows.add(exercise=event.exercise)
                row.update(_columns(exercise_of(verified, event)))
        rows.write()


def evidence(connection: Connection, size: int) -> Evidence:
    """Return the evidence after the first `size` events, as far as a report needs it: the newest exercise of each scenario."""
    found = Evidence(size=size)
    ended = EXERCISE.c.verdict.not_in((ASKED, RUNNING, NOT_RUN))
    newest = select(func.max(EXERCISE.c.position)).where(ended).group_by(EXERCISE.c.scenario)
    for row in connection.execute(select(EXERCISE).where(ended, EXERCISE.c.position.in_(newest))).mappings():
        found.note(_exercise(row))
    for row in connection.execute(select(WORK)).mappings():
        found.work[row["ref"]] = Work(row["events"], row["at"], row["position"], row["kind"])
    return found


def exercises(connection: Connection, limit: int = EXERCISES_SHOWN_MAX) -> tuple[Exercise, ...]:
    """Return the newest exercises, newest first; the verdict of one that has not ended is asked or running."""
    rows = connection.execute(select(EXERCISE).order_by(EXERCISE.c.position.desc()).limit(limit)).mappings()
    return tuple(_exercise(row) for row in rows)


def _columns(one: Exercise) -> dict[str, Any]:
    return {
        "scenario": one.scenario, "verdict": one.verdict, "refs": " ".join(one.refs), "held": " ".join(one.held),
        "evidence": " ".join(one.evidence), "at": one.at, "position": one.position, "milliseconds": one.milliseconds,
    }  # fmt: skip


def _exercise(row: Any) -> Exercise:
    return Exercise(
        exercise=row["exercise"], scenario=row["scenario"], verdict=row["verdict"], refs=tuple(row["refs"].split()),
        held=tuple(row["held"].split()), evidence=tuple(row["evidence"].split()), at=row["at"], position=row["position"],
        milliseconds=row["milliseconds"],
    )  # fmt: skip
