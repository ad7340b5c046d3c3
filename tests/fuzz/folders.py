"""A bundle and a published log folder as a stranger gets them, and the claim that what is accepted is what was signed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tenuto.adapters.tilefiles import TileLedger
from tenuto.errors import Refused
from tenuto.following import CheckpointFile, Follower
from tenuto.log.checkpoint import parse_checkpoint
from tenuto.log.tiles import TileFolder, TileMissing, verify_tiles
from tenuto.trust import TRUST_FILE
from tenuto.verification import VerificationFailed, Verified
from tenuto_projections.walked import verify_cosigned

from tests.unit.bundle.world import World, tell_run, two_runs

Said = dict[int, tuple[object, ...]]


class Case(NamedTuple):
    """A folder, how it is verified, and what each position of the log says in truth.

    unread: the name of the one file of which the end decides nothing, and where that begins.
    """

    folder: Path
    verify: Callable[[], list[Verified]]
    truth: Said
    unread: tuple[str, int] = ("", 0)

    def files(self) -> list[Path]:
        """Every file in it."""
        return sorted(path for path in self.folder.rglob("*") if path.is_file())

    def decides(self, file: Path, place: int) -> bool:
        """Whether another byte there must lead to a refusal."""
        return file.name != self.unread[0] or place < self.unread[1]

    def demand(self, change: str) -> bool:
        """Return whether the folder is accepted; AssertionError when it then says anything that was not signed."""
        try:
            found = self.verify()
        except Refused:
            return False
        for position, (*bytes_of, payload) in said(found).items():
            *right, right_payload = self.truth[position]
            assert bytes_of == right, f"{change} changes position {position}"
            assert payload in (None, right_payload), f"{change} changes the payload of {position}"
        return True


def said(events: list[Verified]) -> Said:
    return {one.position: (one.header, one.signature, one.recorded_at, one.payload) for one in events}


def bundle_case(path: Path) -> Case:
    """A bundle of one run with payloads, earlier checkpoint and consistency proof."""
    world = two_runs(path)
    seen = world.tiles.published()
    tell_run(world.ledger, "r3")
    world.seal()
    folder = world.bundle(payloads=True, since=seen)

    def verify() -> list[Verified]:
        return [one for _, one in world.verify(folder).events]

    # To which key authors seal their payloads now is the sender's word and not used; see `bundle.head.agreed_trust`.
    epoch = (folder / TRUST_FILE).read_bytes().index(b'"epoch"')
    return Case(folder, verify, said(verify()), (TRUST_FILE, epoch))


def log_case(path: Path) -> Case:
    """The published files of the log: checkpoint, tiles and entry bundles."""
    world = two_runs(path)
    return Case(world.tiles.path, lambda: walked(world), said(walked(world)))


def walked(world: World) -> list[Verified]:
    """What `tenuto verify --log` does before it prints: every event, the root, and each published file."""
    folder, trust = world.tiles.path, world.trust
    note = CheckpointFile(folder).latest()
    if note is None:
        raise Refused("there is no checkpoint")
    head = parse_checkpoint(note, trust.log_key, trust.origin)
    verify_cosigned(note, trust)
    events = Follower(TileLedger(folder, head.size), CheckpointFile(folder), trust).catch_up()
    try:
        verify_tiles(TileFolder(folder), head.size, head.root)
    except TileMissing as missing:
        raise VerificationFailed(6, str(missing)) from missing
    return events
