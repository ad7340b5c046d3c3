"""`tenuto status`: where everything is and how far behind, also when half of it is away."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tenuto import telemetry
from tenuto.adapters import keyfiles
from tenuto.cli import build
from tenuto.cli.status import facts, health_of, without_password
from tenuto.embedded.child import free_port
from tenuto.errors import NotConfigured
from tenuto.founding import found
from tenuto.log.checkpoint import Checkpoint, sign_checkpoint
from tenuto.log.merkle import EMPTY_ROOT
from tenuto.settings import Settings
from tenuto.telemetry import Telemetry
from typer.testing import CliRunner

from tests.conftest import Database

ORIGIN = "tenuto.test/status"
NOWHERE = "postgresql:///x?host=/nowhere"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    found(tmp_path, ORIGIN)
    return tmp_path


def test_a_ledger_without_events_and_checkpoint(home: Path, database: Database) -> None:
    told = facts(Settings(home=home, database_url=database.url()))
    assert (told["origin"], told["events"], told["signed"], told["unsigned"]) == (ORIGIN, 0, None, 0)
    assert (told["broker"], told["parts"]) == (None, {})


def test_a_database_that_is_away_does_not_hide_the_rest(home: Path) -> None:
    signer = keyfiles.load_log_signer(home / "keys", ORIGIN)
    (home / "log").mkdir()
    (home / "log" / "checkpoint").write_bytes(sign_checkpoint(Checkpoint(ORIGIN, 0, EMPTY_ROOT), signer))
    told = facts(Settings(home=home, database_url=NOWHERE))
    assert (told["signed"], told["events"], told["unsigned"]) == (0, None, None)
    assert "does not answer" in told["database_error"]


def test_a_home_without_a_log_is_said_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(NotConfigured, match="tenuto init"):
        facts(Settings(home=tmp_path, database_url=NOWHERE))


def test_programs_read_json_and_people_read_lines(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENUTO_HOME", str(home))
    monkeypatch.setenv("TENUTO_DATABASE_URL", NOWHERE)
    told = json.loads(CliRunner().invoke(build(), ["status", "--json"]).stdout)
    shown = CliRunner().invoke(build(), ["status"]).stdout.splitlines()
    assert told["home"] == str(home)
    assert ["home", str(home)] in [line.split(maxsplit=1) for line in shown]
    assert len({line.index(line.split(maxsplit=1)[1]) for line in shown if line.split()[0] in ("origin", "home")}) == 1
    assert set(told) == {
        "origin", "home", "tiles", "keys", "database", "broker", "console", "parts", "events", "signed", "unsigned",
        "witnessed", "read_models", "spools", "overdue_seconds", "put_aside", "losses", "notifications", "database_error", "empty_partitions",
    }  # fmt: skip


def test_a_part_is_asked_for_its_health() -> None:
    with Telemetry("seal", 0) as process:
        process.stepped(1)
        told = health_of(process.address or "")
        assert (told["process"], told["healthy"], told["address"]) == ("seal", True, process.address)


def test_a_part_that_does_not_answer_is_not_healthy() -> None:
    address = f"http://127.0.0.1:{free_port()}"
    told = health_of(address)
    assert (told["healthy"], told["address"]) == (False, address)
    assert told["error"]


def test_a_part_that_waits_for_another_is_not_healthy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telemetry, "STALE_SECONDS", 0.0)
    with Telemetry("seal", 0) as process:
        told = health_of(process.address or "")
        assert (told["healthy"], told["address"]) == (False, process.address)
    assert "503" in told["error"]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://owner:s3cret@db.example:5432/tenuto", "postgresql://owner:***@db.example:5432/tenuto"),
        ("postgresql://owner@db.example/tenuto", "postgresql://owner@db.example/tenuto"),
        ("postgresql:///tenuto?host=/run/postgres", "postgresql:///tenuto?host=/run/postgres"),
    ],
)
def test_a_password_is_never_shown(url: str, shown: str) -> None:
    assert without_password(url) == shown
