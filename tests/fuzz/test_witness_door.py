"""A witness behind HTTP: whatever is posted, it answers, and cosigns nothing but what its log signed and what extends the last."""

from __future__ import annotations

import random
import socket
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tenuto.adapters.witness_http import REQUEST_BYTES_MAX, WitnessServer, serve_witness
from tenuto.log.checkpoint import parse_checkpoint
from tenuto.log.note import Cosigner, open_note
from tenuto.log.proof import consistency_proof
from tenuto.log.witness import Witness
from tenuto.log.witnessing import AddCheckpoint, WitnessRefused

from tests.fuzz import world
from tests.fuzz.mutating import BYTES, TEXT, spliced, spoiled
from tests.golden.world import ORIGIN
from tests.unit.log.naive import StoppedClock

POSTED, ANSWER_BYTES_MAX, SECONDS_MAX = 150, 65_536, 20
ANSWERS = {200, 400, 403, 404, 409, 411, 413, 422, 501, 505}
COSIGNER = Cosigner("witness.example/fuzzed", b"fuzzed".ljust(32))
BODIES = [
    AddCheckpoint(old, consistency_proof(old, new, world.SOURCE), world.note(new)).to_bytes()
    for old, new in ((0, 1), (0, 5), (1, 5), (5, 5), (5, 9), (5, world.SIZE), (9, world.SIZE), (world.SIZE, world.SIZE))
]


@pytest.fixture
def witness(tmp_path: Path) -> Witness:
    return new_witness(tmp_path / "witness")


def new_witness(state: Path) -> Witness:
    return Witness(cosigner=COSIGNER, logs=[world.LOG.verifier], state=state, clock=StoppedClock())


@pytest.fixture
def server(witness: Witness) -> Iterator[WitnessServer]:
    with serve_witness(witness) as running:
        yield running


def remembered(witness: Witness) -> int:
    """The size it cosigned last; what it kept must be cosigned, and signed by the log."""
    note = witness.latest_note(next(iter(origins(witness)), ""))
    if note is None:
        return 0
    open_note(note, [COSIGNER.verifier])
    kept = parse_checkpoint(note, world.LOG.vkey, ORIGIN)
    assert kept == world.checkpoint(kept.size)
    return kept.size


def origins(witness: Witness) -> list[str]:
    return [file.name for file in witness._state.glob("*") if file.suffix == ""]


@pytest.mark.parametrize("seed", range(10))
def test_it_cosigns_only_what_its_log_signed_and_never_steps_back(tmp_path: Path, seed: int) -> None:
    chance, witness = random.Random(seed), new_witness(tmp_path)
    answers: Counter[int] = Counter()
    size = 0
    for _ in range(120):
        fitting = [body for body in BODIES if body.startswith(b"old %d\n" % size)]
        body = chance.choice(BODIES if chance.randrange(3) == 0 else fitting)
        if chance.randrange(12):
            body = spoiled(chance, body, (*BYTES, *TEXT, spliced(chance.choice(BODIES))))
        try:
            line = witness.add_checkpoint(body)
        except WitnessRefused as refusal:
            answers[refusal.status] += 1
            continue
        answers[200] += 1
        now = remembered(witness)
        assert now >= size
        size = now
        open_note(world.checkpoint(now).text() + b"\n" + line, [COSIGNER.verifier])
    assert set(answers) <= {200, 400, 403, 404, 409, 422}
    assert answers[200] > 0
    assert answers[400] + answers[403] + answers[422] > 60


def test_every_refusal_of_the_specification_is_one_that_a_spoiled_request_can_meet(witness: Witness) -> None:
    good = BODIES[2]
    witness.add_checkpoint(BODIES[1])
    for body, status in (
        (good.replace(b"old 1", b"old 01"), 400), (good.replace(b"log\n", b"other\n"), 404),
        (good.replace(b"\n5\n", b"\n6\n"), 403), (good, 409), (BODIES[4].replace(b"\n", b"\nAAAA" + b"A" * 39 + b"=\n", 1), 422),
    ):  # fmt: skip
        with pytest.raises(WitnessRefused) as caught:
            witness.add_checkpoint(body)
        assert caught.value.status == status


