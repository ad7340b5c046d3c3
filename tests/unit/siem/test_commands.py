"""`tenuto export`: what it prints, and with which exit code it ends."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from threading import Event as Flag
from typing import Any

import pytest
import typer
from tenuto.errors import Busy
from tenuto.settings import load_settings
from tenuto_projections import commands as shared
from tenuto_projections.siem import commands
from typer.testing import CliRunner, Result

from tests.unit.projections.written import ORIGIN, MemoryFollower, WrittenLedger

from .chronicle import chronicle, grow, grown
from .exports import LateForgery, MemorySink, exporter


@pytest.fixture
def app() -> typer.Typer:
    app = typer.Typer()
    app.command()(lambda: None)  # with a second command the first is called by its name
    commands.add_commands(app)
    return app


@pytest.fixture
def ledger(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[WrittenLedger]:
    """The ledger that the command sees, in the place of the real one."""
    ledger = chronicle()
    monkeypatch.setattr(shared, "_settings", lambda: load_settings({}, home=tmp_path))
    monkeypatch.setattr(shared, "_follower", lambda *_, payloads: MemoryFollower(ledger, payloads=payloads))
    monkeypatch.setattr(commands, "_origin", lambda _: ORIGIN)
    yield ledger


def run(app: typer.Typer, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["export", *arguments])


def test_events_go_to_a_file_as_ocsf_and_the_end_is_said(app: typer.Typer, ledger: Any, tmp_path: Path) -> None:
    result = run(app, "--to", str(tmp_path / "out"))
    size = len(ledger.entries)
    assert (result.exit_code, result.stderr) == (0, f"{size} events exported; {size} in all.\n")
    records = [json.loads(line) for line in (tmp_path / "out").read_bytes().splitlines()]
    assert [record["metadata"]["sequence"] for record in records] == list(range(size))
    assert "0 events exported" in run(app, "--to", str(tmp_path / "out")).stderr


def test_a_pipe_gets_all_of_it_every_time_and_nothing_but_lines(app: typer.Typer, ledger: Any, tmp_path: Path) -> None:
    for _ in range(2):
        result = run(app, "--to", "-", "--format", "jsonl")
        lines = [json.loads(line) for line in result.stdout_bytes.splitlines()]
        assert [line["position"] for line in lines] == list(range(len(ledger.entries)))
    assert list(tmp_path.iterdir()) == []


def test_a_pipe_with_a_cursor_goes_on(app: typer.Typer, ledger: Any, tmp_path: Path) -> None:
    arguments = ("--to", "-", "--format", "jsonl", "--cursor", str(tmp_path / "cursor"))
    assert run(app, *arguments).stdout_bytes
    assert run(app, *arguments).stdout_bytes == b""


def test_payloads_are_in_it_only_if_asked_for(app: typer.Typer, ledger: Any) -> None:
    assert b"forged" not in run(app, "--to", "-").stdout_bytes
    assert b"forged" in run(app, "--to", "-", "--payloads").stdout_bytes


def test_a_foreign_cursor_ends_with_3(app: typer.Typer, ledger: Any, tmp_path: Path) -> None:
    arguments = ("--to", "-", "--cursor", str(tmp_path / "cursor"))
    run(app, *arguments)
    cursor = tmp_path / "cursor"
    cursor.write_text(cursor.read_text().replace(ORIGIN, "tenuto.test/other"))
    result = run(app, *arguments)
    assert (result.exit_code, result.stdout_bytes) == (3, b"")
    assert "belongs to the log tenuto.test/other" in result.stderr


def test_a_cursor_ahead_of_the_log_ends_with_3(
    app: typer.Typer, ledger: WrittenLedger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("--to", "-", "--cursor", str(tmp_path / "cursor"))
    run(app, *arguments)
    monkeypatch.setattr(shared, "_follower", lambda *_, payloads: MemoryFollower(grown(5), payloads=payloads))
    result = run(app, *arguments)
    assert (result.exit_code, result.stdout_bytes) == (3, b"")
    assert "were exported before" in result.stderr


def test_a_log_that_fails_verification_ends_with_3_and_writes_nothing(
    app: typer.Typer, ledger: WrittenLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared, "_follower", lambda *_, **__: LateForgery(ledger))
    result = run(app, "--to", "-")
    assert (result.exit_code, result.stdout_bytes) == (3, b"")
    assert "Step 6" in result.stderr


def test_a_receiver_that_is_away_ends_with_2_and_a_sentence(app: typer.Typer, ledger: Any) -> None:
    result = run(app, "--to", "syslog+tcp://127.0.0.1:1")
    assert (result.exit_code, result.stderr) == (
        2, "The syslog receiver 127.0.0.1:1 does not answer: Connection refused.\n"
    )  # fmt: skip


@pytest.mark.parametrize("to", ["http://siem", "syslog+tcp://siem", "syslog+tls://siem?verify=no", "/nowhere/out"])
def test_a_destination_that_is_not_understood_ends_with_2(app: typer.Typer, ledger: Any, to: str) -> None:
    result = run(app, "--to", to)
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1


def test_a_format_that_is_not_known_is_wrong_usage(app: typer.Typer, ledger: Any) -> None:
    assert run(app, "--to", "-", "--format", "cef").exit_code == 2


def test_following_waits_for_what_is_away_says_so_once_and_ends_when_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger, sink, stop = grown(5), MemorySink(room=0), Flag()
    one = exporter(ledger, sink, tmp_path / "cursor")
    rounds = iter(range(10))

    def wait(_: float) -> bool:
        number = next(rounds)
        if number == 3:
            sink.room = 99
        if number == 4:
            grow(ledger, 2)
        if number == 6:
            stop.set()
        return stop.is_set()

    monkeypatch.setattr(stop, "wait", wait)
    commands._follow(one, stop)
    one.close()
    assert [json.loads(line)["position"] for line in sink.lines()] == list(range(7))
    assert capsys.readouterr().err == "The receiver is away. The export waits for it.\n"


def test_a_ledger_that_is_away_is_waited_for_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger, sink, stop = grown(9), MemorySink(), Flag()
    one = exporter(ledger, sink, tmp_path / "cursor", follower=Flickering(ledger, 2))
    monkeypatch.setattr(stop, "wait", lambda _: stop.set() if len(sink.lines()) == 9 else None)
    commands._follow(one, stop)
    one.close()
    assert [json.loads(line)["position"] for line in sink.lines()] == list(range(9))


class Flickering(MemoryFollower):
    """A follower whose ledger is away after every page."""

    def pages(self) -> Iterator[Any]:
        for number, page in enumerate(super().pages()):
            if number:
                # The real reader fails before the page was taken; here it was, so it is handed out first.
                yield page
                raise Busy("The ledger database does not answer.")
            yield page
