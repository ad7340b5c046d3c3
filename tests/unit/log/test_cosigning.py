"""Collecting cosignatures: one witness away, slow or contrary costs an alarm and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import Event

import pytest
from tenuto.errors import Busy
from tenuto.log.checkpoint import Checkpoint, sign_checkpoint
from tenuto.log.cosigning import CheckpointWitness, Cosigning
from tenuto.log.note import Cosigner, NoteSigner, NoteVerifier
from tenuto.log.witness import Witness
from tenuto.log.witnessing import AddCheckpoint, parse_policy, verify_policy

from tests.unit.log import naive
from tests.unit.log.naive import Leaves, StoppedClock

ORIGIN = "log.example/a"
LOG = NoteSigner(ORIGIN, bytes(32))
LEAVES = naive.leaves_of(20)


class Near:
    """A real witness in this process; counts what it is asked, and can be made to fail."""

    def __init__(self, folder: Path, name: str, clock: StoppedClock) -> None:
        cosigner = Cosigner(name, name.encode().ljust(32))
        self.verifier: NoteVerifier = cosigner.verifier
        self.asked: list[int] = []
        self.trouble: Exception | None = None
        self.answer: bytes | None = None
        self._witness = Witness(cosigner=cosigner, logs=[LOG.verifier], state=folder / name, clock=clock)

    def add_checkpoint(self, request: AddCheckpoint) -> bytes:
        self.asked.append(request.old_size)
        if self.trouble is not None:
            raise self.trouble
        return self.answer or self._witness.add_checkpoint(request.to_bytes())


class Slow:
    """Answers when it is released."""

    def __init__(self, witness: Near) -> None:
        self.verifier, self._witness, self.release, self.asked = witness.verifier, witness, Event(), 0

    def add_checkpoint(self, request: AddCheckpoint) -> bytes:
        self.asked += 1
        assert self.release.wait(120)
        return self._witness.add_checkpoint(request)


@pytest.fixture
def clock() -> StoppedClock:
    return StoppedClock()


@pytest.fixture
def first(tmp_path: Path, clock: StoppedClock) -> Near:
    return Near(tmp_path, "w1.example", clock)


@pytest.fixture
def second(tmp_path: Path, clock: StoppedClock) -> Near:
    return Near(tmp_path, "w2.example", clock)


@pytest.fixture
def cosigning(first: Near, second: Near, clock: StoppedClock) -> Iterator[Cosigning]:
    asking = asking_of([first, second], clock)
    yield asking
    asking.close()


def asking_of(witnesses: list[CheckpointWitness], clock: StoppedClock, answer_seconds: float = 60) -> Cosigning:
    return Cosigning(witnesses, Leaves(LEAVES), clock, answer_seconds)


def signed(size: int) -> tuple[bytes, Checkpoint]:
    checkpoint = Checkpoint(ORIGIN, size, naive.root(LEAVES[:size]))
    return sign_checkpoint(checkpoint, LOG), checkpoint


def test_two_witnesses_make_a_note_that_satisfies_a_policy_of_both(
    cosigning: Cosigning, first: Near, second: Near
) -> None:
    keys = f"log {LOG.vkey}\nwitness a {first.verifier.vkey}\nwitness b {second.verifier.vkey}\n"
    policy = parse_policy(keys + "group both all a b\nquorum both\n")
    for size in (3, 8, 20):
        cosigned = cosigning.collect(*signed(size))
        assert cosigned.names == ("w1.example", "w2.example")
        assert cosigned.alarms == ()
        assert verify_policy(cosigned.note, policy, ORIGIN).size == size


def test_a_witness_that_is_away_costs_an_alarm_and_leaves_the_others(
    cosigning: Cosigning, first: Near, second: Near
) -> None:
    first.trouble = Busy("nobody is at home.")
    cosigned = cosigning.collect(*signed(3))
    assert cosigned.names == ("w2.example",)
    assert cosigned.alarms == ("No cosignature by w1.example over 3 entries: nobody is at home.",)


def test_a_witness_that_came_back_is_asked_again_for_the_same_checkpoint(
    cosigning: Cosigning, first: Near, second: Near, clock: StoppedClock
) -> None:
    first.trouble = Busy("away")
    note, checkpoint = signed(3)
    partly = cosigning.collect(note, checkpoint)
    first.trouble = None
    assert cosigning.collect(partly.note, checkpoint).names == ("w2.example",), "it rests after a failure"
    clock.pass_seconds(1)
    assert cosigning.collect(partly.note, checkpoint).names == ("w1.example", "w2.example")
    assert len(second.asked) == 1, "who has cosigned is not asked again"


def test_after_each_failure_in_a_row_the_witness_rests_twice_as_long(
    cosigning: Cosigning, first: Near, clock: StoppedClock
) -> None:
    first.trouble = Busy("away")
    for rest in (1, 2, 4, 8, 16, 32, 60, 60):
        before = len(first.asked)
        cosigning.collect(*signed(3))
        assert len(first.asked) == before + 1
        clock.pass_seconds(rest - 0.001)
        cosigning.collect(*signed(3))
        assert len(first.asked) == before + 1
        clock.pass_seconds(0.001)


def test_a_slow_witness_is_not_waited_for_and_not_asked_twice_at_once(
    first: Near, second: Near, clock: StoppedClock
) -> None:
    slow = Slow(first)
    asking = asking_of([slow, second], clock, answer_seconds=2)
    cosigned = asking.collect(*signed(3))
    assert cosigned.names == ("w2.example",)
    assert "did not answer within 2 seconds" in cosigned.alarms[0]
    clock.pass_seconds(100)
    assert asking.collect(*signed(8)).alarms == ()
    assert slow.asked == 1
    slow.release.set()
    asking.close()


def test_a_witness_of_unknown_memory_says_its_size_and_gets_the_right_proof(
    cosigning: Cosigning, first: Near, clock: StoppedClock
) -> None:
    cosigning.collect(*signed(3))
    after_restart = asking_of([first], clock)
    assert after_restart.collect(*signed(8)).names == ("w1.example",)
    assert first.asked == [0, 0, 3]
    after_restart.close()


def test_a_witness_that_saw_more_than_was_signed_here_raises_an_alarm(cosigning: Cosigning) -> None:
    cosigning.collect(*signed(8))
    cosigned = cosigning.collect(*signed(3))
    assert cosigned.names == ()
    assert "cosigned 8 entries already, more than were signed here" in cosigned.alarms[0]


def test_a_witness_that_saw_another_history_raises_an_alarm(
    cosigning: Cosigning, first: Near, second: Near, clock: StoppedClock
) -> None:
    cosigning.collect(*signed(8))
    fork = naive.leaves_of(20, "forked ")
    checkpoint = Checkpoint(ORIGIN, 20, naive.root(fork))
    asking = Cosigning([first, second], Leaves(fork), clock)
    cosigned = asking.collect(sign_checkpoint(checkpoint, LOG), checkpoint)
    assert cosigned.names == ()
    assert all("does not begin with the log of 8 seen before" in alarm for alarm in cosigned.alarms)
    asking.close()


@pytest.mark.parametrize("answer", ["other checkpoint", "other key", "garbage"])
def test_an_answer_that_is_no_cosignature_never_enters_the_note(
    cosigning: Cosigning, first: Near, answer: str
) -> None:
    note, checkpoint = signed(3)
    first.answer = {
        "other checkpoint": Cosigner("w1.example", b"w1.example".ljust(32)).cosign(signed(8)[1].text(), 1),
        "other key": Cosigner("w1.example", bytes(32)).cosign(checkpoint.text(), 1),
        "garbage": b"<html>hello</html>",
    }[answer]
    cosigned = cosigning.collect(note, checkpoint)
    assert cosigned.names == ("w2.example",)
    assert "w1.example" in cosigned.alarms[0]
    assert first.answer not in cosigned.note


def test_further_lines_in_an_answer_are_ignored(cosigning: Cosigning, first: Near) -> None:
    note, checkpoint = signed(3)
    foreign = Cosigner("w9.example", bytes(32)).cosign(checkpoint.text(), 1)
    first.answer = foreign + Cosigner("w1.example", b"w1.example".ljust(32)).cosign(checkpoint.text(), 1)
    cosigned = cosigning.collect(note, checkpoint)
    assert cosigned.names == ("w1.example", "w2.example")
    assert foreign not in cosigned.note
