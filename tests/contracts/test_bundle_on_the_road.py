"""A bundle from the whole road: recorded, ingested, sealed and witnessed by real parts, verified without any of them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import typer
from tenuto.documents import Reason
from tenuto.events import DecisionMade, RunStarted
from tenuto.registering import Enrolment
from tenuto_projections import commands
from typer.testing import CliRunner

from tests.conftest import Database
from tests.road import Road

PEOPLE = (Enrolment("pipeline", "pipeline", "ann"), Enrolment("code-review", "agent", "ben"))


def test_a_run_of_the_road_verifies_after_the_road_is_gone(
    tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    app, bundle, trust = typer.Typer(), tmp_path / "bundle", tmp_path / "trust.json"
    commands.add_commands(app)
    with Road(home, database) as road:
        with road.working():
            road.register(*PEOPLE)
            with road.recorder("pipeline") as pipeline, road.recorder("code-review") as agent:
                started = pipeline.record(RunStarted, run="r1", workflow="change", base="a" * 40, head="b" * 40)
                made = agent.record(
                    DecisionMade, document=Reason(text="It is fine."), run="r1", cause=(started.id,), subject="commit",
                    subject_digest="d" * 64, verdict="approve", model="scripted",
                )  # fmt: skip
                agent.wait(made)
        monkeypatch.setattr(commands, "_settings", lambda: road.settings)
        result = CliRunner().invoke(app, ["bundle", "--event", str(made.id), "--payloads", "--to", str(bundle)])
        assert result.exit_code == 0, result.stderr
        shutil.copy(home / "trust.json", trust)
    shutil.rmtree(home)
    result = CliRunner().invoke(app, ["verify", "--bundle", str(bundle), "--trust", str(trust)])
    assert result.exit_code == 0, result.stderr
    shown = json.loads(result.stdout)
    assert [event["kind"] for event in shown["events"] if event["why"] == "asked"] == ["decision.made"]
    assert [event["kind"] for event in shown["events"] if event["why"] == "cause"] == ["run.started"]
    states = {step["step"]: step["state"] for step in shown["steps"]}
    assert [step for step, state in states.items() if state == "passed"] == [1, 2, 3, 5, 6, 7, 8]
    (payload,) = (bundle / "payloads").iterdir()
    assert b"It is fine." in payload.read_bytes()
