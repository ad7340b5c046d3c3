"""Decisions by a real Open Policy Agent, and that nothing that can go wrong with it is an allow."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from tenuto.adapters import opa
from tenuto.adapters.opa import OpaPolicy
from tenuto.errors import NotConfigured
from tenuto.policy import PolicyRequest
from tenuto.settings import load_settings
from tenuto.wiring import open_policy

from tests.opa.server import OpaServer

REGO = """
package tenuto

default decision := {"effect": "deny", "rules": ["no_permit"]}

is_apply if {
    input.principal == {"id": "infrastructure", "role": "agent"}
    input.tool == "terraform.apply"
    input.resource.kind == "stack"
}

deletes if "deletion" in input.risks

decision := {"effect": "deny", "rules": ["plan.over_limit"]} if { is_apply; input.arguments.resources > 20 }
else := {"effect": "allow", "rules": ["applies", "deletes"], "obligation": "approval_and_one_more"} if { is_apply; deletes }
else := {"effect": "allow", "rules": ["applies"], "obligation": "approval"} if is_apply
"""
APPLY: dict[str, Any] = {
    "principal": "infrastructure", "role": "agent", "tool": "terraform.apply", "resource": "stack:shop",
    "digest": "d" * 64, "arguments": {"resources": 3},
}  # fmt: skip


@pytest.fixture
def server(opa_server: OpaServer) -> Iterator[OpaServer]:
    opa_server.put("tenuto", REGO)
    yield opa_server
    opa_server.drop("tenuto")


def rule(server: OpaServer, name: str = "decision") -> str:
    return f"{server.address}/v1/data/tenuto/{name}"


def ask(policy: OpaPolicy, **changes: object):
    return policy.decide(PolicyRequest(**APPLY | changes))


def refusal(url: str) -> str:
    with pytest.raises(NotConfigured) as caught:
        OpaPolicy(url)
    return str(caught.value)


def test_the_rules_of_the_server_decide_and_are_named(server):
    policy = OpaPolicy(rule(server))
    decision = ask(policy)
    assert (decision.effect, decision.obligation, decision.rules) == ("allow", "approval", ("applies",))
    assert decision.engine == "opa/1.18.0"
    deletes = ask(policy, risks=("deletion",))
    assert (deletes.obligation, deletes.rules) == ("approval_and_one_more", ("applies", "deletes"))
    assert ask(policy, arguments={"resources": 21}).rules == ("plan.over_limit",)
    assert ask(policy, principal="stranger").rules == ("no_permit",)
    assert ask(policy, role="reviewer").effect == "deny"


def test_the_bundle_of_a_decision_is_the_digest_of_the_policies_that_the_server_holds(server):
    policy = OpaPolicy(rule(server))
    first = ask(policy).bundle
    server.put("tenuto", REGO + "\n# an edit\n")
    second = ask(policy).bundle
    server.put("tenuto", REGO)
    assert len(first) == 64
    assert first != second
    assert ask(policy).bundle == first


def test_the_settings_name_an_opa_rule(server):
    settings = load_settings({"TENUTO_POLICY": rule(server)})
    assert isinstance(open_policy(settings.policy), OpaPolicy)


def test_a_rule_that_is_not_defined_is_refused_at_the_start_and_later_a_deny(server):
    assert "undefined" in refusal(rule(server, "decisions"))
    policy = OpaPolicy(rule(server))
    server.put("tenuto", "package tenuto\n")
    decision = ask(policy)
    assert (decision.effect, decision.rules) == ("deny", ("error",))


def test_a_policy_that_lets_strangers_pass_is_refused(server):
    server.put("tenuto", 'package tenuto\ndecision := {"effect": "allow", "rules": ["all"]}\n')
    assert "lets an agent that nobody knows" in refusal(rule(server))


@pytest.mark.parametrize(
    "answer",
    ['"allow"', "true", '{"effect": "allow"}', '{"effect": "allow", "rules": []}', '{"effect": "ALLOW", "rules": ["a"]}',
     '{"effect": "allow", "rules": ["a"], "obligation": "aproval"}', '{"effect": "allow", "rules": ["A Rule"]}',
     '{"effect": "allow", "rules": ["a"], "obligaton": "approval"}', '{"effect": "allow", "rules": "a"}',
     '{"effect": "allow", "rules": [1]}', '{"effect": "allow", "rules": ["a"], "obligation": null}',
     '{"effect": "allow", "rules": [sprintf("r%d", [n]) | some n in numbers.range(1, 33)]}'],
)  # fmt: skip
def test_an_answer_that_is_not_understood_whole_is_a_deny(server, answer):
    policy = OpaPolicy(rule(server))
    only = f'package tenuto\ndefault decision := {{"effect": "deny", "rules": ["none"]}}\ndecision := {answer} if input.tool == "terraform.apply"\n'
    server.put("tenuto", only)
    decision = ask(policy)
    assert (decision.effect, decision.rules) == ("deny", ("error",))


def test_rules_that_contradict_each_other_are_a_deny(server):
    policy = OpaPolicy(rule(server))
    both = 'decision := {"effect": "allow", "rules": ["a"]} if input.tool == "terraform.apply"\n'
    server.put("tenuto", f'package tenuto\n{both}{both.replace("allow", "deny")}')
    assert ask(policy).rules == ("error",)


def test_a_server_that_went_away_is_a_deny_and_one_that_never_was_a_refusal(server, opa_server, tmp_path):
    own = OpaServer(opa_server._program, tmp_path)
    with own:
        own.put("tenuto", REGO)
        policy = OpaPolicy(rule(own))
    decision = ask(policy)
    assert (decision.effect, decision.rules, decision.engine) == ("deny", ("error",), "opa/1.18.0")
    assert "gave no answer" in refusal(rule(own))


@pytest.mark.parametrize(
    "url",
    ["ftp://h/v1/data/a", "http:///v1/data/a", "http://h:8181/v1/query", "http://h:8181/v1/data", "http://h/v1/data/a?x=1",
     "http://h/v1/data/../policies"],
)  # fmt: skip
def test_an_address_that_is_no_rule_is_refused(url):
    assert "is not a rule of OPA" in refusal(url)


@pytest.mark.parametrize("changes", [{"arguments": {"n": float("nan")}}, {"arguments": {"n": {1, 2}}}, {"tool": b"x"}])
def test_a_request_that_cannot_be_put_to_the_server_is_a_deny(server, changes):
    assert ask(OpaPolicy(rule(server)), **changes).rules == ("error",)


class _Cheat(BaseHTTPRequestHandler):
    """What no OPA would do. `scenario` is set by the test."""

    scenario = ""
    lists = 0

    def do_POST(self) -> None:
        stranger = b"tenuto.stranger" in self.rfile.read(int(self.headers["Content-Length"]))
        body: Any = {"result": {"effect": "deny" if stranger else "allow", "rules": ["a"]}}
        if "provenance" in self.path:
            body["provenance"] = {"version": "9.9.9"}
        self._answer(body)

    def do_GET(self) -> None:
        type(self).lists += 1
        changing = str(type(self).lists) if self.scenario == "changing" else ""
        self._answer({"result": [{"id": "p", "raw": "package p" + changing}]})

    def _answer(self, body: Any) -> None:
        content = json.dumps(body).encode()
        if self.scenario == "huge":
            content = b" " * (opa.ANSWER_BYTES_MAX + 1)
        if self.scenario == "no json":
            content = b"<html>"
        elif self.scenario == "nested":
            content = b'{"result":' + b"[" * 100_000
        self.send_response(500 if self.scenario == "broken" else 200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.scenario != "silent":
            self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def cheat() -> Iterator[str]:
    _Cheat.scenario, _Cheat.lists = "", 0
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Cheat)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/v1/data/tenuto/decision"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("scenario", ["huge", "no json", "nested", "broken", "silent", "changing"])
def test_a_server_that_does_not_answer_as_opa_does_is_a_deny(cheat, scenario):
    policy = OpaPolicy(cheat, seconds=60)
    assert ask(policy).effect == "allow"
    _Cheat.scenario, policy._seconds = scenario, 0.5 if scenario == "silent" else 60
    assert ask(policy).rules == ("error",)
