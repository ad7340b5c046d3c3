"""Witness and log over a real socket: the answers of C2SP tlog-witness, and strangers who send too much or nothing."""

from __future__ import annotations

import hashlib
import http.client
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Thread

import pytest
from tenuto.adapters import witness_http
from tenuto.adapters.witness_http import (
    REQUEST_BYTES_MAX,
    RESPONSE_BYTES_MAX,
    SIZE_TYPE,
    HttpWitness,
    WitnessServer,
    serve_witness,
)
from tenuto.errors import Busy, NotConfigured
from tenuto.log.checkpoint import Checkpoint, sign_checkpoint
from tenuto.log.note import Cosigner, NoteRefused, NoteSigner, open_note
from tenuto.log.proof import consistency_proof
from tenuto.log.witness import Witness
from tenuto.log.witnessing import AddCheckpoint, WitnessConflict, WitnessRefused

from tests.unit.log import naive
from tests.unit.log.naive import Leaves, StoppedClock

ORIGIN = "log.example/a"
LOG = NoteSigner(ORIGIN, bytes(32))
COSIGNER = Cosigner("w.example", bytes([2]) * 32)
LEAVES = naive.leaves_of(20)


def request(old: int, new: int, leaves: list[bytes] = LEAVES) -> AddCheckpoint:
    checkpoint = Checkpoint(ORIGIN, new, naive.root(leaves[:new]))
    return AddCheckpoint(old, consistency_proof(old, new, Leaves(leaves)), sign_checkpoint(checkpoint, LOG))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[WitnessServer]:
    witness = Witness(cosigner=COSIGNER, logs=[LOG.verifier], state=tmp_path, clock=StoppedClock())
    with serve_witness(witness) as running:
        yield running


@pytest.fixture
def client(server: WitnessServer) -> HttpWitness:
    return HttpWitness(server.address + "/", COSIGNER.vkey)


def exchange(
    server: WitnessServer, method: str, path: str, body: bytes | None = None, **headers: str
) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(server.address.removeprefix("http://"), timeout=60)
    try:
        connection.request(method, path, body, {"Connection": "close"} | headers)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def test_a_checkpoint_is_cosigned_over_http_and_a_monitor_can_fetch_it(
    server: WitnessServer, client: HttpWitness
) -> None:
    for old, new in ((0, 3), (3, 8)):
        asked = request(old, new)
        open_note(asked.note + client.add_checkpoint(asked), [LOG.verifier, client.verifier])
    status, note = exchange(server, "GET", f"/{hashlib.sha256(ORIGIN.encode()).hexdigest()}/checkpoint")
    assert status == 200
    assert note.startswith(asked.note)
    assert len(open_note(note, [LOG.verifier, client.verifier]).signatures) == 2


def test_a_conflict_comes_with_the_size_and_its_content_type(server: WitnessServer, client: HttpWitness) -> None:
    client.add_checkpoint(request(0, 8))
    with pytest.raises(WitnessConflict) as caught:
        client.add_checkpoint(request(3, 20))
    assert caught.value.size == 8
    assert exchange(server, "POST", "/add-checkpoint", request(3, 20).to_bytes()) == (409, b"8\n")
    assert SIZE_TYPE == "text/x.tlog.size"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (request(0, 3).to_bytes()[1:], 400),
        (request(0, 3).to_bytes().replace(b"example/a", b"example/b"), 404),
        (request(0, 3).to_bytes().replace(b"\n3\n", b"\n4\n"), 403),
        (AddCheckpoint(0, (LEAVES[0],), request(0, 3).note).to_bytes(), 422),
    ],
)
def test_a_refusal_has_the_status_of_the_specification(server: WitnessServer, body: bytes, status: int) -> None:
    assert exchange(server, "POST", "/add-checkpoint", body)[0] == status


def test_the_client_tells_a_refusal_from_a_witness_in_trouble(
    client: HttpWitness, server: WitnessServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.add_checkpoint(request(0, 8))
    with pytest.raises(WitnessRefused, match="answered 422") as caught:
        client.add_checkpoint(request(8, 20, naive.leaves_of(20, "forked ")))
    assert caught.value.status == 422

    def broken(witness: Witness, body: bytes) -> bytes:
        raise OSError("disk full")

    monkeypatch.setattr(Witness, "add_checkpoint", broken)
    with pytest.raises(Busy, match="answered 500"):
        client.add_checkpoint(request(8, 20))


def test_a_witness_that_is_away_is_busy() -> None:
    with socket.socket() as taken:  # bound but not listening: connections are refused
        taken.bind(("127.0.0.1", 0))
        away = HttpWitness(f"http://127.0.0.1:{taken.getsockname()[1]}", COSIGNER.vkey)
        with pytest.raises(Busy, match="cannot be reached"):
            away.add_checkpoint(request(0, 3))


def test_there_is_nothing_else_at_a_witness(server: WitnessServer) -> None:
    assert exchange(server, "POST", "/", b"x")[0] == 404
    assert exchange(server, "GET", "/add-checkpoint")[0] == 404
    assert exchange(server, "GET", f"/{'0' * 64}/checkpoint")[0] == 404
    assert exchange(server, "GET", "/../" + "0" * 64)[0] == 404
    assert exchange(server, "PUT", "/add-checkpoint", b"x")[0] == 501


def test_a_body_is_bounded_and_must_say_its_length(server: WitnessServer) -> None:
    assert exchange(server, "POST", "/add-checkpoint", bytes(REQUEST_BYTES_MAX))[0] == 400
    for length in (str(REQUEST_BYTES_MAX + 1), "9" * 400):
        assert exchange(server, "POST", "/add-checkpoint", b"", **{"Content-Length": length})[0] == 413
    for length in ("-1", "x", "\u00b2"):
        assert exchange(server, "POST", "/add-checkpoint", b"", **{"Content-Length": length})[0] == 411


def test_a_connection_that_sends_nothing_does_not_hold_up_the_others(
    server: WitnessServer, client: HttpWitness
) -> None:
    host, port = server.address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))):
        client.add_checkpoint(request(0, 3))


