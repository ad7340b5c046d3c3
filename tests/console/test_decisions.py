"""What the console signs, and what it refuses to hand over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from tenuto import header
from tenuto.documents import ApprovalCard, Document, Reason
from tenuto.events.approval import ApprovalOpened, ApprovalSigned
from tenuto.events.base import Event
from tenuto_dashboard.decisions import REASON_CHARACTERS_MAX, NotSigned, note_opened, sign
from tenuto_projections.inbox import Approval, CastVote, InboxItem
from tenuto_projections.reviewing import Seen

from tests.console.planted import built, digest

NOW = datetime(2026, 3, 1, 3, 0, tzinfo=UTC)
MARK = digest("plan")
ITEM = InboxItem(
    approval="apply-1", position=7, event_id=str(UUID(int=7)), run="run-1", subject="terraform.plan", digest=MARK,
    tool="terraform.apply", resource="stack/payments", author="infrastructure-agent", agent_owner="ada", initiator="mara",
    quorum=1, approved_by=0, risks=("iam",), requested=NOW - timedelta(minutes=4), expires=NOW + timedelta(minutes=30),
    state="open", decided=None, opened_by=(), consumed_by=None, insecure_demo=False, payload="available", title="t", sentence="s",
)  # fmt: skip
OPEN = Approval(item=ITEM, card=ApprovalCard(title="t", sentence="s"), votes=(), rules=())
VOTE = CastVote(
    position=9, event_id="e", reviewer="bob", owner="bob", decision="approve", recorded_at=NOW, counts=True, rule=0,
    sentence="", withdrawn=False, insecure_demo=False, reason=None,
)  # fmt: skip


class RecordingDoor:
    def __init__(self) -> None:
        self.recorded: list[tuple[Event, Document | None]] = []

    def record(
        self, kind: type[Any], *, document: Document | None = None, run: str | None = None, cause: Sequence[UUID] = (),
        **fields: Any,
    ) -> Any:  # fmt: skip
        event = built("bob", kind, NOW, len(self.recorded), document, run=run, cause=tuple(cause), **fields)
        self.recorded.append((event, document))
        return event


ALL = Seen(digest("coverage"), {}, 0, "")


def decide(approval: Approval, decision: Any, reason: str = "", *, shown: str = MARK, now: datetime = NOW, seen: Seen | None = ALL) -> RecordingDoor:
    door = RecordingDoor()
    try:
        sign(door, approval, decision, reason=reason, shown_digest=shown, reviewer="bob", now=now, seen=seen)
    except NotSigned:
        assert not door.recorded, "a refused decision was recorded"
        raise
    return door


def with_item(**changes: Any) -> Approval:
    return replace(OPEN, item=replace(ITEM, **changes))


@pytest.mark.parametrize("decision", ["approve", "deny"])
def test_a_decision_becomes_one_signed_event_over_the_digest_that_was_shown(decision: str) -> None:
    [(event, document)] = decide(OPEN, decision, "  checked the CIDR  ").recorded
    assert isinstance(event, ApprovalSigned)
    assert (event.approval, event.digest, event.decision, event.run) == ("apply-1", MARK, decision, "run-1")
    assert event.cause == (UUID(int=7),)
    assert document == Reason(text="checked the CIDR")
    header.encode(event)  # it is a header that the ledger would take


def test_an_approval_may_go_without_a_reason() -> None:
    [(_, document)] = decide(OPEN, "approve").recorded
    assert document is None


@pytest.mark.parametrize("reason", ["", "  \n\t "])
def test_a_denial_without_a_reason_is_refused(reason: str) -> None:
    with pytest.raises(NotSigned, match="needs a reason"):
        decide(OPEN, "deny", reason)


def test_a_decision_about_another_digest_than_the_one_shown_is_refused() -> None:
    with pytest.raises(NotSigned, match="another digest"):
        decide(OPEN, "approve", shown=digest("swapped"))


@pytest.mark.parametrize("state", ["granted", "denied", "expired", "revoked", "consumed"])
def test_a_request_that_is_no_longer_open_cannot_be_decided(state: str) -> None:
    with pytest.raises(NotSigned, match="no longer open"):
        decide(with_item(state=state), "approve")


def test_the_last_moment_counts_and_the_one_after_does_not() -> None:
    decide(OPEN, "approve", now=ITEM.expires)
    with pytest.raises(NotSigned, match="expired"):
        decide(OPEN, "approve", now=ITEM.expires + timedelta(microseconds=1))


def test_a_second_decision_of_the_same_reviewer_is_refused() -> None:
    with pytest.raises(NotSigned, match="already"):
        decide(replace(OPEN, votes=(VOTE,)), "approve")


@pytest.mark.parametrize("vote", [replace(VOTE, withdrawn=True), replace(VOTE, counts=False), replace(VOTE, reviewer="eve")])
def test_votes_that_do_not_stand_are_no_obstacle(vote: CastVote) -> None:
    decide(replace(OPEN, votes=(vote,)), "approve")


def test_what_cannot_be_read_can_be_denied_and_not_approved() -> None:
    unreadable = replace(OPEN, card=None)
    decide(unreadable, "deny", "I cannot see what it does.")
    with pytest.raises(NotSigned, match="not readable"):
        decide(unreadable, "approve")


def test_the_longest_reason_is_signed_and_one_character_more_is_not() -> None:
    decide(OPEN, "deny", "x" * REASON_CHARACTERS_MAX)
    with pytest.raises(NotSigned, match="at most"):
        decide(OPEN, "deny", "x" * (REASON_CHARACTERS_MAX + 1))


def test_opening_a_request_is_recorded_with_its_digest() -> None:
    door = RecordingDoor()
    event = note_opened(door, ITEM, "bob")
    assert isinstance(event, ApprovalOpened)
    assert (event.approval, event.digest, event.run, event.cause) == ("apply-1", MARK, "run-1", (UUID(int=7),))
    assert event.reviewer == "bob"


@pytest.mark.parametrize("seen", [None, replace(ALL, missing=2, sentence="2 of 7 pieces were not opened, the first: aws_iam_role.x.")])
def test_what_was_not_seen_can_be_denied_and_not_approved(seen: Seen | None) -> None:
    decide(OPEN, "deny", "I did not even look.", seen=seen)
    with pytest.raises(NotSigned, match="aws_iam_role.x" if seen else "nothing of it was opened"):
        decide(OPEN, "approve", seen=seen)


def test_an_approval_names_what_was_seen_and_a_denial_does_not() -> None:
    [(approved, _)] = decide(OPEN, "approve").recorded
    [(denied, _)] = decide(OPEN, "deny", "No.").recorded
    assert (approved.coverage, denied.coverage) == (ALL.digest, None)
