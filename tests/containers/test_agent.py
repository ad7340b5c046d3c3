"""The deployment agent on a container site: what people approve is the digest of a scanned image, and only that is put in force."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tenuto.documents import Handover, PullRequest
from tenuto.errors import Refused
from tenuto.events import (
    AlertRaised,
    ApprovalRequested,
    DecisionMade,
    DeploymentQuarantined,
    RunFinished,
    RunStarted,
    ToolFailed,
)
from tenuto.gate import Action
from tenuto_agents.attacks.images import with_package
from tenuto_agents.attacks.releases import BACKDOOR
from tenuto_agents.change import change_digest, read_change
from tenuto_agents.containers.containerfile import BaseRefused
from tenuto_agents.containers.scan import ScanBlocked
from tenuto_agents.deployment import Deployment
from tenuto_agents.evidence import EvidenceMissing
from tenuto_agents.place import LOCAL_LACKS, local_place
from tenuto_agents.task import StopRequest, Task

from tests.containers.stand import RUN, SERVICE, Stand
from tests.unit.agents.doubles import RecordingGate, RecordingRecorder


class Pipeline:
    """Submits and reviews a release of the stand's service; `deploy` lets the deployment agent take it from there."""

    def __init__(self, stand: Stand, decide: Callable[[Action], str] = lambda action: "approve") -> None:
        self.stand, self.gate = stand, RecordingGate(stand.recorder, decide)  # type: ignore[arg-type]
        self.agent = Deployment(lambda service: stand.place)

    def deploy(self, *, approved: bool = True, **more: str) -> None:
        _, repository = self.stand.ground.artifact("2", **more)
        base, head = repository.resolve("HEAD~1"), repository.resolve("HEAD")
        change = read_change(repository.path, base, head)
        world = self.stand.world
        RecordingRecorder(world, "pipeline").record(RunStarted, run=RUN, workflow="pull-request", base=base, head=head)
        if approved:
            RecordingRecorder(world, "code-review").record(
                DecisionMade, run=RUN, subject="commit", subject_digest=change_digest(base, head), verdict="approve", model="scripted",
                confidence=900, prompt_sha256="a" * 64, response_sha256="b" * 64, findings=0, diverges=False, evidence=(),
            )  # fmt: skip
        asked: PullRequest = change.document()
        recorder: Any = self.stand.recorder
        self.agent.deploy(Handover(pull_request=asked), Task(recorder, self.gate, RUN, (), StopRequest()))  # type: ignore[arg-type]


def test_what_people_approve_is_the_digest_of_the_image_that_then_runs(stand: Stand) -> None:
    Pipeline(stand).deploy()
    asked = stand.world.events(ApprovalRequested)[0]
    assert asked.digest == stand.in_force().digest
    assert stand.version() == "2"
    card = stand.world.document(asked)
    assert card.images[0].after == asked.digest
    assert [event.outcome for event in stand.world.events(RunFinished)] == ["succeeded"]


@pytest.mark.parametrize(
    ("more", "refusal"),
    [(with_package("PyYAML", "5.3"), ScanBlocked), ({"base": "FROM busybox:latest\n"}, BaseRefused)],
    ids=["vulnerable", "base by tag"],
)
def test_what_is_blocked_is_never_asked_about(stand: Stand, more: dict[str, str], refusal: type[Refused]) -> None:
    with pytest.raises(refusal):
        Pipeline(stand).deploy(**more)
    assert stand.world.events(ApprovalRequested) == []
    assert len(stand.world.events(ToolFailed)) == 1
    assert stand.rollout.in_force() is None


def test_a_message_that_says_approved_deploys_nothing(stand: Stand) -> None:
    with pytest.raises(EvidenceMissing, match="No decision of code-review"):
        Pipeline(stand).deploy(approved=False)
    assert stand.rollout.in_force() is None


def test_a_release_that_calls_out_on_its_way_is_quarantined_by_the_agent(stand: Stand) -> None:
    stand.rollout.site = stand.ground.site(**stand.changed, canary_seconds=60.0)
    Pipeline(stand).deploy(program=BACKDOOR)
    assert [event.stage for event in stand.world.events(DeploymentQuarantined)] == ["isolated", "preserved", "ended"]
    assert [event.rule for event in stand.world.events(AlertRaised)] == ["egress.unexpected"]
    assert [event.outcome for event in stand.world.events(RunFinished)] == ["failed"]
    assert stand.hosts.engine.names(SERVICE) == []


def test_the_built_in_target_says_what_it_lacks(stand: Stand) -> None:
    assert local_place(stand.folder).lacks == LOCAL_LACKS
    assert "no way back" in LOCAL_LACKS
    assert stand.place.lacks == ""
