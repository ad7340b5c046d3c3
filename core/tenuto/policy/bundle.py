"""Policy files as rules: who each rule is, where it stands, what it demands, and the digest of all of them.

Cedar itself ignores an annotation it does not know. Here a rule needs an `@id`, may have an `@obligation`, and anything
else beside them is refused: a misspelt `@obligaton("approval")` would be an approval that nobody is asked for.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cedarpy
from cedarpy import pst

from ..errors import NotConfigured
from .decision import ERROR_RULE, NO_PERMIT_RULE, OBLIGATIONS, Obligation

SUFFIX = ".cedar"
BUNDLE_BYTES_MAX = 1024 * 1024
_RULE_NAME = re.compile(r"[a-z0-9][a-z0-9._:/@+-]{0,127}")
_RESERVED = (ERROR_RULE, NO_PERMIT_RULE)
_TOKEN = re.compile(r'//[^\n]*|"(?:\\.|[^"\\])*"|;', re.DOTALL)
_LEAD = re.compile(r"(?:\s|//[^\n]*)*")


@dataclass(frozen=True, slots=True)
class Rule:
    """One policy statement. `tools` are the actions that its head names; none means that it speaks about every tool."""

    id: str
    permits: bool
    obligation: Obligation
    tools: tuple[str, ...]
    place: str
    text: str


@dataclass(frozen=True, slots=True)
class Bundle:
    """All rules by id, the text that holds them, and SHA-256 over the sorted file names and bytes."""

    rules: dict[str, Rule]
    text: str
    digest: str

    def without(self, rule: str) -> Bundle:
        """Return the bundle as it would be if this rule had never been written; its digest names nothing that exists."""
        kept = {name: one for name, one in self.rules.items() if name != rule}
        text = "\n".join(one.text for one in kept.values())
        return Bundle(kept, text, hashlib.sha256(text.encode()).hexdigest())


def read_bundle(paths: Sequence[Path]) -> Bundle:
    """Read the files, and the `*.cedar` of each folder; raises NotConfigured naming file and line."""
    sources = sorted((file.name, _read(file), str(file)) for path in paths for file in _files(path))
    digest = hashlib.sha256()
    rules: dict[str, Rule] = {}
    texts = []
    for name, content, shown in sources:
        for part in (name.encode(), content):
            digest.update(len(part).to_bytes(8, "big") + part)
        text = _decoded(content, shown)
        for line, statement in statements(text):
            rule = _rule(statement, f"{shown}, line {line}")
            if rule.id in rules:
                first = rules[rule.id].place
                raise NotConfigured(f"{rule.place}: there is a rule {rule.id} already, at {first}; name one otherwise.")
            rules[rule.id] = rule
        texts.append(text)
    if sum(len(content) for _, content, _ in sources) > BUNDLE_BYTES_MAX:
        raise NotConfigured(f"The policy files have more than {BUNDLE_BYTES_MAX:,} bytes. Are these the right ones?")
    return Bundle(rules, "\n".join(texts), digest.hexdigest())


def statements(text: str) -> Iterator[tuple[int, str]]:
    """Yield each statement with the line, from 1, on which it begins; what follows the last `;` is one as well."""
    start = 0
    ends = [token.end() for token in _TOKEN.finditer(text) if token.group() == ";"]
    for end in [*ends, len(text)]:
        lead = _LEAD.match(text, start)
        begin = lead.end() if lead else start
        if begin < end:
            yield text.count("\n", 0, begin) + 1, text[begin:end]
        start = end


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        files = sorted(path.glob("*" + SUFFIX))
        if not files:
            raise NotConfigured(f"The policy folder {path} has no file that ends in {SUFFIX}.")
        return files
    if not path.is_file():
        raise NotConfigured(f"There is no policy file at {path}.")
    return [path]


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise NotConfigured(f"The policy file {file} cannot be read: {error.strerror}.") from error


def _decoded(content: bytes, shown: str) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise NotConfigured(f"{shown}, line {line}: the policy file is not UTF-8.") from error


def _rule(statement: str, place: str) -> Rule:
    try:
        parsed = cedarpy.policies_to_pst(statement)
    except ValueError as error:
        raise NotConfigured(f"{place}: the rule that begins here does not parse: {error}.") from error
    if parsed.templates or len(parsed.static_policies) != 1:
        raise NotConfigured(f"{place}: one rule without slots such as ?principal is expected here.")
    (policy,) = parsed.static_policies.values()
    _demand_known_annotations(policy, place)
    obligation = next(known for known in OBLIGATIONS if known == policy.annotations.get("obligation", "none"))
    return Rule(policy.annotations["id"], policy.effect == "permit", obligation, _tools(policy.action), place, statement)


def _demand_known_annotations(policy: pst.Template, place: str) -> None:
    annotations = policy.annotations
    unknown = sorted(set(annotations) - {"id", "obligation"})
    if unknown:
        raise NotConfigured(f"{place}: @{unknown[0]} is not known here; a rule has @id and may have @obligation.")
    name = annotations.get("id", "")
    if not _RULE_NAME.fullmatch(name) or name in _RESERVED:
        reserved = " or ".join(_RESERVED)
        raise NotConfigured(f'{place}: the rule needs an @id("...") in lower case without spaces, not {reserved}.')
    if annotations.get("obligation", "none") not in OBLIGATIONS:
        raise NotConfigured(f"{place}: the obligation of {name} is not one of {', '.join(OBLIGATIONS)}.")
    if "obligation" in annotations and policy.effect != "permit":
        raise NotConfigured(f"{place}: {name} forbids, so nothing can be demanded before it; take @obligation away.")


def _tools(action: pst.ActionConstraint) -> tuple[str, ...]:
    if isinstance(action, pst.ActionEq):
        return (action.entity.id,)
    return tuple(entity.id for entity in action.entities) if isinstance(action, pst.ActionIn) else ()
