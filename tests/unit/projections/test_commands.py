"""The commands: what they print, and with which exit code they end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import pytest
import typer
from tenuto.errors import Busy
from tenuto_projections import commands
from tenuto_projections.inbox import Inbox
from tenuto_projections.runs import RUN, Runs
from tenuto_projections.walked import Walked
from typer.testing import CliRunner, Result

from .story import tell
from .written import ForgingFollower, MemoryFollower, apply_in_pages, memory_engine

WHOLE = ("start", "call", "request", "approve", "consume", "finish")


@pytest.fixture
def app() -> typer.Typer:
    app = typer.Typer()
    commands.add_commands(app)
    return app


@pytest.fixture
def ledger(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The ledger that the commands see, in the place of the real one; its read model is up to date."""
    ledger = tell(*WHOLE)
    models = Runs(), Inbox()
    engine = memory_engine(*(model.tables for model in models))
    with engine.begin() as connection:
        for model in models:
            apply_in_pages(connection, model, ledger.verified(), 500)
    monkeypatch.setattr(commands, "_settings", lambda: None)
    monkeypatch.setattr(commands, "_engine", lambda *_: nullcontext(engine))
    monkeypatch.setattr(commands, "_follower", lambda *_, **__: MemoryFollower(ledger, payloads=False))
    walked = Walked(ledger.trust, opens_payloads=True)
    monkeypatch.setattr(commands, "_walk", lambda *_: (MemoryFollower(ledger), walked))
    yield ledger
    engine.dispose()


def run(app: typer.Typer, *arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def lines(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_log_prints_one_json_object_a_line_in_a_pipe(app: typer.Typer, ledger: Any) -> None:
    result = run(app, "log", "--run", "r1", "--kind", "tool")
    assert result.exit_code == 0
    assert [row["kind"] for row in lines(result)] == ["tool.requested", "tool.started", "tool.finished"]


def test_log_of_a_run_has_the_votes_on_what_the_run_asked_for(app: typer.Typer, ledger: Any) -> None:
    kinds = [row["kind"] for row in lines(run(app, "log", "--run", "r1", "--kind", "approval"))]
    assert kinds == ["approval.requested", "approval.viewed", "approval.viewed", "approval.signed", "approval.consumed"]


def test_log_without_a_hit_ends_with_1_and_a_sentence(app: typer.Typer, ledger: Any) -> None:
    result = run(app, "log", "--author", "nobody")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "No event" in result.stderr


def test_a_time_that_cannot_be_read_is_wrong_usage(app: typer.Typer, ledger: Any) -> None:
    for arguments in (("log", "--since", "soon"), ("replay", "r1", "--as-of", "soon")):
        result = run(app, *arguments)
        assert result.exit_code == 2
        assert "'soon'" in result.stderr


def test_show_prints_header_payload_ticks_causes_and_effects(app: typer.Typer, ledger: Any) -> None:
    place = next(number for number, event in enumerate(ledger.events) if event.kind == "policy.decided")
    (shown,) = lines(run(app, "show", str(place)))
    assert [tick["state"] for tick in shown["verification"]][:7] == ["passed"] * 7
    assert [cause["kind"] for cause in shown["causes"]] == ["tool.requested"]
    assert [effect["kind"] for effect in shown["effects"]] == ["tool.started"]
    assert json.loads(shown["header"])["kind"] == "policy.decided"
    assert run(app, "show", str(ledger.events[place].id)).exit_code == 0


def test_show_of_an_unknown_event_ends_with_1(app: typer.Typer, ledger: Any) -> None:
    assert run(app, "show", "12345").exit_code == 1


def test_why_prints_the_chain_and_what_allowed_it(app: typer.Typer, ledger: Any) -> None:
    place = next(number for number, event in enumerate(ledger.events) if event.kind == "tool.finished")
    (shown,) = lines(run(app, "why", str(place)))
    assert [link["depth"] for link in shown["chain"]] == [0, 1, 2, 3]
    assert shown["allowed_by"]["policies"][0]["rules"] == ["tools.apply"]


def test_replay_says_that_the_read_model_agrees(app: typer.Typer, ledger: Any) -> None:
    rows = lines(run(app, "replay", "r1"))
    assert rows[-1] == {"type": "comparison", "agrees": True, "differs_in": []}
    assert rows[-2]["approvals"][0]["state"] == "consumed"
    assert {row["type"] for row in rows[:-2]} == {"event"}


def test_replay_ends_with_3_when_the_read_model_was_touched(app: typer.Typer, ledger: Any) -> None:
    with commands._engine(None, "") as engine, engine.begin() as connection:  # type: ignore[arg-type]
        connection.execute(RUN.update().values(outcome="refused"))
    result = run(app, "replay", "r1")
    assert result.exit_code == 3
    assert lines(result)[-1]["differs_in"] == ["the run itself"]


def test_replay_as_of_compares_nothing(app: typer.Typer, ledger: Any) -> None:
    rows = lines(run(app, "replay", "r1", "--as-of", str(len(ledger.events) - 2)))
    assert rows[-1]["type"] == "state"
    assert rows[-1]["run"]["outcome"] is None


def test_a_log_that_fails_verification_ends_with_3(
    app: typer.Typer, ledger: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    walked = Walked(ledger.trust, opens_payloads=True)
    monkeypatch.setattr(commands, "_walk", lambda *_: (ForgingFollower(ledger), walked))
    monkeypatch.setattr(commands, "_follower", lambda *_, **__: ForgingFollower(ledger))
    for arguments in (("log",), ("show", "1"), ("why", "1"), ("replay", "r1")):
        result = run(app, *arguments)
        assert result.exit_code == 3
        assert "Step 6" in result.stderr


def test_a_database_that_is_away_is_said_in_one_sentence(app: typer.Typer, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object, **__: object) -> None:
        raise Busy("The ledger database does not answer.")

    monkeypatch.setattr(commands, "_settings", lambda: None)
    monkeypatch.setattr(commands, "_walk", away)
    result = run(app, "show", "1")
    assert (result.exit_code, result.stderr) == (2, "The ledger database does not answer.\n")


def test_an_unknown_read_model_is_wrong_usage(app: typer.Typer) -> None:
    result = run(app, "rebuild", "nonsense")
    assert result.exit_code == 2
    assert "runs/1, inbox/1" in result.stderr
