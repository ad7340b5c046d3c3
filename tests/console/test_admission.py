"""Who a login is, and by which hand somebody signs: what the ledger says, and nothing that a token or a cookie adds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from tenuto.approvals.identities import identity_of
from tenuto.approvals.passkeys import Assertion
from tenuto.events import ApprovalOpened, ApprovalSigned, SpotcheckSigned
from tenuto_dashboard.admission import CLAIM_CHARACTERS_MAX, Admission, admit
from tenuto_dashboard.decisions import NotSigned
from tenuto_dashboard.hands import CarryingDoor, Hand, hand_of
from tenuto_dashboard.passkeys import Ballot, page_at
from tenuto_projections.signers import HeldPasskey, Signer

from tests.console.test_decisions import RecordingDoor

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ISSUER, HOURS = "https://login.example", 10
LENA = identity_of(ISSUER, "lena")
PAGE = page_at("https://console.example")
HELD = HeldPasskey("c" * 64, "lena", "AQID", PAGE.web_origin, NOW, "lena", 7, None)


def claims(**changes: Any) -> Mapping[str, Any]:
    return {"is_logged_in": True, "iss": ISSUER, "sub": "lena", "iat": NOW.timestamp()} | changes


def who(said: Mapping[str, Any]) -> Admission:
    return admit(said, NOW, hours=HOURS, reviewer_of={LENA: "lena"}.get)


def test_a_login_is_the_reviewer_to_whom_issuer_and_subject_are_bound() -> None:
    assert who(claims()) == Admission("known", "lena", ISSUER, "lena", LENA)


@pytest.mark.parametrize("changes", [{"sub": "Lena"}, {"sub": "mallory"}, {"iss": "https://login.example/"}], ids=str)
def test_anybody_else_is_nobody_here(changes: dict[str, Any]) -> None:
    assert (who(claims(**changes)).state, who(claims(**changes)).reviewer) == ("unbound", None)


def test_what_else_a_token_says_is_not_looked_at() -> None:
    wishes = {"roles": ["admin"], "groups": ["reviewers"], "reviewer": "lena", "identity": LENA, "email": "lena@example.net", "email_verified": True}
    assert who(claims(sub="mallory", **wishes)).reviewer is None
    assert who(claims(**wishes)) == who(claims())


@pytest.mark.parametrize(
    "changes",
    [{"is_logged_in": False}, {"is_logged_in": "yes"}, {"iss": None}, {"iss": ""}, {"sub": 7}, {"sub": "l" * (CLAIM_CHARACTERS_MAX + 1)}],
    ids=str,
)
def test_without_issuer_or_subject_nobody_is_logged_in(changes: dict[str, Any]) -> None:
    assert who(claims(**changes)) == Admission("nobody")
    assert admit({}, NOW, hours=HOURS, reviewer_of={LENA: "lena"}.get) == Admission("nobody")


@pytest.mark.parametrize(
    ("issued", "state"),
    [
        (NOW - timedelta(hours=HOURS) + timedelta(seconds=1), "known"), (NOW - timedelta(hours=HOURS), "expired"),
        (NOW + timedelta(minutes=5), "known"), (NOW + timedelta(minutes=6), "expired"),
    ],
)  # fmt: skip
def test_a_login_is_good_for_its_hours(issued: datetime, state: str) -> None:
    assert who(claims(iat=issued.timestamp())).state == state


@pytest.mark.parametrize("issued", [None, True, "now", float("nan"), 1e300, -1e300], ids=str)
def test_a_login_of_no_time_is_expired(issued: object) -> None:
    assert who(claims(iat=issued)).state == "expired"


def lena(**changes: Any) -> Signer:
    return replace(Signer("lena", "lena", active=True, passkey_only=False, keys=0, passkeys=(HELD,)), **changes)


def test_who_has_a_passkey_signs_with_it_whether_or_not_there_is_a_key_too() -> None:
    for login in (True, False):
        assert hand_of(lena(keys=1), PAGE, login=login) == Hand("passkey", ("AQID",))


@pytest.mark.parametrize(
    ("signer", "page", "login", "sentence"),
    [
        (lena(active=False), PAGE, True, "not an active reviewer"),
        (lena(active=False, keys=1, passkeys=()), PAGE, False, "not an active reviewer"),
        (lena(passkeys=(replace(HELD, until=9),)), PAGE, True, "none is enrolled yet"),
        (lena(passkeys=(replace(HELD, since=None, owner=None),)), PAGE, True, "none is enrolled yet"),
        (lena(keys=1, passkeys=()), PAGE, True, "none is enrolled yet"),
        (lena(keys=1, passkeys=(), passkey_only=True), PAGE, False, "none is enrolled yet"),
        (lena(keys=1), page_at("https://other.example"), False, "belongs to https://console.example"),
        (lena(keys=1), None, False, "belongs to https://console.example"),
        (Signer("pia", "", active=False, passkey_only=False, keys=0, passkeys=()), PAGE, True, "none is enrolled yet"),
    ],
)
def test_who_may_not_sign_here_is_told_why(signer: Signer, page: Any, login: bool, sentence: str) -> None:
    hand = hand_of(signer, page, login=login)
    assert (hand.by, hand.held) == ("none", ())
    assert sentence in hand.sentence


def test_the_configured_key_signs_only_where_nobody_logs_in_and_no_passkey_is_demanded() -> None:
    assert hand_of(lena(keys=1, passkeys=()), PAGE, login=False) == Hand("key")


BALLOT = Ballot("tenuto.test/log", "a-1", "d" * 64, "approve", "c" * 64, "lena", "1" * 64)
ASSERTION = Assertion("e" * 64, "1" * 64, "AA", "AA", "AA")
FIELDS = {"approval": "a-1", "digest": "d" * 64, "decision": "approve", "coverage": "c" * 64}


def test_the_console_carries_exactly_what_was_signed() -> None:
    door = RecordingDoor()
    event = CarryingDoor(door, BALLOT, ASSERTION).record(ApprovalSigned, cause=(UUID(int=1),), **FIELDS)
    assert (event.reviewer, event.assertion, event.cause) == ("lena", str(ASSERTION), (UUID(int=1),))
    finding = replace(BALLOT, decision="agree", coverage=None)
    found = CarryingDoor(door, finding, ASSERTION).record(SpotcheckSigned, approval="a-1", digest="d" * 64, finding="agree")
    assert (found.finding, found.reviewer) == ("agree", "lena")


@pytest.mark.parametrize("changes", [{"decision": "deny"}, {"digest": "f" * 64}, {"approval": "a-2"}, {"coverage": "f" * 64}, {"reviewer": "otto"}], ids=str)
def test_another_decision_than_the_one_that_was_signed_does_not_leave_the_console(changes: dict[str, Any]) -> None:
    door = RecordingDoor()
    with pytest.raises(NotSigned, match="sign once more"):
        CarryingDoor(door, BALLOT, ASSERTION).record(ApprovalSigned, **FIELDS | changes)
    with pytest.raises(NotSigned):
        CarryingDoor(door, BALLOT, ASSERTION).record(ApprovalOpened, approval="a-1", digest="d" * 64)
    assert door.recorded == []
