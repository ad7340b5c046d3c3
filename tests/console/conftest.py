"""A freshly planted ledger for each test that asks, and one told story that the browser reads."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy
import streamlit as st
from tenuto.embedded import EmbeddedPostgres
from tenuto.migrating import sqlalchemy_url
from tenuto_dashboard import session

from tests.console import hostile, story
from tests.console.planted import COPIES, Planted, plant_home
from tests.console.running import Console, find_browser, open_browser, running_console
from tests.console.test_decisions import RecordingDoor

TOLD = "console_told"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless browser for one file of tests; CI must have one."""
    program = find_browser()
    if program is None and os.environ.get("CI") == "true":
        pytest.fail("CI needs a Chromium: install one, or name it in CHROMIUM.")
    if program is None:
        pytest.skip("No Chromium on this machine; name one in CHROMIUM.")
    with open_browser(program) as running:
        yield running


@pytest.fixture
def planted(database: Any) -> Iterator[Planted]:
    """A ledger whose story, when told, ends a moment ago."""
    ledger = Planted(sqlalchemy_url(database.url()), story.just_ended())
    yield ledger
    ledger.engine.dispose()


@pytest.fixture
def console_url(database: Any) -> str:
    """The same database for the console's role, which may read and nothing else."""
    return sqlalchemy_url(database.url("tenuto_console"))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with a trust file, so that the console knows which log it shows."""
    return plant_home(tmp_path)


@pytest.fixture
def door(console_url: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RecordingDoor]:
    """The console over the test's database, signing into a list."""
    logging.getLogger("streamlit").setLevel(logging.ERROR)
    st.cache_resource.clear()
    engine, recording = sqlalchemy.create_engine(console_url, execution_options=COPIES), RecordingDoor()
    monkeypatch.setenv("TENUTO_HOME", str(home))
    monkeypatch.setattr(session, "engine", lambda: engine)
    monkeypatch.setattr(session, "door", lambda: recording)
    monkeypatch.setattr(session, "measure", lambda: recording)
    yield recording
    engine.dispose()
    st.cache_resource.clear()


@pytest.fixture(scope="session")
def told(postgres: EmbeddedPostgres) -> Iterator[Planted]:
    """One ledger for all browser tests: the whole story, and a hostile request beside it."""
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {TOLD} TEMPLATE tenuto_template")
    ledger = Planted(sqlalchemy_url(postgres.url_of(TOLD)), story.just_ended())
    story.tell(ledger)
    hostile.plant(ledger)
    yield ledger
    ledger.engine.dispose()


@pytest.fixture(scope="session")
def console(told: Planted, postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    """The console as a process of its own over the told story; its door writes down what it was asked to sign."""
    url = sqlalchemy_url(postgres.url_of(TOLD, user="tenuto_console"))
    with running_console(tmp_path_factory.mktemp("console"), url) as running:
        yield running
