"""The deployment agent at the built-in target: it proves for itself, asks, and puts in force what people approved."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import pytest
from tenuto.documents import Handover
from tenuto.events import (
    ApprovalRequested,
    DecisionMade,
    DeploymentHealthy,
    DeploymentStarted,
    RunFinished,
    RunStarted,
    ToolFinished,
)
from tenuto_agents.change import change_digest, read_change
from tenuto_agents.deployment import DEPLOY_TOOL, Deployment
from tenuto_agents.evidence import EvidenceMissing
from tenuto_agents.place import LOCAL_LACKS, local_place
from tenuto_agents.task import StopRequest, Task

from tests.unit.agents.doubles import RecordingGate, RecordingRecorder, World
from tests.unit.agents.repositories import Scratch

RUN = "pr-1"


def deployed(tmp_path: Path, *, reviewed: str) -> World:
    """Hand a change over as approved; `reviewed` is what the review really said."""
    scratch, world = Scratch(tmp_path / "site"), World()
    scratch.commit({"index.html": "<p>hello</p>\n"})
    change = read_change(scratch.path, "main", "change")
    world.add(RunStarted, "pipeline", None, run=RUN, workflow="pull-request", base=change.base, head=change.head)
    world.add(
        DecisionMade, "code-review", None, run=RUN, subject="commit", subject_digest=change_digest(change.base, change.head),
        verdict=reviewed, model="scripted", confidence=900, prompt_sha256="a" * 64, response_sha256="b" * 64, findings=0,
        diverges=False, evidence=(),
    )  # fmt: skip
    recorder = RecordingRecorder(world, "deployment")
    task = Task(recorder, RecordingGate(recorder), RUN, (uuid4(),), StopRequest())  # type: ignore[arg-type]
    Deployment(lambda service: local_place(tmp_path / "targets" / service)).deploy(Handover(pull_request=change.document()), task)
    return world


def test_what_people_approve_is_put_in_force_and_the_record_says_what_the_built_in_target_lacks(tmp_path: Path) -> None:
    world = deployed(tmp_path, reviewed="approve")
    asked, started = world.events(ApprovalRequested)[0], world.events(DeploymentStarted)[0]
    assert asked.digest == started.artifact
    assert (tmp_path / "targets" / "site" / "current" / "index.html").read_text(encoding="utf-8") == "<p>hello</p>\n"
    assert len(world.events(DeploymentHealthy)) == 1
    finished = next(event for event in world.events(ToolFinished) if event.tool == DEPLOY_TOOL)
    assert world.document(finished).values["lacks"] == LOCAL_LACKS
    assert world.events(RunFinished)[0].outcome == "succeeded"


def test_a_message_that_says_approved_deploys_nothing(tmp_path: Path) -> None:
    with pytest.raises(EvidenceMissing, match="is reject"):
        deployed(tmp_path, reviewed="reject")
    assert not (tmp_path / "targets").exists()
