"""What the evidence is worth at a moment: a state for each control, rule and chain, and the risk that is left of each threat.

| state | means |
| --- | --- |
| broken | the newest attack of some scenario that tried it reached its goal |
| held | an attack within the bound was stopped or noticed by it, and evidence says so |
| working | real work within the bound names it, and no attack has tried it lately |
| stale | all its evidence is older than the bound |
| never | nothing on record speaks of it |

Residual risk is a rule of thumb that anybody can recompute: the points of severity times likelihood (1 to 12), of which each
control leaves a part. A control that held leaves LEFT of its type, one that is merely at work leaves the middle between that
and all, any other leaves all; a threat whose attack reached its goal keeps the whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from tenuto.threats import Mitigation, Threat, ThreatModel

from .evidence import Evidence, Exercise, Work

WITHIN = timedelta(days=30)
"""How old evidence may be by default."""
LEFT: Mapping[str, float] = {"preventive": 0.4, "detective": 0.7, "corrective": 0.7, "deterrent": 0.9}
LAYERS_MIN = 2
"""A chain counts as stopped when at least so many of its controls held: one may fail."""

State = Literal["broken", "held", "working", "stale", "never"]


@dataclass(frozen=True, slots=True)
class Judged:
    """One id and what is known of it. exercise: the attack that the state rests on; work: of real events, if any."""

    id: str
    name: str
    state: State
    tried: int
    held: int
    exercise: Exercise | None
    work: Work | None

    @property
    def at(self) -> datetime | None:
        """When the newest evidence was recorded."""
        moments = [one.at for one in (self.exercise, self.work) if one is not None]
        return max(moments, default=None)


@dataclass(frozen=True, slots=True)
class JudgedThreat:
    """One threat: its risk without controls, what is left of it, and the states of the controls that answer it."""

    judged: Judged
    inherent: int
    residual: float
    controls: tuple[Judged, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """All of it at a moment. `within` is how old evidence may be; `size` is how many events it was computed from."""

    at: datetime
    within: timedelta
    size: int
    threats: tuple[JudgedThreat, ...]
    mitigations: tuple[Judged, ...]
    rules: tuple[Judged, ...]
    chains: tuple[Judged, ...]

    @property
    def broken(self) -> tuple[Judged, ...]:
        """Everything whose newest attack reached its goal."""
        return tuple(one for one in (*self.mitigations, *self.rules, *self.chains) if one.state == "broken")

    def count(self, state: State) -> int:
        """How many mitigations are in a state."""
        return sum(one.state == state for one in self.mitigations)


def judge(model: ThreatModel, evidence: Evidence, now: datetime, within: timedelta = WITHIN) -> Report:
    """Return the whole report; a pure function of the ledger, the moment and the bound."""
    since = now - within
    mitigations = {name: _control(name, one.name, evidence, since) for name, one in model.mitigations.items()}
    rules = tuple(_rule(name, rule.name, [mitigations[by] for by in rule.by], evidence, since) for name, rule in model.rules.items())
    chains = tuple(_chain(name, one.name, [mitigations[by] for by in one.by], evidence, since) for name, one in model.chains.items())
    threats = tuple(_threat(threat, model.answering(threat.id), mitigations, evidence, since) for threat in model.threats.values())
    return Report(now, within, evidence.size, threats, tuple(mitigations.values()), rules, chains)


def _control(name: str, said: str, evidence: Evidence, since: datetime) -> Judged:
    tried, held, work = evidence.tried(name), evidence.held(name), evidence.work.get(name)
    lost = next((one for one in tried if one.verdict == "broken"), None)
    if lost is not None:
        return _judged(name, said, "broken", evidence, lost)
    if held and held[0].at >= since:
        return _judged(name, said, "held", evidence, held[0])
    if work is not None and work.at >= since:
        return _judged(name, said, "working", evidence, held[0] if held else None)
    return _judged(name, said, "stale" if held or work is not None else "never", evidence, held[0] if held else None)


def _rule(name: str, said: str, by: Sequence[Judged], evidence: Evidence, since: datetime) -> Judged:
    """A rule is as good as the weakest control that carries it, unless evidence names the rule itself."""
    own = _control(name, said, evidence, since)
    weakest = max(by, key=lambda one: _ORDER.index(one.state))
    if own.state == "broken" or (own.state == "held" and weakest.state != "broken"):
        return own
    if weakest.state == "broken" or _ORDER.index(weakest.state) < _ORDER.index(own.state):
        return Judged(name, said, weakest.state, own.tried, own.held, weakest.exercise, weakest.work)
    return own


def _chain(name: str, said: str, by: Sequence[Judged], evidence: Evidence, since: datetime) -> Judged:
    """A chain is held when an attack along it was stopped, and more than one of the controls in its way is shown to hold."""
    own = _control(name, said, evidence, since)
    standing = [one for one in by if one.state == "held"]
    if own.state == "broken" or len(standing) >= LAYERS_MIN:
        state: State = "broken" if own.state == "broken" else "held"
        last = own.exercise or max((one.exercise for one in standing if one.exercise), key=lambda one: one.position, default=None)
        return Judged(name, said, state, own.tried, len(standing), last, own.work)
    return Judged(name, said, "stale" if own.state == "stale" else "never" if not standing else "working", own.tried, len(standing), own.exercise, own.work)


def _threat(
    threat: Threat, answering: Sequence[Mitigation], states: Mapping[str, Judged], evidence: Evidence, since: datetime
) -> JudgedThreat:
    own = _control(threat.id, threat.name, evidence, since)
    left = float(threat.inherent)
    if own.state != "broken":
        for control in answering:
            part = LEFT[control.type]
            left *= {"held": part, "working": (1 + part) / 2}.get(states[control.id].state, 1.0)
    tried = evidence.tried(threat.id)
    stopped = [one for one in tried if one.verdict == "held"]
    state: State = own.state if own.state == "broken" else "held" if stopped and stopped[0].at >= since else own.state
    judged = Judged(threat.id, threat.name, state, len(tried), len(stopped), stopped[0] if stopped else None, own.work)
    return JudgedThreat(judged, threat.inherent, left, tuple(states[control.id] for control in answering))


def _judged(name: str, said: str, state: State, evidence: Evidence, exercise: Exercise | None) -> Judged:
    return Judged(name, said, state, len(evidence.tried(name)), len(evidence.held(name)), exercise, evidence.work.get(name))


_ORDER: tuple[State, ...] = ("held", "working", "stale", "never", "broken")
