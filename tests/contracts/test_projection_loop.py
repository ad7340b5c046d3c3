"""The projection loop on a real Postgres: exactly once, whatever happens between two pages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from threading import Event as Flag
from urllib.parse import urlsplit, urlunsplit

import pytest
from sqlalchemy import Connection, Engine, MetaData, NullPool, create_engine, inspect, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import ProgrammingError
from tenuto.errors import Busy
from tenuto.migrating import sqlalchemy_url
from tenuto.telemetry import Telemetry
from tenuto.verification import VerificationFailed, Verified
from tenuto_projections import fleet, inbox, runs
from tenuto_projections.copies import OPTION
from tenuto_projections.integrity import WALK_METADATA, integrity
from tenuto_projections.projection import Positions, Projection, Projector, Rewound, digest, rebuild
from tenuto_projections.running import all_projections, catch_up, run_until
from tenuto_projections.walked import FAILED, PASSED, Walked

from tests.conftest import Database
from tests.unit.projections.story import MOVES, tell
from tests.unit.projections.written import (
    START,
    STORAGE_KEY,
    ForgingFollower,
    MemoryFollower,
    StoppedClock,
    WrittenLedger,
    memory_engine,
)

WHOLE = ("start", "decide", "call", "request", "open", "own vote", "approve", "consume", "alert", "refuse", "finish")
ALL_METADATA = (*(model.tables for model in all_projections()), WALK_METADATA)


def as_role(url: str, role: str) -> Engine:
    parts = urlsplit(url)
    place = parts.netloc.rsplit("@", 1)[-1]
    return create_engine(sqlalchemy_url(urlunsplit(parts._replace(netloc=f"{role}@{place}"))), poolclass=NullPool, execution_options={OPTION: STORAGE_KEY})


@pytest.fixture
def url(database: Database) -> str:
    """A migrated database whose read models and ledger head are as on the first day."""
    return database.url()


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    engine = as_role(url, "tenuto_projector")
    yield engine
    engine.dispose()


def projector(
    engine: Engine,
    ledger: WrittenLedger,
    models: Sequence[Projection] | None = None,
    *,
    page_events: int = 4,
    follower: MemoryFollower | None = None,
) -> Projector:
    walked = Walked(ledger.trust, opens_payloads=True)
    follower = follower or MemoryFollower(ledger, page_events)
    models = all_projections() if models is None else models
    return Projector(follower, engine, models, Positions(), clock=StoppedClock(), walked=walked)  # type: ignore[arg-type]


def digests(engine: Engine) -> list[str]:
    with engine.connect() as connection:
        return [digest(connection, model) for model in all_projections()]


def expected(ledger: WrittenLedger) -> list[str]:
    """The same models, built at once in another database altogether."""
    models = all_projections()
    with memory_engine(*(model.tables for model in models)).begin() as connection:
        for model in models:
            model.apply(connection, ledger.verified())
        return [digest(connection, model) for model in models]


def positions(engine: Engine) -> set[int]:
    with engine.connect() as connection:
        return {Positions().seen(connection, model.name) for model in all_projections()}


@dataclass
class Breaking:
    """A projection that applies what `inner` does and then breaks, once, at one of its pages."""

    inner: Projection
    at_page: int
    name: str = ""
    tables: MetaData = field(default_factory=MetaData)

    def __post_init__(self) -> None:
        self.name, self.tables = self.inner.name, self.inner.tables

    def fold(self, page: Sequence[Verified]) -> None:
        self.inner.fold(page)

    def apply(self, connection: Connection, page: Sequence[Verified]) -> None:
        self.inner.apply(connection, page)
        self.at_page -= 1
        if self.at_page == 0:
            raise ConnectionResetError("the process dies here")


def test_the_migration_makes_the_tables_that_the_code_declares(url: str) -> None:
    found = inspect(create_engine(sqlalchemy_url(url), poolclass=NullPool))
    tables = [table for metadata in ALL_METADATA for table in metadata.sorted_tables]
    assert {table.name for table in tables} | {"tracking"} == set(found.get_table_names("read_model"))
    for table in tables:
        columns = {column["name"]: column for column in found.get_columns(table.name, "read_model")}
        assert list(columns) == [column.name for column in table.columns], table.name
        for column in table.columns:
            declared = column.type.compile(postgresql.dialect())
            assert columns[column.name]["type"].compile(postgresql.dialect()) == declared, column
            assert columns[column.name]["nullable"] == column.nullable, column
        key = found.get_pk_constraint(table.name, "read_model")["constrained_columns"]
        assert key == [column.name for column in table.primary_key.columns]
        indexes = {index["name"]: index["column_names"] for index in found.get_indexes(table.name, "read_model")}
        assert indexes == {index.name: [column.name for column in index.columns] for index in table.indexes}


def test_the_loop_applies_every_event_once_and_keeps_its_place(engine: Engine) -> None:
    ledger = tell(*WHOLE)
    live = projector(engine, ledger)
    assert live.catch_up() == len(ledger.entries)
    assert live.catch_up() == 0
    assert positions(engine) == {len(ledger.entries)}
    MOVES["start other"](ledger)
    assert live.catch_up() == 1
    assert digests(engine) == expected(ledger)


def test_a_restart_walks_from_the_first_event_and_applies_only_what_is_new(engine: Engine) -> None:
    ledger = tell(*WHOLE[:5])
    projector(engine, ledger).catch_up()
    for move in WHOLE[5:]:
        MOVES[move](ledger)
    projector(engine, ledger, page_events=3).catch_up()
    assert digests(engine) == expected(ledger)


@pytest.mark.parametrize("broken", range(len(all_projections())))
def test_a_crash_inside_a_page_leaves_the_page_before_and_loses_nothing(engine: Engine, broken: int) -> None:
    ledger, models = tell(*WHOLE), list(all_projections())
    models[broken] = Breaking(models[broken], at_page=3)
    dying = projector(engine, ledger, models)
    with pytest.raises(ConnectionResetError):
        dying.catch_up()
    assert positions(engine) == {8}
    with pytest.raises(Rewound):
        dying.catch_up()
    projector(engine, ledger).catch_up()
    assert digests(engine) == expected(ledger)


def test_a_rebuilt_model_equals_the_live_one(engine: Engine) -> None:
    ledger = tell(*WHOLE)
    projector(engine, ledger).catch_up()
    live = digests(engine)
    for model in all_projections():
        rebuild(engine, model, Positions())
    assert positions(engine) == {0}
    assert digests(engine) != live
    projector(engine, ledger, page_events=500).catch_up()
    assert digests(engine) == live


def test_a_running_projector_notices_that_a_model_was_emptied(engine: Engine) -> None:
    ledger = tell(*WHOLE[:5])
    running = projector(engine, ledger)
    running.catch_up()
    rebuild(engine, runs.Runs(), Positions())
    for move in WHOLE[5:]:
        MOVES[move](ledger)
    with pytest.raises(Rewound, match="runs/1"):
        running.catch_up()
    assert catch_up(lambda: projector(engine, ledger)) == len(ledger.entries)
    assert digests(engine) == expected(ledger)


def test_two_projectors_take_turns_and_apply_nothing_twice(engine: Engine) -> None:
    ledger = tell(*WHOLE[:4])
    one, other = projector(engine, ledger), projector(engine, ledger, page_events=7)
    for move in WHOLE[4:]:
        MOVES[move](ledger)
        one.catch_up()
        MOVES["decide"](ledger)
        other.catch_up()
    one.catch_up()
    assert digests(engine) == expected(ledger)


def test_a_failed_verification_is_written_down_and_the_next_start_rebuilds(engine: Engine, url: str) -> None:
    ledger = tell(*WHOLE)
    with pytest.raises(VerificationFailed):
        projector(engine, ledger, follower=ForgingFollower(ledger)).catch_up()
    with engine.begin() as connection:
        connection.execute(runs.RUN.update().values(title="left by a forger"))
    with as_role(url, "tenuto_console").connect() as console:
        state = integrity(console)
    assert state.failed
    assert [tick.step for tick in state.ticks if tick.state == FAILED] == [6]
    projector(engine, ledger).catch_up()
    assert digests(engine) == expected(ledger)
    with engine.connect() as connection:
        assert not integrity(connection).failed


def test_the_console_sees_everything_and_may_write_nothing(engine: Engine, url: str) -> None:
    ledger = tell(*WHOLE)
    projector(engine, ledger).catch_up()
    with as_role(url, "tenuto_console").connect() as console:
        assert runs.list_runs(console)[0].outcome == "succeeded"
        assert inbox.decided(console)[0].state == "consumed"
        assert len(fleet.fleet(console)) == 11
        assert [tick.state for tick in integrity(console).ticks][:7] == [PASSED] * 7
        for statement in ("DELETE FROM read_model.run", "UPDATE read_model.approval SET state = 'granted'"):
            with pytest.raises(ProgrammingError, match="permission denied"):
                console.execute(text(statement))
            console.rollback()


@pytest.mark.parametrize("statement", ["DELETE FROM ledger.entry", "UPDATE ledger.log_head SET tree_size = 0"])
def test_the_projector_may_write_nothing_in_the_ledger(engine: Engine, statement: str) -> None:
    with engine.connect() as connection, pytest.raises(ProgrammingError, match="permission denied"):
        connection.execute(text(statement))


def test_the_lag_is_measured_against_the_ledger_itself(engine: Engine, url: str) -> None:
    ledger = tell(*WHOLE)
    projector(engine, ledger).catch_up()
    size, last = len(ledger.entries), ledger.entries[-1].recorded_at
    with create_engine(sqlalchemy_url(url), poolclass=NullPool).begin() as owner:
        ahead = text("UPDATE ledger.log_head SET tree_size = :size, recorded_at = :moment")
        owner.execute(ahead, {"size": size + 3, "moment": last + timedelta(seconds=9)})
    with engine.connect() as connection:
        state = integrity(connection)
    assert (state.size, state.checkpoint_size, state.head_size) == (size, size, size + 3)
    assert (state.lag_events, state.lag_seconds) == (3, 9.0)
    assert state.checked_at == START + timedelta(hours=1)
    assert (state.refused, state.failed) == (1, False)


def test_before_the_first_event_integrity_says_so(engine: Engine) -> None:
    with engine.connect() as connection:
        state = integrity(connection)
    assert (state.size, state.checkpoint_size, state.lag_events, state.refused) == (0, None, state.head_size, 0)
    assert {tick.sentence for tick in state.ticks} == {"The log has signed nothing yet."}


def test_a_database_that_is_away_is_busy(tmp_path: object) -> None:
    engine = create_engine(f"postgresql+psycopg://nobody@/nowhere?host={tmp_path}")
    with pytest.raises(Busy, match="does not answer"):
        projector(engine, tell("start")).catch_up()


def test_the_process_starts_again_after_a_rewind_and_stops_when_told(engine: Engine) -> None:
    ledger, stop, said, starts = tell(*WHOLE), Flag(), list[str](), list[Projector]()

    def start() -> Projector:
        if starts:  # the second start is the one after the rewind: let it come back to the loop's head and end
            stop.set()
        starts.append(projector(engine, ledger))
        return starts[-1]

    start().catch_up()
    rebuild(engine, runs.Runs(), Positions())
    MOVES["decide"](ledger)
    run_until(stop, lambda: starts[0] if not said else start(), said.append, telemetry=Telemetry("test"), wait_seconds=0)
    assert said == ["runs/1 was reset to position 0; the walk starts again."]
    catch_up(lambda: projector(engine, ledger))
    assert digests(engine) == expected(ledger)


def test_no_text_of_a_payload_reaches_the_database_in_the_clear(engine: Engine, url: str) -> None:
    projector(engine, tell(*WHOLE)).catch_up()
    with create_engine(sqlalchemy_url(url), poolclass=NullPool).begin() as owner:
        for table in (table for metadata in ALL_METADATA for table in metadata.sorted_tables):
            for row in owner.execute(table.select()):
                assert "Open port" not in repr(row), table.name
                assert "alert(1)" not in repr(row), table.name


def test_without_the_storage_key_nothing_is_copied_and_nothing_is_shown(engine: Engine, url: str) -> None:
    keyless = as_role(url, "tenuto_projector").execution_options(**{OPTION: None})
    projector(keyless, tell(*WHOLE)).catch_up()
    with engine.connect() as connection:
        found = runs.run(connection, "r1")
    assert found is not None
    assert (found.title, found.head_commit) == (None, "b" * 40)
