"""Rule 5: how many people must agree is what policy said of this very call, never less than the risks demand."""

from __future__ import annotations

import pytest
from tenuto.approvals import NotGranted
from tenuto.approvals.quorum import least_quorum
from tenuto.events import PolicyDecided, ToolRequested

from tests.unit.approvals.histories import DIGEST, OTHER_DIGEST, History

BUNDLE = "b" * 64


def test_a_requester_who_asks_for_fewer_than_policy_demanded_gets_nowhere_with_them():
    history = History()
    asked = history.request(quorum=1, obligation="approval_and_one_more")
    history.sign("lena")
    assert history.state() == "open"
    history.consume()
    assert history.fold.consumed_by("a1") is None
    with pytest.raises(NotGranted, match="1 of 2") as caught:
        history.fold.verify_granted(asked, history.now)
    assert caught.value.rule == 5
    history.sign("otto")
    assert history.state() == "granted"
    assert history.fold.standing("a1", history.now).quorum == 2


def test_who_asks_for_more_than_policy_demanded_needs_more():
    history = History()
    history.request(quorum=3)
    history.sign("lena")
    history.sign("otto")
    assert history.state() == "open"
    history.sign("paul")
    assert history.state() == "granted"


@pytest.mark.parametrize("risk", ["deletion", "replacement"])
def test_a_deletion_needs_one_more_whatever_policy_and_requester_say(risk):
    history = History()
    history.request(quorum=1, obligation="approval", risks=(risk,))
    history.sign("lena")
    assert history.state() == "open"
    history.sign("otto")
    assert history.state() == "granted"


@pytest.mark.parametrize(
    ("obligation", "risks", "quorum"),
    [
        ("none", (), 0), ("none", ("production",), 0), ("none", ("iam",), 1), ("none", ("security_group",), 1),
        ("none", ("public_endpoint",), 1), ("none", ("deletion",), 2), ("approval", (), 1), ("approval", ("iam",), 1),
        ("approval", ("iam", "deletion"), 2), ("approval_and_one_more", (), 2), ("approval_and_one_more", ("deletion",), 2),
    ],
)  # fmt: skip
def test_the_least_quorum_of_every_obligation(obligation, risks, quorum):
    assert least_quorum(obligation, risks) == quorum


def test_a_request_without_a_decision_of_policy_on_record_is_never_granted():
    history = History()
    asked = history.request(decided=False)
    history.sign("lena")
    history.sign("otto")
    assert history.state() == "open"
    with pytest.raises(NotGranted, match="no decision of policy"):
        history.fold.verify_granted(asked, history.now)


def test_what_policy_denied_no_number_of_people_grants():
    history = History()
    history.request(effect="deny")
    history.sign("lena")
    history.sign("otto")
    assert history.state() == "open"
    history.consume()
    assert history.fold.consumed_by("a1") is None


@pytest.mark.parametrize("changed", [{"tool": "terraform.destroy"}, {"resource": "stack:bank"}, {"digest": OTHER_DIGEST}])
def test_a_decision_about_another_tool_resource_or_digest_is_none_about_this(changed):
    history = History()
    target = {"tool": "terraform.apply", "resource": "stack:shop", "digest": DIGEST}
    history.agent(ToolRequested, call="c", **target)
    decided = history.agent(PolicyDecided, call="c", effect="allow", rules=("r",), bundle=BUNDLE, engine="e", obligation="approval")
    history.request(decided=False, cause=(decided.id,), call="c", **target | changed)
    history.sign(digest=changed.get("digest", DIGEST), looks=False)
    assert history.fold.request("a1").demand.fault


def test_a_decision_of_another_agent_or_about_another_call_is_none():
    history = History()
    target = {"tool": "terraform.apply", "resource": "stack:shop", "digest": DIGEST}
    history.add(ToolRequested, "deployment", as_role="agent", call="c", **target)
    decided = history.add(
        PolicyDecided, "deployment", as_role="agent", call="c", effect="allow", rules=("r",), bundle=BUNDLE, engine="e",
        obligation="approval",
    )  # fmt: skip
    history.request(decided=False, cause=(decided.id,), call="c")
    assert "no decision" in history.fold.request("a1").demand.fault
    history.request("a2", call="another")
    assert "another call" in history.fold.request("a2").demand.fault


def test_an_approval_is_spent_on_the_call_that_policy_decided_about_and_on_no_other():
    history = History()
    history.request()
    history.sign()
    history.consume("call-of-a2")
    assert history.fold.consumed_by("a1") is None
    history.consume("call-of-a1")
    assert history.fold.consumed_by("a1") == "call-of-a1"
