"""A bundle with a purge shows that people agreed to it; one from which something was cut out says what."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import msgspec
import pytest
from tenuto.bundle import Asked, BundleRefused, Report
from tenuto.bundle.clearing import verify_cleared
from tenuto.events import HoldLifted, HoldPlaced, RecordPurged
from tenuto.verification import VerificationFailed
from tenuto_projections.bundled import report_record

from tests.unit.bundle.world import World, leave_out, manifest_of, purge, relist, tell_run, two_runs

CHAIN = [
    "tool.requested", "policy.decided", "approval.listed", "approval.requested", "approval.viewed", "approval.signed",
    "approval.viewed", "approval.signed", "approval.consumed", "tool.started",
]  # fmt: skip


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A run of which one payload was purged, after a hold over it had been lifted; and another run behind it."""
    world = two_runs(tmp_path)
    place = next(number for number, event in enumerate(world.ledger.events) if event.kind == "approval.signed")
    world.ledger.register("counsel", "custodian")
    world.ledger.write("counsel", HoldPlaced, hold="case-1", first=place, last=place)
    world.ledger.write("counsel", HoldLifted, hold="case-1")
    purge(world.ledger, place)
    tell_run(world.ledger, "r3")
    world.seal()
    return world


def kinds(report: Report, why: str) -> list[str]:
    return [verified.event.kind for listed, verified in report.events if listed.why == why]


def step_5(report: Report) -> tuple[bool, str]:
    taken = next(taken for taken in report.steps if taken.step == 5)
    return taken.done, taken.sentence


def test_a_stranger_recomputes_that_people_agreed(world: World) -> None:
    report = world.verify(world.bundle(payloads=True))
    assert [kind for kind in kinds(report, "approval") if not kind.startswith("hold.")] == CHAIN
    (cleared,) = report.purges
    assert (cleared.approved_by, cleared.missing) == (("warden", "second-warden"), ())
    assert "was approved by warden and second-warden under purge-1" in cleared.sentence
    assert cleared.sentence in report.remarks
    done, sentence = step_5(report)
    assert done
    assert "1 are gone under a purge on record that people approved" in sentence
    assert report_record(report)["purges"] == [
        {"position": cleared.position, "approval": "purge-1", "approved_by": ["warden", "second-warden"], "missing": []}
    ]


def test_a_bundle_about_the_purge_itself_has_its_chain(world: World) -> None:
    place = next(number for number, event in enumerate(world.ledger.events) if isinstance(event, RecordPurged))
    report = world.verify(world.bundle(asked=Asked(event=str(place))))
    assert [kind for kind in kinds(report, "approval") if not kind.startswith("hold.")] == CHAIN
    assert not report.purges[0].missing


def test_a_bundle_without_a_purge_has_nothing_of_it(world: World) -> None:
    report = world.verify(world.bundle(asked=Asked(run="r3")))
    assert not report.purges
    assert not kinds(report, "approval")
    assert "people approved" not in step_5(report)[1]


CUT = {
    "tool.requested": "policy was asked about another tool, resource or digest",
    "policy.decided": "no decision of policy about its call is on record",
    "approval.listed": "what is here comes to less",
    "approval.requested": "the request purge-1 is not here",
    "approval.viewed": "1 of 2 reviewers approved",
    "approval.signed": "1 of 2 reviewers approved",
    "approval.consumed": "that purge-1 was consumed is not here",
    "tool.started": "the start of the call call-purge-1 is not here",
    "hold.lifted": "that the legal hold was lifted before is not here.*case-1",
}


@pytest.mark.parametrize("kind", CUT)
def test_what_was_cut_out_of_the_chain_is_named(world: World, kind: str) -> None:
    folder = world.bundle(payloads=True)
    report = world.verify(folder)
    leave_out(folder, next(one.position for listed, one in report.events if listed.why == "approval" and one.event.kind == kind))
    report = world.verify(folder)
    (cleared,) = report.purges
    assert not cleared.approved_by
    assert re.search(CUT[kind], cleared.sentence), cleared.sentence
    assert "cannot be recomputed here" in cleared.sentence
    assert cleared.sentence in report.remarks
    done, sentence = step_5(report)
    assert not done
    assert "the approval of 1 of 1 purges is not all here" in sentence


def test_a_bundle_from_before_that_has_no_chain_at_all_says_so(world: World) -> None:
    folder = world.bundle()
    relist(folder, lambda listed: None if listed.why == "approval" else listed)
    report = world.verify(folder)
    assert report.purges[0].missing == ("the request purge-1 is not here",)


def test_what_decides_about_no_purge_here_is_not_called_so(world: World) -> None:
    folder = world.bundle()
    other = next(one.position for one in manifest_of(folder).events if one.why == "asked")
    relist(folder, lambda one: msgspec.structs.replace(one, why="approval") if one.position == other else one)
    with pytest.raises(BundleRefused, match=f"position {other} `approval`.*decides about no purge here"):
        world.verify(folder)


@pytest.mark.parametrize("change", [{"positions": (0,)}, {"reason": "mistake"}, {"header_hashes": ()}])
def test_a_purge_of_something_else_than_was_asked_for_fails(world: World, change: dict[str, object]) -> None:
    """No event that was left out could make it right."""
    events = [verified for _, verified in world.verify(world.bundle()).events]
    spoilt = [
        dataclasses.replace(one, event=msgspec.structs.replace(one.event, **change)) if isinstance(one.event, RecordPurged) else one
        for one in events
    ]
    with pytest.raises(VerificationFailed, match=r"Step 5.*The purge does not count"):
        verify_cleared(spoilt)
    assert not verify_cleared(events)[0].missing
