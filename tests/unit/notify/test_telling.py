"""Who is told what: by the folds that decide, once for each request, person and reason, and no longer than it is worth."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from tenuto.approvals.spotcheck import OVERDUE_AFTER, is_drawn
from tenuto.events import AlertAcknowledged, AlertRaised, ReviewerEnrolled, SpotcheckDrawn, SpotcheckSigned
from tenuto_projections.notify.notices import Notice
from tenuto_projections.notify.telling import Telling

from tests.unit.approvals.histories import DIGEST, INITIATOR, History

LEAD = timedelta(minutes=10)
PEOPLE = frozenset({"lena", "otto", "pia", INITIATOR, "ops"})


class Told(History):
    """A history with what the notifier says beside it."""

    def __init__(self, reachable: frozenset[str] = PEOPLE) -> None:
        self.telling = Telling("test/log", reachable, ("ops",), lead=LEAD)
        self.said: list[Notice] = []
        super().__init__()
        self.register("lena", "otto", "pia")

    def add(self, *arguments: Any, **fields: Any) -> Any:
        event = super().add(*arguments, **fields)
        self.said += self.telling.take(self.events[-1])
        return event

    def reasons(self) -> list[tuple[str, str]]:
        return [(one.reason, one.person) for one in self.said]

    def spend(self, approval: str = "a1") -> None:
        self.request(approval)
        self.sign("lena", approval=approval)
        self.consume(approval=approval)

    def draw(self, ticket: str = "0" * 64, approval: str = "a1", role: str = "router") -> None:
        check = self.telling.checks.find(approval)
        assert check is not None
        self.add(
            SpotcheckDrawn, "router", as_role=role, as_owner="operations", approval=approval, position=check.position,
            size=self.positions, ticket=ticket, drawn=is_drawn(ticket),
        )  # fmt: skip

    def look(self, finding: str = "agree") -> None:
        self.add(SpotcheckSigned, "otto", as_role="reviewer", approval="a1", digest=DIGEST, finding=finding)

    def alert(self, severity: str = "high") -> None:
        self.add(
            AlertRaised, "anomaly-watch", as_role="detector", alert="rules/unopened/7", detector="rules", version="1",
            rule="unopened", severity=severity, score=1000, suspect="lena", evidence=(UUID(int=1),), refs=("T4", "M13"),
        )  # fmt: skip


@pytest.fixture
def told() -> Told:
    return Told()


def test_who_is_given_a_request_is_told_subject_risks_and_end(told: Told) -> None:
    asked = told.request(risks=("iam",))
    told.assign("lena")
    (one,) = told.said
    assert (one.reason, one.person, one.about, one.subject, one.risks) == ("assigned", "lena", "a1", "terraform.plan", ("iam",))
    assert one.expires == asked.expires
    assert told.telling.still(one, told.now)


@pytest.mark.parametrize(("why", "reason"), [("overflow", "overflow"), ("second_vote", "assigned")])
def test_the_reason_is_the_routers(told: Told, why: str, reason: str) -> None:
    told.request(quorum=2)
    told.assign("lena")
    told.assign("otto", why=why)
    assert told.reasons() == [("assigned", "lena"), (reason, "otto")]


def test_an_escalation_tells_the_next_and_the_one_before(told: Told) -> None:
    told.request()
    told.assign("lena")
    told.wait(seconds=900)
    told.assign("otto", why="escalation", relieves="lena")
    assert told.reasons() == [("assigned", "lena"), ("escalated", "otto"), ("reassigned", "lena")]
    first, escalated, reassigned = told.said
    assert [told.telling.still(one, told.now) for one in told.said] == [False, True, True]
    told.sign("lena")
    assert not told.telling.still(reassigned, told.now)
    assert not told.telling.still(escalated, told.now)


@pytest.mark.parametrize("forged", ["agent", "unknown reviewer", "twice", "excluded"])
def test_an_assignment_that_the_desk_does_not_take_reaches_nobody(told: Told, forged: str) -> None:
    told.request()
    if forged == "agent":
        told.events_before = len(told.events)  # type: ignore[attr-defined]
        from tenuto.events import ApprovalAssigned

        told.add(ApprovalAssigned, "infra", as_role="agent", approval="a1", reviewer="lena", why="next_free")
    elif forged == "unknown reviewer":
        told.assign("stranger")
    elif forged == "excluded":
        told.register("mara-too", owner=INITIATOR)
        told.assign("mara-too")
    else:
        told.assign("lena")
        told.said.clear()
        told.assign("lena")
    assert told.said == []


def test_a_request_is_about_to_expire_once_its_last_minutes_begin_and_only_for_those_who_had_it_before(told: Told) -> None:
    asked = told.request(quorum=2)
    told.assign("lena")
    told.now = asked.expires - LEAD
    told.assign("otto", why="second_vote")
    assert told.telling.by_time(told.now - timedelta(microseconds=1)) == []
    (one,) = told.telling.by_time(told.now)
    assert (one.reason, one.person) == ("expiring", "lena")
    told.sign("lena")
    assert told.telling.by_time(told.now) == []
    assert not told.telling.still(one, told.now)


def test_the_initiator_is_told_how_it_ended_by_the_rules_and_not_by_anybodys_word(told: Told) -> None:
    from tenuto.events import ApprovalGranted

    told.request(quorum=2)
    told.agent(ApprovalGranted, approval="a1", digest=DIGEST, votes=2)
    told.sign("lena")
    assert told.said == []
    told.sign("otto")
    told.sign("pia", "deny")
    assert told.reasons() == [("granted", INITIATOR), ("denied", INITIATOR)]
    assert [told.telling.still(one, told.now) for one in told.said] == [False, True]
    told.wait(hours=25)
    assert not told.telling.still(told.said[1], told.now)


def test_of_those_who_may_take_the_second_look_the_ticket_asks_one(told: Told) -> None:
    told.spend()
    told.said.clear()
    told.draw("0" * 63 + "1")
    assert told.reasons() == [("second_look", "pia")], "lena approved; of otto and pia the ticket takes the second"
    told.look()
    assert not told.telling.still(told.said[0], told.now)


@pytest.mark.parametrize("how", [{"ticket": "f" * 64}, {"role": "agent"}])
def test_a_draw_that_spares_or_is_none_asks_nobody(told: Told, how: dict[str, str]) -> None:
    told.spend()
    told.said.clear()
    told.draw(**how)
    assert told.said == []


def test_a_second_look_that_is_overdue_is_said_to_everybody_who_may_take_it(told: Told) -> None:
    told.root(ReviewerEnrolled, reviewer="pia", roles=("sre",), active=False)
    told.spend()
    told.draw()
    told.wait(seconds=OVERDUE_AFTER.total_seconds())
    assert told.telling.by_time(told.now) == []
    told.wait(seconds=1)
    (one,) = told.telling.by_time(told.now)
    assert (one.reason, one.person, one.about) == ("second_look_overdue", "otto", "a1")
    assert told.telling.by_time(told.now + timedelta(days=3))[0].id == one.id, "said again it is the same notice"


@pytest.mark.parametrize(("severity", "count"), [("low", 0), ("medium", 0), ("high", 1), ("critical", 1)])
def test_a_severe_alert_goes_to_those_on_the_list_until_somebody_has_seen_it(told: Told, severity: str, count: int) -> None:
    told.alert(severity)
    assert told.reasons() == [("alert", "ops")] * count
    told.add(AlertAcknowledged, "lena", as_role="reviewer", alert="rules/unopened/7")
    assert [told.telling.still(one, told.now) for one in told.said] == [False] * count


def test_one_request_person_and_reason_have_one_id_and_everything_else_another(told: Told) -> None:
    told.request("a1", quorum=2)
    told.request("a2")
    told.assign("lena", "a1")
    told.assign("otto", "a1", why="second_vote")
    told.assign("lena", "a2")
    told.sign("pia", "deny", "a1")
    again = Told()
    for verified in told.events:
        again.said += again.telling.take(verified)
    ids = [one.id for one in told.said]
    assert len(set(ids)) == len(ids) == 4
    assert [one.id for one in again.said] == ids
    assert Telling("another/log", PEOPLE, (), lead=LEAD).take(told.events[0]) == []


def test_active_reviewers_without_an_address_are_named() -> None:
    told = Told(frozenset({"lena"}))
    told.root(ReviewerEnrolled, reviewer="pia", roles=("sre",), active=False)
    assert told.telling.unreachable() == ("otto",)
