"""A tick is drawn only for a step that was taken."""

from __future__ import annotations

import pytest
from tenuto.log.checkpoint import Checkpoint, sign_checkpoint
from tenuto.log.merkle import EMPTY_ROOT
from tenuto.log.note import Cosigner, NoteSigner
from tenuto.trust import Trust
from tenuto.verification import VerificationFailed
from tenuto_projections.walked import NOT_DONE, PASSED, Seen, Tick, Walked, cosignature_tick, verify_cosigned

from .story import MOVES, tell
from .written import ORIGIN, MemoryFollower, WrittenLedger


def walked_over(
    ledger: WrittenLedger, seen: Seen | None = None, *, payloads: bool = True, page_events: int = 500
) -> tuple[Walked, tuple[Tick, ...]]:
    follower = MemoryFollower(ledger, page_events, payloads=payloads)
    walked = Walked(ledger.trust, opens_payloads=payloads)
    walked.seen_before(seen)
    for page in follower.pages():
        walked.take(page)
    walked.verify(follower)
    walk = walked.walk(follower)
    return walked, walk.ticks


def checkpoint_over(ledger: WrittenLedger) -> Seen:
    follower = MemoryFollower(ledger)
    for _ in follower.pages():
        pass
    return Seen(ORIGIN, follower.walk.size, follower.walk.frontier.root().hex())


def test_a_first_look_extends_nothing() -> None:
    _, ticks = walked_over(tell("start", "request"))
    assert [tick.state for tick in ticks] == [PASSED] * 7 + [NOT_DONE, NOT_DONE]
    assert "first checkpoint" in ticks[8].sentence
    assert "2 payloads match" in ticks[4].sentence


@pytest.mark.parametrize("page_events", [1, 7, 500])
def test_a_later_process_shows_that_the_log_extends_the_checkpoint_seen_before(page_events: int) -> None:
    ledger = tell("start", "request")
    seen = checkpoint_over(ledger)
    MOVES["approve"](ledger)
    _, ticks = walked_over(ledger, seen, page_events=page_events)
    assert ticks[8].state == PASSED
    assert f"extends the one over {seen.size}" in ticks[8].sentence
    _, unchanged = walked_over(ledger, checkpoint_over(ledger))
    assert "unchanged" in unchanged[8].sentence


def test_another_history_than_the_one_seen_before_is_found() -> None:
    seen = checkpoint_over(tell("start", "request"))
    with pytest.raises(VerificationFailed, match="Step 9"):
        walked_over(tell("start", "decide", "decide"), seen)


def test_a_log_that_became_shorter_is_found() -> None:
    seen = checkpoint_over(tell("start", "request", "approve"))
    with pytest.raises(VerificationFailed, match="Step 9"):
        walked_over(tell("start", "request"), seen)


def test_a_checkpoint_of_another_log_says_nothing_about_this_one() -> None:
    _, ticks = walked_over(tell("start"), Seen("other.log/x", 10_000, "00"))
    assert ticks[8].state == NOT_DONE


def test_payloads_that_nobody_opened_are_not_ticked() -> None:
    _, ticks = walked_over(tell("start", "request"), payloads=False)
    assert ticks[4] == Tick(5, ticks[4].title, NOT_DONE, "2 payloads were not opened: the storage key is not here.")


def test_a_payload_that_is_gone_without_a_purge_fails_step_5() -> None:
    ledger = tell("start", "request")
    ledger.forget(next(entry.position for entry in ledger.entries if entry.payload))
    with pytest.raises(VerificationFailed, match="Step 5"):
        walked_over(ledger)


def test_a_purged_payload_is_counted_as_purged() -> None:
    _, ticks = walked_over(tell("start", "request", "purge"))
    assert ticks[4].state == PASSED
    assert "0 payloads match" in ticks[4].sentence and "2 are gone under a purge" in ticks[4].sentence


def test_before_the_first_checkpoint_nothing_is_ticked() -> None:
    ledger = tell()
    walk = Walked(ledger.trust, opens_payloads=True).walk(MemoryFollower(ledger))
    assert (walk.seen, {tick.state for tick in walk.ticks}) == (None, {NOT_DONE})


def signed_note() -> tuple[bytes, NoteSigner, Cosigner]:
    log, witness = NoteSigner("log.example/one", bytes(32)), Cosigner("witness.example/one", bytes([1]) * 32)
    return sign_checkpoint(Checkpoint("log.example/one", 0, EMPTY_ROOT), log), log, witness


def trust_of(log: NoteSigner, policy: str) -> Trust:
    return Trust(
        origin="log.example/one", root_public_key="", log_key=log.vkey, policy=policy, epoch=1, epoch_public_key=""
    )


@pytest.mark.parametrize("rest", ["quorum none\n", ""])
def test_step_8_is_not_done_where_the_policy_names_no_witness(rest: str) -> None:
    note, log, _ = signed_note()
    trust = trust_of(log, f"log {log.vkey}\n{rest}" if rest else "")
    state, sentence = cosignature_tick(note, trust)
    assert (state, "names no witness" in sentence) == (NOT_DONE, True)
    verify_cosigned(note, trust)


def test_step_8_passes_with_the_cosignature_and_fails_without_it() -> None:
    note, log, witness = signed_note()
    trust = trust_of(log, f"log {log.vkey}\nwitness w {witness.vkey}\nquorum w\n")
    assert cosignature_tick(note, trust)[0] == NOT_DONE
    with pytest.raises(VerificationFailed, match="lacks a cosignature of w") as refused:
        verify_cosigned(note, trust)
    assert refused.value.step == 8
    text = note.partition(b"\n\n")[0] + b"\n"
    cosigned = note + witness.cosign(text, 1_700_000_000)
    assert cosignature_tick(cosigned, trust)[0] == PASSED
    verify_cosigned(cosigned, trust)


def test_step_8_takes_no_cosignature_by_a_stranger() -> None:
    note, log, witness = signed_note()
    trust = trust_of(log, f"log {log.vkey}\nwitness w {witness.vkey}\nquorum w\n")
    stranger = Cosigner("witness.example/one", bytes([2]) * 32)
    with pytest.raises(VerificationFailed):
        verify_cosigned(note + stranger.cosign(note.partition(b"\n\n")[0] + b"\n", 1_700_000_000), trust)
