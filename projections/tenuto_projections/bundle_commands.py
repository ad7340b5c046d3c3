"""`tenuto bundle` and the bundle's side of `tenuto verify`. Arguments to calls, nothing more.

Exit codes: 0 done, 1 nothing found, 2 wrong usage or a part that is away, 3 the log or the bundle is not what it claims to be.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import commands as shared

if TYPE_CHECKING:
    from tenuto.bundle import Asked
    from tenuto.settings import Settings

    from .bundling import Source


def bundle(
    *,
    to: Annotated[Path, typer.Option(help="The folder to write; it must not exist yet.", metavar="FOLDER")],
    run: Annotated[str | None, typer.Option(help="Everything of this run.")] = None,
    event: Annotated[str | None, typer.Option(help="One event: its id, or its position in the log.")] = None,
    begin: Annotated[
        str | None, typer.Option("--from", help="A time range: 15m, 2h, 7d ago, or a time such as 2026-03-01T12:00:00Z.")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Like --from.")] = None,
    payloads: Annotated[
        bool, typer.Option("--payloads", help="With prompts, diffs and results in it; such copies outlive a purge.")
    ] = False,
    since: Annotated[
        Path | None, typer.Option(help="The checkpoint that the receiver saw last; shows that the log only grew.")
    ] = None,
    files: Annotated[
        Path | None, typer.Option("--log", help="A folder with `checkpoint` and `tile/` instead of the live ledger.")
    ] = None,
) -> None:
    """Write evidence that a stranger verifies offline.

    A run, one event or a time range becomes a folder that needs neither a database nor a network.
    """
    from typing import get_args

    from tenuto.adapters.keytreefile import KeyTreeFile
    from tenuto.bundle.layout import Why

    from .bundling import Wish, write_bundle

    if payloads and files is not None:
        shared._fail("The published files hold no payloads; leave out --payloads or --log.", shared.USAGE)
    with _refusals():
        asked, settings = _asked(run, event, begin, until), shared._settings()
        seen = None if since is None else _note(since)
        key = KeyTreeFile(settings.keys) if payloads else None
        with _source(settings, files) as source:
            report = write_bundle(source, Wish(asked, key, seen), to)
    counts = {why: sum(listed.why == why for listed in report.manifest.events) for why in get_args(Why)}
    said = ", ".join(f"{count:,} {why}" for why, count in counts.items() if count)
    shared._say(f"{to} holds {len(report.events):,} events ({said}), each with its proof, up to {report.checkpoint.size:,}.")
    shared._say(f"Its receiver runs: tenuto verify --bundle {to} --trust FILE")
    shared._say(f"FILE is your trust.json, handed over another way; SHA-256 {report.fingerprint}.")


def verify_folder(folder: Path, trust_file: Path | None, since: Path | None) -> None:
    """Verify a bundle and print what was found; needs no home, no database and no network."""
    from tenuto.bundle import BundleFolder, verify_bundle
    from tenuto.errors import Refused
    from tenuto.trust import load_trust

    from .bundled import print_refusal, print_report

    with _refusals():
        trust = None if trust_file is None else load_trust(trust_file)
        seen = None if since is None else _note(since)
        try:
            report = verify_bundle(BundleFolder(folder), trust=trust, since=seen)
        except Refused as refusal:
            print_refusal(refusal)
            raise
        print_report(report)


@contextmanager
def _refusals() -> Iterator[None]:
    """A folder that is no bundle ends with 3, as a log does that is not what it claims to be."""
    from tenuto.bundle import BundleRefused

    with shared._sentences():
        try:
            yield
        except BundleRefused as refusal:
            shared._fail(str(refusal), shared.NOT_INTACT)


def _asked(run: str | None, event: str | None, begin: str | None, until: str | None) -> Asked:
    from tenuto.bundle import Asked
    from tenuto.clock import SystemClock

    from .replay.selection import moment

    now = SystemClock().now()
    try:
        since, end = (None if said is None else moment(said, now) for said in (begin, until))
        return Asked(run=run, event=event, since=since, until=end)
    except ValueError as error:
        shared._fail(f"{error} Use one of --run, --event, or --from and --until.", shared.USAGE)


def _note(file: Path) -> bytes:
    from tenuto.log.note import NOTE_BYTES_MAX

    try:
        with file.open("rb") as opened:
            return opened.read(NOTE_BYTES_MAX + 1)
    except OSError as error:
        sentence = f"The checkpoint {file} cannot be read: {error.strerror}. --since names a file; times are --from and --until."
        shared._fail(sentence, shared.USAGE)


@contextmanager
def _source(settings: Settings, files: Path | None) -> Iterator[Source]:
    from contextlib import closing

    from tenuto.adapters.tilefiles import TileLedger
    from tenuto.following import CheckpointFile, verified_checkpoint
    from tenuto.log.tiles import TileFolder
    from tenuto.wiring import open_hashes, open_reader, open_shelf, open_tile_follower, open_trust

    from .bundling import Source

    trust = open_trust(settings)
    if files is None:
        follower = shared._follower(settings, payloads=False)
        with closing(open_reader(settings)) as reader:
            yield Source(follower, reader, open_hashes(settings), trust)
        return
    follower, note = open_tile_follower(files, trust, settings), CheckpointFile(files).latest()
    size = 0 if note is None else verified_checkpoint(note, trust).size
    yield Source(follower, TileLedger(files, size, open_shelf(settings)), TileFolder(files), trust)
