"""A second look that disagrees with a release: the way back is asked for once, and taken once people say so.

Everything is real: the road, the gate with its policy, the target with its processes. Only the agents before the deployment are
left out, and lives of the deployment agent end where a crash would hurt most.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from tenuto.documents import Handover, Reason
from tenuto.errors import Refused
from tenuto.events import (
    ApprovalRequested,
    DeploymentRolledBack,
    RunFinished,
    RunStarted,
    SpotcheckDrawn,
    SpotcheckSigned,
    ToolFinished,
    ToolStarted,
)
from tenuto.gate import Gate
from tenuto.recorder import Recorder
from tenuto.registering import Enrolment
from tenuto.wiring import open_gate
from tenuto_agents.agent import Chore
from tenuto_agents.artifact import build_artifact
from tenuto_agents.change import initiator, read_change
from tenuto_agents.deployment import DEPLOY_TOOL, Deployment
from tenuto_agents.git import Repository
from tenuto_agents.place import LocalPlace
from tenuto_agents.rollback import ROLLBACK_TOOL
from tenuto_agents.target import LocalTarget
from tenuto_agents.task import StopRequest, Task
from tenuto_projections.anomalies.rules import Rules

from tests.conftest import Database
from tests.road import AT_REST_SECONDS, SECONDS_MAX, Road, answer, closing_within, until
from tests.unit.agents.repositories import Scratch
from tests.unit.agents.test_target import APP, version_at

PEOPLE = (
    Enrolment("deployment", "agent", "dora"), Enrolment("lena", "reviewer", "lena"), Enrolment("otto", "reviewer", "otto"),
    Enrolment("ada", "reviewer", "ada@example.org"), Enrolment("router", "router", "operations"),
    Enrolment("console", "console", "operations"), Enrolment("pipeline", "pipeline", "ada"),
)  # fmt: skip


@dataclass
class Life:
    """One life of the deployment agent."""

    recorder: Recorder
    gate: Gate
    agent: Deployment
    stop: StopRequest
    chore: Chore

    def look(self) -> None:
        self.chore.perform(Task(self.recorder, self.gate, self.chore.name, (), self.stop))


class Stage:
    """A service with two releases on record, of which the second is in force."""

    def __init__(self, road: Road, folder: Path) -> None:
        self.road, self.target = road, LocalTarget(folder / "targets" / "repo")
        self.scratch = Scratch(folder / "repo")
        self.authors = {name: road.recorder(name) for name in ("lena", "otto", "ada", "router", "console", "pipeline")}

    def close(self) -> None:
        self.target.stop()
        for recorder in self.authors.values():
            recorder.close()

    @contextmanager
    def life(self) -> Iterator[Life]:
        recorder = self.road.recorder("deployment")
        stop = StopRequest()
        try:
            agent = Deployment(lambda service: LocalPlace(self.target))
            yield Life(recorder, open_gate(self.road.settings, recorder), agent, stop, agent.chore())
        finally:
            recorder.close("interrupted")

    def release(self, life: Life, version: str) -> ApprovalRequested:
        """Take one release the whole way, lena approving it, and end its run."""
        service = f'{{"name": "app", "version": "{version}", "entry": "app.py"}}'
        head = self.scratch.commit({"app.py": APP % version, "deploy/service.json": service})
        change = read_change(self.scratch.path, self.scratch.base, head)
        assert initiator(change) == "ada@example.org"
        run = f"run-{version}"
        started = self.authors["pipeline"].record(RunStarted, run=run, workflow="change", base=change.base, head=change.head)
        task = Task(life.recorder, life.gate, run, (started.id,), life.stop)
        artifact = build_artifact(Repository(self.scratch.path), head)
        place = LocalPlace(self.target)
        handover, prepared = Handover(pull_request=change.document()), place.prepare(task, change, artifact)
        ended: list[Any] = []
        thread = Thread(target=lambda: ended.append(life.agent._release(task, handover, change, place, prepared)))
        thread.start()
        asked: ApprovalRequested = until(lambda: next((one for one in self.requests() if one.run == run), None))
        self.approve(asked, "lena")
        thread.join(SECONDS_MAX)
        assert ended[0].healthy
        life.recorder.wait(task.recorder.record(RunFinished, run=run, cause=(started.id,), outcome="succeeded"), SECONDS_MAX)
        return asked

    def approve(self, asked: ApprovalRequested, reviewer: str) -> None:
        (signed,) = answer(self.road, self.authors["console"], self.authors[reviewer], asked)
        self.authors[reviewer].wait(signed, SECONDS_MAX)

    def draw(self, asked: ApprovalRequested) -> None:
        position = next(one.position for one in self.road.read() if one.event.kind == "approval.consumed" and one.event.approval == asked.approval)
        router = self.authors["router"]
        drawn = router.record(
            SpotcheckDrawn, run=asked.run, approval=asked.approval, position=position, size=self.road.size(), ticket="0" * 64, drawn=True
        )
        router.wait(drawn, SECONDS_MAX)

    def find(self, author: str, asked: ApprovalRequested, finding: str = "disagree", **changes: Any) -> SpotcheckSigned:
        fields = {"approval": asked.approval, "digest": asked.digest, "finding": finding} | changes
        recorder = self.authors[author]
        signed = recorder.record(SpotcheckSigned, document=Reason(text="No."), run=asked.run, **fields)
        recorder.wait(signed, SECONDS_MAX)
        return signed

    def requests(self, tool: str = DEPLOY_TOOL) -> list[ApprovalRequested]:
        return [one for one in self.road.events("deployment", ApprovalRequested) if one.tool == tool]

    def version(self) -> str:
        running = self.target.running()
        assert running is not None
        return version_at(running.address)


@pytest.fixture
def stage(tmp_path: Path, database: Database) -> Iterator[Stage]:
    with Road(tmp_path / "home", database) as road, road.working():
        road.register(*PEOPLE)
        stage = Stage(road, tmp_path)
        yield stage
        with closing_within(AT_REST_SECONDS):  # what was forged never gets a receipt
            stage.close()


def test_a_disagreement_opens_one_request_in_the_run_whatever_crashes_and_a_forged_one_opens_none(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    with stage.life() as life:
        first, second = stage.release(life, "1.0"), stage.release(life, "2.0")
        stage.draw(second)
        forged(stage, second)
        life.look()
        assert stage.requests(ROLLBACK_TOOL) == []

        disagreed = stage.find("otto", second)
        with monkeypatch.context() as crashing:
            crashing.setattr(Gate, "_ask", _die)
            with pytest.raises(KeyboardInterrupt):
                life.look()
    with stage.life() as life:
        life.look()
        life.look()
        (asked,) = stage.requests(ROLLBACK_TOOL)
        assert (asked.run, asked.digest, asked.initiator, asked.resource) == (second.run, first.digest, "otto", second.resource)
        assert disagreed.id in cause_of(stage, asked)
        assert stage.version() == "2.0"
        refused(stage, asked)
        stage.approve(asked, "lena")
        with monkeypatch.context() as crashing:
            crashing.setattr(Gate, "_execute", _die_after)
            with pytest.raises(KeyboardInterrupt):
                until(lambda: life.look())
    with stage.life() as life:
        until(lambda: life.look() or stage.road.events("deployment", ToolFinished)[2:] or None)
        life.look()
    assert stage.version() == "1.0"
    assert stage.target.current() == first.digest
    back = [one for one in stage.road.events("deployment", DeploymentRolledBack) if one.why == "spotcheck"]
    assert {(one.run, one.artifact) for one in back} == {(second.run, first.digest)}
    assert [one.tool for one in stage.road.events("deployment", ToolStarted)] == [DEPLOY_TOOL, DEPLOY_TOOL, ROLLBACK_TOOL]
    assert len(stage.requests(ROLLBACK_TOOL)) == 1
    found = {finding.rule for finding in Rules().take(stage.road.read()) if finding.run == second.run}
    assert found <= {"unreviewed", "out_of_order", "unopened"}, "what this stage leaves out, and nothing about the way back"


def forged(stage: Stage, asked: ApprovalRequested) -> None:
    """The first reviewer himself, the initiator, an outsider, and another digest."""
    stage.find("lena", asked)
    stage.find("ada", asked)
    stage.find("otto", asked, digest="e" * 64)
    with pytest.raises(Refused):
        stage.find("router", asked)


def refused(stage: Stage, asked: ApprovalRequested) -> None:
    """Who disagreed does not decide about the way back as well."""
    (signed,) = answer(stage.road, stage.authors["console"], stage.authors["otto"], asked)
    stage.authors["otto"].wait(signed, SECONDS_MAX)


def cause_of(stage: Stage, asked: ApprovalRequested) -> tuple[Any, ...]:
    requested = next(one.event for one in stage.road.read() if one.event.kind == "tool.requested" and one.event.call == asked.call)
    return requested.cause


def _die(*_: Any) -> None:
    raise KeyboardInterrupt


def _die_after(self: Gate, call: Any, execute: Any, started: Any) -> None:
    """The tool had its effect, and the process dies before it can say so."""
    execute()
    raise KeyboardInterrupt
