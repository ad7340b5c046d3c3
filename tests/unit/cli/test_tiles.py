"""`tenuto tiles`: rebuilding over a real ledger's rows, and comparing with a witness over HTTP."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tenuto import wiring
from tenuto.adapters import keyfiles
from tenuto.adapters.witness_http import HttpWitness, WitnessServer, serve_witness
from tenuto.cli import build
from tenuto.founding import found, witness_name
from tenuto.log.note import Cosigner
from tenuto.log.tiles import TileFolder
from tenuto.log.witness import Witness
from tenuto.sealing import Sealer
from typer.testing import CliRunner, Result

from tests.unit.log.naive import StoppedClock
from tests.unit.sealers_home import ListedLedger

ORIGIN = "tenuto.test/tiles"


class Closable(ListedLedger):
    def close(self) -> None:
        """Nothing is open."""


class Place:
    """A founded home whose ledger is a list, with its witness on a socket."""

    def __init__(self, home: Path, server: WitnessServer) -> None:
        self.home, self.server, self.ledger = home, server, Closable()
        self.signer = keyfiles.load_log_signer(home / "keys", ORIGIN)

    def seal(self, events: int) -> None:
        self.ledger.write(events)
        witness = HttpWitness(self.server.address, self.server._server.witness.verifier.vkey)
        with Sealer(
            reader=self.ledger, tiles=TileFolder(self.home / "log"), state=self.home / "state" / "sealer",
            signer=self.signer, origin=ORIGIN, witnesses=[witness], clock=StoppedClock(),
        ) as sealer:  # fmt: skip
            assert sealer.seal() is not None

    def run(self, *arguments: str) -> Result:
        return CliRunner().invoke(build(), ["tiles", *arguments])


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    home = tmp_path / "home"
    found(home, ORIGIN)
    cosigner = Cosigner(witness_name(ORIGIN), keyfiles.load_key(home / "keys", keyfiles.WITNESS_KEY))
    log = keyfiles.load_log_signer(home / "keys", ORIGIN).verifier
    witness = Witness(cosigner=cosigner, logs=[log], state=home / "state" / "witness", clock=StoppedClock())
    with serve_witness(witness) as server:
        place = Place(home, server)
        monkeypatch.setenv("TENUTO_HOME", str(home))
        monkeypatch.setattr(wiring, "open_reader", lambda settings: place.ledger)
        place.seal(5)
        place.seal(300)
        yield place


def test_a_lost_folder_is_made_again_from_the_command_line(place: Place) -> None:
    shutil.rmtree(place.home / "log")
    done = place.run("rebuild")
    assert done.exit_code == 0, done.output
    assert "holds 305 events; the ledger agreed with 4 remembered checkpoints" in done.output
    assert "No file was missing or wrong." in place.run("rebuild").output
    place.seal(1)


def test_a_wrong_file_is_named_with_the_place_where_it_lies(place: Place) -> None:
    (place.home / "log" / "tile/0/000").write_bytes(b"wrong")
    assert "tile/0/000 was wrong; what lay there is in" in place.run("rebuild").output.replace("\n", " ")


def test_an_archive_that_shows_all_that_the_witness_cosigned_compares_well(place: Place) -> None:
    done = place.run("compare", place.server.address)
    assert (done.exit_code, "Every checkpoint up to 305 events" in done.output) == (0, True)


def test_a_checkpoint_that_the_log_does_not_show_is_named_with_exit_code_3(place: Place) -> None:
    file = place.home / "log" / "checkpoints" / "000"
    file.unlink()
    done = place.run("compare", place.server.address)
    assert done.exit_code == 3
    assert "does not show, over 5 events" in done.output
