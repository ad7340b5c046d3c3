"""What the reference bundle allows, as a whole matrix, and that it covers every call that the agents make."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from tenuto.policy import PolicyRequest, load_policy
from tenuto_agents import attesting, code_review, deployment, reverting
from tenuto_agents.tools import cloud_tools, deploy_tools, git_tools

POLICY = load_policy()
KINDS = {
    "git.diff": "repo", "analysis.run": "repo", "terraform.plan": "stack", "terraform.adopt": "stack",
    "terraform.apply": "stack", "terraform.revert": "stack", "state.attest": "stack", "deploy.production": "service",
}  # fmt: skip
ALLOWED = {
    ("code-review", "git.diff"): "none",
    ("code-review", "analysis.run"): "none",
    ("infrastructure", "git.diff"): "none",
    ("infrastructure", "terraform.plan"): "none",
    ("infrastructure", "terraform.adopt"): "none",
    ("infrastructure", "terraform.apply"): "approval",
    ("infrastructure", "terraform.revert"): "none",
    ("infrastructure", "state.attest"): "approval",
    ("deployment", "git.diff"): "none",
    ("deployment", "deploy.production"): "approval",
}
AUTHORS = ("code-review", "infrastructure", "deployment", "pipeline", "demo-reviewer", "root", "ingest", "stranger", "")
TOOLS = (*KINDS, "secrets.read", "terraform.destroy", "deploy.staging", "")


def ask(principal: str, tool: str, **changes: object):
    facts = {
        "principal": principal, "role": "agent", "tool": tool, "resource": f"{KINDS.get(tool, 'repo')}:shop",
        "digest": "d" * 64, "arguments": {"resources": ["one"], "open_to_world": []},
    } | changes  # fmt: skip
    return POLICY.decide(PolicyRequest(**facts))


@pytest.mark.parametrize("principal", AUTHORS)
@pytest.mark.parametrize("tool", TOOLS)
def test_no_agent_can_use_anothers_tool(principal, tool):
    decision = ask(principal, tool)
    expected = ALLOWED.get((principal, tool))
    assert (decision.effect, decision.obligation) == (("allow", expected) if expected else ("deny", "none"))
    assert decision.rules == ("no_permit",) if not expected else decision.rules[0].startswith(principal)


def test_every_action_the_agents_build_is_in_the_matrix():
    modules = (code_review, git_tools, cloud_tools, deploy_tools, deployment, reverting, attesting)
    named = set()
    for module in modules:
        for node in ast.walk(ast.parse(Path(module.__file__).read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Action":
                tool = next(word.value for word in node.keywords if word.arg == "tool")
                assert isinstance(tool, ast.Name)
                named.add(getattr(module, tool.id))
    assert named == {tool for _, tool in ALLOWED}


@pytest.mark.parametrize(("principal", "tool"), sorted(ALLOWED))
def test_an_agents_name_without_an_agents_key_is_not_enough(principal, tool):
    assert ask(principal, tool, role="reviewer").effect == "deny"


@pytest.mark.parametrize(("principal", "tool"), sorted(ALLOWED))
def test_a_tool_is_allowed_on_its_own_kind_of_resource_only(principal, tool):
    assert ask(principal, tool, resource="secret:shop").effect == "deny"
    assert ask(principal, tool, resource="shop").effect == "deny"


@pytest.mark.parametrize("risk", ["deletion", "replacement"])
def test_deleting_needs_one_more_approval(risk):
    decision = ask("infrastructure", "terraform.apply", risks=("iam", risk))
    assert decision.obligation == "approval_and_one_more"
    assert decision.rules[0] == "infrastructure.deletes"


@pytest.mark.parametrize("risk", ["security_group", "iam", "public_endpoint"])
def test_opening_something_needs_a_person_and_says_why(risk):
    decision = ask("infrastructure", "terraform.apply", risks=(risk,))
    assert (decision.obligation, "infrastructure.exposes" in decision.rules) == ("approval", True)


@pytest.mark.parametrize(
    ("arguments", "effect"),
    [({"resources": ["r"] * 20}, "allow"), ({"resources": ["r"] * 21}, "deny"), ({"resources": 20}, "allow"),
     ({"resources": 21}, "deny"), ({}, "deny"), ({"resources": "20"}, "deny")],
)  # fmt: skip
def test_a_plan_of_more_than_twenty_resources_or_of_unknown_size_is_denied(arguments, effect):
    decision = ask("infrastructure", "terraform.apply", arguments=arguments | {"open_to_world": []})
    assert decision.effect == effect
    assert ("plan.over_limit" in decision.rules) is (effect == "deny")


@pytest.mark.parametrize("tool", ["terraform.apply", "terraform.revert"])
@pytest.mark.parametrize(
    ("told", "effect"), [([], "allow"), (0, "allow"), (["aws_security_group.web"], "deny"), (None, "deny"), ("0", "deny")]
)
def test_a_plan_that_opens_to_the_world_or_does_not_tell_is_denied(tool, told, effect):
    decision = ask("infrastructure", tool, arguments={"resources": ["r"]} | ({} if told is None else {"open_to_world": told}))
    assert decision.effect == effect
    assert ("plan.open_to_world" in decision.rules) is (effect == "deny")
