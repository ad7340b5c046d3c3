"""What the red team stands on when it goes for caps, spot checks, purges and accounts: a road with a router, and two people on shift."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import psycopg
import pytest
from tenuto.clock import SystemClock
from tenuto.embedded import EmbeddedPostgres
from tenuto.errors import Busy
from tenuto.registering import Enrolment
from tenuto.router import Router
from tenuto.wiring import open_follower, open_lot, open_recorder
from tenuto_agents.attacks import accounts, flooding, leaked, second_looks
from tenuto_agents.attacks.exercise import Report, exercise
from tenuto_agents.attacks.ground import Ground

from tests.conftest import TEMPLATE, Database
from tests.road import Road

BY_NAME = {one.name: one for part in (accounts, flooding, leaked, second_looks) for one in part.SCENARIOS}
PEOPLE = (Enrolment("router", "router", "operations"), Enrolment("bob", "reviewer", "bob"), Enrolment("eve", "reviewer", "eve"))


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory, postgres: EmbeddedPostgres) -> Iterator[Ground]:
    """A road with a router and two people on shift, and the red team on it."""
    home, name = tmp_path_factory.mktemp("controls"), "control_attacks"
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
    with ExitStack() as stack:
        road = stack.enter_context(Road(home, Database(postgres, name)))
        stack.enter_context(road.working())
        road.register(*PEOPLE)
        stack.enter_context(routed(road))
        yield stack.enter_context(Ground(road.settings, home / "red" / "scratch"))


@contextmanager
def routed(road: Road) -> Iterator[None]:
    """The router of `tenuto route`, in a thread."""
    stop = threading.Event()
    with open_recorder(road.settings, "router", software="test/1") as recorder:
        router = Router(open_follower(road.settings, payloads=False), recorder, SystemClock(), open_lot(road.settings))

        def work() -> None:
            while not stop.wait(0.05):
                with suppress(Busy):
                    router.step()

        thread = threading.Thread(target=work, name="router")
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


def run(name: str, ground: Ground) -> Report:
    report = exercise(BY_NAME[name], ground)
    if report.verdict == "not_run":
        if os.environ.get("CI") == "true":
            pytest.fail(f"It is required in CI: {' '.join(report.lacking)}", pytrace=False)
        pytest.skip(" ".join(report.lacking))
    return report
