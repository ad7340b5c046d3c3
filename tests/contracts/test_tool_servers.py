"""Tool servers as the agents use them: real processes over stdio, a real ledger, a real repository.

The honest road first; then what an agent that was taken over tries at a server directly. `tests/unit/gate/test_admission.py`
takes the same checks apart one by one, each switched off in turn.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import msgspec
import psycopg
import pytest
from tenuto.clock import SystemClock, new_uuid7
from tenuto.embedded import EmbeddedPostgres
from tenuto.events import Event, PolicyDecided, ToolFailed, ToolFinished, ToolRequested, ToolStarted
from tenuto.gate import Action, Gate, Patience
from tenuto.recorder import Recorder
from tenuto.registering import Enrolment
from tenuto.wiring import open_policy
from tenuto_agents.artifact import build_artifact
from tenuto_agents.change import read_change
from tenuto_agents.code_review import read_recorded
from tenuto_agents.git import Repository
from tenuto_agents.stack import stack_resource
from tenuto_agents.target import LocalTarget
from tenuto_agents.task import StopRequest, Task
from tenuto_agents.tools.cloud_tools import (
    APPLY,
    PLAN,
    ApplyArguments,
    PlanArguments,
    apply_action,
    plan_action,
    told_planned,
)
from tenuto_agents.tools.deploy_tools import DEPLOY_TOOL, RELEASE, DeployTools, ReleaseArguments
from tenuto_agents.tools.git_tools import DIFF, DiffArguments, diff_action
from tenuto_agents.tools.session import RefusedByTool, ToolSession
from tenuto_agents.tools.toolset import Tools, started

from tests.conftest import TEMPLATE, Database
from tests.road import SECONDS_MAX, Road, until
from tests.unit.agents.repositories import Scratch
from tests.unit.agents.terraform_here import terraform_or_skip

NAME, AGENT, OTHER = "tool_servers", "infrastructure", "deployment"


class Place:
    """The road, one agent with its gate and its server, and a repository with a change."""

    def __init__(self, road: Road, stack: ExitStack, folder: Path) -> None:
        self.road, self.runs = road, 0
        self.recorder = road.recorder(AGENT)
        stack.callback(lambda: self.recorder.close())
        self.gate = Gate(
            recorder=self.recorder, follower=road.follower(), policy=open_policy(None), clock=SystemClock(), new_id=new_uuid7,
            patience=Patience(ledger_seconds=SECONDS_MAX),
        )  # fmt: skip
        self.started = started(road.settings, AGENT, "git", os.environ)
        self.session = ToolSession(self.started)
        stack.callback(self.session.close)
        self.scratch = Scratch(folder / "shop")
        self.scratch.commit({"app.py": "print('hello')\n", "odd\udcff.bin": b"\0\1"}, "Say hello")
        self.change = read_change(self.scratch.path, "main", "change")
        self.arguments = DiffArguments(self.change.repository, self.change.base, self.change.head, self.change.title)

    def task(self, session: ToolSession | None = None) -> Task:
        self.runs += 1
        return Task(self.recorder, self.gate, f"run-{self.runs}", (), StopRequest(), tools=Tools({"git": session or self.session}))

    def start(self, recorder: Recorder | None = None, *, tool: str | None = None, action: Action | None = None) -> ToolStarted:
        """What an agent that was taken over can do with its key: put a start on record without asking its gate."""
        recorder, action = recorder or self.recorder, action or diff_action(self.arguments)
        self.runs += 1
        event = recorder.record(
            ToolStarted, run=f"run-{self.runs}", call=f"call-{uuid4()}", tool=tool or action.tool, resource=action.resource,
            digest=action.digest,
        )  # fmt: skip
        recorder.wait(event, SECONDS_MAX)
        until(lambda: self.gate.events_of(event.run or "") or None)  # under a checkpoint
        return event

    def kinds(self, run: str) -> list[type[Event]]:
        self.recorder.flush(SECONDS_MAX)
        return [type(one.event) for one in self.road.read() if one.event.run == run]


@pytest.fixture(scope="module")
def place(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {NAME} TEMPLATE {TEMPLATE}")
    folder = tmp_path_factory.mktemp("tools")
    with Road(folder / "home", Database(postgres, NAME)) as road, road.working():
        road.register(Enrolment(AGENT, "agent", "ada"), Enrolment(OTHER, "agent", "tomas"))
        with ExitStack() as stack:
            yield Place(road, stack, folder)
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {NAME} WITH (FORCE)")


def test_an_agent_reads_a_change_by_its_server_and_gets_what_it_would_have_read_itself(place: Place) -> None:
    task = place.task()
    assert read_recorded(task, place.change.document()) == place.change
    assert place.kinds(task.run) == [ToolRequested, PolicyDecided, ToolStarted, ToolFinished]


def test_a_server_takes_nothing_from_an_agent_that_goes_round_its_gate(place: Place) -> None:
    """Each is refused by the running server: it looked into the ledger itself."""
    other = place.road.recorder(OTHER)
    elsewhere = msgspec.structs.replace(place.arguments, title="Say something else")
    try:
        began = place.start()
        attacks = {
            "no start": (msgspec.structs.replace(began, id=uuid4()), place.arguments, "no start"),
            "start of another agent": (place.start(other), place.arguments, "no start"),
            "other arguments": (began, elsewhere, "another digest"),
            "start of another tool": (place.start(tool="analysis.run"), place.arguments, "another tool"),
        }
        for name, (start, arguments, sentence) in attacks.items():
            with pytest.raises(RefusedByTool, match=sentence) as caught:
                place.session.call(DIFF, arguments, start)
            assert caught.value.reason == "not_admitted", name
        assert place.session.call(DIFF, place.arguments, began).head == place.change.head
        with pytest.raises(RefusedByTool, match="used before"):
            place.session.call(DIFF, place.arguments, began)
    finally:
        other.close()


def test_what_a_server_spent_is_spent_for_the_next_one_too(place: Place) -> None:
    began = place.start()
    assert place.session.call(DIFF, place.arguments, began).head == place.change.head
    place.session.close()
    place.session.open()
    with pytest.raises(RefusedByTool, match="used before"):
        place.session.call(DIFF, place.arguments, began)


def test_a_server_whose_ledger_is_away_refuses(place: Place) -> None:
    away = {**place.started.environment, "TENUTO_DATABASE_URL": "postgresql://127.0.0.1:9/nowhere"}
    session = ToolSession(replace(place.started, environment=away))
    try:
        session.open()
        began = place.start()
        with pytest.raises(RefusedByTool, match="(?i)database|connect"):
            session.call(DIFF, place.arguments, began)
    finally:
        session.close()


def test_a_change_that_is_not_whole_is_refused_by_the_tool_and_that_is_on_record(place: Place) -> None:
    task = place.task()
    place.scratch.git("checkout", "-q", "main")
    sibling = place.scratch.commit({"more.py": "more = 1\n"})
    with pytest.raises(RefusedByTool, match="not for a whole change"):
        read_recorded(task, msgspec.structs.replace(place.change.document(), base=sibling))
    assert place.kinds(task.run)[-1] is ToolFailed


def test_production_is_closed_to_a_start_that_nobody_approved(place: Place) -> None:
    """The agent's key signs starts; what it cannot sign is somebody else's approval."""
    place.scratch.git("checkout", "-q", "change")
    artifact = build_artifact(Repository(place.scratch.path), place.change.head)
    arguments = ReleaseArguments(place.change.repository, place.change.base, place.change.head, artifact.digest)
    action = DeployTools(lambda name: LocalTarget(place.scratch.path / name)).action(DEPLOY_TOOL, arguments)
    session, other = ToolSession(started(place.road.settings, OTHER, "deploy", os.environ)), place.road.recorder(OTHER)
    try:
        session.open()
        began = place.start(other, action=action)
        with pytest.raises(RefusedByTool, match="policy wants 1 to agree"):
            session.call(RELEASE, arguments, began)
        swapped = msgspec.structs.replace(arguments, artifact="0" * 64)
        with pytest.raises(RefusedByTool, match="The artifact of"):
            session.call(RELEASE, swapped, began)
    finally:
        session.close()
        other.close()
    assert not (place.road.settings.home / "targets").exists()


MAIN = 'resource "terraform_data" "size" {\n  input = %d\n}\n'


def test_a_plan_is_applied_by_nobody_but_the_call_that_people_cleared(place: Place) -> None:
    """Terraform runs in the server; the agent sees what a reviewer sees, and neither plan nor state."""
    terraform_or_skip()
    scratch = Scratch(place.scratch.path.parent / "stack", {"infra/main.tf": MAIN % 1})
    arguments = PlanArguments(str(scratch.path), scratch.base, scratch.commit({"infra/main.tf": MAIN % 2}))
    session = ToolSession(started(place.road.settings, AGENT, "cloud", os.environ))
    try:
        task = replace(place.task(), tools=Tools({"cloud": session}))
        made = task.use("cloud", PLAN, arguments, plan_action(arguments), told_planned).value
        assert [one.address for one in made.changes] == ["terraform_data.size"]
        planned, apply = made.planned(), ApplyArguments.of(made.planned())
        action = apply_action(planned, stack_resource(str(scratch.path)), "ada@example.org", None)
        alone = place.start(action=action)
        with pytest.raises(RefusedByTool, match="policy wants 1 to agree"):
            session.call(APPLY, apply, alone)
        with pytest.raises(RefusedByTool, match="not what the call says of it"):
            session.call(APPLY, msgspec.structs.replace(apply, resources=()), alone)
        with pytest.raises(RefusedByTool, match="holds no plan"):
            session.call(APPLY, msgspec.structs.replace(apply, plan_digest="0" * 64), alone)
        again = place.start(action=plan_action(arguments))
        with pytest.raises(RefusedByTool, match="another tool"):
            session.call(APPLY, apply, again)
    finally:
        session.close()
    stacks = place.road.settings.state / "terraform"
    assert not list(stacks.glob("*/terraform.tfstate"))
    assert not list(stacks.glob("*/plan-*")), "the plan is as confidential as the state, and goes with its server"
