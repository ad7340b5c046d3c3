"""Ingest lets a purge in only if it counts, also when it comes in the batch of its own approval."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tenuto.events import (
    ApprovalConsumed,
    ApprovalRequested,
    ApprovalSigned,
    HoldPlaced,
    RecordPurged,
    RecordRefused,
    ToolFinished,
    ToolStarted,
)
from tenuto.purges import PURGE_TOOL, Target, purge_digest

from tests.doubles import START
from tests.unit.ingest.place import Place, opened
from tests.written import ORIGIN, Author, Written, register


@pytest.fixture
def world(place: Place) -> tuple[Place, Author, Author, int]:
    """A payload in the ledger, and a keeper and a reviewer with their sessions open."""
    place.bring(register(place.root, "keeper", "keeper"))
    agent, keeper, reviewer = (opened(place, name) for name in ("deployment", "keeper", "demo-reviewer"))
    place.bring(agent.write(payload=b"a secret", run="r1"))
    return place, keeper, reviewer, len(place.events()) - 1


def story(place: Place, keeper: Author, reviewer: Author, position: int, **changes: Any) -> list[Written]:
    """Everything that a purge takes, from the request to the end of the call."""
    target = Target(position, place.events()[position].header_hash)
    action = {"tool": PURGE_TOOL, "resource": "ledger:x", "digest": purge_digest(ORIGIN, "secret", [target])}
    asked = {"approval": "p1", "digest": action["digest"]}
    told = {"approval": "p1", "positions": (position,), "header_hashes": (target.header_hash,), "reason": "secret"}
    return [
        keeper.write(ApprovalRequested, approval="p1", subject=PURGE_TOOL, initiator="kay", quorum=1,
                     expires=START + timedelta(hours=1), **action),
        reviewer.write(ApprovalSigned, decision="approve", **asked),
        keeper.write(ApprovalConsumed, call="c1", **asked),
        keeper.write(ToolStarted, call="c1", **action),
        keeper.write(RecordPurged, **(told | changes)),
        keeper.write(ToolFinished, call="c1", tool=PURGE_TOOL, milliseconds=1),
    ]  # fmt: skip


@pytest.mark.parametrize("at_once", [1, 3, 6])
def test_a_purge_enters_after_what_decides_about_it(world: tuple[Place, Author, Author, int], at_once: int) -> None:
    place, keeper, reviewer, position = world
    written = story(place, keeper, reviewer, position)
    for start in range(0, len(written), at_once):
        place.bring(*written[start : start + at_once])
    place.ingest.step()
    place.ingest.step()
    assert [one.event for one in place.events()][-6:] == [one.event for one in written]
    assert not place.said(RecordRefused)


def test_a_purge_enters_when_everything_is_ingested_anew_in_one_batch(world: tuple[Place, Author, Author, int]) -> None:
    place, keeper, reviewer, position = world
    place.bring(*story(place, keeper, reviewer, position))
    place.ingest.step()
    other = Place(founded=False)
    for record in place.bus.topic("tenuto.events")[1][0]:
        other.publish(record.value)
    for _ in range(4):
        other.ingest.step()
    assert [one.event for one in other.events()] == [one.event for one in place.events()]


@pytest.mark.parametrize(
    "changes", [{"reason": "legal"}, {"positions": (0,)}, {"header_hashes": ("a" * 64,)}, {"positions": (10**9,)}, {"approval": "p2"}]
)
def test_a_purge_that_does_not_count_is_refused(world: tuple[Place, Author, Author, int], changes: dict[str, Any]) -> None:
    place, keeper, reviewer, position = world
    *before, purge, _ = story(place, keeper, reviewer, position, **changes)
    place.bring(*before)
    place.bring(purge)
    assert [one.reason for one in place.said(RecordRefused)] == ["entitlement"]
    assert not place.said(RecordPurged)


def test_a_purge_of_a_run_under_hold_is_refused(world: tuple[Place, Author, Author, int]) -> None:
    place, keeper, reviewer, position = world
    place.bring(place.root.write(HoldPlaced, hold="case-1", run="r1"))
    *before, purge, _ = story(place, keeper, reviewer, position)
    place.bring(*before)
    place.bring(purge)
    assert [one.reason for one in place.said(RecordRefused)] == ["entitlement"]
