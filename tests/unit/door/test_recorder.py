from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tenuto import header as headers
from tenuto.documents import Arguments, Reason, Result, from_payload
from tenuto.envelope import parse
from tenuto.errors import Busy, NotConfigured, Refused
from tenuto.events import DecisionMade
from tenuto.recorder import Recorder, RecordRefusedByLedger
from tenuto.settings import EVENTS_TOPIC
from tenuto.spool import Outgoing, Spool, SpoolFull
from tenuto.verification import open_stored

from tests.doubles import MemoryPublisher
from tests.unit.door.mini_ledger import STORAGE_KEY, Road


@contextmanager
def opened(road: Road, spool: Spool, **options: Any) -> Iterator[Recorder]:
    """A recorder of alice at work, while nothing is carried; ends like a process that stops without its ledger."""
    recorder = road.recorder("alice", spool, **options)
    recorder.open("test/1")
    try:
        yield recorder
    finally:
        with road.carrying():
            road.bus.away = False
            recorder.close()


def say(recorder: Recorder, number: int = 0) -> DecisionMade:
    return recorder.decision(
        "comment", document=Reason(text=f"number {number}"), subject="commit", subject_digest="0" * 64, model="m",
        findings=number,
    )  # fmt: skip


def spoken(road: Road) -> list[int]:
    return [event.findings for event in road.events("alice") if isinstance(event, DecisionMade)]


def published(road: Road) -> list[int]:
    """The numbers on the bus, in the order in which a reader finds them."""
    events = [headers.decode(parse(record.value).header) for record in road.bus.records(EVENTS_TOPIC)]
    return [event.findings for event in events if isinstance(event, DecisionMade)]


def test_a_receipt_says_where_the_ledger_has_the_event(tmp_path: Path) -> None:
    road = Road()
    with road.at_work(tmp_path) as alice:
        event = say(alice, 3)
        receipt = alice.wait(event)
        entry = road.ledger.entries[receipt.position]
        assert headers.decode(entry.state[:-64]) == event
        assert entry.recorded_at == receipt.recorded_at
        assert from_payload(open_stored(entry, event, STORAGE_KEY), Reason) == Reason(text="number 3")
    assert road.kinds("alice") == ["session.opened", "decision.made", "session.closed"]


def test_a_bus_that_does_not_let_an_author_write_is_told_to_whoever_calls_next_and_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    road, sentence = Road(), "The broker does not let alice publish to tenuto.events."

    def refuse(*_: object) -> None:
        raise NotConfigured(sentence)

    road.bus.away = True
    with opened(road, Spool(tmp_path / "alice.db")) as alice, monkeypatch.context() as patch:
        say(alice, 1)
        patch.setattr(MemoryPublisher, "publish", refuse)
        with pytest.raises(NotConfigured, match=sentence):
            alice.wait(say(alice, 2), 60)
    with road.at_work(tmp_path) as alice:
        alice.flush(60)
    assert 1 in spoken(road)


def test_an_event_is_on_disk_and_encrypted_before_the_bus_has_it(tmp_path: Path) -> None:
    road = Road()
    road.bus.away = True
    with opened(road, Spool(tmp_path / "a.db")) as alice:
        say_secret = ("text/plain", b"a very secret sentence")
        fields = {"subject": "commit", "verdict": "comment", "subject_digest": "0" * 64, "model": "m"}
        alice.record(DecisionMade, payload=say_secret, **fields)
        disk = b"".join(path.read_bytes() for path in tmp_path.iterdir())
        assert b"decision.made" in disk
        assert b"secret" not in disk
        assert alice.lag().events == 2


def test_after_an_outage_everything_arrives_in_order_and_once(tmp_path: Path) -> None:
    road = Road()
    with road.at_work(tmp_path) as alice:
        alice.wait(say(alice, 0))
        road.bus.away = True
        for number in range(1, 20):
            say(alice, number)
        assert alice.lag().events >= 19
        road.bus.away = False
        alice.flush(60)
        assert alice.lag().events == 0
    assert spoken(road) == list(range(20))


