"""Each rule of a purge, broken by itself; and what verification says about payloads and purges that do not fit together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from tenuto.events import (
    ApprovalConsumed,
    ApprovalSigned,
    HoldLifted,
    HoldPlaced,
    MessageSent,
    RecordPurged,
    ToolStarted,
)
from tenuto.keytree import KeyTree
from tenuto.purges import FOLDED, PurgeRefused, Purges, Target, purge_digest
from tenuto.verification import VerificationFailed
from tenuto.verified import Verified

from tests.unit.projections.written import ORIGIN, WrittenLedger

HASH = "f" * 64


@pytest.fixture
def ledger() -> WrittenLedger:
    """Two messages of one run, and the keeper and reviewer of a purge."""
    ledger = WrittenLedger()
    for author, role in (("infra", "agent"), ("keeper", "keeper"), ("warden", "reviewer"), ("clerk", "custodian")):
        ledger.register(author, role)
    for text in (b"a secret", b"no secret"):
        ledger.write("infra", MessageSent, text, to="infra", topic="plan", run="r1")
    return ledger


def place(ledger: WrittenLedger) -> int:
    return next(number for number, event in enumerate(ledger.events) if isinstance(event, MessageSent))


def verified(ledger: WrittenLedger) -> list[Verified]:
    """The events as folds get them, with the purges at their end left out of the walk's own judgement."""
    walk = ledger.walk(payloads=False)
    return [one for entry in ledger.entries for one in walk.take([entry])]


def refusal(ledger: WrittenLedger, change: Callable[[Verified], Verified | None], runs: bool = False) -> PurgeRefused:
    """Fold the events with some changed or left out, then judge the last one, which is the purge."""
    purges, *_ = folds(ledger, change)
    *_, last = verified(ledger)
    changed = change(last) or last
    assert isinstance(changed.event, RecordPurged)
    with pytest.raises(PurgeRefused) as caught:
        purges.verify(changed.event, changed.position, ["r1"] if runs else ())
    return caught.value


def folds(ledger: WrittenLedger, change: Callable[[Verified], Verified | None]) -> tuple[Purges]:
    purges = Purges()
    for one in verified(ledger)[:-1]:
        kept = change(one)
        if kept is not None:
            purges.apply(kept)
    return (purges,)


def but(kind: type[Any], **fields: Any) -> Callable[[Verified], Verified | None]:
    """The events with these fields of one kind changed; without fields, without that kind."""

    def change(one: Verified) -> Verified | None:
        if not isinstance(one.event, kind):
            return one
        if not fields:
            return None
        event = msgspec.structs.replace(one.event, **fields)
        return Verified(one.position, one.recorded_at, event, one.header, one.signature, one.header_hash, one.leaf, one.key)

    return change


