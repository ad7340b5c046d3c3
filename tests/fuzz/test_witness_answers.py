"""A witness that answers anything: the log that asked it gets its cosignature or an alarm, and nothing else."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

from tenuto.adapters.witness_http import HttpWitness
from tenuto.errors import Busy
from tenuto.log.cosigning import Cosigning
from tenuto.log.note import Cosigner, open_note
from tenuto.log.witnessing import AddCheckpoint, WitnessConflict, WitnessRefused

from tests.fuzz import world
from tests.fuzz.mutating import BYTES, TEXT, spliced, spoiled
from tests.unit.log.naive import StoppedClock

NAME = "witness.example/answers"
WITNESS = Cosigner(NAME, b"answers".ljust(32))
NOTE, CHECKPOINT = world.note(), world.checkpoint()
LINE = WITNESS.cosign(CHECKPOINT.text(), world.SECONDS)
OTHERS = [LINE, WITNESS.cosign(world.checkpoint(5).text(), world.SECONDS), world.LOG.sign(CHECKPOINT.text()), LINE * 3]
ANSWERED, ASKED = 120, 600
GOOD = [
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n" % len(LINE) + LINE,
    b"HTTP/1.1 409 Conflict\r\nContent-Type: text/x.tlog.size\r\nContent-Length: 2\r\n\r\n5\n",
    b"HTTP/1.1 422 No\r\nContent-Length: 3\r\n\r\nno\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
]


class Spoiler:
    """A witness in this process whose answers are spoiled."""

    def __init__(self, seed: int) -> None:
        self.chance, self.verifier = random.Random(seed), WITNESS.verifier

    def add_checkpoint(self, request: AddCheckpoint) -> bytes:
        match self.chance.randrange(8):
            case 0:
                raise WitnessConflict(self.chance.choice([0, 5, world.SIZE, world.SIZE + 1, 2**63 - 1]))
            case 1:
                raise WitnessRefused("no", 422)
            case 2:
                return LINE
            case _:
                line = self.chance.choice(OTHERS)
                return spoiled(self.chance, line, (*BYTES, *TEXT, *(spliced(one) for one in OTHERS)))


def collected(witness: Spoiler) -> tuple[bytes, tuple[str, ...]]:
    asking = Cosigning([witness], world.SOURCE, StoppedClock(), answer_seconds=60.0)
    try:
        found = asking.collect(NOTE, CHECKPOINT)
    finally:
        asking.close()
    assert (found.names == ()) is bool(found.alarms)
    return found.note, found.names


def test_a_log_takes_only_a_cosignature_that_holds() -> None:
    witness, taken = Spoiler(1), 0
    for _ in range(ASKED):
        note, names = collected(witness)
        if names:
            opened = open_note(note, [world.LOG.verifier, WITNESS.verifier])
            assert (opened.text, len(opened.signatures)) == (CHECKPOINT.text(), 2)
            taken += 1
        else:
            assert note == NOTE
    assert 0 < taken < ASKED // 2


@contextmanager
def answering(answers: list[bytes]) -> Iterator[str]:
    """A server that sends these bytes, one connection each, whatever it was asked."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(30)

        def serve() -> None:
            for answer in answers:
                connection, _ = server.accept()
                with connection:
                    connection.settimeout(30)
                    while b"\n\n" not in connection.recv(65_536):
                        pass
                    try:
                        connection.sendall(answer)
                    except OSError:
                        continue  # it had heard enough

        thread = Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        thread.join(60)
        assert not thread.is_alive()


def test_whatever_comes_over_http_is_an_answer_a_refusal_or_busy() -> None:
    chance = random.Random(2)
    answers = [*GOOD, *(spoiled(chance, chance.choice(GOOD), (*BYTES, *TEXT)) for _ in range(ANSWERED)), *LIES]
    outcomes = set()
    request = AddCheckpoint(0, (), NOTE)
    with answering(answers) as address:
        for _ in answers:
            try:
                body = HttpWitness(address, WITNESS.vkey, seconds=20).add_checkpoint(request)
            except (Busy, WitnessRefused) as outcome:
                outcomes.add(type(outcome))
            else:
                assert len(body) <= 65_536
                outcomes.add(bytes)
    assert outcomes == {bytes, Busy, WitnessRefused, WitnessConflict}


LIES = [
    b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n" + LINE, b"HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\n" + LINE,
    b"HTTP/1.1 200 OK\r\nContent-Length: 1e3\r\n\r\n" + LINE, b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 200_000, b"", b"\0" * 70_000,
    b"HTTP/1.1 409 C\r\nContent-Type: text/x.tlog.size\r\nContent-Length: 20\r\n\r\n99999999999999999999",
    b"HTTP/1.1 409 C\r\nContent-Type: text/x.tlog.size\r\nContent-Length: 3\r\n\r\n-1\n", b"HTTP/1.1 99999 X\r\n\r\n",
    b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 500,
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello", b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000 + b"\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nhello", b"HTTP/1.1 100 Continue\r\n\r\n" * 50,
]  # fmt: skip
