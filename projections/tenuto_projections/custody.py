"""The chain of custody of a deployment, from the verified log alone: what came in, who judged it, who cleared it having seen
what, what was put where, and what happened after.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from tenuto.approvals import Approvals, Standing
from tenuto.approvals.coverage import Covered
from tenuto.approvals.fold import NotGranted
from tenuto.documents import PullRequest
from tenuto.events import (
    AlertRaised,
    ApprovalRequested,
    DecisionMade,
    DeploymentHealthy,
    DeploymentQuarantined,
    DeploymentRolledBack,
    DeploymentStarted,
    DeploymentUnhealthy,
    Event,
    PolicyDecided,
    RunFinished,
    RunStarted,
    SpotcheckDrawn,
    SpotcheckSigned,
)
from tenuto.verification import Verified

from .payloads import document
from .stages import sentence

PREFIX_MIN = 8
"""So many digits of an artifact's digest name it."""
AFTER = (DeploymentHealthy, DeploymentUnhealthy, DeploymentRolledBack, DeploymentQuarantined)


class NothingDeployed(LookupError):
    """No run, deployment or artifact of this name is in the signed log."""


@dataclass(frozen=True, slots=True)
class Link:
    """One step of the chain: which station, where it stands in the log, and what it says.

    said: made of signed header fields. told: a stranger's words from a payload, to be shown as text; "" where there are none.
    """

    station: str
    position: int
    at: datetime
    author: str
    said: str
    told: str = ""
    insecure_demo: bool = False


@dataclass
class _Run:
    links: list[Link] = field(default_factory=list)
    approvals: dict[str, Verified] = field(default_factory=dict)
    deployments: set[str] = field(default_factory=set)
    artifacts: set[str] = field(default_factory=set)
    calls: set[str] = field(default_factory=set)


class Custody:
    """The fold. `take` gets every verified event in order, with payloads opened where they may be."""

    def __init__(self) -> None:
        """Start before the first event."""
        self.approvals = Approvals()
        self._runs: dict[str, _Run] = {}
        self._run_of: dict[str, str] = {}
        self._now: datetime | None = None

    def take(self, verified: Verified) -> None:
        """Take the next event."""
        event, self._now = verified.event, verified.recorded_at
        self.approvals.apply(verified)
        run = event.run or self._run_of.get(getattr(event, "approval", "")) or self._run_of.get(getattr(event, "deployment", ""))
        if run is None:
            return
        here = self._runs.setdefault(run, _Run())
        if isinstance(event, ApprovalRequested):
            here.approvals[event.approval] = verified
            self._run_of[event.approval] = run
        elif isinstance(event, DeploymentStarted):
            here.deployments.add(event.deployment)
            here.artifacts.add(event.artifact)
            self._run_of[event.deployment] = run
        station = _station(event)
        if station:
            here.links.append(_link(station, verified))

    def chain(self, name: str) -> Iterator[Link]:
        """Yield the chain of a run, a deployment or an artifact (at least PREFIX_MIN digits), in ledger order.

        Raises NothingDeployed for a name that none of them has.
        """
        run = self._named(name)
        here = self._runs[run]
        links = [*here.links]
        for approval in here.approvals:
            links.extend(self._votes(approval))
        yield from sorted(links, key=lambda link: link.position)

    def runs(self) -> tuple[str, ...]:
        """The runs that deployed something, oldest first."""
        return tuple(name for name, run in self._runs.items() if run.deployments)

    def _named(self, name: str) -> str:
        if name in self._runs:
            return name
        wanted = (run for run, here in self._runs.items() if name in here.deployments or _is_artifact(name, here.artifacts))
        found = next(iter(list(wanted)[::-1]), None)
        if found is None:
            raise NothingDeployed(f"No run, deployment or artifact {name} is in the signed log. `tenuto log --kind deployment.started` lists them.")
        return found

    def _votes(self, approval: str) -> Iterator[Link]:
        assert self._now is not None
        standing: Standing = self.approvals.standing(approval, self._now)
        for vote in standing.votes:
            what = "approves" if vote.decision == "approve" else "denies"
            seen = _seen(self._covered(approval, vote.reviewer))
            counts = "" if vote.counts else f" It does not count (rule {vote.rule}): {vote.sentence}"
            yield Link(
                "approval", vote.position, vote.recorded_at, vote.reviewer, f"{vote.reviewer} {what} {approval}{seen}.{counts}",
                insecure_demo=vote.insecure_demo,
            )  # fmt: skip

    def _covered(self, approval: str, reviewer: str) -> Covered | None:
        try:
            return self.approvals.coverage(approval, reviewer)
        except NotGranted:
            return None


def custody_of(pages: Iterable[Iterable[Verified]]) -> Custody:
    """Fold a whole log."""
    custody = Custody()
    for page in pages:
        for verified in page:
            custody.take(verified)
    return custody


def _station(event: Event) -> str:
    match event:
        case RunStarted():
            return "pull request"
        case DecisionMade():
            return "verdict"
        case PolicyDecided():
            return "policy"
        case ApprovalRequested():
            return "plan" if "plan" in event.subject else "request"
        case DeploymentStarted():
            return "deployment"
        case SpotcheckDrawn() | SpotcheckSigned():
            return "second look"
        case AlertRaised():
            return "alert"
        case RunFinished():
            return "end"
    if isinstance(event, AFTER):
        return "after"
    return "call" if event.kind in ("approval.consumed", "tool.started", "tool.failed", "tool.unknown") else ""


def _link(station: str, verified: Verified) -> Link:
    event, told = verified.event, ""
    said = sentence(event)
    if isinstance(event, RunStarted):
        pull_request = document(verified, PullRequest)
        told = "" if pull_request is None else f"{pull_request.title} (by {pull_request.author}, in {pull_request.repository})"
        said += f" From {event.base} to {event.head}." if event.base and event.head else ""
    elif isinstance(event, DecisionMade):
        said += " It diverges from the analysis." if event.diverges else ""
    elif isinstance(event, ApprovalRequested):
        said += f" Digest {event.digest}."
    elif isinstance(event, DeploymentStarted):
        said += f" Artifact {event.artifact}."
    return Link(station, verified.position, verified.recorded_at, event.author, said, told, verified.key.insecure_demo)


def _seen(covered: Covered | None) -> str:
    if covered is None:
        return ""
    missing = covered.sentence
    return ", having seen every piece that carries a risk for its least time" if not missing else f", without having seen all: {missing}"


def _is_artifact(name: str, artifacts: Iterable[str]) -> bool:
    return len(name) >= PREFIX_MIN and any(one.startswith(name) for one in artifacts)
