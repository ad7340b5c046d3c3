"""A second reading of the rules, written from their text and not from the fold: no state, everything from the whole history.

Slow on purpose. Every question goes back to the first event, so nothing can be carried along wrongly. It shares with the
fold the event classes and the numbers, and no function.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from tenuto.approvals.pieces import FLOOR
from tenuto.verification import Verified

HOUR = timedelta(hours=1)
SECURITY = {"iam", "security_group", "public_endpoint"}
GONE = {"deletion", "replacement"}
PEOPLE = {"none": 0, "approval": 1, "approval_and_one_more": 2}


@dataclass(frozen=True)
class Reading:
    """The history up to some event, as somebody reads it who trusts no summary."""

    events: Sequence[Verified]

    def of(self, kind: str, **fields: Any) -> list[Verified]:
        """Every event of a kind with these values, oldest first."""
        return [
            one for one in self.events
            if one.event.kind == kind and all(getattr(one.event, name) == value for name, value in fields.items())
        ]  # fmt: skip

    def before(self, one: Verified) -> Reading:
        return Reading(self.events[: one.position])

    def request(self, approval: str) -> Verified | None:
        return next(iter(self.of("approval.requested", approval=approval)), None)

    def needed(self, approval: str) -> int | None:
        """How many people, or None where nobody can clear it."""
        asked = self.request(approval)
        assert asked is not None
        event, past = asked.event, self.before(asked)
        decided = [one.event for one in past.of("policy.decided", author=event.author) if one.event.id in event.cause]
        if not decided or decided[0].effect != "allow" or event.call not in (None, decided[0].call):
            return None
        wanted = past.of("tool.requested", author=event.author, call=decided[0].call)
        if not wanted or any(getattr(wanted[0].event, name) != getattr(event, name) for name in ("tool", "resource", "digest")):
            return None
        by_risk = 2 if GONE & set(event.risks) else 1 if SECURITY & set(event.risks) else 0
        return max(PEOPLE[decided[0].obligation], by_risk, event.quorum)

    def call(self, approval: str) -> str:
        asked = self.request(approval)
        assert asked is not None
        return next(
            (one.event.call for one in self.of("policy.decided", author=asked.event.author) if one.event.id in asked.event.cause), ""
        )

    def pieces(self, approval: str) -> list[tuple[str, str, str, int]] | None:
        """The list that the request commits to, or None where there is none."""
        asked = self.request(approval)
        assert asked is not None
        event = asked.event
        parts = [one.event for one in self.before(asked).of("approval.listed", author=event.author, approval=approval)]
        if any(part.digest != event.digest or len(part.pieces) != len(part.names) for part in parts):
            return None
        rows = [row for part in parts for row in zip(part.pieces, part.names, part.risks, part.milliseconds, strict=True)]
        text = "tenuto pieces v1\n" + "".join(f"{a} {b} {c} {d}\n" for a, b, c, d in rows)
        if not rows or hashlib.sha256(text.encode()).hexdigest() != event.pieces or len(rows) != event.pieces_count:
            return None
        total = sum(row[3] for row in rows if row[2] != "none")
        if any(row[3] < FLOOR[row[2]] for row in rows) or total > event.review_milliseconds:
            return None
        grave = SECURITY | GONE
        return None if grave & set(event.risks) and not any(row[2] == "grave" for row in rows) else rows

    def looked(self, vote: Verified) -> bool:
        """Whether the voter had seen enough before voting, by the views that the vote names."""
        asked = self.request(vote.event.approval)
        rows = self.pieces(vote.event.approval)
        if asked is None or rows is None:
            return False
        known = {row[0] for row in rows}
        views = [
            one for one in self.before(vote).of("approval.viewed", approval=vote.event.approval, reviewer=vote.event.author)
            if one.key.role == "console" and one.event.digest == asked.event.digest and one.event.piece in known
            and one.position > asked.position and one.event.milliseconds <= 600_000
        ]  # fmt: skip
        start = f"tenuto coverage v1\n{vote.event.approval}\n{asked.event.digest}\n{vote.event.author}\n"
        for count in range(1, len(views) + 1):
            chain = hashlib.sha256(start.encode()).hexdigest()
            for view in views[:count]:
                chain = hashlib.sha256(f"{chain}\n{view.event.piece}\n{view.event.milliseconds}\n".encode()).hexdigest()
            if chain == vote.event.coverage:
                return self._enough(asked, rows, [one for one in views[:count] if one.key.owner != vote.key.owner])
        return False

    @staticmethod
    def _enough(asked: Verified, rows: list[tuple[str, str, str, int]], views: list[Verified]) -> bool:
        def shown(piece: str) -> list[int]:
            return [one.event.milliseconds for one in views if one.event.piece == piece]

        each = all(shown(row[0]) and sum(shown(row[0])) >= row[3] for row in rows if row[2] != "none")
        return each and sum(sum(shown(row[0])) for row in rows) >= asked.event.review_milliseconds

    def entitled(self, vote: Verified) -> bool:
        asked = self.request(vote.event.approval)
        assert asked is not None
        if vote.key.role != "reviewer" or vote.event.digest != asked.event.digest:
            return False
        if vote.key.owner in (asked.event.initiator, asked.key.owner):
            return False
        if vote.event.author in (asked.event.initiator, asked.event.author):
            return False
        past = self.before(vote)
        said = [one.event for one in past.of("reviewer.enrolled", reviewer=vote.event.author)]
        registered = past.of("key.registered", subject=vote.event.author, role="reviewer")
        if not said or not registered:
            return True
        lacks = SECURITY & set(asked.event.risks) and "security" not in said[-1].roles
        return said[-1].active and not (lacks and vote.event.decision == "approve")

    def counts(self, vote: Verified) -> bool:
        """Whether this vote counted when it was cast."""
        past, event = self.before(vote), vote.event
        asked = past.request(event.approval)
        if asked is None or event.decision == "withdraw" or not self.entitled(vote):
            return False
        if past.spent(event.approval) or past.revoked(event.approval) or vote.recorded_at > asked.event.expires:
            return False
        earlier = [one.event.decision for one in past.standing_votes(event.approval) if one.key.owner == vote.key.owner]
        if "deny" in earlier or (earlier and event.decision == "approve"):
            return False
        if event.decision == "deny":
            return True
        limits = [one.event.decisions_per_hour for one in past.of("reviewer.limited")]
        recent = [
            one for one in past.of("approval.signed")
            if one.key.owner == vote.key.owner and one.recorded_at > vote.recorded_at - HOUR and past.counts(one)
        ]  # fmt: skip
        return self.looked(vote) and len(recent) < (limits[-1] if limits else 10)

    def standing_votes(self, approval: str) -> list[Verified]:
        """The votes that count and were not taken back."""
        kept: list[Verified] = []
        for vote in self.of("approval.signed", approval=approval):
            past = self.before(vote)
            if past.request(approval) is None:
                continue
            if vote.event.decision == "withdraw":
                kept = kept if past.spent(approval) else [one for one in kept if one.event.author != vote.event.author]
            elif self.counts(vote):
                kept.append(vote)
        return kept

    def revoked(self, approval: str) -> bool:
        for one in self.of("approval.revoked", approval=approval):
            asked = self.before(one).request(approval)
            if asked and not self.before(one).spent(approval) and (one.key.role == "reviewer" or one.event.author == asked.event.author):
                return True
        return False

    def spent(self, approval: str) -> Verified | None:
        for one in self.of("approval.consumed", approval=approval):
            past = self.before(one)
            asked = past.request(approval)
            if asked is None or one.event.call != past.call(approval):
                continue
            same = (one.event.author, one.event.digest) == (asked.event.author, asked.event.digest)
            if same and past.state(approval, one.recorded_at) == "granted":
                return one
        return None

    def state(self, approval: str, now: datetime) -> str:
        asked = self.request(approval)
        assert asked is not None
        if self.spent(approval):
            return "consumed"
        if self.revoked(approval):
            return "revoked"
        votes = self.standing_votes(approval)
        if any(vote.event.decision == "deny" for vote in votes):
            return "denied"
        if now > asked.event.expires:
            return "expired"
        needed = self.needed(approval)
        return "granted" if needed is not None and len(votes) >= needed else "open"

    @cached_property
    def now(self) -> datetime:
        return self.events[-1].recorded_at
