"""Who reviews: the fold over keys, passkeys and `reviewer.*` events. One key registered by the root with the role reviewer
is enough, and so is one enrolled passkey.

A reviewer whom no `reviewer.enrolled` names may be asked for everything, at any time; enrolment narrows that. The cap is
ten decisions in any sliding 60 minutes until a `reviewer.limited` of the root says otherwise, and only that can.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from ..events import (
    KeyRegistered,
    KeyRevoked,
    KeyRotated,
    PasskeyEnrolled,
    PasskeyRevoked,
    ReviewerBound,
    ReviewerEnrolled,
    ReviewerLimited,
    ReviewerUnbound,
)
from ..events.reviewer import SPOTCHECK_SECONDS
from ..verified import Verified
from .identities import Identities

DECISIONS_PER_HOUR_MAX = 10
CAP_WINDOW = timedelta(minutes=60)
ESCALATE_SECONDS = 900
REVIEWER_ROLE = "reviewer"
ROLE_OF_RISK = {"security_group": "security", "iam": "security", "public_endpoint": "security"}
"""Risks that a particular role looks at; everything else is for any reviewer."""


@dataclass(frozen=True, slots=True)
class Reviewer:
    """One reviewer. keys: the valid ones. roles: None means all. shift: minutes of the UTC day, None means always.

    passkey_only: whether a decision counts only by passkey.
    """

    name: str
    owner: str
    keys: frozenset[str] = frozenset()
    roles: frozenset[str] | None = None
    shift: tuple[int, int] | None = None
    active: bool = True
    passkey_only: bool = False

    def lacks(self, risks: Collection[str]) -> str:
        """Return a role that these risks ask for and this reviewer does not have, or ""."""
        if self.roles is None:
            return ""
        needed = sorted({ROLE_OF_RISK[risk] for risk in risks if risk in ROLE_OF_RISK})
        return next((role for role in needed if role not in self.roles), "")

    def on_shift(self, now: datetime) -> bool:
        """Whether `now` (UTC) is in the shift; the end is not."""
        if self.shift is None:
            return True
        start, end = self.shift
        minute = now.hour * 60 + now.minute
        return start <= minute < end if start < end else minute >= start or minute < end

    def next_shift(self, now: datetime) -> datetime:
        """Return when the shift begins next; `now` when it is on."""
        if self.shift is None or self.on_shift(now):
            return now
        begins = now.replace(hour=self.shift[0] // 60, minute=self.shift[0] % 60, second=0, microsecond=0)
        return begins if begins > now else begins + timedelta(days=1)


class Roster:
    """The reviewers and their limits after a prefix of the ledger."""

    def __init__(self) -> None:
        """Start before the first event."""
        self.decisions_per_hour = DECISIONS_PER_HOUR_MAX
        self.escalate_after = timedelta(seconds=ESCALATE_SECONDS)
        self.second_look_within = timedelta(seconds=SPOTCHECK_SECONDS)
        self.identities = Identities()
        self._known: dict[str, Reviewer] = {}
        self._enrolled: dict[str, ReviewerEnrolled] = {}

    def reviewers(self) -> tuple[Reviewer, ...]:
        """Return everybody with a valid reviewer's key, by name."""
        return tuple(self._known[name] for name in sorted(self._known) if self._known[name].keys)

    def everybody(self) -> tuple[Reviewer, ...]:
        """Return everybody who ever had a reviewer's key, by name; whose keys all ended has none."""
        return tuple(self._known[name] for name in sorted(self._known))

    def find(self, name: str) -> Reviewer | None:
        """Return the reviewer of this name, whether or not there is a valid key."""
        return self._known.get(name)

    def apply(self, verified: Verified) -> None:
        """Take the next event; it was verified, so only who may say it has said it."""
        event = verified.event
        if isinstance(event, KeyRegistered):
            if event.role == REVIEWER_ROLE:
                known = self._known.get(event.subject) or self._new(event.subject, event.owner)
                self._set(replace(known, owner=event.owner, keys=known.keys | {event.subject_key_id}))
        elif isinstance(event, KeyRotated | KeyRevoked) and event.subject in self._known:
            known = self._known[event.subject]
            ended = event.old_key_id if isinstance(event, KeyRotated) else event.subject_key_id
            begun = {event.subject_key_id} if isinstance(event, KeyRotated) else set()
            self._set(replace(known, keys=known.keys - {ended} | begun))
        elif isinstance(event, PasskeyEnrolled):
            known = self._known.get(event.reviewer) or self._new(event.reviewer, event.owner)
            self._set(replace(known, keys=known.keys | {event.credential}))
        elif isinstance(event, PasskeyRevoked) and event.reviewer in self._known:
            known = self._known[event.reviewer]
            self._set(replace(known, keys=known.keys - {event.credential}))
        elif isinstance(event, ReviewerEnrolled):
            self._enrolled[event.reviewer] = event
            if event.reviewer in self._known:
                self._set(self._as_enrolled(self._known[event.reviewer]))
        elif isinstance(event, ReviewerBound | ReviewerUnbound):
            named = self._known.get(event.reviewer)
            self.identities.apply(event, verified.key, verified.position, owner=named.owner if named else event.reviewer)
        elif isinstance(event, ReviewerLimited):
            self.decisions_per_hour = event.decisions_per_hour
            self.escalate_after = timedelta(seconds=event.escalate_seconds)
            self.second_look_within = timedelta(seconds=event.spotcheck_seconds)

    def _new(self, name: str, owner: str) -> Reviewer:
        return self._as_enrolled(Reviewer(name, owner))

    def _as_enrolled(self, reviewer: Reviewer) -> Reviewer:
        event = self._enrolled.get(reviewer.name)
        if event is None:
            return reviewer
        whole = event.shift_start is None or event.shift_end is None or event.shift_start == event.shift_end
        shift = None if whole else (event.shift_start or 0, event.shift_end or 0)
        roles = frozenset(event.roles)
        return replace(reviewer, roles=roles, shift=shift, active=event.active, passkey_only=event.passkey_only)

    def _set(self, reviewer: Reviewer) -> None:
        self._known[reviewer.name] = reviewer