BROKEN: dict[str, tuple[int, Callable[[Verified], Verified | None]]] = {
    "without hashes": (1, but(RecordPurged, header_hashes=())),
    "without a reason": (1, but(RecordPurged, reason=None)),
    "a position twice": (1, but(RecordPurged, positions=(3, 3), header_hashes=(HASH, HASH))),
    "positions out of order": (1, but(RecordPurged, positions=(4, 3), header_hashes=(HASH, HASH))),
    "a position of the future": (1, but(RecordPurged, positions=(10**6,))),
    "an unknown request": (2, but(RecordPurged, approval="another")),
    "another event": (2, but(RecordPurged, header_hashes=(HASH,))),
    "another reason": (2, but(RecordPurged, reason="legal")),
    "another author": (2, but(RecordPurged, author="infra")),
    "nobody approved": (3, but(ApprovalSigned)),
    "a denial": (3, but(ApprovalSigned, decision="deny")),
    "never consumed": (3, but(ApprovalConsumed)),
    "consumed over something else": (3, but(ApprovalConsumed, digest=HASH)),
    "never started": (4, but(ToolStarted)),
    "another tool started": (4, but(ToolStarted, tool="shell")),
    "another call started": (4, but(ToolStarted, call="call-2")),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_purge_that_breaks_a_rule_does_not_count(ledger: WrittenLedger, name: str) -> None:
    rule, change = BROKEN[name]
    ledger.purge(place(ledger))
    found = refusal(ledger, change)
    assert (found.rule, found.reason) == (rule, "entitlement")
    assert f"Rule {rule} (" in str(found)


@pytest.mark.parametrize("covered", [{"run": "r1"}, {"first": 0}, {}])
def test_a_purge_over_a_held_event_does_not_count(ledger: WrittenLedger, covered: dict[str, Any]) -> None:
    ledger.write("clerk", HoldPlaced, hold="case-1", **covered)
    if covered.get("run"):
        ledger.purge(place(ledger))
        assert refusal(ledger, lambda one: one, runs=True).rule == 5
        walk = ledger.walk()
        walk.take(ledger.entries)
        with pytest.raises(VerificationFailed, match="in spite of the legal hold case-1"):
            walk.verify_no_payload_missing()
        return
    ledger.purge(place(ledger))
    with pytest.raises(VerificationFailed, match=r"Step 5 .*Rule 5 .*case-1"):
        ledger.walk().take(ledger.entries)


def test_a_lifted_hold_and_one_after_the_start_do_not_stand_in_the_way(ledger: WrittenLedger) -> None:
    ledger.write("clerk", HoldPlaced, hold="case-1")
    ledger.write("clerk", HoldLifted, hold="case-1")
    told = ledger.purge(place(ledger))
    entry, event = ledger.entries.pop(), ledger.events.pop()
    assert event is told
    purges = Purges()
    for one in verified(ledger):
        purges.apply(one)
    ledger.write("clerk", HoldPlaced, hold="case-2")
    purges.apply(verified(ledger)[-1])
    assert isinstance(event, RecordPurged)
    assert purges.verify(event, entry.position + 1, ["r1"]).holds == ()


def test_a_purge_that_is_told_twice_is_told_once(ledger: WrittenLedger) -> None:
    told = ledger.purge(place(ledger))
    assert isinstance(told, RecordPurged)
    ledger.write(
        "keeper", RecordPurged, approval=told.approval, positions=told.positions, header_hashes=told.header_hashes,
        reason=told.reason,
    )  # fmt: skip
    walk = ledger.walk()
    walk.take(ledger.entries)
    walk.verify_no_payload_missing()
    assert walk.purges.positions() == [place(ledger)]
    assert walk.purges.unfinished() == []


def test_only_the_kinds_that_are_folded_matter(ledger: WrittenLedger) -> None:
    ledger.purge(place(ledger))
    few, all_ = Purges(), Purges()
    for one in verified(ledger):
        all_.apply(one)
        if type(one.event) in FOLDED:
            few.apply(one)
    assert few.positions() == all_.positions() == [place(ledger)]


def test_the_digest_names_log_reason_positions_and_hashes() -> None:
    one = Target(3, HASH)
    digests = {
        purge_digest(ORIGIN, "secret", [one]), purge_digest("other/log", "secret", [one]),
        purge_digest(ORIGIN, "legal", [one]), purge_digest(ORIGIN, "secret", [Target(4, HASH)]),
        purge_digest(ORIGIN, "secret", [Target(3, "e" * 64)]), purge_digest(ORIGIN, "secret", [one, Target(5, HASH)]),
    }  # fmt: skip
    assert len(digests) == 6


def test_a_purge_of_another_event_does_not_excuse_a_payload_that_is_gone(ledger: WrittenLedger) -> None:
    """Two positions named under each other's hashes: the digest is right, and the events are not the ones."""
    first = place(ledger)
    hashes = [ledger.header(first), ledger.header(first + 1)]
    swap = {first: hashes[1], first + 1: hashes[0]}
    real = ledger.header
    ledger.header = lambda position: swap[position] if position in swap else real(position)  # type: ignore[method-assign]
    ledger.purge(first, first + 1)
    walk = ledger.walk()
    walk.take(ledger.entries)
    with pytest.raises(VerificationFailed, match="is of another event"):
        walk.verify_no_payload_missing()


def test_a_destroyed_key_is_told_apart_from_a_missing_row(ledger: WrittenLedger) -> None:
    position = place(ledger)
    commit = bytes.fromhex(ledger.events[position].payload_commit or "")
    walk = ledger.walk()
    walk._storage_key = KeyTree.whole(bytes(range(32))).punctured([commit])
    walk.take(ledger.entries)
    assert walk.missing_payloads[position].destroyed
    with pytest.raises(VerificationFailed, match="its key was destroyed and no purge is on record"):
        walk.verify_no_payload_missing()
