"""`tenuto spotcheck list` says which second looks are open, until when, and which are overdue."""

from __future__ import annotations

import json
from typing import Any

import pytest
import typer
from tenuto.approvals.spotcheck import OVERDUE_AFTER
from tenuto_projections import spotcheck_commands
from typer.testing import CliRunner

from tests.unit.approvals.test_spotcheck import SPARED, Checked


@pytest.fixture
def spent(monkeypatch: pytest.MonkeyPatch) -> Checked:
    history = Checked()
    monkeypatch.setattr(spotcheck_commands, "_folded", lambda: spotcheck_commands.Folded(history.checks, history.now))
    return history


def listed(*options: str) -> list[dict[str, Any]]:
    app = typer.Typer()
    spotcheck_commands.add_commands(app)
    ended = CliRunner().invoke(app, ["spotcheck", "list", *options])
    assert ended.exit_code == 0, ended.output
    return [json.loads(line) for line in ended.stdout.splitlines()]


def test_an_open_look_is_listed_with_its_bound_and_turns_overdue_by_the_ledgers_time(spent: Checked) -> None:
    spent.draw()
    due = spent.now + OVERDUE_AFTER
    (open_one,) = listed()
    assert (open_one["approval"], open_one["state"]) == ("a1", "due")
    assert open_one["overdue_after"].startswith(f"{due:%Y-%m-%dT%H:%M:%S}")
    spent.wait(seconds=OVERDUE_AFTER.total_seconds() + 1)
    assert [one["state"] for one in listed()] == ["overdue"]
    spent.look()
    assert listed() == []
    assert [(one["state"], one["overdue_after"], one["by"]) for one in listed("--all")] == [("agreed", None, "otto")]


def test_what_was_spared_is_shown_when_asked_for_and_has_no_bound(spent: Checked) -> None:
    spent.draw(SPARED)
    assert listed() == []
    assert [(one["state"], one["overdue_after"]) for one in listed("--all")] == [("spared", None)]
