"""`tenuto export`: the verified log to where security people look. Arguments to calls, nothing more.

Exit codes: 0 done, 2 wrong usage or a part that is away, 3 the log is not what it claims to be or was before.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from tenuto.cli.panels import Panel

from .. import commands as shared

if TYPE_CHECKING:
    from threading import Event as Flag

    from tenuto.settings import Settings

    from .exporting import Exporter

FOLLOW_SECONDS = 0.5


class FormatName(StrEnum):
    """How events are written."""

    OCSF = "ocsf"
    JSONL = "jsonl"


def add_commands(app: typer.Typer) -> None:
    """Add export to the `tenuto` command."""
    app.command(rich_help_panel=Panel.PROVE)(export)


def export(
    *,
    to: Annotated[
        str, typer.Option(help="FILE, - or syslog+tls://HOST:PORT[?ca=FILE&cert=FILE&key=FILE].", metavar="WHERE")
    ],
    format_name: Annotated[
        FormatName, typer.Option("--format", help="OCSF 1.8.0 events, or JSON lines of our own.")
    ] = FormatName.OCSF,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with new events until SIGTERM.")] = False,
    cursor: Annotated[Path | None, typer.Option(help="File that remembers how far this export came.")] = None,
    payloads: Annotated[
        bool, typer.Option("--payloads", help="With prompts, diffs and results in it; such copies outlive a purge.")
    ] = False,
) -> None:
    """Export verified events to files, pipes and syslog.

    In order, each once in a file and at least once over syslog; it goes on where it ended.
    """
    import signal
    from threading import Event as Flag

    stop = Flag()
    if follow:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
    with shared._sentences():
        exporter = _exporter(to, format_name, cursor, payloads=payloads)
        try:
            if follow:
                _follow(exporter, stop)
            else:
                count = exporter.step()
                shared._say(f"{count:,} events exported; {exporter.cursor.size:,} in all.")
        finally:
            exporter.close()


def _follow(exporter: Exporter, stop: Flag) -> None:
    """Step until `stop` is set; what is away is waited for and said once."""
    from tenuto.errors import Busy

    away = ""
    while not stop.is_set():
        try:
            exporter.step(stop.is_set)
            away = ""
        except Busy as busy:
            if str(busy) != away:
                away = str(busy)
                shared._say(f"{away} The export waits for it.")
        stop.wait(FOLLOW_SECONDS)


def _exporter(to: str, format_name: FormatName, cursor: Path | None, *, payloads: bool) -> Exporter:
    import socket
    from contextlib import ExitStack, closing

    from .cursor import Cursor, CursorFile, NoCursor
    from .destinations import PIPE, destination_name, open_sink
    from .exporting import Exporter
    from .formats import line_format

    settings = shared._settings()
    fresh = Cursor(origin=_origin(settings), destination=destination_name(to), format=str(format_name))
    follower = shared._follower(settings, payloads=payloads)
    with ExitStack() as opened:
        sink = opened.enter_context(closing(open_sink(to, hostname=socket.gethostname(), say=shared._say)))
        store: CursorFile | NoCursor = NoCursor()
        if cursor is not None or to != PIPE:
            store = CursorFile(cursor or settings.state / f"export-{fresh.key()}.json")
        opened.pop_all()  # from here on they are the exporter's to close
        return Exporter(follower, sink, line_format(str(format_name)), store, fresh, payloads=payloads)


def _origin(settings: Settings) -> str:
    from tenuto.wiring import open_trust

    return open_trust(settings).origin