def test_a_broker_that_lost_everything_gets_everything_again(tmp_path: Path) -> None:
    road = Road()
    with road.at_work(tmp_path) as alice:
        alice.wait(say(alice, 0))
        with road.turn:  # published, but nobody has read it yet
            for number in range(1, 6):
                say(alice, number)
            while len(published(road)) < 6:
                pass
            road.bus.lose_everything()
        alice.wait(say(alice, 6))
    assert spoken(road) == list(range(7))


def test_what_a_killed_process_left_goes_out_before_the_next_session(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path; from tenuto.spool import Spool;"
        "from tests.unit.door.mini_ledger import Road; from tests.unit.door.test_recorder import say;"
        "road = Road(); road.bus.away = True; alice = road.recorder('alice', Spool(Path(sys.argv[1])));"
        "alice.open('test/1'); [say(alice, number) for number in range(3)]; os.kill(os.getpid(), signal.SIGKILL)"
    )
    ended = subprocess.run([sys.executable, "-c", code, str(tmp_path / "alice.db")], cwd=os.getcwd(), check=False)  # noqa: S603
    assert ended.returncode == -signal.SIGKILL
    road = Road(partitions=1)
    with road.at_work(tmp_path) as alice:
        alice.wait(say(alice, 3))
        alice.flush(60)
    assert spoken(road) == [0, 1, 2, 3]
    sessions = {event.session: event.seq for event in road.events("alice")}
    assert list(sessions.values()) == [3, 2]


@pytest.mark.parametrize("persisted", [False, True])
def test_an_interruption_in_the_middle_of_a_record_does_not_fork_the_chain(tmp_path: Path, persisted: bool) -> None:
    class InterruptedSpool(Spool):
        armed = False

        def append(self, outgoing: Outgoing) -> None:
            if not self.armed or persisted:
                super().append(outgoing)
            if self.armed:
                raise KeyboardInterrupt

    road, spool = Road(), InterruptedSpool(tmp_path / "a.db")
    with opened(road, spool) as alice:
        spool.armed = True
        with pytest.raises(KeyboardInterrupt):
            say(alice, 1)
        spool.armed = False
        say(alice, 2)
    assert spoken(road) == ([1, 2] if persisted else [2])
    assert [event.seq for event in road.events("alice")] == list(range(4 if persisted else 3))


def test_repeated_publication_changes_nothing_in_the_ledger(tmp_path: Path) -> None:
    road = Road()
    with opened(road, Spool(tmp_path / "a.db")) as alice:
        say(alice, 1)
        for times in (1, 2, 3):
            while published(road).count(1) < times:
                alice._drain.start_over()
    assert published(road).count(1) >= 3
    assert spoken(road) == [1]