def answering(answer: bytes) -> tuple[socket.socket, HttpWitness, Thread]:
    listener = socket.create_server(("127.0.0.1", 0))

    def answer_once() -> None:
        with listener.accept()[0] as connection, suppress(OSError):
            connection.sendall(answer)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65_536):  # until the client has sent all and hung up; closing earlier would reset it
                pass

    thread = Thread(target=answer_once)
    thread.start()
    return listener, HttpWitness(f"http://127.0.0.1:{listener.getsockname()[1]}", COSIGNER.vkey, seconds=60), thread


@pytest.mark.parametrize(
    ("answer", "outcome", "sentence"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n" + bytes(RESPONSE_BYTES_MAX + 1), WitnessRefused, "more than 65,536 bytes"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\nContent-Length: 0\r\n\r\n", WitnessRefused, "302"),
        (b"HTTP/1.1 409 Conflict\r\nContent-Type: text/x.tlog.size\r\n\r\n-5\n", WitnessRefused, "without a size"),
        (b"HTTP/1.1 409 Conflict\r\n\r\n5\n", WitnessRefused, "409"),
        (b"HTTP/1.1 429 Slow down\r\n\r\n", Busy, "429"),
        (b"nonsense\r\n\r\n", Busy, "cannot be reached"),
        (b"", Busy, "cannot be reached"),
    ],
)
def test_a_strange_answer_becomes_a_refusal_or_busy(answer: bytes, outcome: type[Exception], sentence: str) -> None:
    listener, client, thread = answering(answer)
    with listener, pytest.raises(outcome, match=sentence):
        client.add_checkpoint(request(0, 3))
    thread.join(60)


def test_an_answer_of_exactly_the_limit_is_read() -> None:
    listener, client, thread = answering(b"HTTP/1.1 200 OK\r\n\r\n" + bytes(RESPONSE_BYTES_MAX))
    with listener:
        assert len(client.add_checkpoint(request(0, 3))) == RESPONSE_BYTES_MAX
    thread.join(60)


def test_only_an_http_address_and_a_witness_key_make_a_client() -> None:
    for url in ("ftp://w.example", "w.example", "file:///etc/passwd", "http://", "http://w.example/?x=1"):
        with pytest.raises(NotConfigured):
            HttpWitness(url, COSIGNER.vkey)
    with pytest.raises(NotConfigured, match="not one of a witness"):
        HttpWitness("https://w.example", LOG.vkey)
    with pytest.raises(NoteRefused):
        HttpWitness("https://w.example", "no key")


def test_a_port_that_is_taken_is_said_with_a_remedy(server: WitnessServer, tmp_path: Path) -> None:
    witness = Witness(cosigner=COSIGNER, logs=[], state=tmp_path, clock=StoppedClock())
    with pytest.raises(NotConfigured, match="Choose another port"):
        serve_witness(witness, port=int(server.address.rpartition(":")[2]))


def test_requests_are_not_written_to_the_terminal(server: WitnessServer, capfd: pytest.CaptureFixture[str]) -> None:
    exchange(server, "GET", "/")
    assert capfd.readouterr().err == ""
    assert witness_http.log.name == "tenuto.adapters.witness_http"


def test_everybody_can_read_what_a_witness_ever_cosigned_and_nothing_else(
    server: WitnessServer, client: HttpWitness, tmp_path: Path
) -> None:
    asked = {new: request(old, new) for old, new in ((0, 3), (3, 8), (8, 20))}
    lines = {size: client.add_checkpoint(one) for size, one in asked.items()}
    archive = client.archive(ORIGIN)
    assert dict(archive.notes(1, 20)) == {size: asked[size].note + line for size, line in lines.items()}
    assert archive.note_over(4) is None
    assert list(client.archive("log.example/unknown").notes(1, 2000)) == []
    folder = hashlib.sha256(ORIGIN.encode()).hexdigest()
    assert (tmp_path / folder).is_file()
    for path in (f"/{folder}/checkpoints/../../{folder}", f"/{folder}/checkpoints/x/0", f"/{folder}/checkpoints/000/"):
        assert exchange(server, "GET", path)[0] == 404
