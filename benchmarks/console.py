"""`python -m benchmarks.console`: every page of the console over few and over many events.

The same pages are drawn twice in one run: over 10 pending requests in a ledger of 10,000 events, and over 1,000 in one of a
million. What matters is the ratio: what a reader waits for, how many questions the database is asked, and how many rows
come back should depend on what is on the page and not on how long the log is. The pending requests go through the real
projections; the past is written into the tables of the read models as it would lie there.
"""

from __future__ import annotations

import argparse
import importlib
import json
import logging
import pkgutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import sqlalchemy
import streamlit as st
from sqlalchemy import Engine, event
from streamlit.testing.v1 import AppTest
from tenuto.embedded import EmbeddedPostgres
from tenuto.migrating import migrate, sqlalchemy_url
from tenuto.settings import Settings
from tenuto_dashboard import app_pages, session

from tests.console import story
from tests.console.planted import COPIES, Planted, plant_home

from . import past, report

ROUNDS = 7
ASKED_FOR = {"review": {"approval": past.FIRST_PENDING}}
"""What the address of a page names, where it needs something."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much there is."""

    pending: int
    events: int


SMALL, LARGE = Size(10, 10_000), Size(1_000, 1_000_000)
QUICK = Size(1_000, 200_000)


@dataclass(frozen=True, slots=True)
class Cost:
    """What drawing a page once costs. milliseconds: waited, cpu: computed in this process, both the median of ROUNDS;
    queries, rows: of one drawing.
    """

    milliseconds: float
    cpu: float
    queries: int
    rows: int


class Counted:
    """Counts what an engine is asked, and how many rows it answers with."""

    def __init__(self, engine: Engine) -> None:
        """Listen from here on."""
        self.queries = self.rows = 0
        event.listen(engine, "after_cursor_execute", self._count)

    def _count(self, _connection: Any, cursor: Any, *_: Any) -> None:
        self.queries += 1
        self.rows += max(0, cursor.rowcount)

    def of(self, work: Callable[[], object]) -> tuple[int, int]:
        """Return how many queries and rows `work` took."""
        before = self.queries, self.rows
        work()
        return self.queries - before[0], self.rows - before[1]


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(prog="benchmarks.console", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="A fifth of the events, for a look within a minute.")
    parser.add_argument("--json", type=Path, metavar="FILE", help="Write the figures there as well.")
    arguments = parser.parse_args()
    logging.getLogger("streamlit").setLevel(logging.ERROR)
    logging.getLogger("streamlit.runtime.scriptrunner_utils.script_run_context").setLevel(logging.ERROR)
    large = QUICK if arguments.quick else LARGE
    with tempfile.TemporaryDirectory(prefix="tenuto-console-") as folder, EmbeddedPostgres(Path(folder) / "postgres", durable=False) as server:
        home = plant_home(Path(folder))
        session.settings = lambda: Settings(home=home)  # type: ignore[assignment]
        figures = {name: measured(server, name, size) for name, size in (("small", SMALL), ("large", large))}
    about = report.machine()
    print("\n".join([*report.headline(about), "", table(figures, large)]))
    if arguments.json:
        kept = {name: {page: asdict(cost) for page, cost in pages.items()} for name, pages in figures.items()}
        arguments.json.write_text(json.dumps({"machine": about, "size": asdict(large), "pages": kept}, indent=2) + "\n")


def measured(server: EmbeddedPostgres, name: str, size: Size) -> dict[str, Cost]:
    """Return what each page costs over a ledger of this size; "again" is the same page while nothing has moved."""
    import psycopg

    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    migrate(server.url_of(name))
    say(f"{name}: {size.pending:,} pending, {size.events:,} events")
    planted = Planted(sqlalchemy_url(server.url_of(name)), story.just_ended())
    past.fill(planted, pending=size.pending, events=size.events)
    with console(server.url_of(name, user="tenuto_console")) as counted:
        found = {}
        for page in pages():
            found[page] = cost(page, counted, fresh=True)
            found[f"{page}, again"] = cost(page, counted, fresh=False)
            say(f"{page}: {found[page]}")
    planted.engine.dispose()
    return found


@contextmanager
def console(url: str) -> Iterator[Counted]:
    """The console's own code over this database, in its own role."""
    engine = sqlalchemy.create_engine(sqlalchemy_url(url), execution_options=COPIES)
    before = session.engine
    session.engine = lambda: engine  # type: ignore[assignment]
    try:
        yield Counted(engine)
    finally:
        session.engine = before
        engine.dispose()


def pages() -> list[str]:
    """The names of all pages that the console has, and that can be drawn by anybody who may look."""
    found = [module.name for module in pkgutil.iter_modules(app_pages.__path__)]
    return [name for name in found if name != "passkeys" and hasattr(importlib.import_module(f"tenuto_dashboard.app_pages.{name}"), "draw")]


def cost(page: str, counted: Counted, *, fresh: bool) -> Cost:
    """Draw a page several times; `fresh` as after the read models have moved, else as when nothing has happened since."""

    def draw() -> None:
        if fresh:
            st.cache_resource.clear()
        drawn(page)

    drawn(page)
    queries, rows = counted.of(draw)
    waited, computed = [], []
    for _ in range(ROUNDS):
        begun = time.perf_counter(), time.process_time()
        draw()
        waited.append((time.perf_counter() - begun[0]) * 1000)
        computed.append((time.process_time() - begun[1]) * 1000)
    return Cost(statistics.median(waited), statistics.median(computed), queries, rows)


def drawn(page: str) -> None:
    """Draw a page as Streamlit runs it."""
    test = AppTest.from_string(f"from tenuto_dashboard.app_pages import {page}\n{page}.draw()\n", default_timeout=120)
    for name, value in ASKED_FOR.get(page, {}).items():
        test.query_params[name] = value
    test.run()
    if test.exception:
        raise RuntimeError(f"The page {page} cannot be drawn: {test.exception}")


def table(figures: dict[str, dict[str, Cost]], large: Size) -> str:
    """Return the figures for a person."""
    head = f"{SMALL.pending} pending, {SMALL.events:,} events", f"{large.pending:,} pending, {large.events:,} events"
    lines = [f"| page | {head[0]} | {head[1]} | ratio | CPU | ratio | queries | rows |", "| --- | --- | --- | --- | --- | --- | --- | --- |"]
    for page, few in figures["small"].items():
        many = figures["large"][page]
        ratio = many.milliseconds / few.milliseconds
        lines.append(
            f"| {page} | {few.milliseconds:.1f} ms | {many.milliseconds:.1f} ms | {ratio:.2f} |"
            f" {few.cpu:.0f} / {many.cpu:.0f} ms | {many.cpu / max(few.cpu, 0.1):.2f} | {few.queries} / {many.queries} |"
            f" {few.rows} / {many.rows} |"
        )
    return "\n".join(lines)


def say(sentence: str) -> None:
    """Tell the person who waits."""
    print(f"[{time.perf_counter() - STARTED:5.1f} s] {sentence}", file=sys.stderr)


STARTED = time.perf_counter()

if __name__ == "__main__":
    main()
