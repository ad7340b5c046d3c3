"""A C2SP client that we did not write reads the log folder of our sealer, from a plain file server."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from tenuto.log.checkpoint import parse_checkpoint
from tenuto.log.note import encode_base64
from tenuto.log.tiles import TileFolder

from tests.interop.foreign import ForeignPrograms, ForeignRefusal, served
from tests.unit.sealers_home import LOG, ORIGIN, Home

SIZES = (1, 255, 256, 257, 600)


def signed_root(home: Home) -> str:
    """The root of the published checkpoint, in base64."""
    note = TileFolder(home.log).published()
    assert note is not None
    return encode_base64(parse_checkpoint(note, LOG.vkey, ORIGIN).root)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def test_it_proves_every_entry_and_that_each_checkpoint_extends_all_before(
    programs: ForeignPrograms, home: Home
) -> None:
    earlier: list[str] = []
    with served(home.log) as log, home.sealer() as sealer:
        for size in SIZES:
            home.ledger.write(size - len(home.ledger.entries))
            sealer.seal()
            root = signed_root(home)
            entries = hashlib.sha256(b"".join(one.entry for one in home.ledger.entries)).hexdigest()
            found = programs.run("audit", log, LOG.vkey, *earlier)
            assert found == {"size": size, "root": root, "entries_sha256": entries, "extends": len(earlier)}
            earlier.append(f"{size}:{root}")


def test_it_finds_no_entry_that_was_changed_in_the_folder(programs: ForeignPrograms, home: Home) -> None:
    home.ledger.write(300)
    home.seal()
    bundle = home.log / "tile/entries/000"
    data = bytearray(bundle.read_bytes())
    data[-1] ^= 1
    bundle.write_bytes(data)
    with served(home.log) as log, pytest.raises(ForeignRefusal, match="data entry 255 does not match Merkle tree"):
        programs.run("audit", log, LOG.vkey)


def test_it_refuses_a_checkpoint_of_another_history(programs: ForeignPrograms, home: Home, tmp_path: Path) -> None:
    home.ledger.write(10)
    home.seal()
    forked = Home(tmp_path / "forked")
    forked.ledger.write(20, salt="another ")
    forked.seal()
    with served(forked.log) as log, pytest.raises(ForeignRefusal, match="from 10 entries"):
        programs.run("audit", log, LOG.vkey, f"10:{signed_root(home)}")


def test_it_refuses_a_checkpoint_that_the_log_did_not_sign(programs: ForeignPrograms, home: Home) -> None:
    home.ledger.write(3)
    home.seal()
    checkpoint = home.log / "checkpoint"
    checkpoint.write_bytes(checkpoint.read_bytes().replace(b"\n3\n", b"\n2\n"))
    with served(home.log) as log, pytest.raises(ForeignRefusal, match="signature"):
        programs.run("audit", log, LOG.vkey)
