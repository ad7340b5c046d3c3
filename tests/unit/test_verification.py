"""Each numbered step fails with its own number, at the first position that is wrong, whatever the size of a page."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from tenuto import header as headers
from tenuto import verification
from tenuto.events import (
    FIRST_PREV,
    DecisionMade,
    Event,
    KeyRevoked,
    MessageSent,
    RecordGap,
    RecordPurged,
    SessionClosed,
    ToolStarted,
)
from tenuto.log.merkle import EMPTY_ROOT
from tenuto.signing import SeedSigner, sign_header
from tenuto.verification import STEPS, VERIFY_CHUNK, LogWalk, VerificationFailed, signature_refusals

from tests.unit.projections.written import ORIGIN, WrittenLedger, uuid

CALL: dict[str, Any] = {"call": "call-1", "tool": "deploy.release", "resource": "service/checkout", "digest": "d" * 64}
TOLD = b"what the agent was told"


@pytest.fixture
def ledger() -> WrittenLedger:
    """Root, two agents and ingest; a payload at the place of `payload_at`."""
    ledger = WrittenLedger()
    ledger.register("deployment", "agent")
    ledger.register("infrastructure", "agent")
    ledger.register("ingest", "ingest")
    ledger.write("deployment", MessageSent, TOLD, to="infrastructure", topic="plan")
    ledger.write("deployment", ToolStarted, **CALL)
    ledger.write("infrastructure", ToolStarted, **CALL)
    ledger.write("deployment", SessionClosed, outcome="completed")
    return ledger


def at(ledger: WrittenLedger, kind: type[Event], author: str = "deployment") -> int:
    return next(i for i, event in enumerate(ledger.events) if isinstance(event, kind) and event.author == author)


def failure(ledger: WrittenLedger, *, page: int = 100, pool: Executor | None = None) -> VerificationFailed:
    walk = ledger.walk()
    with pytest.raises(VerificationFailed) as caught:
        for start in range(0, len(ledger.entries), page):
            walk.take(ledger.entries[start : start + page], pool)
    return caught.value


def put(ledger: WrittenLedger, position: int, /, **changes: Any) -> None:
    ledger.entries[position] = replace(ledger.entries[position], **changes)


def rewrite(ledger: WrittenLedger, position: int, *, by: str | None = None, **changes: Any) -> None:
    """Replace an event by another with a valid signature of `by` or of its author."""
    fields = {name: getattr(ledger.events[position], name) for name in ledger.events[position].__struct_fields__}
    event = type(ledger.events[position])(**(fields | changes))
    header = headers.encode(event)
    one = SeedSigner(by or event.author, hashlib.sha256((by or event.author).encode()).digest())
    put(ledger, position, state=header + sign_header(one, header))


def test_an_honest_log_is_walked_in_silence(ledger: WrittenLedger) -> None:
    walk = ledger.walk()
    verified = walk.take(ledger.entries)
    walk.verify_no_payload_missing()
    assert [one.position for one in verified] == list(range(len(ledger.entries)))
    assert [one.event for one in verified] == ledger.events
    message = verified[at(ledger, MessageSent)]
    assert (message.payload, message.key.author, message.purged) == (TOLD, "deployment", False)


@pytest.mark.parametrize("page", [1, 2, 3, 100])
def test_the_size_of_a_page_changes_nothing(ledger: WrittenLedger, page: int) -> None:
    whole, paged = ledger.walk(), ledger.walk()
    expected = whole.take(ledger.entries)
    found = [
        one for start in range(0, len(ledger.entries), page) for one in paged.take(ledger.entries[start : start + page])
    ]
    assert found == expected
    assert paged.frontier.root() == whole.frontier.root() != EMPTY_ROOT


def flip(state: bytes, place: int) -> bytes:
    changed = bytearray(state)
    changed[place] ^= 1
    return bytes(changed)


Tamper = Callable[[WrittenLedger, int], None]
TAMPERED: dict[str, tuple[int, Tamper]] = {
    "state_of_nothing": (1, lambda ledger, i: put(ledger, i, state=b"")),
    "state_without_a_header": (1, lambda ledger, i: put(ledger, i, state=bytes(64))),
    "header_that_is_not_one": (1, lambda ledger, i: put(ledger, i, state=b"{}" + ledger.entries[i].state[-64:])),
    "event_of_another_log": (1, lambda ledger, i: rewrite(ledger, i, log_origin="another.test/log")),
    "author_without_a_key": (2, lambda ledger, i: rewrite(ledger, i, author="mallory")),
    "key_of_another_author": (2, lambda ledger, i: rewrite(ledger, i, key_id="0" * 16)),
    "signature_of_another": (3, lambda ledger, i: rewrite(ledger, i, by="infrastructure")),
    "flipped_signature": (3, lambda ledger, i: put(ledger, i, state=flip(ledger.entries[i].state, -1))),
    "skipped_number": (4, lambda ledger, i: rewrite(ledger, i, seq=9)),
    "repeated_number": (4, lambda ledger, i: rewrite(ledger, i, seq=1)),
    "other_predecessor": (4, lambda ledger, i: rewrite(ledger, i, prev="a" * 64)),
    "position_that_skips": (6, lambda ledger, i: put(ledger, i, position=i + 1)),
    "position_that_repeats": (6, lambda ledger, i: put(ledger, i, position=i - 1)),
    "time_that_runs_back": (
        6,
        lambda ledger, i: put(ledger, i, recorded_at=ledger.entries[0].recorded_at - timedelta(1)),
    ),
}


@pytest.mark.parametrize("page", [1, 3, 100])
@pytest.mark.parametrize("name", TAMPERED)
def test_a_tampered_event_fails_its_own_step_at_its_own_position(ledger: WrittenLedger, name: str, page: int) -> None:
    step, tamper = TAMPERED[name]
    position = at(ledger, ToolStarted)
    tamper(ledger, position)
    found = failure(ledger, page=page)
    assert (found.step, found.position) == (step, position)
    assert str(found).startswith(f"Step {step} ({STEPS[step]}) fails at position {position}: ")


@pytest.mark.parametrize("page", [1, 3, 100])
def test_a_changed_header_fails_where_it_was_changed_not_where_it_is_missed(ledger: WrittenLedger, page: int) -> None:
    """The next event of the session no longer follows, too; the first position is named all the same."""
    position = at(ledger, ToolStarted)
    state = ledger.entries[position].state
    put(ledger, position, state=state.replace(b"service/checkout", b"service/payments"))
    found = failure(ledger, page=page)
    assert (found.step, found.position) == (3, position)


@pytest.mark.parametrize("page", [1, 100])
def test_of_two_faults_the_first_is_named(ledger: WrittenLedger, page: int) -> None:
    for first, second in (("flipped_signature", "state_of_nothing"), ("state_of_nothing", "flipped_signature")):
        tampered = WrittenLedger()
        tampered.entries, tampered.events = list(ledger.entries), list(ledger.events)
        TAMPERED[first][1](tampered, 3)
        TAMPERED[second][1](tampered, 5)
        found = failure(tampered, page=page)
        assert (found.step, found.position) == (TAMPERED[first][0], 3)


def test_an_altered_payload_before_a_broken_event_is_named_first(ledger: WrittenLedger) -> None:
    position = at(ledger, MessageSent)
    alter_payload(ledger, position)
    TAMPERED["flipped_signature"][1](ledger, position + 1)
    found = failure(ledger)
    assert (found.step, found.position) == (5, position)


def test_a_failed_page_is_not_taken(ledger: WrittenLedger) -> None:
    TAMPERED["flipped_signature"][1](ledger, 5)
    walk = ledger.walk()
    with pytest.raises(VerificationFailed):
        walk.take(ledger.entries)
    assert walk.size == 0


def test_an_event_after_the_revocation_of_its_key_fails_step_2(ledger: WrittenLedger) -> None:
    key = ledger.events[at(ledger, ToolStarted)].key_id
    ledger.write("root", KeyRevoked, subject="deployment", subject_key_id=key, reason="compromised")
    ledger.walk().take(ledger.entries)
    ledger.open("deployment")
    found = failure(ledger)
    assert (found.step, found.position) == (2, len(ledger.entries) - 1)
    assert "revoked at position" in str(found)


def test_an_event_outside_the_role_of_its_author_fails_step_2(ledger: WrittenLedger) -> None:
    ledger.write("ingest", ToolStarted, **CALL)
    found = failure(ledger)
    assert (found.step, found.position) == (2, len(ledger.entries) - 1)
    assert "may not write tool.started" in str(found)


def test_a_session_that_does_not_begin_with_its_opening_fails_step_4(ledger: WrittenLedger) -> None:
    ledger._heads["deployment"] = (uuid("a session out of nothing"), -1, FIRST_PREV)
    ledger.write("deployment", ToolStarted, **CALL)
    found = failure(ledger)
    assert (found.step, found.position) == (4, len(ledger.entries) - 1)


def test_an_event_in_the_session_of_another_fails_step_4(ledger: WrittenLedger) -> None:
    ledger._heads["deployment"] = ledger._heads["infrastructure"]
    ledger.write("deployment", ToolStarted, **CALL)
    found = failure(ledger)
    assert (found.step, found.position) == (4, len(ledger.entries) - 1)


def test_a_declared_gap_lets_the_session_go_on_and_only_there(ledger: WrittenLedger) -> None:
    session, seq, _ = ledger._heads["infrastructure"]
    ledger.write("ingest", RecordGap, gap_session=session, first_seq=seq + 1, last_seq=seq + 2)
    ledger._heads["infrastructure"] = (session, seq + 2, "b" * 64)
    ledger.write("infrastructure", ToolStarted, **CALL)
    ledger.walk().take(ledger.entries)
    ledger._heads["infrastructure"] = (session, seq + 2, "b" * 64)
    ledger.write("infrastructure", ToolStarted, **CALL)
    found = failure(ledger)
    assert (found.step, found.position) == (4, len(ledger.entries) - 1)


def test_a_gap_declared_by_an_agent_fails_step_2(ledger: WrittenLedger) -> None:
    session, seq, _ = ledger._heads["infrastructure"]
    ledger.write("infrastructure", RecordGap, gap_session=session, first_seq=seq + 1, last_seq=seq + 2)
    assert failure(ledger).step == 2


def alter_payload(ledger: WrittenLedger, position: int) -> None:
    stored = ledger.entries[position].payload
    assert stored is not None
    put(ledger, position, payload=msgspec.structs.replace(stored, body=flip(stored.body, 20)))


def swap_payload_key(ledger: WrittenLedger, position: int) -> None:
    ledger.write("infrastructure", MessageSent, b"another text", to="deployment", topic="plan")
    mine, other = ledger.entries[position].payload, ledger.entries[-1].payload
    assert mine is not None
    assert other is not None
    put(ledger, position, payload=msgspec.structs.replace(mine, wrapped_key=other.wrapped_key))


def swap_payload(ledger: WrittenLedger, position: int) -> None:
    ledger.write("infrastructure", MessageSent, b"another text", to="deployment", topic="plan")
    put(ledger, position, payload=ledger.entries[-1].payload)


@pytest.mark.parametrize("tamper", [alter_payload, swap_payload_key, swap_payload], ids=lambda one: one.__name__)
def test_a_payload_that_is_not_the_committed_one_fails_step_5(ledger: WrittenLedger, tamper: Tamper) -> None:
    position = at(ledger, MessageSent)
    tamper(ledger, position)
    found = failure(ledger)
    assert (found.step, found.position) == (5, position)


def test_a_payload_beside_an_event_that_commits_to_none_fails_step_5(ledger: WrittenLedger) -> None:
    position = at(ledger, ToolStarted)
    put(ledger, position, payload=ledger.entries[at(ledger, MessageSent)].payload)
    found = failure(ledger)
    assert (found.step, found.position) == (5, position)


def test_without_the_storage_key_payloads_are_neither_opened_nor_judged(ledger: WrittenLedger) -> None:
    alter_payload(ledger, at(ledger, MessageSent))
    verified = ledger.walk(payloads=False).take(ledger.entries)
    assert all(one.payload is None for one in verified)


def test_a_payload_that_is_gone_without_a_purge_fails_step_5(ledger: WrittenLedger) -> None:
    position = at(ledger, MessageSent)
    ledger.forget(position)
    walk = ledger.walk()
    walk.take(ledger.entries)
    with pytest.raises(VerificationFailed) as caught:
        walk.verify_no_payload_missing()
    assert (caught.value.step, caught.value.position) == (5, position)


def test_a_payload_that_is_gone_under_a_purge_is_accepted(ledger: WrittenLedger) -> None:
    position = at(ledger, MessageSent)
    told = ledger.purge(position)
    walk = ledger.walk()
    verified = walk.take(ledger.entries)
    walk.verify_no_payload_missing()
    assert verified[position].payload is None
    purge = walk.purges.covering(position)
    assert purge is not None
    assert (purge.author, purge.approval, ledger.events[purge.position]) == ("keeper", "purge-1", told)


def test_a_walk_that_reads_no_payloads_keeps_nothing_of_them(ledger: WrittenLedger) -> None:
    for place in range(len(ledger.entries)):
        ledger.forget(place)
    walk = ledger.walk(payloads=False)
    assert any(verified.event.has_payload for verified in walk.take(ledger.entries))
    assert walk.missing_payloads == {}


@pytest.mark.parametrize("author", ["root", "deployment"])
def test_nobody_but_a_keeper_purges(ledger: WrittenLedger, author: str) -> None:
    ledger.write(author, RecordPurged, approval="approval-1", positions=(at(ledger, MessageSent),))
    assert failure(ledger).step == 2


def test_another_root_key_accepts_nothing(ledger: WrittenLedger) -> None:
    other = SeedSigner("root", b"r" * 32)
    walk = LogWalk(origin=ORIGIN, root_public_key=other.public_key)
    with pytest.raises(VerificationFailed) as caught:
        walk.take(ledger.entries)
    assert (caught.value.step, caught.value.position) == (2, 0)


@pytest.fixture(scope="module")
def pool() -> Iterator[Executor]:
    with ThreadPoolExecutor(2) as threads:
        yield threads


def test_threads_find_the_same_first_forgery(ledger: WrittenLedger, pool: Executor) -> None:
    for number in range(VERIFY_CHUNK * 3):
        ledger.write(
            "infrastructure",
            DecisionMade,
            subject="commit",
            subject_digest="d" * 64,
            verdict="approve",
            model=f"m{number}",
        )
    ledger.walk().take(ledger.entries, pool)
    first, second = len(ledger.entries) - VERIFY_CHUNK - 5, len(ledger.entries) - 2
    for position in (second, first):
        put(ledger, position, state=flip(ledger.entries[position].state, -1))
    found = failure(ledger, page=1000, pool=pool)
    assert (found.step, found.position) == (3, first)


@pytest.mark.parametrize("count", [0, 1, VERIFY_CHUNK, VERIFY_CHUNK + 1])
def test_there_is_one_answer_for_every_signature(pool: Executor, count: int) -> None:
    one = SeedSigner("deployment", b"d" * 32)
    jobs = [(b"header %d" % i, sign_header(one, b"header %d" % i), one.public_key, False) for i in range(count)]
    if count:
        jobs[-1] = (b"another header", *jobs[-1][1:])
    answers = list(signature_refusals(jobs, pool))
    assert [answer is None for answer in answers] == [True] * (count - 1) + [False] * bool(count)


def test_the_steps_are_numbered_from_1_to_9_as_the_module_says() -> None:
    assert list(STEPS) == list(range(1, 10))
    listed = re.findall(r"^ (\d)\. ", verification.__doc__ or "", re.MULTILINE)
    assert listed == [str(number) for number in STEPS]