def test_events_of_several_threads_form_one_chain(tmp_path: Path) -> None:
    road = Road()
    with road.at_work(tmp_path) as alice:
        threads = [threading.Thread(target=lambda: [say(alice, 1) for _ in range(15)]) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [event.seq for event in road.events("alice")] == list(range(62))


def test_a_full_spool_refuses_after_the_bound_that_was_given(tmp_path: Path) -> None:
    road = Road()
    road.bus.away = True
    with opened(road, Spool(tmp_path / "a.db", bytes_max=2500)) as alice:
        alice.room_seconds = 0.05
        for number in range(2):
            say(alice, number)
        with pytest.raises(SpoolFull, match="3 events"):
            say(alice, 2)
        assert alice.lag().events == 3
    assert spoken(road) == [0, 1]


def test_a_full_spool_blocks_the_caller_until_there_is_room(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    road = Road()
    road.bus.away = True
    with opened(road, Spool(tmp_path / "a.db", bytes_max=2500)) as alice:
        caller = threading.Thread(target=lambda: [say(alice, number) for number in range(6)])
        caller.start()
        while "for room" not in caplog.text:
            assert caller.is_alive()
        road.bus.away = False
        with road.carrying():
            caller.join(60)
        assert not caller.is_alive()
    assert spoken(road) == list(range(6))


def test_without_a_receipt_waiting_ends_busy_and_the_event_stays(tmp_path: Path) -> None:
    road = Road()
    with opened(road, Spool(tmp_path / "a.db")) as alice:
        road.clock.advance(7)
        event = say(alice)
        with pytest.raises(
            Busy, match=r"No receipt for decision\.made .* within 0\.05 s.*2 events wait, the oldest for 7 s"
        ):
            alice.wait(event, 0.05)
        with road.carrying():
            assert alice.wait(event).position > 0


def test_a_record_that_the_ledger_refused_is_not_waited_for_and_not_sent_again(tmp_path: Path) -> None:
    road = Road()
    road.refuse = {"decision.made"}
    with road.at_work(tmp_path) as alice:
        event = say(alice)
        for _ in range(2):
            with pytest.raises(RecordRefusedByLedger, match="entitlement") as caught:
                alice.wait(event)
        refusal = headers.decode(road.ledger.entries[caught.value.position].state[:-64])
        assert (refusal.kind, refusal.author) == ("record.refused", "ingest")
        alice.flush(60)
    assert [event.kind for event in road.events("ingest")].count("record.refused") == 1


def test_only_its_own_events_can_be_waited_for(tmp_path: Path) -> None:
    road = Road()
    with road.at_work(tmp_path) as alice, pytest.raises(Refused, match="did not write it"):
        alice.wait(road.events("root")[0])


def test_the_lag_is_the_age_of_the_oldest_event_without_receipt(tmp_path: Path) -> None:
    road = Road()
    with opened(road, Spool(tmp_path / "a.db")) as alice:
        road.clock.advance(90)
        assert alice.lag().oldest_seconds == 90
        with road.carrying():
            alice.flush(60)
        assert (alice.lag().events, alice.lag().bytes, alice.lag().oldest_seconds) == (0, 0, 0.0)


def test_without_a_mailbox_nothing_is_waited_for_and_everything_is_kept(tmp_path: Path) -> None:
    road = Road()
    with opened(road, Spool(tmp_path / "a.db"), receipts=False) as alice:
        event = say(alice, 1)
        alice.flush(60)
        assert published(road) == [1]
        with pytest.raises(NotConfigured, match="no mailbox"):
            alice.wait(event)
        assert alice.lag().events == 2


def test_a_recorder_takes_nothing_before_it_is_open_or_after_it_was_closed(tmp_path: Path) -> None:
    road = Road()
    alice = road.recorder("alice", Spool(tmp_path / "a.db"))
    with pytest.raises(NotConfigured, match="not open yet"):
        say(alice)
    with road.carrying():
        alice.open("test/1")
        with pytest.raises(NotConfigured, match="opened before"):
            alice.open("test/1")
        alice.close()
    alice.close()
    with pytest.raises(NotConfigured, match="is closed"):
        say(alice)


@pytest.mark.parametrize(
    ("error", "outcome"), [(None, "completed"), (ValueError, "failed"), (KeyboardInterrupt, "interrupted")]
)
def test_the_session_closes_with_the_outcome_of_its_block(
    tmp_path: Path, error: type[BaseException] | None, outcome: str
) -> None:
    road = Road()
    try:
        with road.at_work(tmp_path):
            if error is not None:
                raise error
    except BaseException as raised:
        assert type(raised) is error
    assert road.events("alice")[-1].outcome == outcome


def test_a_tool_call_is_on_record_before_the_tool_is_touched(tmp_path: Path) -> None:
    road = Road()
    with road.at_work(tmp_path) as alice:
        with alice.tool("shell", "build-host", arguments={"command": "make"}, run="run-1") as call:
            assert road.kinds("alice")[-2:] == ["tool.requested", "tool.started"]
            call.finish("all built", files=3)
        alice.flush(60)
        requested, started, finished = road.events("alice")[1:]
        assert (requested.call, started.call, finished.call) == (call.call,) * 3
        assert requested.digest == started.digest
        assert finished.cause == (started.id,)
        payloads = [open_stored(entry, headers.decode(entry.state[:-64]), STORAGE_KEY) for entry in road.ledger.entries]
        documents = [payload for payload in payloads if payload is not None]
        assert from_payload(documents[0], Arguments).values == {"command": "make"}
        assert from_payload(documents[1], Result) == Result(text="all built", values={"files": 3})


@pytest.mark.parametrize(("error", "why"), [(ValueError("no"), "error"), (TimeoutError("late"), "timeout")])
def test_an_error_in_a_tool_call_is_recorded_and_goes_on(tmp_path: Path, error: Exception, why: str) -> None:
    road = Road()
    with road.at_work(tmp_path) as alice:
        with pytest.raises(type(error)), alice.tool("shell", "build-host"):
            raise error
        alice.flush(60)
        assert (road.events("alice")[-1].kind, road.events("alice")[-1].why) == ("tool.failed", why)


def test_an_interrupted_tool_call_has_an_unknown_outcome(tmp_path: Path) -> None:
    road = Road()
    with road.at_work(tmp_path) as alice:
        with pytest.raises(KeyboardInterrupt), alice.tool("shell", "build-host"):
            raise KeyboardInterrupt
        alice.flush(60)
        assert road.kinds("alice")[-1] == "tool.unknown"


def test_a_tool_whose_start_got_no_receipt_is_not_touched(tmp_path: Path) -> None:
    road, touched = Road(), False
    with opened(road, Spool(tmp_path / "a.db")) as alice:
        alice._receipt_seconds = 0.05
        with pytest.raises(Busy, match="No receipt"), alice.tool("shell", "build-host"):
            touched = True
    assert not touched
    assert road.events("alice")[-2].why == "refused"


def test_a_decorated_function_is_on_record_and_otherwise_the_same(tmp_path: Path) -> None:
    road = Road()
    with road.at_work(tmp_path) as alice:

        @alice.recorded("orders-db", tool="orders.count")
        def count(customer: str, *, since: object = None) -> int:
            """Count orders."""
            if customer == "nobody":
                raise LookupError(customer)
            return 7

        assert (count("acme", since=Path("x")), count.__doc__) == (7, "Count orders.")
        with pytest.raises(LookupError):
            count("nobody")
        alice.flush(60)
        assert road.kinds("alice")[1:] == ["tool.requested", "tool.started", "tool.finished"] + [
            "tool.requested", "tool.started", "tool.failed",
        ]  # fmt: skip
        assert road.events("alice")[1].tool == "orders.count"


def test_a_field_that_no_header_can_hold_is_refused_and_takes_no_place(tmp_path: Path) -> None:
    road = Road()
    with road.at_work(tmp_path) as alice:
        with pytest.raises(Refused, match="refused"):
            alice.decision("comment", subject="Not A Name", subject_digest="0" * 64, model="m")
        say(alice, 1)
    assert [event.seq for event in road.events("alice")] == [0, 1, 2]


def test_none_valued_fields_are_left_out(tmp_path: Path) -> None:
    road = Road()
    with road.at_work(tmp_path) as alice:
        event = alice.decision(
            "comment", subject="commit", subject_digest="0" * 64, model="m", confidence=None, run=None
        )
    assert b"confidence" not in headers.encode(event)


def test_a_dead_thread_of_the_recorder_stops_its_caller(tmp_path: Path) -> None:
    road = Road()
    with road.at_work(tmp_path) as alice:
        alice.wait(say(alice))
        alice._drain.stop()
        alice._threads[0].join(60)
        with pytest.raises(RuntimeError, match="nothing would reach the ledger"):
            say(alice)
