"""`tenuto custody`: one answer for any deployment, from pull request to what happened after."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from tenuto.cli.panels import Panel

from . import commands as shared

if TYPE_CHECKING:
    from rich.text import Text

    from .custody import Link

STYLES = {"verdict": "magenta", "policy": "blue", "approval": "bold yellow", "deployment": "green", "after": "green", "alert": "bold red"}


def add_commands(app: typer.Typer) -> None:
    """Add `custody`."""
    app.command("custody", rich_help_panel=Panel.PROVE)(custody)


def custody(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="A run, a deployment, or an artifact's digest (eight digits do); the newest deployment when left out.")
    ] = "",
) -> None:
    """Print the chain of custody of what was deployed.

    Which pull request, which verdicts, which plan, who approved having seen what, which artifact, what then.
    """
    from tenuto.wiring import open_follower

    from .custody import NothingDeployed, custody_of
    from .replay.records import Output, stamp

    with shared._sentences():
        follower = open_follower(shared._settings())
        folded = custody_of(follower.pages())
    runs = folded.runs()
    if not name and not runs:
        shared._fail("Nothing was deployed yet.", shared.NOT_FOUND)
    try:
        links = list(folded.chain(name or runs[-1]))
    except NothingDeployed as nothing:
        shared._fail(str(nothing), shared.NOT_FOUND)
    output = Output()
    for link in links:
        record = {
            "station": link.station, "position": link.position, "recorded_at": stamp(link.at), "author": link.author,
            "said": link.said, "told": link.told, "insecure_demo": link.insecure_demo,
        }  # fmt: skip
        output.emit(record, _lines(link))
    size = follower.checkpoint.size if follower.checkpoint else 0
    shared._say(f"{len(links)} links, each verified under the checkpoint over {size:,} events. `tenuto bundle` hands them to a stranger.")


def _lines(link: Link) -> list[Text]:
    from rich.text import Text

    from .replay.records import printable

    head = Text.assemble(
        (f"{link.position:>7}  {link.at:%Y-%m-%d %H:%M:%SZ}  ", "dim"), (f"{link.station:<13}", STYLES.get(link.station, "bold")), f" {link.said}"
    )
    if link.insecure_demo:
        head.append("  [insecure demo key]", style="yellow")
    return [head] if not link.told else [head, Text.assemble((f"{'':44} {printable(link.told)}", "dim"))]
