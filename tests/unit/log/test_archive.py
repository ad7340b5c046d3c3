"""The archive of cosigned checkpoints: the first one over a position is found, verified, and cannot be another later."""

from __future__ import annotations

from pathlib import Path

import pytest
from tenuto.log.archive import (
    ArchiveRefused,
    CheckpointArchive,
    NotCovered,
    archive_path,
    draw_witness,
    first_covering,
    join_notes,
    split_notes,
    withheld,
)
from tenuto.log.checkpoint import Checkpoint, sign_checkpoint
from tenuto.log.durable import write_durably
from tenuto.log.merkle import Frontier, leaf_hash
from tenuto.log.note import Cosigner, NoteSigner
from tenuto.log.tiles import TileFolder
from tenuto.log.witnessing import Policy, PolicyRefused, parse_policy

ORIGIN = "log.example/a"
LOG = NoteSigner(ORIGIN, bytes(32))
DRAW, OTHER = Cosigner("w1.example", b"1" * 32), Cosigner("w2.example", b"2" * 32)
POLICY = parse_policy(f"log {LOG.vkey}\nwitness a {DRAW.vkey}\nwitness b {OTHER.vkey}\nquorum b\n")
ENTRIES = [f"entry {number}".encode() for number in range(600)]
SECONDS = 1_790_000_000


def checkpoint(size: int) -> Checkpoint:
    return Checkpoint(ORIGIN, size, Frontier().extend([leaf_hash(entry) for entry in ENTRIES[:size]]).root())


def note(size: int, *cosigners: Cosigner, seconds: int = SECONDS) -> bytes:
    signed = sign_checkpoint(checkpoint(size), LOG)
    return signed + b"".join(cosigner.cosign(checkpoint(size).text(), seconds) for cosigner in cosigners)


