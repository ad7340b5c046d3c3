"""The commands of this package: run the projector, and ask the log what happened. Arguments to calls, nothing more.

Exit codes: 0 done, 1 nothing found, 2 wrong usage or a part that is away, 3 the log is not what it claims to be.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from tenuto.cli.panels import Panel

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from tenuto.following import Follower
    from tenuto.settings import Settings
    from tenuto.trust import Trust

    from .projection import Projector
    from .replay.selection import Selection
    from .walked import Walked

NOT_FOUND, USAGE, NOT_INTACT = 1, 2, 3
FOLLOW_SECONDS = 0.5

EventName = Annotated[str, typer.Argument(metavar="ID", help="Id of an event, or its position in the log.")]


def add_commands(app: typer.Typer) -> None:
    """Add project, rebuild, verify, bundle, log, show, why, replay, policy, spotcheck, notify and report to the `tenuto` command."""
    from . import custody_commands, policy_commands, spotcheck_commands
    from .bundle_commands import bundle
    from .coverage import commands as coverage_commands
    from .injections import commands as injection_commands
    from .notify import commands as notify_commands

    for command in (log, show, why, replay, verify, bundle):
        app.command(rich_help_panel=Panel.PROVE)(command)
    app.command(rich_help_panel=Panel.PARTS)(project)
    app.command(rich_help_panel=Panel.OPERATE)(rebuild)
    policy_commands.add_commands(app)
    spotcheck_commands.add_commands(app)
    custody_commands.add_commands(app)
    coverage_commands.add_commands(app)
    notify_commands.add_commands(app)
    injection_commands.add_commands(app)


def project() -> None:
    """Keep the read models up to date.

    Every event is verified and applied once, until SIGTERM.
    """
    import signal
    from threading import Event as Flag

    from tenuto.telemetry import Telemetry

    from .running import run_until

    stop = Flag()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with _sentences():
        settings = _settings()
        with Telemetry("project", settings.metrics_port) as telemetry, _engine(settings, "tenuto_projector") as engine:
            run_until(stop, lambda: _projector(settings, engine), _say, telemetry=telemetry)


def rebuild(name: Annotated[str, typer.Argument(help="Read model: runs, inbox, fleet, integrity or alerts.")]) -> None:
    """Fill one read model again from the first event.

    It is emptied first, and filled by the code that filled it before.
    """
    from .projection import Positions
    from .projection import rebuild as empty
    from .running import all_projections, catch_up, names, projection_named

    projection = projection_named(name)
    if projection is None:
        _fail(f"There is no read model {name!r}. There are: {names(all_projections())}.", USAGE)
    with _sentences():
        settings = _settings()
        with _engine(settings, "tenuto_projector") as engine:
            empty(engine, projection, Positions())
            count = catch_up(lambda: _projector(settings, engine))
    _say(f"{projection.name} was rebuilt from {count:,} verified events.")


def verify(
    files: Annotated[
        Path | None, typer.Option("--log", help="A folder with `checkpoint` and `tile/` instead of the live ledger.")
    ] = None,
    trust_file: Annotated[
        Path | None,
        typer.Option("--trust", help="The log's public trust file; that of this home by default, of a bundle its own."),
    ] = None,
    bundled: Annotated[
        Path | None, typer.Option("--bundle", help="A folder made by `tenuto bundle` instead of the live ledger.")
    ] = None,
    since: Annotated[
        Path | None, typer.Option(help="With --bundle: the checkpoint that you saw last, which it must extend.")
    ] = None,
    archived: Annotated[
        Path | None, typer.Option("--archive", help="One folder that retention made instead of the live ledger.")
    ] = None,
) -> None:
    """Walk all nine verification steps; exit code 0 or 3.

    Over the live ledger, or offline over a folder or a bundle.
    """
    from tenuto.log.tiles import TileFolder
    from tenuto.trust import load_trust

    from .verifying import walk_log

    if (since is not None and bundled is None) or sum(one is not None for one in (files, bundled, archived)) > 1:
        _fail("--since belongs to --bundle, and --bundle or --archive stands instead of --log.", USAGE)
    if bundled is not None:
        from .bundle_commands import verify_folder

        verify_folder(bundled, trust_file, since)
        return
    if archived is not None:
        from .archived import verify_archived

        with _sentences():
            verify_archived(archived, trust_file, _settings())
        return
    with _sentences():
        settings = _settings()
        trust = load_trust(settings.home if trust_file is None else trust_file)
        if files is None:
            signed = _walk_live(settings, trust)
        else:
            from tenuto.archive import Shelf
            from tenuto.wiring import open_tile_follower

            from .walked import Walked

            follower = open_tile_follower(files, trust, settings)
            walked = Walked(trust, opens_payloads=False)
            shelf = Shelf(settings.archives, trust.origin)
            signed = walk_log(follower, walked, settings.state / "verify", TileFolder(files), shelf=shelf)
    if not signed:
        raise typer.Exit(NOT_FOUND)


def log(
    *,
    run: Annotated[str | None, typer.Option(help="Only events of this run.")] = None,
    author: Annotated[str | None, typer.Option(help="Only events of this author.")] = None,
    kind: Annotated[
        str | None, typer.Option(help="Only this kind, such as tool.started, or subject, such as tool.")
    ] = None,
    since: Annotated[str | None, typer.Option(help="15m, 2h, 7d ago, or a time such as 2026-03-01T12:00:00Z.")] = None,
    until: Annotated[str | None, typer.Option(help="Like --since.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with new events until Ctrl-C.")] = False,
) -> None:
    """Print verified events, one a line.

    For reading on a terminal, as JSON in a pipe.
    """
    from tenuto.clock import SystemClock

    from .replay.selection import Selection, moment

    now = SystemClock().now()
    with _sentences():
        try:
            times = [None if said is None else moment(said, now) for said in (since, until)]
        except ValueError as error:
            _fail(str(error), USAGE)
        follower = _follower(_settings(), payloads=False)
        count = _print_log(follower, Selection(run, author, kind, *times), follow=follow)
    if not count:
        _fail("No event of the signed log fits.", NOT_FOUND)


def show(name: EventName) -> None:
    """Show one event, with its causes and effects.

    That is the header, the payload, the nine verification steps, causes and effects.
    """
    from .replay.asking import show_event

    with _sentences():
        follower, walked = _walk(_settings())
        show_event(follower, walked, name)


def why(name: EventName) -> None:
    """Show what led to an event, and who or what allowed it.

    Back to the roots, with the rule and the people that allowed it.
    """
    from .replay.asking import explain

    with _sentences():
        follower, walked = _walk(_settings())
        explain(follower, walked, name)


def replay(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Name of the run.")],
    as_of: Annotated[
        str | None, typer.Option("--as-of", help="A position, or a time as in `tenuto log --since`.")
    ] = None,
) -> None:
    """Replay a run from the verified log and rebuild its state.

    It is rebuilt by the code that made it.
    """
    from tenuto.clock import SystemClock

    from .replay.asking import replay_run
    from .replay.selection import as_of as point

    with _sentences():
        try:
            until = point(as_of, SystemClock().now())
        except ValueError as error:
            _fail(str(error), USAGE)
        settings = _settings()
        follower, walked = _walk(settings)
        live = _engine(settings, "tenuto_reader") if as_of is None else nullcontext()
        with live as engine:
            agrees = replay_run(follower, walked, run, until, engine)
    if not agrees:
        _fail(
            "The read model does not say what the log says; `tenuto rebuild runs` and `inbox` make it anew.", NOT_INTACT
        )


def _walk_live(settings: Settings, trust: Trust) -> bool:
    from contextlib import closing

    from tenuto.errors import NotConfigured
    from tenuto.log.tiles import TileFolder
    from tenuto.wiring import open_follower, open_reader

    from .verifying import walk_log
    from .walked import Walked

    try:
        follower, opens = open_follower(settings, payloads=True), True
    except NotConfigured:
        follower, opens = open_follower(settings, payloads=False), False
    walked = Walked(trust, opens_payloads=opens)
    with closing(open_reader(settings)) as live:
        return walk_log(follower, walked, settings.state / "verify", TileFolder(settings.tiles), live)


def _print_log(follower: Follower, selection: Selection, *, follow: bool) -> int:
    import time

    from .replay.records import Output, line, record
    from .runs import Runs

    output, runs, count = Output(), Runs(), 0
    try:
        while True:
            for page in follower.pages():
                for verified in page:
                    if selection.takes(verified, runs.take(verified.event)):
                        output.emit(record(verified), [line(verified)])
                        count += 1
            if not follow:
                return count
            time.sleep(FOLLOW_SECONDS)
    except KeyboardInterrupt:
        return max(count, 1)


@contextmanager
def _sentences() -> Iterator[None]:
    """Turn what is refused into one sentence on stderr and the right exit code."""
    from tenuto.errors import TenutoError
    from tenuto.verification import VerificationFailed, remaining

    from .replay.links import NothingFound

    try:
        yield
    except NothingFound as error:
        _fail(str(error), NOT_FOUND)
    except VerificationFailed as error:
        _say(str(error).rstrip(".") + ".")
        _fail(remaining(error), NOT_INTACT)
    except TenutoError as error:
        _fail(str(error), USAGE)


def _fail(sentence: str, code: int) -> NoReturn:
    _say(sentence)
    raise typer.Exit(code)


def _say(sentence: str) -> None:
    from .replay.records import printable

    typer.echo(printable(sentence), err=True)


def _settings() -> Settings:
    from tenuto.settings import load_settings

    return load_settings()


@contextmanager
def _engine(settings: Settings, role: str) -> Iterator[Engine]:
    from sqlalchemy import create_engine
    from tenuto.migrating import sqlalchemy_url
    from tenuto.wiring import role_url

    from .copies import options

    engine = create_engine(
        sqlalchemy_url(role_url(settings, role)), pool_pre_ping=True, execution_options=options(settings)
    )
    try:
        yield engine
    finally:
        engine.dispose()


def _follower(settings: Settings, *, payloads: bool, role: str = "tenuto_reader") -> Follower:
    from tenuto.wiring import open_follower

    return open_follower(settings, payloads=payloads, role=role)


def _walk(settings: Settings, role: str = "tenuto_reader") -> tuple[Follower, Walked]:
    """Without the storage key everything but the payloads can still be verified, and step 5 says so."""
    from tenuto.errors import NotConfigured
    from tenuto.wiring import open_trust

    from .walked import Walked

    trust = open_trust(settings)
    try:
        return _follower(settings, payloads=True, role=role), Walked(trust, opens_payloads=True)
    except NotConfigured:
        return _follower(settings, payloads=False, role=role), Walked(trust, opens_payloads=False)


def _projector(settings: Settings, engine: Engine) -> Projector:
    from tenuto.clock import SystemClock

    from .projection import Positions, Projector
    from .running import all_projections

    follower, walked = _walk(settings, "tenuto_projector")
    return Projector(follower, engine, all_projections(), Positions(), clock=SystemClock(), walked=walked)
