"""The threat model as data: what must be defended (T), by what (M), under which rules (R), and along which chains (C).

The ids stand in `refs` of events, so that what is shown to work is computed from the record. They are those of the MAESTRO
worked example "Multi-Agent DevOps Deployment System" (OWASP GenAI Security Project) and never change; the words are ours.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal

import msgspec

from ..errors import NotConfigured

Severity = Literal["low", "medium", "high", "critical"]
Likelihood = Literal["unlikely", "possible", "likely"]
ControlType = Literal["preventive", "detective", "corrective", "deterrent"]

SEVERITY_POINTS: Mapping[str, int] = {"low": 1, "medium": 2, "high": 3, "critical": 4}
LIKELIHOOD_POINTS: Mapping[str, int] = {"unlikely": 1, "possible": 2, "likely": 3}
EVERY_THREAT = "all"


@dataclass(frozen=True, slots=True)
class Threat:
    """What an attacker, or an accident, wants. `layers` are MAESTRO's L1 to L7."""

    id: str
    name: str
    layers: tuple[str, ...]
    severity: Severity
    likelihood: Likelihood

    @property
    def inherent(self) -> int:
        """Risk without any control, 1 to 12: points of severity times points of likelihood."""
        return SEVERITY_POINTS[self.severity] * LIKELIHOOD_POINTS[self.likelihood]


@dataclass(frozen=True, slots=True)
class Mitigation:
    """One control. `threat` is the id of the threat that it answers, or `all`."""

    id: str
    threat: str
    type: ControlType
    name: str


@dataclass(frozen=True, slots=True)
class Rule:
    """One business rule, and the mitigations that carry it."""

    id: str
    name: str
    by: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Chain:
    """An attack over several layers, and the mitigations that stand in its way, in the order of its steps."""

    id: str
    name: str
    steps: tuple[str, ...]
    by: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ThreatModel:
    """All of it, each part by its id, in the order of the ids."""

    threats: Mapping[str, Threat]
    mitigations: Mapping[str, Mitigation]
    rules: Mapping[str, Rule]
    chains: Mapping[str, Chain]

    def answering(self, threat: str) -> tuple[Mitigation, ...]:
        """The mitigations of one threat, those of every threat included."""
        return tuple(one for one in self.mitigations.values() if one.threat in (threat, EVERY_THREAT))

    def knows(self, name: str) -> bool:
        """Whether an id is one of this model."""
        return any(name in part for part in (self.threats, self.mitigations, self.rules, self.chains))


@cache
def load_threat_model() -> ThreatModel:
    """Read the model that ships with this package; raises NotConfigured when its parts do not fit together."""
    found = tomllib.loads((files(__package__) / "model.toml").read_text("utf-8"))
    named = {part: {name: {"id": name, **one} for name, one in entries.items()} for part, entries in found.items()}
    model = msgspec.convert(named, ThreatModel)
    _demand_whole(model)
    return model


def _demand_whole(model: ThreatModel) -> None:
    named = [(one.id, one.threat) for one in model.mitigations.values() if one.threat != EVERY_THREAT]
    named += [(rule.id, by) for rule in model.rules.values() for by in rule.by]
    named += [(chain.id, by) for chain in model.chains.values() for by in chain.by]
    for name, meant in named:
        if not model.knows(meant):
            raise NotConfigured(f"The threat model's {name} names {meant}, which is not in it. Mend core/tenuto/threats/model.toml.")
