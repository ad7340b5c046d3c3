"""Who is to be told what: a fold over the ledger, and whether it is still worth telling.

It rests on the same folds as router, gate and console: an assignment counts where the desk took it, a draw where the arithmetic
agrees, a result where the rules say so. What somebody merely wrote into the ledger reaches nobody.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from tenuto.approvals.desk import Desk
from tenuto.approvals.fold import NotGranted, Standing
from tenuto.approvals.spotcheck import Spotcheck, Spotchecks
from tenuto.events import (
    AlertAcknowledged,
    AlertClosed,
    AlertRaised,
    ApprovalAssigned,
    ApprovalRevoked,
    ApprovalSigned,
    SpotcheckDrawn,
)
from tenuto.verification import Verified

from .notices import RESULTS, Notice, Reason, notice_id

SEVERE = ("high", "critical")
RESULT_FOR = timedelta(hours=24)
"""A result that could not be told for so long is told no more."""
_ASSIGNED: Mapping[str, Reason] = {
    "next_free": "assigned", "second_vote": "assigned", "overflow": "overflow", "escalation": "escalated",
}  # fmt: skip


class Telling:
    """The fold. `take` takes verified events in ledger order; `by_time` is asked now and then; both may say things again."""

    def __init__(self, origin: str, reachable: frozenset[str], alerts: Sequence[str], *, lead: timedelta) -> None:
        """`reachable`: who has an address at all. `alerts`: who is told of severe alerts. `lead`: how long before its end
        a request is about to expire.
        """
        self.desk = Desk()
        self.checks = Spotchecks(self.desk.approvals)
        self._origin, self._reachable, self._alerts, self._lead = origin, reachable, tuple(alerts), lead
        self._settled: set[str] = set()

    def take(self, verified: Verified) -> list[Notice]:
        """Take the next event and return what follows from it."""
        self.desk.apply(verified)
        self.checks.apply(verified)
        event = verified.event
        if isinstance(event, ApprovalAssigned):
            return list(self._assigned(event, verified))
        if isinstance(event, ApprovalSigned | ApprovalRevoked):
            return list(self._result(event.approval, verified))
        if isinstance(event, SpotcheckDrawn):
            return list(self._drawn(event, verified))
        if isinstance(event, AlertRaised) and event.severity in SEVERE:
            return [
                Notice(
                    id=notice_id(self._origin, "alert", event.alert, person), reason="alert", person=person, about=event.alert,
                    position=verified.position, at=verified.recorded_at, severity=event.severity, rule=event.rule, risks=event.refs,
                )
                for person in self._alerts
            ]  # fmt: skip
        if isinstance(event, AlertAcknowledged | AlertClosed):
            self._settled.add(event.alert)
        return []

    def by_time(self, now: datetime) -> list[Notice]:
        """Return what is so at `now` because time went by: requests about to expire, second looks that are overdue."""
        found = []
        for standing in self.desk.undecided(now):
            soon = standing.request.event.expires - self._lead
            # Who got it in this last stretch was told its end with the request itself.
            late = [one for one in self.desk.live(standing) if one.at < soon <= now]
            found += [self._about("expiring", one.reviewer, standing, one.position, soon) for one in late]
        for check in self.checks.open(now):
            if check.state(now) == "overdue":
                assert check.overdue_from is not None
                found += [
                    self._look("second_look_overdue", person, check, check.overdue_from) for person in self._may_look(check)
                ]
        return found

    def still(self, notice: Notice, now: datetime) -> bool:
        """Whether this is still worth anybody's time at `now`."""
        if notice.reason in ("digest", "trial"):
            return True
        if notice.reason == "alert":
            return notice.about not in self._settled
        if notice.reason in ("second_look", "second_look_overdue"):
            check = self.checks.find(notice.about)
            return check is not None and check.state(now) in ("due", "overdue")
        standing = self.desk.approvals.standing(notice.about, now)
        if notice.reason in RESULTS:
            agrees = standing.state in ({"granted", "consumed"} if notice.reason == "granted" else {"denied"})
            return agrees and now - notice.at <= RESULT_FOR
        if notice.reason == "reassigned":
            return standing.state == "open" and notice.person not in {vote.reviewer for vote in standing.counting}
        return any(one.reviewer == notice.person for one in self.desk.live(standing))

    def unreachable(self) -> tuple[str, ...]:
        """Return the active reviewers whom no notice can reach."""
        return tuple(one.name for one in self.desk.roster.reviewers() if one.active and one.name not in self._reachable)

    def _assigned(self, event: ApprovalAssigned, verified: Verified) -> Iterator[Notice]:
        if not self.desk.took(event.approval, verified.position):
            return
        standing = self.desk.approvals.standing(event.approval, verified.recorded_at)
        place = verified.position, verified.recorded_at
        yield self._about(_ASSIGNED[event.why], event.reviewer, standing, *place)
        if event.relieves is not None:
            yield self._about("reassigned", event.relieves, standing, *place)

    def _result(self, approval: str, verified: Verified) -> Iterator[Notice]:
        try:
            standing = self.desk.approvals.standing(approval, verified.recorded_at)
        except NotGranted:  # a vote about nothing that was asked
            return
        reason: Reason | None = "granted" if standing.state == "granted" else "denied" if standing.state == "denied" else None
        if reason is not None:
            yield self._about(reason, standing.request.event.initiator, standing, verified.position, verified.recorded_at)

    def _drawn(self, event: SpotcheckDrawn, verified: Verified) -> Iterator[Notice]:
        check, draw = self.checks.find(event.approval), self.checks.draw_of(event.approval)
        if check is None or draw is None or draw.id != event.id or not check.drawn:
            return
        people = self._may_look(check)
        if people:
            # One is asked and not all: what everybody is asked for, nobody does. The ticket chooses, as it chose the approval.
            yield self._look("second_look", people[int(event.ticket, 16) % len(people)], check, verified.recorded_at)

    def _may_look(self, check: Spotcheck) -> list[str]:
        able = (one for one in self.desk.roster.reviewers() if one.active and one.owner not in check.excluded)
        return [one.name for one in able if one.name in self._reachable]

    def _about(self, reason: Reason, person: str, standing: Standing, position: int, at: datetime) -> Notice:
        asked = standing.request.event
        return Notice(
            id=notice_id(self._origin, reason, asked.approval, person), reason=reason, person=person, about=asked.approval,
            position=position, at=at, subject=asked.subject, risks=asked.risks, expires=asked.expires,
        )  # fmt: skip

    def _look(self, reason: Reason, person: str, check: Spotcheck, at: datetime) -> Notice:
        asked = self.desk.approvals.request(check.approval).event
        return Notice(
            id=notice_id(self._origin, reason, check.approval, person), reason=reason, person=person, about=check.approval,
            position=check.position, at=at, subject=asked.subject, risks=asked.risks,
            expires=check.overdue_from if reason == "second_look" else None,
        )  # fmt: skip
