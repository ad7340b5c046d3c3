"""The witness: every answer of C2SP tlog-witness, and a memory that a crash or a race cannot turn back."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tenuto.log import witness as witness_module
from tenuto.log.checkpoint import Checkpoint, parse_checkpoint_text, sign_checkpoint
from tenuto.log.note import Cosigner, NoteSigner, open_note
from tenuto.log.proof import consistency_proof
from tenuto.log.witness import Witness, WitnessStateDamaged
from tenuto.log.witnessing import AddCheckpoint, WitnessConflict, WitnessRefused, parse_add_checkpoint

from tests.unit.log import naive
from tests.unit.log.naive import Leaves, StoppedClock, flipped

ORIGIN = "log.example/a"
LOG, FOREIGN = NoteSigner(ORIGIN, bytes(32)), NoteSigner("log.example/b", bytes([1]) * 32)
COSIGNER = Cosigner("w.example", bytes([2]) * 32)
LEAVES = naive.leaves_of(20)
FORK = naive.leaves_of(20, "forked ")


def checkpoint(size: int, leaves: list[bytes] = LEAVES) -> Checkpoint:
    return Checkpoint(ORIGIN, size, naive.root(leaves[:size]))


def request(old: int, new: int, leaves: list[bytes] = LEAVES) -> AddCheckpoint:
    proof = consistency_proof(old, new, Leaves(leaves)) if old <= new else ()
    return AddCheckpoint(old, proof, sign_checkpoint(checkpoint(new, leaves), LOG))


@pytest.fixture
def witness(tmp_path: Path) -> Witness:
    return Witness(cosigner=COSIGNER, logs=[LOG.verifier], state=tmp_path / "witness", clock=StoppedClock())


def latest_size(witness: Witness) -> int:
    note = witness.latest_note(hashlib.sha256(ORIGIN.encode()).hexdigest())
    assert note is not None
    return parse_checkpoint_text(open_note(note, [LOG.verifier, COSIGNER.verifier]).text).size


def status_of(witness: Witness, body: bytes) -> int:
    with pytest.raises(WitnessRefused) as caught:
        witness.add_checkpoint(body)
    return caught.value.status


def test_a_growing_log_is_cosigned_step_by_step(witness: Witness) -> None:
    for old, new in ((0, 3), (3, 3), (3, 8), (8, 20)):
        asked = request(old, new)
        note = asked.note + witness.add_checkpoint(asked.to_bytes())
        signature = open_note(note, [COSIGNER.verifier]).signatures[0]
        assert signature.seconds == 1_772_366_400
        assert latest_size(witness) == new


def test_what_was_cosigned_is_remembered_by_the_next_process(witness: Witness, tmp_path: Path) -> None:
    witness.add_checkpoint(request(0, 8).to_bytes())
    again = Witness(cosigner=COSIGNER, logs=[LOG.verifier], state=tmp_path / "witness", clock=StoppedClock())
    assert status_of(again, request(0, 5).to_bytes()) == 409
    again.add_checkpoint(request(8, 9).to_bytes())


def test_an_unknown_log_is_answered_404(witness: Witness) -> None:
    note = sign_checkpoint(Checkpoint(FOREIGN.name, 3, naive.root(LEAVES[:3])), FOREIGN)
    assert status_of(witness, AddCheckpoint(0, (), note).to_bytes()) == 404


def test_a_checkpoint_without_a_trusted_signature_is_answered_403(witness: Witness) -> None:
    text = checkpoint(3).text()
    assert status_of(witness, AddCheckpoint(0, (), text + b"\n" + FOREIGN.sign(text)).to_bytes()) == 403
    bad = LOG.sign(checkpoint(4).text())
    assert status_of(witness, AddCheckpoint(0, (), text + b"\n" + bad).to_bytes()) == 403


def test_an_old_size_above_the_checkpoint_is_answered_400(witness: Witness) -> None:
    assert status_of(witness, request(5, 3).to_bytes()) == 400


def test_another_old_size_than_the_one_remembered_is_answered_409_with_it(witness: Witness) -> None:
    witness.add_checkpoint(request(0, 8).to_bytes())
    for old in (0, 7, 9):
        with pytest.raises(WitnessConflict) as caught:
            witness.add_checkpoint(request(old, 20).to_bytes())
        assert (caught.value.status, caught.value.size) == (409, 8)


def test_a_log_that_does_not_extend_what_was_seen_is_answered_422(witness: Witness) -> None:
    witness.add_checkpoint(request(0, 8).to_bytes())
    assert status_of(witness, request(8, 20, FORK).to_bytes()) == 422
    assert status_of(witness, request(8, 8, FORK).to_bytes()) == 422
    good = request(8, 20)
    for number in range(len(good.proof)):
        altered = [*good.proof]
        altered[number] = flipped(altered[number], number)
        assert status_of(witness, AddCheckpoint(8, tuple(altered), good.note).to_bytes()) == 422
    assert latest_size(witness) == 8


def test_a_proof_from_nothing_must_be_empty(witness: Witness) -> None:
    assert status_of(witness, AddCheckpoint(0, (LEAVES[0],), request(0, 3).note).to_bytes()) == 422


def test_the_empty_log_is_cosigned_with_its_own_root_only(witness: Witness) -> None:
    witness.add_checkpoint(request(0, 0).to_bytes())
    wrong = sign_checkpoint(Checkpoint(ORIGIN, 0, bytes(32)), LOG)
    assert status_of(witness, AddCheckpoint(0, (), wrong).to_bytes()) == 422


GOOD = request(3, 8).to_bytes()


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(GOOD.replace(b"old 3", b"old 03"), id="a leading zero"),
        pytest.param(GOOD.replace(b"old 3", b"old -3"), id="a negative size"),
        pytest.param(GOOD.replace(b"old 3", b"3"), id="no old line"),
        pytest.param(GOOD.replace(b"\n\n", b"\n"), id="no empty line"),
        pytest.param(GOOD.replace(b"=\n", b"\n", 1), id="a hash without padding"),
        pytest.param(GOOD.replace(b"old 3\n", b"old 3\nAAAA\n"), id="a hash of three bytes"),
        pytest.param(b"old 3\n\n" + checkpoint(8).text(), id="a checkpoint without signatures"),
        pytest.param(GOOD.partition(b"\n\n")[0] + b"\n\n" + b"x\n1\n\n\n", id="a checkpoint that is none"),
    ],
)
def test_a_malformed_request_is_answered_400(witness: Witness, body: bytes) -> None:
    assert status_of(witness, body) == 400


def test_63_hashes_are_judged_and_64_refused_unseen(witness: Witness) -> None:
    note = request(0, 3).note
    assert status_of(witness, AddCheckpoint(0, (LEAVES[0],) * 63, note).to_bytes()) == 422
    assert status_of(witness, AddCheckpoint(0, (LEAVES[0],) * 64, note).to_bytes()) == 400


def test_a_request_comes_back_as_it_was() -> None:
    for asked in (request(0, 3), request(3, 8), request(7, 20)):
        assert parse_add_checkpoint(asked.to_bytes()) == asked


def test_nothing_leaves_before_it_is_remembered(witness: Witness, monkeypatch: pytest.MonkeyPatch) -> None:
    witness.add_checkpoint(request(0, 3).to_bytes())

    def disk_full(files: object) -> None:
        raise OSError("no space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(witness_module, "write_durably", disk_full)
        with pytest.raises(OSError, match="no space"):
            witness.add_checkpoint(request(3, 8).to_bytes())
    assert latest_size(witness) == 3
    witness.add_checkpoint(request(3, 8, LEAVES).to_bytes())


def test_a_damaged_memory_stops_the_witness(witness: Witness, tmp_path: Path) -> None:
    witness.add_checkpoint(request(0, 3).to_bytes())
    file = tmp_path / "witness" / hashlib.sha256(ORIGIN.encode()).hexdigest()
    whole = file.read_bytes()
    for damaged in (b"", whole[:-9], flipped(whole, 20)):
        file.write_bytes(damaged)
        with pytest.raises(WitnessStateDamaged, match="never delete"):
            witness.add_checkpoint(request(3, 8).to_bytes())


def test_of_many_requests_at_once_each_step_is_cosigned_once(witness: Witness) -> None:
    """All start from 0 with different sizes: exactly one can be right, all others must learn its size."""

    def ask(size: int) -> int:
        try:
            witness.add_checkpoint(request(0, size).to_bytes())
        except WitnessConflict as conflict:
            return -conflict.size
        return size

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(1, 17)))
    winners = [answer for answer in answers if answer > 0]
    assert winners == [latest_size(witness)]
    assert {answer for answer in answers if answer < 0} == {-winners[0]}


def test_a_monitor_gets_nothing_for_a_name_that_is_no_hash(witness: Witness) -> None:
    witness.add_checkpoint(request(0, 3).to_bytes())
    for name in ("", "..", "../secret", "0" * 64, "A" * 64):
        assert witness.latest_note(name) is None
