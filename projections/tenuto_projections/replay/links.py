"""What led to what, and what allowed it: the causal chain of an event, from the verified log alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from tenuto.approvals import Approvals, Standing
from tenuto.events import PolicyDecided
from tenuto.following import Follower
from tenuto.verification import Verified

from ..stages import sentence
from ..walked import Walked

DEPTH_MAX = 64
BRANCHES_MAX = 2000


class NothingFound(LookupError):
    """No such event is in the signed log."""


@dataclass(frozen=True, slots=True)
class Link:
    """An event in a chain. depth: steps back from where the question began. missing: its id is named but not in the log.

    again: it stands above already, so its own causes are not repeated.
    """

    id: UUID
    position: int | None
    recorded_at: datetime | None
    author: str
    kind: str
    said: str
    causes: tuple[UUID, ...]
    call: str | None = None
    approval: str | None = None
    depth: int = 0
    again: bool = False

    @property
    def missing(self) -> bool:
        """Whether the event is not in the signed log."""
        return self.position is None


@dataclass(frozen=True, slots=True)
class Permission:
    """What cleared the call or action: policy's answers and the approvals with every vote, as of the event asked about."""

    policies: tuple[PolicyDecided, ...]
    approvals: tuple[Standing, ...]


class Links:
    """All events of the log by id, as little of each as a chain needs (about a kilobyte)."""

    def __init__(self) -> None:
        """Start before the first event."""
        self.target: Verified | None = None
        self._links: dict[UUID, Link] = {}
        self._effects: list[Link] = []
        self._policies: dict[str, list[PolicyDecided]] = {}
        self._approvals = Approvals()
        self._standings: tuple[tuple[Standing, str | None], ...] = ()

    def walk(self, follower: Follower, wanted: str, walked: Walked) -> Verified:
        """Walk the whole log and return the event `wanted`, an id or a position.

        Raises NothingFound, and VerificationFailed wherever in the log the fault is.
        """
        for page in follower.pages():
            walked.take(page)
            for verified in page:
                self._take(verified, wanted)
        walked.verify(follower)
        if self.target is None:
            raise NothingFound(f"No event {wanted} is in the {follower.walk.size:,} events that the log has signed.")
        return self.target

    def chain(self) -> Iterator[Link]:
        """Yield the event asked about and its causes, depth first, up to the roots; DEPTH_MAX and BRANCHES_MAX hold."""
        assert self.target is not None
        seen: set[UUID] = set()
        stack = [(self.target.event.id, 0)]
        while stack and len(seen) < BRANCHES_MAX:
            name, depth = stack.pop()
            link = replace(self._links.get(name) or _unknown(name), depth=depth, again=name in seen)
            yield link
            if name not in seen and depth < DEPTH_MAX:
                stack.extend((cause, depth + 1) for cause in reversed(link.causes))
            seen.add(name)

    def effects(self) -> Sequence[Link]:
        """Return the events that name the one asked about as their cause."""
        return self._effects

    def permission(self, chain: Iterable[Link]) -> Permission:
        """Return what policy and people said about the calls in this chain, by name or by the approval they used up."""
        links = list(chain)
        calls = dict.fromkeys(link.call for link in links if link.call)
        names = {link.approval for link in links if link.approval}
        return Permission(
            policies=tuple(policy for call in calls for policy in self._policies.get(call, ())),
            approvals=tuple(
                standing
                for standing, consumed_by in self._standings
                if standing.request.event.approval in names or consumed_by in calls
            ),
        )

    def _take(self, verified: Verified, wanted: str) -> None:
        event = verified.event
        self._links[event.id] = _link(verified)
        if self.target is not None:
            if self.target.event.id in event.cause:
                self._effects.append(self._links[event.id])
            return
        self._approvals.apply(verified)
        if isinstance(event, PolicyDecided):
            self._policies.setdefault(event.call, []).append(event)
        if wanted in (str(event.id), str(verified.position)):
            self.target = verified
            self._standings = tuple(
                (self._approvals.standing(name, verified.recorded_at), self._approvals.consumed_by(name))
                for name in self._approvals.requests()
            )


def _link(verified: Verified) -> Link:
    event = verified.event
    return Link(
        id=event.id, position=verified.position, recorded_at=verified.recorded_at, author=event.author, kind=event.kind,
        said=sentence(event), causes=event.cause, call=getattr(event, "call", None),
        approval=getattr(event, "approval", None),
    )  # fmt: skip


def _unknown(name: UUID) -> Link:
    return Link(name, None, None, "", "", "It is named as a cause, but no such event is in the log.", ())
