"""Votes that a console carries: they count when the reviewer's passkey signed exactly them, and never on the console's word."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest
from tenuto.approvals import NotGranted
from tenuto.approvals.passkeys import challenge_of
from tenuto.events import ApprovalSigned, PasskeyEnrolled, PasskeyOffered, PasskeyRevoked

from .authenticator import Authenticator
from .histories import CONSOLE, DIGEST, OTHER_DIGEST, History

ORIGIN = "test/log"
_NONCES = count(1)


class Desk(History):
    """A history with a console and an administrator; `lena` has a passkey and no other key."""

    def __init__(self) -> None:
        super().__init__()
        self.device = self.enrol("lena")

    def enrol(self, reviewer: str, owner: str = "") -> Authenticator:
        device = Authenticator()
        self.console(PasskeyOffered, **device.offer(reviewer))
        self.admin(PasskeyEnrolled, reviewer=reviewer, owner=owner or reviewer, credential=device.credential)
        return device

    def console(self, kind: Any, **fields: Any) -> Any:
        return self.add(kind, CONSOLE, as_role="console", as_owner="operations", **fields)

    def admin(self, kind: Any, **fields: Any) -> Any:
        return self.add(kind, "ida", as_role="administrator", as_owner="ida", **fields)

    def cast(
        self, decision: str = "approve", *, signed: dict[str, Any] | None = None, device: Authenticator | None = None,
        looks: bool = True, **sent: Any,
    ) -> ApprovalSigned:  # fmt: skip
        """The browser signs one decision and the console sends it; `signed` and `sent` are where the two differ."""
        reviewer = sent.get("reviewer") or "lena"
        if decision == "approve" and looks:
            self.view(reviewer)
        coverage = self.fold.coverage("a1", reviewer).digest if decision == "approve" else None
        nonce = f"{next(_NONCES):064x}"
        told = {"approval": "a1", "digest": DIGEST, "decision": decision, "coverage": coverage, "reviewer": reviewer}
        challenge = challenge_of(ORIGIN, nonce=nonce, **told | (signed or {}))
        assertion = (device or self.device).sign(challenge, nonce=nonce)
        return self.console(ApprovalSigned, **told | {"assertion": str(assertion)} | sent)


@pytest.fixture
def desk() -> Desk:
    desk = Desk()
    desk.request()
    return desk


def state(desk: Desk) -> str:
    return desk.fold.standing("a1", desk.now).state


def why_not(desk: Desk) -> tuple[int, str]:
    """Rule and sentence of the last vote, which does not count."""
    vote = desk.fold.standing("a1", desk.now).votes[-1]
    assert not vote.counts
    return vote.rule, vote.sentence


def test_a_passkey_is_enough_to_review(desk):
    desk.cast()
    (vote,) = desk.fold.standing("a1", desk.now).counting
    assert (state(desk), vote.reviewer, vote.owner) == ("granted", "lena", "lena")
    assert [one.name for one in desk.fold.roster.reviewers()] == ["lena"]


def test_a_denial_by_passkey_denies(desk):
    desk.cast("deny")
    assert state(desk) == "denied"


@pytest.mark.parametrize(
    "signed",
    [{"decision": "deny"}, {"digest": OTHER_DIGEST}, {"approval": "a2"}, {"coverage": "0" * 64}, {"reviewer": "otto"}],
    ids=str,
)
def test_a_console_cannot_turn_a_signature_into_another_decision(desk, signed):
    desk.cast(signed=signed)
    rule, sentence = why_not(desk)
    assert (state(desk), rule) == ("open", 2)
    assert "did not sign this" in sentence


@pytest.mark.parametrize("sent", [{"assertion": None}, {"assertion": None, "reviewer": None}, {"reviewer": "otto"}], ids=str)
def test_a_consoles_word_for_a_reviewer_is_no_vote(desk, sent):
    desk.register("otto")
    desk.cast(**sent)
    assert (state(desk), why_not(desk)[0]) == ("open", 2)


def test_an_assertion_that_is_sent_again_after_a_withdrawal_does_not_bring_the_vote_back(desk):
    sent = desk.cast()
    desk.cast("withdraw")
    assert state(desk) == "open"
    desk.console(
        ApprovalSigned, approval="a1", digest=DIGEST, decision="approve", coverage=sent.coverage, reviewer="lena",
        assertion=sent.assertion,
    )  # fmt: skip
    assert state(desk) == "open"
    assert "used before" in why_not(desk)[1]
    desk.cast()
    assert state(desk) == "granted"


def test_a_console_cannot_withdraw_a_vote(desk):
    desk.cast()
    desk.cast("withdraw", signed={"decision": "approve"})
    desk.console(ApprovalSigned, approval="a1", digest=DIGEST, decision="withdraw", reviewer="lena")
    assert state(desk) == "granted"


def test_coverage_is_demanded_of_a_passkey_as_of_any_key(desk):
    desk.cast(looks=False)
    assert why_not(desk)[0] == 3


def test_a_vote_by_a_revoked_passkey_does_not_count_and_one_before_it_does(desk):
    desk.cast()
    desk.admin(PasskeyRevoked, reviewer="lena", credential=desk.device.credential, reason="lost")
    assert state(desk) == "granted"
    desk.request("a2")
    assert desk.fold.roster.reviewers() == ()


def test_a_revoked_passkey_votes_no_more(desk):
    desk.admin(PasskeyRevoked, reviewer="lena", credential=desk.device.credential, reason="lost")
    desk.cast()
    assert "revoked" in why_not(desk)[1]


def test_who_started_it_is_excluded_under_any_name(desk):
    device = desk.enrol("second-name-of-mara", owner="mara")
    desk.cast(reviewer="second-name-of-mara", device=device)
    rule, sentence = why_not(desk)
    assert rule == 2
    assert "mara started this" in sentence


def test_a_person_with_a_key_and_a_passkey_votes_once(desk):
    desk.request("a1b", quorum=2)
    desk.register("otto")
    device = desk.enrol("otto")
    desk.sign("otto")
    desk.cast(reviewer="otto", device=device)
    assert why_not(desk) == (5, "otto has voted already.")


def test_a_passkey_is_not_enrolled_for_another_person_than_the_reviewers_key_names(desk):
    desk.register("otto")
    device = desk.enrol("otto", owner="mallory")
    desk.cast(reviewer="otto", device=device)
    assert "no such passkey" in why_not(desk)[1]


@pytest.mark.parametrize("fields", [{"reviewer": "otto"}, {"assertion": f"{'0' * 64}.{'0' * 64}.AA.AA.AA"}], ids=str)
def test_a_reviewer_with_a_key_speaks_for_nobody_else(desk, fields):
    desk.register("otto")
    desk.view("otto")
    desk.add(
        ApprovalSigned, "otto", as_role="reviewer", approval="a1", digest=DIGEST, decision="approve",
        coverage=desk.fold.coverage("a1", "otto").digest, **fields,
    )  # fmt: skip
    assert "speaks for nobody else" in why_not(desk)[1]


def test_the_gate_is_told_which_rule_a_forged_vote_breaks(desk):
    asked = desk.fold.request("a1").event
    desk.cast(signed={"digest": OTHER_DIGEST})
    with pytest.raises(NotGranted, match="0 of 1 reviewers approved"):
        desk.fold.verify_granted(asked, desk.now)
