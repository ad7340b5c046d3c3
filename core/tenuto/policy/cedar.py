"""Decisions by Cedar, in this process. Every answer is derived from the rules it names, and doubted until they agree.

Cedar skips a rule that errs and may still answer Allow, although the rule would have forbidden. Here one error anywhere
is a deny. Before the first request the rules are validated against the form of all requests, and canaries show that a
stranger is denied and that the engine can tell yes from no.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import cedarpy

from ..errors import NotConfigured
from ..events.policy import RULES_MAX
from .bundle import Bundle
from .decision import ERROR_RULE, NO_PERMIT_RULE, OBLIGATIONS, Decision, PolicyRequest

_CANARY = "tenuto.canary"
_CANARY_RULE = f'@id("canary") permit(principal == Agent::"{_CANARY}", action, resource);'
_SCHEMA = """
entity Agent = {{ "role": String }};
entity Resource = {{ "kind": String, "name": String }};
entity Arguments tags String;
entity Counts tags Long;
action {tools} appliesTo {{
    principal: [Agent], resource: [Resource],
    context: {{ "digest": String, "subject": String, "initiator": String, "risks": Set<String>,
               "arguments": Arguments, "counts": Counts }}
}};
"""
"""What a rule may ask about. Arguments that are text, numbers with a fraction or truth values are tags of
`context.arguments`; whole numbers, and the lengths of lists and mappings, are tags of `context.counts`."""


class CedarPolicy:
    """A bundle of Cedar rules, ready to decide."""

    def __init__(self, bundle: Bundle) -> None:
        """Raises NotConfigured unless the rules hold together and the canaries come out as they must."""
        self.rules, self.bundle = bundle.rules, bundle.digest
        self.engine = f"cedarpy/{version('cedarpy')}"
        try:
            self._policies = cedarpy.PolicySet.from_str(bundle.text)
        except ValueError as error:
            raise NotConfigured(f"The policy files do not parse together: {error}.") from error
        if len(self._policies) != len(self.rules):
            raise NotConfigured("Cedar reads another number of rules than stand in the policy files; simplify them.")
        _demand_valid(bundle)
        _demand_working_engine()
        self._demand_strangers_denied()

    def decide(self, request: PolicyRequest) -> Decision:
        """Answer one request. Any error, and any answer that its own rules do not bear out, is a deny with `error`."""
        try:
            answer = _ask(request, self._policies)
            names = [answer.diagnostics.id_annotations_by_reason[reason] for reason in answer.diagnostics.reasons]
            rules = [self.rules[name] for name in sorted(names)]
            allowed, denied = (answer.decision is word for word in (cedarpy.Decision.Allow, cedarpy.Decision.Deny))
        except (ValueError, TypeError, KeyError):
            return self._denied(ERROR_RULE)
        if answer.diagnostics.errors or not (allowed or denied):
            return self._denied(ERROR_RULE)
        if any(rule.permits is not allowed for rule in rules) or (allowed and not rules):
            return self._denied(ERROR_RULE)
        if not allowed:
            return self._denied(*[rule.id for rule in rules] or [NO_PERMIT_RULE])
        # The strictest demand wins: a rule that is added can ask for more, it can never take a question back.
        strictest = max((rule.obligation for rule in rules), key=OBLIGATIONS.index)
        names = [rule.id for rule in sorted(rules, key=lambda rule: -OBLIGATIONS.index(rule.obligation))]
        return Decision(
            effect="allow", rules=tuple(names[:RULES_MAX]), bundle=self.bundle, engine=self.engine, obligation=strictest
        )

    def _denied(self, *rules: str) -> Decision:
        return Decision(effect="deny", rules=rules[:RULES_MAX], bundle=self.bundle, engine=self.engine)

    def _demand_strangers_denied(self) -> None:
        tools = {_CANARY, *(tool for rule in self.rules.values() for tool in rule.tools)}
        for tool in sorted(tools):
            decision = self.decide(_canary("tenuto.stranger", tool))
            if decision.effect != "deny":
                place = self.rules[decision.rules[0]].place
                raise NotConfigured(f"{place}: this rule lets an agent that nobody knows call {tool}; name who may.")


def _ask(request: PolicyRequest, policies: cedarpy.PolicySet) -> cedarpy.AuthzResult:
    kind, _, name = request.resource.partition(":")
    texts, counts = _tags(request.arguments)
    principal, resource = {"type": "Agent", "id": request.principal}, {"type": "Resource", "id": request.resource}
    arguments, numbers = {"type": "Arguments", "id": request.tool}, {"type": "Counts", "id": request.tool}
    entities = [
        {"uid": principal, "attrs": {"role": request.role}, "parents": []},
        {"uid": resource, "attrs": {"kind": kind, "name": name}, "parents": []},
        {"uid": arguments, "attrs": {}, "parents": [], "tags": texts},
        {"uid": numbers, "attrs": {}, "parents": [], "tags": counts},
    ]
    context = {
        "digest": request.digest, "subject": request.subject, "initiator": request.initiator,
        "risks": list(request.risks), "arguments": {"__entity": arguments}, "counts": {"__entity": numbers},
    }  # fmt: skip
    action = {"type": "Action", "id": request.tool}
    question = {"principal": principal, "action": action, "resource": resource, "context": context}
    return cedarpy.is_authorized(question, policies, json.dumps(entities))


def _tags(arguments: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, int]]:
    """Split arguments into what rules may compare as text and what they may compare as a number.

    A number that does not fit Cedar's 64 bits stays here, so that Cedar refuses the request as a whole.
    """
    texts: dict[str, str] = {}
    counts: dict[str, int] = {}
    for name, value in arguments.items():
        if isinstance(value, str):
            texts[name] = value
        elif isinstance(value, bool | float):
            texts[name] = json.dumps(value)
        elif isinstance(value, int):
            counts[name] = value
        elif isinstance(value, list | tuple | set | frozenset | Mapping):
            counts[name] = len(value)
    return texts, counts


def _demand_valid(bundle: Bundle) -> None:
    tools = sorted({_CANARY, *(tool for rule in bundle.rules.values() for tool in rule.tools)})
    schema = _SCHEMA.format(tools=", ".join(json.dumps(tool, ensure_ascii=False) for tool in tools))
    try:
        result = cedarpy.validate_policies(bundle.text, schema)
    except ValueError as error:
        raise NotConfigured(f"The policy files cannot be validated: {error}.") from error
    for fault in result.errors:
        rule = bundle.rules.get(result.id_annotations_by_policy_id.get(fault.policy_id, ""))
        place = f"{rule.place}: the rule {rule.id}" if rule else "The policy files"
        raise NotConfigured(f"{place} asks about something that no request has: {fault.error}.")


def _demand_working_engine() -> None:
    """The engine must tell yes from no: an engine that always denies hides that nothing was decided."""
    policies = cedarpy.PolicySet.from_str(_CANARY_RULE)
    known, stranger = (_ask(_canary(name, _CANARY), policies) for name in (_CANARY, "tenuto.stranger"))
    if known.decision is not cedarpy.Decision.Allow or stranger.decision is not cedarpy.Decision.Deny:
        raise NotConfigured("The policy engine fails its canaries. Install the version of cedarpy in the lock file.")


def _canary(principal: str, tool: str) -> PolicyRequest:
    return PolicyRequest(principal=principal, role="", tool=tool, resource="canary:none", digest="0" * 64)
