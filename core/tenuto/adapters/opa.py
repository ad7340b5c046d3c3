"""Decisions by an Open Policy Agent server, over its REST API (data API, policy API), for sites that have their rules there.

The rule that is asked answers with an object, for example

    {"effect": "allow", "rules": ["sre.applies"], "obligation": "approval"}

and nothing else is understood: undefined, an unknown word, a missing name, a server that is away, slow or in trouble are
all a deny with the rule `error`. So that every decision names the rules that gave it, its bundle is SHA-256 over the
sources of all policies that the server holds and the revisions of its bundles, read before and after the answer; if they
changed in between, that is a deny as well. What stands in OPA's data outside of bundles is not in this digest.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import logging
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from ..errors import NotConfigured, TenutoError
from ..events.policy import RULES_MAX
from ..policy.decision import ERROR_RULE, OBLIGATIONS, Decision, PolicyRequest

OPA_SECONDS = 5.0
ANSWER_BYTES_MAX = 16 * 1024 * 1024
STRANGER = "tenuto.stranger"
_NAME = re.compile(r"[a-z0-9][a-z0-9._:/@+-]{0,127}")
_DATA = re.compile(r"/v1/data(/[A-Za-z0-9_]+)+")
log = logging.getLogger(__name__)


class OpaAway(TenutoError):
    """The server gave no usable answer; inside this module only, where it becomes a deny or a refusal to start."""


class OpaPolicy:
    """Asks one rule of one server. `bundle` and `engine` are those of the last look at it."""

    def __init__(self, rule_url: str, seconds: float = OPA_SECONDS) -> None:
        """`rule_url` is the rule's document, such as `http://127.0.0.1:8181/v1/data/tenuto/decision`.

        Raises NotConfigured when it is no such address, the server is away, the rule is undefined, or lets a stranger pass.
        """
        parts = urlsplit(rule_url)
        if parts.scheme not in ("http", "https") or not parts.hostname or not _DATA.fullmatch(parts.path) or parts.query:
            raise NotConfigured(f"{rule_url!r:.200} is not a rule of OPA, such as http://127.0.0.1:8181/v1/data/tenuto/decision.")
        self._url, self._parts, self._seconds = rule_url, parts, seconds
        try:
            self.engine, self.bundle = self._engine(), self._digest(self._provenance())
            answer = _understood(self._ask(_stranger()))
        except OpaAway as away:
            raise NotConfigured(f"The policy at {rule_url} cannot be used: {away}") from away
        if answer[0] != "deny":
            raise NotConfigured(f"The policy at {rule_url} lets an agent that nobody knows call {STRANGER}; name who may.")

    def decide(self, request: PolicyRequest) -> Decision:
        """Answer one request; whatever goes wrong is a deny with ERROR_RULE, and the log says what it was."""
        try:
            before = self._digest(self._provenance())
            effect, rules, obligation = _understood(self._ask(_input(request)))
            after = self._digest(self._provenance())
        except (OpaAway, TypeError, ValueError) as error:
            log.error("Policy at %s: %s It counts as a deny.", self._url, error)
            return self._denied()
        if before != after:
            log.error("Policy at %s changed while it was asked. It counts as a deny.", self._url)
            return self._denied()
        self.bundle = after
        return Decision(effect=effect, rules=rules, bundle=after, engine=self.engine, obligation=obligation)

    def _denied(self) -> Decision:
        return Decision(effect="deny", rules=(ERROR_RULE,), bundle=self.bundle, engine=self.engine)

    def _ask(self, question: Mapping[str, Any]) -> Any:
        body = self._call("POST", self._parts.path, {"input": question})
        if "result" not in body:
            raise OpaAway("the rule is undefined for this question.")
        return body["result"]

    def _engine(self) -> str:
        version = self._provenance().get("version")
        name = f"opa/{version}"
        if not isinstance(version, str) or not _NAME.fullmatch(name):
            raise OpaAway("it does not say which version it is.")
        return name

    def _provenance(self) -> dict[str, Any]:
        found = self._call("POST", self._parts.path + "?provenance=true", {"input": _stranger()}).get("provenance")
        if not isinstance(found, dict):
            raise OpaAway("it does not say what its answers come from.")
        return found

    def _digest(self, provenance: Mapping[str, Any]) -> str:
        listed = self._call("GET", "/v1/policies", None).get("result")
        if not isinstance(listed, list):
            raise OpaAway("it does not list its policies.")
        try:
            sources = sorted((str(one["id"]), str(one["raw"])) for one in listed)
            bundles = sorted((name, str(one["revision"])) for name, one in provenance.get("bundles", {}).items())
        except (KeyError, TypeError, AttributeError) as error:
            raise OpaAway("it lists its policies in another form than OPA's.") from error
        return hashlib.sha256(json.dumps([sources, bundles]).encode()).hexdigest()

    def _call(self, method: str, path: str, body: Mapping[str, Any] | None) -> dict[str, Any]:
        connect = http.client.HTTPSConnection if self._parts.scheme == "https" else http.client.HTTPConnection
        assert self._parts.hostname is not None
        connection = connect(self._parts.hostname, self._parts.port, timeout=self._seconds)
        try:
            content = None if body is None else json.dumps(body, allow_nan=False)
            connection.request(method, path, content, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            text = answer.read(ANSWER_BYTES_MAX + 1)
            if answer.status != 200 or len(text) > ANSWER_BYTES_MAX:
                raise OpaAway(f"it answers {method} {path} with {answer.status} and {len(text):,} bytes.")
            found = json.loads(text)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise OpaAway(f"{method} {path} gave no answer ({type(error).__name__}: {error}).") from error
        finally:
            connection.close()
        if not isinstance(found, dict):
            raise OpaAway(f"the answer to {method} {path} is no JSON object.")
        return found


def _understood(result: Any) -> tuple[Any, tuple[str, ...], Any]:
    """Return effect, rules and obligation; raises OpaAway for anything that is not exactly an answer."""
    if not isinstance(result, dict) or set(result) - {"effect", "rules", "obligation"}:
        raise OpaAway("the answer is no object with effect, rules and obligation.")
    effect, rules, obligation = result.get("effect"), result.get("rules"), result.get("obligation", "none")
    if effect not in ("allow", "deny") or obligation not in OBLIGATIONS or (effect == "deny" and obligation != "none"):
        raise OpaAway(f"the effect {effect!r:.40} with the obligation {obligation!r:.40} is none that is known.")
    if not isinstance(rules, list) or not rules or len(rules) > RULES_MAX:
        raise OpaAway(f"it does not name between 1 and {RULES_MAX} rules that decided.")
    if not all(isinstance(rule, str) and _NAME.fullmatch(rule) for rule in rules):
        raise OpaAway("it names a rule in other characters than lower case letters, digits and ._:/@+-.")
    return effect, tuple(sorted(rules)), obligation


def _input(request: PolicyRequest) -> dict[str, Any]:
    kind, _, name = request.resource.partition(":")
    return {
        "principal": {"id": request.principal, "role": request.role}, "tool": request.tool,
        "resource": {"id": request.resource, "kind": kind, "name": name}, "digest": request.digest,
        "subject": request.subject, "risks": list(request.risks), "initiator": request.initiator,
        "arguments": dict(request.arguments),
    }  # fmt: skip


def _stranger() -> dict[str, Any]:
    return _input(PolicyRequest(principal=STRANGER, role="", tool=STRANGER, resource="canary:none", digest="0" * 64))
