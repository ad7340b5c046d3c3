"""A second look that nobody takes is said once, by the ledger's time, and the same in every walk."""

from __future__ import annotations

import pytest
from tenuto.approvals.spotcheck import OVERDUE_AFTER
from tenuto_projections.anomalies.overdue import OverdueChecks

from tests.unit.approvals.test_spotcheck import SPARED, Checked

DAY = OVERDUE_AFTER.total_seconds()


@pytest.fixture
def spent() -> Checked:
    return Checked()


def found(history: Checked, page: int = 1000) -> list[tuple[str, int]]:
    """What a new walk over the whole history finds, in pages of this size."""
    checks, events = OverdueChecks(), history.events
    findings = [one for start in range(0, len(events), page) for one in checks.take(events[start : start + page])]
    return [(one.alert, one.position) for one in findings]


def test_a_look_that_is_late_is_found_once_with_threat_and_mitigation_and_what_it_rests_on(spent):
    spent.draw()
    spent.wait(seconds=DAY)
    spent.request("a2")  # recorded just at the bound
    spent.wait(seconds=2)
    spent.request("a3")
    spent.wait(days=9)
    spent.request("a4")
    position = spent.checks.find("a1").position
    assert found(spent) == [(f"message-rules/overdue_check/{position}", position)]
    (finding,) = OverdueChecks().take(spent.events)
    assert finding.evidence == (spent.events[position].event.id, spent.checks.draw_of("a1").id)
    assert finding.sentence == "a1, approved by lena: nobody took the second look within 24 hours."


@pytest.mark.parametrize("page", [1, 3, 1000])
def test_a_look_that_comes_too_late_was_late_wherever_pages_end(spent, page):
    spent.draw()
    spent.wait(seconds=DAY + 1)
    spent.look("otto", "agree")
    assert len(found(spent, page)) == 1


def test_a_look_in_time_and_one_that_was_spared_are_never_found(spent):
    spent.draw()
    spent.spend("a2")
    spent.draw(SPARED, "a2")
    spent.wait(seconds=DAY - 60)
    spent.look("otto")
    spent.wait(days=30)
    spent.request("a3")
    assert found(spent) == []


def test_a_draw_that_is_withheld_is_found_as_well(spent):
    spent.wait(seconds=2 * DAY + 5)
    spent.request("a2")
    assert len(found(spent)) == 1
    (finding,) = OverdueChecks().take(spent.events)
    assert "nobody drew for it" in finding.sentence


def test_the_clock_brings_it_forward_while_nothing_is_recorded_and_never_doubles_it(spent):
    spent.draw()
    checks = OverdueChecks()
    assert checks.take(spent.events) == []
    spent.wait(seconds=DAY)
    assert checks.late_at(spent.now) == []
    spent.wait(seconds=1)
    (early,) = checks.late_at(spent.now)
    spent.request("a2")
    assert checks.take(spent.events[-1:]) == []
    (again,) = OverdueChecks().take(spent.events)
    assert early == again