def keep(folder: Path, *notes: bytes) -> None:
    archive = CheckpointArchive(folder)
    for one in notes:
        write_durably({folder / name: data for name, data in archive.with_note(one).items()})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A published log of 600 entries."""
    tiles = TileFolder(tmp_path)
    tiles.apply(tiles.extension(0, ENTRIES))
    tiles.publish(note(600))
    return tmp_path


def covering(folder: Path, position: int, policy: Policy = POLICY) -> int:
    return first_covering(folder, position, policy, ORIGIN).checkpoint.size


def test_the_first_cosigned_checkpoint_over_a_position_is_found(folder: Path) -> None:
    sizes = (1, 7, 255, 256, 257, 512, 600)
    keep(folder, *(note(size, DRAW, OTHER) for size in sizes))
    for position in range(600):
        assert covering(folder, position) == min(size for size in sizes if size > position)


def test_it_comes_with_the_draw_witnesss_own_line(folder: Path) -> None:
    keep(folder, note(7, OTHER, DRAW))
    found = first_covering(folder, 3, POLICY, ORIGIN)
    assert found.cosignature.line == DRAW.cosign(checkpoint(7).text(), SECONDS)
    assert found.note == note(7, OTHER, DRAW)


def test_only_the_first_witness_of_the_policy_counts(folder: Path) -> None:
    keep(folder, note(7, OTHER), note(9, OTHER, DRAW))
    assert draw_witness(POLICY).name == "w1.example"
    assert covering(folder, 3) == 9
    turned = parse_policy(f"log {LOG.vkey}\nwitness b {OTHER.vkey}\nwitness a {DRAW.vkey}\nquorum b\n")
    assert covering(folder, 3, turned) == 7
    nobody = parse_policy(f"log {LOG.vkey}\nquorum none\n")
    with pytest.raises(PolicyRefused, match="names no witness"):
        covering(folder, 3, nobody)


def test_a_position_that_nothing_covers_yet_is_busy(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    keep(folder, note(7, DRAW))
    assert covering(folder, 6) == 7
    with pytest.raises(NotCovered, match=r"entry 7 .* w1\.example"):
        covering(folder, 7)
    with pytest.raises(NotCovered):
        covering(tmp_path_factory.mktemp("empty"), 0)


def test_of_two_cosignatures_of_one_key_the_one_made_first_counts(folder: Path) -> None:
    late, early = DRAW.cosign(checkpoint(7).text(), SECONDS + 9), DRAW.cosign(checkpoint(7).text(), SECONDS)
    keep(folder, note(7) + late + early)
    assert first_covering(folder, 3, POLICY, ORIGIN).cosignature.line == early


def test_a_note_whose_signatures_do_not_hold_is_refused(folder: Path) -> None:
    stolen = DRAW.cosign(checkpoint(8).text(), SECONDS)
    unsigned = checkpoint(7).text() + b"\n" + DRAW.cosign(checkpoint(7).text(), SECONDS)
    for bad in (note(7) + stolen, unsigned):
        (folder / archive_path(7)).unlink(missing_ok=True)
        keep(folder, bad)
        with pytest.raises(ArchiveRefused, match=r"does not hold|is not signed by"):
            covering(folder, 3)


def test_a_cosigned_fork_is_not_taken_for_the_log_beside_it(folder: Path) -> None:
    fork = Checkpoint(ORIGIN, 7, bytes(32))
    keep(folder, sign_checkpoint(fork, LOG) + DRAW.cosign(fork.text(), SECONDS))
    with pytest.raises(ArchiveRefused, match="over 7 entries is not that of the tiles"):
        covering(folder, 3)


def test_a_kept_note_gains_lines_and_never_another_text_or_fewer(folder: Path) -> None:
    archive = CheckpointArchive(folder)
    keep(folder, note(7, DRAW))
    assert archive.with_note(note(7, DRAW)) == {}
    keep(folder, note(7, DRAW, OTHER))
    assert archive.note_over(7) == note(7, DRAW, OTHER)
    for other in (note(7, DRAW), note(7, DRAW, seconds=SECONDS + 1), note(7)):
        with pytest.raises(ArchiveRefused, match="over 7 entries is kept"):
            archive.with_note(other)


def test_merging_adds_the_lines_of_keys_that_were_missing_only(folder: Path) -> None:
    keep(folder, note(7, DRAW))
    later = note(7) + DRAW.cosign(checkpoint(7).text(), SECONDS + 5) + OTHER.cosign(checkpoint(7).text(), SECONDS)
    assert CheckpointArchive(folder).merged(later) == note(7, DRAW, OTHER)
    assert CheckpointArchive(folder).merged(note(8, DRAW)) == note(8, DRAW)


def test_a_file_of_notes_goes_round_and_a_damaged_one_is_named() -> None:
    notes = {size: note(size, DRAW) for size in (1, 2, 256)}
    data = join_notes(reversed(notes.values()))
    assert split_notes("checkpoints/000", data) == notes
    assert split_notes("checkpoints/000", b"") == {}
    for damaged in (data[:-1], data[30:], data + b"x", data + note(3, DRAW) + b"\n", join_notes([note(257, DRAW)])):
        with pytest.raises(ArchiveRefused, match="checkpoints/000"):
            split_notes("checkpoints/000", damaged)


def test_what_the_witness_cosigned_and_the_log_does_not_show_is_named(folder: Path, tmp_path: Path) -> None:
    remembered = tmp_path / "witness"
    keep(remembered, note(3, DRAW), note(5, DRAW), note(9, DRAW), note(400, DRAW), note(600, DRAW))
    keep(folder, note(3, DRAW), note(9, DRAW, seconds=SECONDS + 1), note(400, OTHER, DRAW))
    log, witness = CheckpointArchive(folder), CheckpointArchive(remembered)
    assert withheld(log, witness, POLICY, ORIGIN, 500) == [5, 9]
    assert withheld(log, witness, POLICY, ORIGIN, 600) == [5, 9, 600]


def test_nobody_is_convicted_by_a_note_that_was_made_up(folder: Path, tmp_path: Path) -> None:
    forged = checkpoint(5).text() + b"\n" + DRAW.cosign(checkpoint(5).text(), SECONDS)
    keep(tmp_path / "witness", forged)
    with pytest.raises(ArchiveRefused, match="not signed by the log"):
        withheld(CheckpointArchive(folder), CheckpointArchive(tmp_path / "witness"), POLICY, ORIGIN, 600)
