"""Ingest lets a purge in only if it counts, also when it comes in the batch of its own approval."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from tenuto.documents import ApprovalCard
from tenuto.events import (
    ApprovalConsumed,
    ApprovalListed,
    ApprovalRequested,
    ApprovalSigned,
    ApprovalViewed,
    HoldPlaced,
    PolicyDecided,
    RecordPurged,
    RecordRefused,
    ToolFinished,
    ToolRequested,
    ToolStarted,
)
from tenuto.purges import PURGE_TOOL, Target, purge_digest

from tests.doubles import START
from tests.reviewing import CONSOLE, committed, listed, shown
from tests.unit.ingest.place import Place, opened
from tests.written import ORIGIN, Author, Written, register

World = tuple[Any, ...]
"""The place, the keeper, two reviewers, the console, and the position of the payload."""
CARD = ApprovalCard(title="Purge", sentence="A payload is made unreadable for ever.")


@pytest.fixture
def world(place: Place) -> World:
    """A payload in the ledger, and a keeper, two reviewers and a console with their sessions open."""
    for name, role in (("keeper", "keeper"), ("second-reviewer", "reviewer"), (CONSOLE, "console")):
        place.bring(register(place.root, name, role))
    agent, *people = (opened(place, name) for name in ("deployment", "keeper", "demo-reviewer", "second-reviewer", CONSOLE))
    place.bring(agent.write(payload=b"a secret", run="r1"))
    return place, *people, len(place.events()) - 1


def story(place: Place, people: Sequence[Author], position: int, **changes: Any) -> list[Written]:
    """Everything that a purge takes, from the call to its end."""
    keeper, *reviewers, console = people
    target = Target(position, place.events()[position].header_hash)
    action = {"tool": PURGE_TOOL, "resource": "ledger:x", "digest": purge_digest(ORIGIN, "secret", [target])}
    named = {"approval": "p1", "digest": action["digest"]}
    told = {"approval": "p1", "positions": (position,), "header_hashes": (target.header_hash,), "reason": "secret"}
    decided = {"call": "c1", "effect": "allow", "rules": ("r",), "bundle": "b" * 64, "engine": "e", "obligation": "approval"}
    written = [keeper.write(ToolRequested, call="c1", **action), keeper.write(PolicyDecided, **decided)]
    cause = (written[-1].event.id,)
    written += [keeper.write(ApprovalListed, **named, **part) for part in listed(CARD, ("deletion",))]
    asked = keeper.write(
        ApprovalRequested, approval="p1", subject=PURGE_TOOL, initiator="kay", quorum=1, risks=("deletion",), call="c1",
        expires=START + timedelta(hours=1), cause=cause, **action, **committed(CARD, ("deletion",)),
    )  # fmt: skip
    written.append(asked)
    for reviewer, name in zip(reviewers, ("demo-reviewer", "second-reviewer"), strict=True):
        views, coverage = shown([one.event for one in written], asked.event, name)
        written += [console.write(ApprovalViewed, **view) for view in views]
        written.append(reviewer.write(ApprovalSigned, decision="approve", coverage=coverage, **named))
    return [
        *written,
        keeper.write(ApprovalConsumed, call="c1", **named),
        keeper.write(ToolStarted, call="c1", **action),
        keeper.write(RecordPurged, **(told | changes)),
        keeper.write(ToolFinished, call="c1", tool=PURGE_TOOL, milliseconds=1),
    ]


@pytest.mark.parametrize("at_once", [1, 3, 100])
def test_a_purge_enters_after_what_decides_about_it(world: World, at_once: int) -> None:
    place, *people, position = world
    written = story(place, people, position)
    for start in range(0, len(written), at_once):
        place.bring(*written[start : start + at_once])
    place.ingest.step()
    place.ingest.step()
    assert [one.event for one in place.events()][-len(written):] == [one.event for one in written]
    assert not place.said(RecordRefused)


def test_a_purge_enters_when_everything_is_ingested_anew_in_one_batch(world: World) -> None:
    place, *people, position = world
    place.bring(*story(place, people, position))
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
def test_a_purge_that_does_not_count_is_refused(world: World, changes: dict[str, Any]) -> None:
    place, *people, position = world
    *before, purge, _ = story(place, people, position, **changes)
    place.bring(*before)
    place.bring(purge)
    assert [one.reason for one in place.said(RecordRefused)] == ["entitlement"]
    assert not place.said(RecordPurged)


def test_a_purge_of_a_run_under_hold_is_refused(world: World) -> None:
    place, *people, position = world
    place.bring(place.root.write(HoldPlaced, hold="case-1", run="r1"))
    *before, purge, _ = story(place, people, position)
    place.bring(*before)
    place.bring(purge)
    assert [one.reason for one in place.said(RecordRefused)] == ["entitlement"]
