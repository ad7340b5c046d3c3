"""Attacks on plans, with real Terraform in the range's folder: poisoned state (M32), too much at once, and open doors (M5)."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tenuto.documents import Handover
from tenuto.errors import Refused, TenutoError
from tenuto.events import PolicyDecided, ToolFailed
from tenuto.gate import Gate
from tenuto.policy import load_policy
from tenuto.policy.reference import REFERENCE_FILE
from tenuto.wiring import open_follower

from ..change import read_change
from ..git import Repository, find_git, git_environment
from ..infrastructure import Infrastructure
from ..processes import run_tool
from ..provider import Provider
from ..statehome import STATE_FILE
from ..task import StopRequest, Task
from ..terraform import find_terraform
from .ground import PATIENCE, RANGE_AGENT, RANGE_POLICY, Ground
from .scenario import Lacking, Scenario, Seen, Stop

GIT_SECONDS_MAX = 30.0
MAIN = """
resource "terraform_data" "guard" {
  input = { level = "strict" }
}
resource "terraform_data" "service" {
  input = { replicas = %d }
}
"""
OPEN = """
resource "terraform_data" "door" {
  input = { ingress = [{ port = 8443, cidrs = ["0.0.0.0/0"] }] }
}
"""
MANY = """
resource "terraform_data" "many" {
  count = 21
}
"""


class RangeInfrastructure(Infrastructure):
    """The working agent's code, in the name of the range's agent."""

    name = RANGE_AGENT


class PlanRange:
    """A repository, a stack that exists, and an agent of the range that may be asked for one more change."""

    def __init__(self, ground: Ground, main: str = MAIN % 2, provider: Provider | None = None) -> None:
        """`main` is the configuration that exists already. Raises Lacking without Terraform."""
        terraform = find_terraform()
        if terraform is None:
            raise Lacking("There is no Terraform on this machine: install the program, or the extra `agents`.")
        self.ground, self.terraform, self.run = ground, terraform, f"range-{ground.new_id()}"
        # A name of its own each time: the ledger remembers which state of a stack was vouched for last.
        self.repository, self.stacks = ground.folder / f"range-{ground.new_id().hex[-8:]}", ground.folder / "stacks"
        self._git("-c", "init.templateDir=", "init", "--quiet", "--initial-branch=main")
        self.base = self._commit(main)
        self.agent = RangeInfrastructure(terraform=terraform, state=self.stacks, adopt_base=True, provider=provider)
        # The rules of the working system, and those that let the range's agent ask at all.
        self.gate = Gate(
            recorder=ground.recorder(RANGE_AGENT), follower=open_follower(ground.settings, payloads=False),
            policy=load_policy([REFERENCE_FILE, RANGE_POLICY]), clock=ground.clock, new_id=ground.new_id, patience=PATIENCE,
        )  # fmt: skip

    def ask(self, main: str) -> None:
        """Take one pull request through the agent; raises what stops it."""
        head = self._commit(main)
        change = read_change(self.repository, self.base, head)
        task = Task(self.ground.recorder(RANGE_AGENT), self.gate, self.run, (), StopRequest())
        try:
            self.agent.plan_and_apply(task, Handover(pull_request=change.document()), change, Repository(self.repository))
        finally:
            self._git("reset", "--quiet", "--hard", self.base)

    def exists(self) -> None:
        """Let the stack exist, and be vouched for: ask for a change that changes nothing."""
        self.ask(MAIN % 2 + "# a comment\n")

    def poison(self, edit: Callable[[dict[str, Any]], None]) -> Path:
        """Write the state, as whoever has its store can."""
        (file,) = self.stacks.glob(f"*/{STATE_FILE}")
        document = json.loads(file.read_text(encoding="utf-8"))
        edit(document)
        document["serial"] += 1
        file.write_text(json.dumps(document), encoding="utf-8")
        return file

    def _commit(self, main: str) -> str:
        file = self.repository / "infra" / "main.tf"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(main, encoding="utf-8")
        self._git("add", "--all")
        self._git("-c", "commit.gpgSign=false", "commit", "--quiet", "--no-verify", "-m", "range")
        return self._git("rev-parse", "HEAD")

    def _git(self, *arguments: str) -> str:
        self.repository.mkdir(parents=True, exist_ok=True)
        who = {f"GIT_{role}_{what}": f"range@{role.lower()}.example" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        environment = {name: value for name, value in git_environment().items() if name != "GIT_INDEX_FILE"} | who
        argv = [find_git(), "-c", "core.hooksPath=/dev/null", *arguments]
        ended = run_tool(argv, folder=self.repository, seconds=GIT_SECONDS_MAX, environment=environment)
        if ended.code != 0:
            raise Lacking(f"The range's repository could not be made: {ended.complaint()}")
        return ended.stdout.decode().strip()


def inserted(ground: Ground) -> Seen:
    """Put a resource into the state that no configuration has; the next plan would delete it."""

    def insert(document: dict[str, Any]) -> None:
        document["resources"].append(json.loads(json.dumps(document["resources"][0])) | {"name": "ghost"})

    return _poisoned(ground, insert, lambda names: "ghost" not in names)


def removed(ground: Ground) -> Seen:
    """Take a resource out of the state; the next plan would create it a second time."""

    def remove(document: dict[str, Any]) -> None:
        document["resources"] = [one for one in document["resources"] if one["name"] != "guard"]

    return _poisoned(ground, remove, lambda names: "guard" in names)


def open_door(ground: Ground) -> Seen:
    """Have a plan applied that lets the whole internet in."""
    return _denied(ground, MAIN % 2 + OPEN, "plan.open_to_world", "door")


def too_much(ground: Ground) -> Seen:
    """Have a plan applied that is larger than anybody can look at."""
    return _denied(ground, MAIN % 2 + MANY, "plan.over_limit", "many")


def _poisoned(ground: Ground, edit: Callable[[dict[str, Any]], None], reached: Callable[[list[str]], bool]) -> Seen:
    place = PlanRange(ground)
    place.exists()
    file = place.poison(edit)
    said = _refused(lambda: place.ask(MAIN % 3))
    names = _names(file)
    failed = ground.wait_for(lambda one: isinstance(one.event, ToolFailed) and one.event.author == RANGE_AGENT, 20.0)
    evidence = () if failed is None else (failed.event.id,)
    stops = (Stop("M32", "The state is not the one that the last apply on record left.", evidence),) if said and evidence else ()
    return Seen(reached(names), f"The agent said: {said or 'nothing, and applied it.'}", stops)


def _denied(ground: Ground, main: str, rule: str, resource: str) -> Seen:
    place = PlanRange(ground)
    place.exists()
    said = _refused(lambda: place.ask(main))
    (file,) = place.stacks.glob(f"*/{STATE_FILE}")
    decided = ground.wait_for(
        lambda one: isinstance(one.event, PolicyDecided) and one.event.author == RANGE_AGENT and rule in one.event.rules, 20.0
    )
    stops = () if decided is None else (Stop("M5", f"The rule {rule} denied it, and nobody was asked.", (decided.event.id,)),)
    return Seen(resource in _names(file), f"The agent said: {said or 'nothing, and applied it.'}", stops)


def _refused(work: Callable[[], None]) -> str:
    try:
        work()
    except Refused as refusal:
        return str(refusal)
    except Lacking:
        raise
    except TenutoError as error:
        return f"(not a refusal) {error}"
    return ""


def _names(file: Path) -> list[str]:
    return [one["name"] for one in json.loads(file.read_text(encoding="utf-8"))["resources"]]


SCENARIOS = (
    Scenario("state-resource-inserted", "A resource deleted by way of the state.", ("T8", "M32"), inserted),
    Scenario("state-resource-removed", "A resource made twice by way of the state.", ("T8", "M32"), removed),
    Scenario("open-to-the-world", "A port that everybody reaches.", ("T2", "M5", "M6"), open_door),
    Scenario("over-provisioning", "More resources than a reviewer can look at.", ("T2", "M5"), too_much),
)
