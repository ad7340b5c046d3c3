"""Calls whose outcome nobody knows: the fold that keeps an agent from trying again blind, until a person has looked.

A call is unknown when its author said so (`tool.unknown`), or when the session that began it is over and no end is on
record: the process died with the tool in its hand. It stays unknown until

 1. a person says how it ended (`tool.reconciled`): a reviewer's own key, active, and not whoever answers for the agent;
 2. or, where only the session ended, its author records an end after all;
 3. or a keeper, who is a person at a command that may be repeated, finishes the very same call.

What the agent itself says after `tool.unknown` changes nothing. The gate asks this fold before each call: the agent that
lost a call does not begin the same tool on the same resource again. No other agent is held up by it, or one that was
taken over could hold up all of them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from .approvals.roster import REVIEWER_ROLE, Roster
from .events import (
    SessionClosed,
    SessionOpened,
    ToolFailed,
    ToolFinished,
    ToolReconciled,
    ToolStarted,
    ToolUnknown,
)
from .verified import Verified

KEEPER_ROLE = "keeper"


@dataclass(frozen=True, slots=True)
class Lost:
    """A call whose outcome is not known. resource, digest: "" where it never began on record. told: its author said so.

    position, recorded_at: of the event that began it, or of `tool.unknown` where none did.
    """

    agent: str
    owner: str
    call: str
    tool: str
    resource: str
    digest: str
    run: str | None
    position: int
    recorded_at: datetime
    session: UUID
    told: bool = False


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What a person said about a call. sentence: why that does not count, or ""."""

    call: str
    outcome: str
    by: str
    position: int
    sentence: str = ""


class Outcomes:
    """The fold over all calls; `apply` takes verified events in ledger order, after the roster took them."""

    def __init__(self, roster: Roster) -> None:
        """`roster`: who reviews, after the same prefix of the ledger."""
        self._roster = roster
        self._begun: dict[tuple[str, str], Lost] = {}
        self._unknown: dict[tuple[str, str], Lost] = {}
        self._said: dict[tuple[str, str], list[Reconciled]] = {}

    def apply(self, verified: Verified) -> None:
        """Take the next event."""
        event = verified.event
        if isinstance(event, ToolStarted):
            self._begun[event.author, event.call] = _lost(event, verified)
        elif isinstance(event, ToolUnknown):
            begun = self._begun.pop((event.author, event.call), None) or self._unknown.get((event.author, event.call))
            self._unknown[event.author, event.call] = replace(begun or _lost(event, verified), told=True)
        elif isinstance(event, ToolFinished | ToolFailed):
            self._end(event, verified)
        elif isinstance(event, SessionOpened | SessionClosed):
            self._over(event)
        elif isinstance(event, ToolReconciled):
            self._reconcile(event, verified)

    def unknown(self) -> tuple[Lost, ...]:
        """Return the calls that wait for a person, oldest first."""
        return tuple(sorted(self._unknown.values(), key=lambda lost: lost.position))

    def in_the_way(self, agent: str, tool: str, resource: str, call: str) -> Lost | None:
        """Return an unknown call of this agent that forbids `call` to begin this tool on this resource, or None."""
        same = (lost for lost in self.unknown() if (lost.agent, lost.tool, lost.resource) == (agent, tool, resource))
        return next((lost for lost in same if lost.call != call), None)

    def said(self, agent: str, call: str) -> tuple[Reconciled, ...]:
        """Return what people said about a call, in order, whether or not it counts."""
        return tuple(self._said.get((agent, call), ()))

    def _end(self, event: ToolFinished | ToolFailed, verified: Verified) -> None:
        name = event.author, event.call
        self._begun.pop(name, None)
        lost = self._unknown.get(name)
        repeated = isinstance(event, ToolFinished) and verified.key.role == KEEPER_ROLE
        if lost is not None and (repeated or not lost.told):
            del self._unknown[name]

    def _over(self, event: SessionOpened | SessionClosed) -> None:
        """A session of this author begins or ends: what an earlier one began, or this one leaves, has nobody any more."""
        opens = isinstance(event, SessionOpened)
        over = [
            name for name, lost in self._begun.items()
            if lost.agent == event.author and (lost.session != event.session) == opens
        ]  # fmt: skip
        for name in over:
            self._unknown[name] = self._begun.pop(name)

    def _reconcile(self, event: ToolReconciled, verified: Verified) -> None:
        name = event.agent, event.call
        sentence = self._void(event, verified)
        said = Reconciled(event.call, event.outcome, event.author, verified.position, sentence)
        self._said.setdefault(name, []).append(said)
        if not sentence:
            del self._unknown[name]

    def _void(self, event: ToolReconciled, verified: Verified) -> str:
        lost, known = self._unknown.get((event.agent, event.call)), self._roster.find(event.author)
        if lost is None or lost.tool != event.tool:
            return "no such call is unknown."
        if verified.key.role != REVIEWER_ROLE or known is None or not known.active:
            return f"{event.author} is not an active reviewer."
        if verified.key.owner == lost.owner:
            return f"{verified.key.owner} answers for the agent whose call it is."
        return ""


def _lost(event: ToolStarted | ToolUnknown, verified: Verified) -> Lost:
    return Lost(
        event.author, verified.key.owner, event.call, event.tool, getattr(event, "resource", ""),
        getattr(event, "digest", ""), event.run, verified.position, verified.recorded_at, event.session,
    )  # fmt: skip
