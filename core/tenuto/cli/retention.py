"""`tenuto retention ...`: take old events out of the database, into archives, and keep room for new ones.

Needs the database's owner, as `TENUTO_DATABASE_URL` or the embedded database gives it: no other role may drop a table.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import NotConfigured
from ..settings import load_settings
from .panels import Panel

if TYPE_CHECKING:
    from ..retention import Partition, Retention, Verdict
    from ..settings import Settings

SOFTWARE = "tenuto-retention"
_AGE = re.compile(r"([0-9]{1,5})([dhm])")
_UNITS = {"d": "days", "h": "hours", "m": "minutes"}

Age = Annotated[str, typer.Option("--older-than", help="How old a partition's last event must be: 180d, 12h, 30m.")]


def add_commands(app: typer.Typer) -> None:
    """Add the group `retention`."""
    group = typer.Typer(help="Archive and drop old events, and make room for new ones.", no_args_is_help=True)
    for command in (plan, apply, prepare):
        group.command(command.__name__)(command)
    app.add_typer(group, name="retention", rich_help_panel=Panel.OPERATE)


def plan(older_than: Age) -> None:
    """Show each partition: what is in it, what keeps it, and what `apply` would do. Changes nothing."""
    from ..clock import SystemClock

    cutoff = SystemClock().now() - parsed_age(older_than)
    with _opened(_nobody) as retention:
        verdicts = retention.plan(cutoff)
    for line in lines(verdicts):
        typer.echo(line)


def apply(
    older_than: Age,
    author: Annotated[str, typer.Option("--as", help="The keeper, or root, whose key is in the home.", metavar="AUTHOR")],
    prune: Annotated[bool, typer.Option("--prune", help="Also delete the published bundles below the minimum index.")] = False,
) -> None:
    """Archive what may go, verify the archive, put that on record, and drop the tables. After a crash: the same again."""
    from ..clock import SystemClock
    from ..events import RetentionApplied
    from ..wiring import open_recorder

    cutoff, settings = SystemClock().now() - parsed_age(older_than), load_settings()

    def record(one: Partition, digest: str) -> None:
        with open_recorder(settings, author, software=SOFTWARE) as keeper:
            said = keeper.record(RetentionApplied, first=one.first, last=one.last, minimum=one.last + 1, archive=digest)
            keeper.wait(said, settings.receipt_seconds)

    with _opened(record, say=lambda step: typer.echo(f"  {step}", err=True)) as retention:
        gone = retention.apply(cutoff, prune=prune)
    for one in gone:
        typer.echo(f"The positions {one.first} to {one.last} are in {settings.archives} now, and not in the tables any more.")
    if not gone:
        typer.echo("Nothing may be dropped; `tenuto retention plan` says why.")


def prepare() -> None:
    """Make the next partitions of the tables, so that ingest always finds room."""
    from ..adapters.partitions import prepare as make
    from ..wiring import database_url

    made = make(database_url(load_settings()))
    typer.echo(f"{len(made)} partitions were made." if made else "There is room enough; nothing was made.")


def parsed_age(said: str) -> timedelta:
    """Return the time in words such as `180d`; raises NotConfigured for anything else."""
    found = _AGE.fullmatch(said)
    if found is None:
        raise NotConfigured(f"{said!r} is no age. Write days, hours or minutes: 180d, 12h, 30m.")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def lines(verdicts: list[Verdict]) -> Iterator[str]:
    """Yield the table of a plan."""
    if not verdicts:
        yield "The log has signed no events yet."
        return
    rows = [("positions", "from", "to", "size", "archive", "what happens")]
    for one in verdicts:
        began, ended = (f"{time:%Y-%m-%d}" if time else "" for time in (one.began, one.ended))
        place = f"{one.partition.first}-{one.partition.last}"
        archived = "is there" if one.archived else "none"
        then = "archive, then drop" if one.goes else f"stays: {'; '.join(one.keeps)}"
        rows.append((place, began, ended, f"{one.partition.bytes / 1_000_000:,.1f} MB", archived, then))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _nobody(one: Partition, digest: str) -> None:
    raise NotConfigured(f"A plan records nothing, neither {digest} nor the end of {one.number}.")


@contextmanager
def _opened(record: Callable[[Partition, str], None], *, say: Callable[[str], None] = lambda _: None) -> Iterator[Retention]:
    from ..wiring import open_retention

    settings: Settings = load_settings()
    with open_retention(settings, record, did=say) as retention:
        yield retention
