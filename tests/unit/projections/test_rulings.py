"""What the read model of rulings says of policy: who asked what, by which rules it was decided, and how often."""

from __future__ import annotations

from datetime import timedelta

from tenuto.events import ApprovalRequested, PolicyDecided
from tenuto.policy.decision import ERROR_RULE
from tenuto_projections.rulings import WEEK, Rulings, counts, deciders, recent, ruling_on

from .story import new_ledger, refuse_call, tell
from .test_read_models import built
from .written import DIGEST


def test_a_ruling_names_the_call_it_is_about() -> None:
    ledger = tell("request", "refuse call")
    connection = built(ledger, Rulings())
    [allowed], [denied] = recent(connection, "allow"), recent(connection, "deny")
    assert (allowed.tool, allowed.resource, allowed.obligation, allowed.rules) == ("terraform.apply", "stack", "approval", ("r",))
    assert (denied.tool, denied.rules, denied.error, allowed.error) == ("terraform.destroy", (ERROR_RULE,), True, False)


def test_a_request_is_about_the_ruling_among_its_causes_and_no_other() -> None:
    ledger = tell("refuse call", "request", "call")
    connection = built(ledger, Rulings())
    found = ruling_on(connection, "a1")
    assert found is not None
    assert (found.call, found.effect) == ("c3", "allow")
    assert ruling_on(connection, "a2") is None


def test_a_ruling_on_a_call_that_has_started_clears_no_request() -> None:
    ledger = tell("call")
    ruling = next(event for event in ledger.events if isinstance(event, PolicyDecided))
    ledger.write(
        "infra", ApprovalRequested, approval="stale", subject="terraform.plan", digest=DIGEST, tool="terraform.apply",
        resource="stack", initiator="ann", quorum=1, expires=ledger.now + timedelta(hours=1), cause=(ruling.id,),
    )  # fmt: skip
    assert ruling_on(built(ledger, Rulings()), "stale") is None


def test_the_latest_bundle_decides_and_an_announced_one_is_marked() -> None:
    first, second = deciders(built(tell("request", "refuse call"), Rulings()))
    assert (first.bundle, first.decisions, first.denies) == ("e" * 64, 1, 1)
    assert (second.bundle, second.decisions, second.denies, second.announced) == (DIGEST, 1, 0, False)
    [announced] = deciders(built(tell("announce"), Rulings()))
    assert (announced.announced, announced.engine, announced.last_at, announced.decisions) == (True, None, None, 0)


def test_a_rule_is_counted_for_a_week_and_not_longer() -> None:
    ledger = new_ledger()
    for _ in range(3):
        refuse_call(ledger, "plan.over_limit")
    hour = ledger.now.replace(minute=0, second=0, microsecond=0)
    connection = built(ledger, Rulings())
    assert counts(connection, hour + WEEK - timedelta(seconds=1)) == {"plan.over_limit": {"deny": 3}}
    assert counts(connection, hour + WEEK) == {}
