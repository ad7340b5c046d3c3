"""A log with a story in it, sealed into real tiles under a real, cosigned checkpoint, and bundles made from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from tenuto.bundle import Asked, BundleFolder, Listed, Manifest, Report, verify_bundle
from tenuto.bundle.layout import parse_manifest
from tenuto.events import KeyRevoked
from tenuto.following import CheckpointFile, Follower
from tenuto.ledger import Head, Recorded
from tenuto.log.checkpoint import Checkpoint, sign_checkpoint
from tenuto.log.merkle import Frontier, leaf_hash
from tenuto.log.note import Cosigner, NoteSigner
from tenuto.log.tiles import TileFolder
from tenuto.log.witnessing import Policy, parse_policy
from tenuto.trust import Trust
from tenuto_projections.bundling import Source, Wish, write_bundle

from tests.unit.projections.story import call, consume, finish, new_ledger, request, vote
from tests.unit.projections.written import ORIGIN, STORAGE_KEY, WrittenLedger, start_run

LOG = NoteSigner(ORIGIN, b"log".ljust(32))
WITNESS = Cosigner("witness.test/one", b"witness".ljust(32))
POLICY = f"log {LOG.vkey}\nwitness one {WITNESS.vkey}\nquorum one\n"
SECONDS = 1_800_000_000
RUN = Asked(run="r1")


class ListedReader:
    """The ledger's door out over what was written."""

    def __init__(self, ledger: WrittenLedger) -> None:
        self.ledger = ledger

    def head(self) -> Head:
        frontier = Frontier().extend(leaf_hash(entry.entry) for entry in self.ledger.entries)
        return Head(frontier.size, frontier.to_bytes())

    def read(self, start: int, limit: int, *, payloads: bool = True) -> list[Recorded]:
        found = self.ledger.entries[start : start + limit]
        return found if payloads else [Recorded(one.position, one.recorded_at, one.state) for one in found]

    def read_kinds(self, kinds: Sequence[str], start: int, limit: int) -> list[Recorded]:
        raise AssertionError("a hint is not what a bundle is made of")


@dataclass
class World:
    """One sealed log in a folder."""

    path: Path
    ledger: WrittenLedger
    log: NoteSigner = LOG
    cosigned: bool = True
    sealed: int = field(default=0)

    @property
    def tiles(self) -> TileFolder:
        return TileFolder(self.path / "log")

    @property
    def trust(self) -> Trust:
        return msgspec.structs.replace(self.ledger.trust, log_key=self.log.vkey, policy=POLICY.replace(LOG.vkey, self.log.vkey))

    @property
    def policy(self) -> Policy:
        return parse_policy(self.trust.policy)

    def seal(self) -> bytes:
        """Sign everything written so far and return the published note."""
        entries = [entry.entry for entry in self.ledger.entries]
        self.tiles.apply(self.tiles.extension(self.sealed, entries[self.sealed :]))
        self.sealed = len(entries)
        root = Frontier().extend([leaf_hash(entry) for entry in entries]).root()
        checkpoint = Checkpoint(ORIGIN, len(entries), root)
        note = sign_checkpoint(checkpoint, self.log)
        if self.cosigned:
            note += WITNESS.cosign(checkpoint.text(), SECONDS)
        self.tiles.publish(note)
        return note

    def source(self) -> Source:
        reader = ListedReader(self.ledger)
        follower = Follower(reader, CheckpointFile(self.tiles.path), self.trust)
        return Source(follower, reader, self.tiles, self.trust)

    def bundle(self, name: str = "bundle", asked: Asked = RUN, *, payloads: bool = False, since: bytes | None = None) -> Path:
        """Write a bundle and return its folder."""
        wish = Wish(asked, STORAGE_KEY if payloads else None, since)
        write_bundle(self.source(), wish, self.path / name)
        return self.path / name

    def verify(self, folder: Path, *, trusting: bool = True, since: bytes | None = None) -> Report:
        """Verify a bundle as a stranger with the log's trust file does."""
        return verify_bundle(BundleFolder(folder), trust=self.trust if trusting else None, since=since)


def two_runs(path: Path) -> World:
    """A log with two runs, each with a vote in it, that was sealed."""
    world = World(path, new_ledger())
    for run in ("r1", "r2"):
        tell_run(world.ledger, run)
    world.seal()
    return world


def tell_run(ledger: WrittenLedger, run: str) -> None:
    start_run(ledger, run)
    call(ledger, call=f"c-{run}", run=run)
    request(ledger, f"a-{run}", run)
    vote(ledger, approval=f"a-{run}")
    consume(ledger, f"a-{run}", f"c-{run}")
    finish(ledger, run=run)


def revoke(ledger: WrittenLedger, author: str) -> None:
    """The root ends an author's key."""
    ledger.write("root", KeyRevoked, subject=author, subject_key_id=ledger._signers[author].key_id, reason="retired")


def purge(ledger: WrittenLedger, position: int) -> None:
    """A keeper says that a payload is gone, and it is."""
    ledger.purge(position)


def manifest_of(folder: Path) -> Manifest:
    return parse_manifest((folder / "bundle.json").read_bytes())


def relist(folder: Path, change: Callable[[Listed], Listed | None]) -> None:
    """Write the manifest anew with each event changed, or left out."""
    manifest = manifest_of(folder)
    events = tuple(new for listed in manifest.events if (new := change(listed)) is not None)
    (folder / "bundle.json").write_bytes(msgspec.structs.replace(manifest, events=events).to_bytes())


def leave_out(folder: Path, position: int) -> None:
    relist(folder, lambda listed: None if listed.position == position else listed)