def exchange(server: WitnessServer, request: bytes) -> int:
    """Send these bytes and no more; return the status, or 0 when the connection was closed without an answer."""
    address = urlsplit(server.address)
    with socket.create_connection((address.hostname or "", address.port or 0), timeout=SECONDS_MAX) as connection:
        try:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it had enough before all of it was sent
        answer = b""
        try:
            while len(answer) < ANSWER_BYTES_MAX and (part := connection.recv(8_192)):
                answer += part
        except ConnectionResetError:
            pass
    head = answer.partition(b"\r\n")[0].split(b" ")
    return int(head[1]) if len(head) > 1 and head[1].isdigit() else 0


def post(body: bytes, length: bytes | None = None, path: bytes = b"/add-checkpoint", more: bytes = b"") -> bytes:
    length = b"%d" % len(body) if length is None else length
    return b"POST %s HTTP/1.1\r\nHost: w\r\nContent-Length: %s\r\n%sConnection: close\r\n\r\n" % (path, length, more) + body


def test_every_body_has_an_answer_and_none_is_a_defect(server: WitnessServer, witness: Witness) -> None:
    chance = random.Random(2)
    answers: Counter[int] = Counter()
    for _ in range(POSTED):
        body = spoiled(chance, chance.choice(BODIES), (*BYTES, *TEXT))
        answers[exchange(server, post(body))] += 1
    assert set(answers) <= ANSWERS
    assert answers[400] > 0
    remembered(witness)


@pytest.mark.parametrize(
    ("request_bytes", "statuses"),
    [
        (post(BODIES[0], b"-1"), {411}), (post(BODIES[0], b""), {411}), (post(BODIES[0], b"1e3"), {411}),
        (post(BODIES[0], b"+10"), {411}), (post(BODIES[0], b"\xb2"), {411, 400}), (post(BODIES[0], b"9" * 5_000), {413}),
        (post(b"", b"%d" % (REQUEST_BYTES_MAX + 1)), {413}), (post(BODIES[0], b"99999"), {400}), (post(b""), {400}),
        (post(BODIES[0], b"0"), {400}), (post(BODIES[0], b"3"), {400}), (post(BODIES[0], path=b"/add-checkpoint/"), {404}),
        (post(BODIES[0], path=b"/../add-checkpoint"), {404}), (post(BODIES[0], path=b"/add-checkpoint?x"), {404}),
        (post(BODIES[0], path=b"/" + b"a" * 70_000), {414, 400}), (b"GET /%s/checkpoint HTTP/1.1\r\n\r\n" % (b"a" * 64), {404}),
        (b"GET /../../etc/passwd HTTP/1.1\r\n\r\n", {404}), (b"DELETE /add-checkpoint HTTP/1.1\r\n\r\n", {501}),
        (b"POST /add-checkpoint HTTP/9.9\r\n\r\n", {505, 400, 0}), (b"\x16\x03\x01\x00\xa5", {400, 0}), (b"\0" * 100, {400, 0}),
        (b"POST /add-checkpoint HTTP/1.1\r\n" + b"X: y\r\n" * 5_000 + b"\r\n", {431, 0}),
        (b"POST /add-checkpoint HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", {411}),
    ],
    ids=lambda value: None if isinstance(value, set) else value[:40].decode("latin-1").strip(),
)  # fmt: skip
def test_requests_that_lie_about_themselves_are_turned_away(
    server: WitnessServer, request_bytes: bytes, statuses: set[int]
) -> None:
    assert exchange(server, request_bytes) in statuses
    assert exchange(server, post(BODIES[0])) == 200
