"""Cedar's answers, and that none of its ways to fail is an allow."""

from __future__ import annotations

from types import SimpleNamespace

import cedarpy
import pytest
from tenuto.errors import NotConfigured
from tenuto.events.policy import RULES_MAX
from tenuto.policy import PolicyRequest, cedar, load_policy

REQUEST = {"principal": "own", "role": "agent", "tool": "file.read", "resource": "file:notes", "digest": "d" * 64}
READS = '@id("reads") permit(principal == Agent::"own", action == Action::"file.read", resource);\n'


def policy_of(folder, text):
    file = folder / "own.cedar"
    file.write_text(text)
    return load_policy([file])


def test_a_decision_names_its_engine_and_bundle(tmp_path):
    policy = policy_of(tmp_path, READS)
    decision = policy.decide(PolicyRequest(**REQUEST))
    assert decision.engine.startswith("cedarpy/4.")
    assert decision.bundle == policy.bundle
    assert len(decision.bundle) == 64


def test_the_strictest_obligation_of_all_rules_that_permit_holds(tmp_path):
    asks = '@id("asks") @obligation("approval") permit(principal == Agent::"own", action, resource) when {context.risks.contains("iam")};'
    asks_two = '@id("asks.two") @obligation("approval_and_one_more") permit(principal == Agent::"own", action, resource) when {context.risks.contains("deletion")};'
    policy = policy_of(tmp_path, READS + asks + asks_two)
    seen = [policy.decide(PolicyRequest(**REQUEST, risks=risks)) for risks in ((), ("iam",), ("iam", "deletion"))]
    assert [one.obligation for one in seen] == ["none", "approval", "approval_and_one_more"]
    assert seen[2].rules == ("asks.two", "asks", "reads")


def test_a_rule_that_forbids_wins_and_is_named(tmp_path):
    never = '@id("never") forbid(principal, action, resource) when {resource.name == "notes"};'
    decision = policy_of(tmp_path, READS + never).decide(PolicyRequest(**REQUEST))
    assert (decision.effect, decision.rules, decision.obligation) == ("deny", ("never",), "none")


def test_a_rule_that_errs_denies_although_cedar_allows(tmp_path):
    errs = '@id("errs") forbid(principal, action, resource) when {context.counts.hasTag("n") && context.counts.getTag("n") * 9223372036854775807 > 1};'
    policy = policy_of(tmp_path, READS + errs)
    decision = policy.decide(PolicyRequest(**REQUEST, arguments={"n": 2}))
    assert (decision.effect, decision.rules) == ("deny", ("error",))
    assert policy.decide(PolicyRequest(**REQUEST)).effect == "allow"


@pytest.mark.parametrize(
    "changes",
    [{"arguments": {"n": 2**63}}, {"arguments": {"text": "\ud800"}}, {"risks": (1.5,)}, {"digest": None},
     {"arguments": {7: "x", "7": "y"}}, {"tool": b"bytes"}, {"principal": None}],
)  # fmt: skip
def test_a_request_that_cannot_be_put_to_the_engine_is_denied(tmp_path, changes):
    decision = policy_of(tmp_path, READS).decide(PolicyRequest(**REQUEST | changes))
    assert decision.effect == "deny"


@pytest.mark.parametrize(
    ("name", "value", "condition"),
    [
        ("environment", "production", 'context.arguments.hasTag("environment") && context.arguments.getTag("environment") == "production"'),
        ("force", True, 'context.arguments.hasTag("force") && context.arguments.getTag("force") == "true"'),
        ("ratio", 0.5, 'context.arguments.hasTag("ratio") && context.arguments.getTag("ratio") == "0.5"'),
        ("rows", 7, 'context.counts.hasTag("rows") && context.counts.getTag("rows") == 7'),
        ("files", ("a", "b"), 'context.counts.hasTag("files") && context.counts.getTag("files") == 2'),
        ("values", {"a": 1}, 'context.counts.hasTag("values") && context.counts.getTag("values") == 1'),
    ],
)
def test_rules_can_ask_about_arguments(tmp_path, name, value, condition):
    policy = policy_of(tmp_path, f'@id("r") permit(principal == Agent::"own", action, resource) when {{ {condition} }};')
    assert policy.decide(PolicyRequest(**REQUEST, arguments={name: value, "nothing": None})).effect == "allow"
    assert policy.decide(PolicyRequest(**REQUEST)).effect == "deny"


def answer(decision, reasons=("policy0",), errors=(), names=("reads",)):
    by_reason = dict(zip(reasons, names, strict=False))
    return cedarpy.AuthzResult({
        "decision": decision,
        "diagnostics": {"reason": list(reasons), "errors": list(errors), "id_annotations_by_reason": by_reason},
    })  # fmt: skip


@pytest.mark.parametrize(
    "lie",
    [
        answer("Allow", reasons=()), answer("Allow", names=("unheard.of",)), answer("Allow", names=()),
        answer("Allow", errors=("something",)), answer("Deny"), answer("NoDecision", reasons=()), answer("Maybe"),
    ],
)  # fmt: skip
def test_an_answer_that_its_own_rules_do_not_bear_out_is_a_deny(tmp_path, monkeypatch, lie):
    policy = policy_of(tmp_path, READS)
    monkeypatch.setattr(cedar.cedarpy, "is_authorized", lambda *_: lie)
    decision = policy.decide(PolicyRequest(**REQUEST))
    assert (decision.effect, decision.rules) == ("deny", ("error",))


def test_an_engine_that_raises_is_a_deny(tmp_path, monkeypatch):
    policy = policy_of(tmp_path, READS)

    def broken(*_):
        raise ValueError("the engine is ill")

    monkeypatch.setattr(cedar.cedarpy, "is_authorized", broken)
    assert policy.decide(PolicyRequest(**REQUEST)).rules == ("error",)


@pytest.mark.parametrize("always", ["Allow", "Deny"])
def test_an_engine_that_always_says_the_same_fails_its_canaries(tmp_path, monkeypatch, always):
    monkeypatch.setattr(cedar.cedarpy, "is_authorized", lambda *_: answer(always))
    with pytest.raises(NotConfigured, match="canaries"):
        policy_of(tmp_path, READS)


def test_an_altered_reference_bundle_is_refused(tmp_path, monkeypatch):
    from tenuto import policy

    lax = policy.REFERENCE_FILE.read_text().replace('@obligation("approval")\n', "")
    (tmp_path / "reference.cedar").write_text(lax)
    monkeypatch.setattr(policy, "REFERENCE_FILE", tmp_path / "reference.cedar")
    with pytest.raises(NotConfigured, match="was altered"):
        load_policy()


def test_no_more_rules_are_named_than_the_event_can_hold(tmp_path):
    rules = "".join(f'@id("r{n}") permit(principal == Agent::"own", action, resource);' for n in range(RULES_MAX + 1))
    assert len(policy_of(tmp_path, rules).decide(PolicyRequest(**REQUEST)).rules) == RULES_MAX


def test_a_rule_count_that_does_not_match_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(cedar.cedarpy, "PolicySet", SimpleNamespace(from_str=lambda text: ()))
    with pytest.raises(NotConfigured, match="number of rules"):
        policy_of(tmp_path, READS)
