"""What the rules remember is bounded, and keys come and go with the events that say so."""

from __future__ import annotations

from datetime import timedelta

from tenuto.events import KeyRevoked, KeyRotated
from tenuto.signing import SeedSigner
from tenuto_projections.anomalies.history import History, Recent
from tenuto_projections.anomalies.pace import Window

from tests.unit.projections.written import START, WrittenLedger, uuid

from .road_story import new_ledger, whole_run


def test_the_most_recent_keys_are_kept_up_to_the_limit_and_none_above() -> None:
    recent: Recent[int, str] = Recent(3)
    for key in range(3):
        recent.set(key, str(key))
    recent.set(0, "again")
    assert [recent.get(key) for key in range(3)] == ["again", "1", "2"]
    recent.set(3, "3")
    assert [recent.get(key) for key in range(4)] == ["again", None, "2", "3"]


def test_a_window_ends_exactly_its_span_before_now() -> None:
    window = Window(timedelta(minutes=1))
    window.take(START, uuid(1))
    assert window.count(START + timedelta(seconds=59)) == 1
    assert window.count(START + timedelta(seconds=60)) == 0


def test_a_rotated_key_leaves_its_author_valid_and_a_revoked_one_does_not() -> None:
    ledger = new_ledger()
    old = next(key for key in ledger.walk_keys() if key.author == "mallory")
    new = SeedSigner("mallory", b"n" * 32)
    ledger.write(
        "root", KeyRotated, subject="mallory", old_key_id=old.key_id, subject_key_id=new.key_id,
        public_key=new.public_key.hex(),
    )  # fmt: skip
    gone = key_of(ledger, "demo-reviewer")
    ledger.write("root", KeyRevoked, subject="demo-reviewer", subject_key_id=gone, reason="lost")
    history = History()
    for verified in ledger.verified():
        history.take(verified)
    assert history.valid_keys["mallory"] == {new.key_id}
    assert history.valid_keys["demo-reviewer"] == set()
    assert history.valid_keys["root"]


def key_of(ledger: WrittenLedger, author: str) -> str:
    return next(key.key_id for key in ledger.walk_keys() if key.author == author)


def test_a_run_is_remembered_with_its_facts_its_review_and_its_end() -> None:
    ledger = new_ledger()
    whole_run(ledger)
    history = History()
    for verified in ledger.verified():
        history.take(verified)
    run = history.runs.get("r1")
    assert run is not None
    assert run.review == "approve"
    assert run.ended_by == ledger.events[-1].id
    assert {"run.started", "message review.requested", "end of terraform.plan"} <= run.facts
