"""`tenuto attack ...`: list the red team's attacks, run them against the system that runs, or wait for people to ask."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer
from tenuto.cli.panels import Panel

if TYPE_CHECKING:
    from tenuto.settings import Settings

    from .exercise import Report
    from .ground import Ground

NOT_HELD = 1
COLOURS = {"held": "green", "broken": "bold red", "unproven": "yellow", "not_run": "dim"}
WORDS = {"held": "held", "broken": "BROKEN", "unproven": "not proven", "not_run": "not run"}


def add_commands(app: typer.Typer) -> None:
    """Add the group `attack`."""
    attacks = typer.Typer(help="Attack the running system, and put on record what held.", no_args_is_help=True)
    attacks.command("list")(list_attacks)
    attacks.command("run")(run)
    attacks.command("serve")(serve)
    app.add_typer(attacks, name="attack", rich_help_panel=Panel.ATTACK)


def list_attacks() -> None:
    """Print every attack: its name, what the attacker wants, and the threats and controls that it tries."""
    from .catalogue import SCENARIOS

    for scenario in SCENARIOS.values():
        typer.echo(f"{scenario.name:26} {' '.join(scenario.refs):24} {scenario.goal}")
    typer.echo(f"{len(SCENARIOS)} attacks.", err=True)


def run(
    names: Annotated[list[str] | None, typer.Argument(help="Which attacks; all when left out.")] = None,
) -> None:
    """Run attacks against the system of this home; exit code 0 when every one that could be run was held, else 1.

    For the length of the run the root registers a few `range-...` authors for the red team; their keys end with it.
    """
    from .catalogue import chosen
    from .exercise import exercise

    scenarios = chosen(names or [])
    reports = []
    with _ground() as ground:
        for scenario in scenarios:
            report = exercise(scenario, ground)
            reports.append(report)
            _show(report)
    counts = {word: sum(report.verdict == word for report in reports) for word in WORDS}
    typer.echo(", ".join(f"{count} {WORDS[word]}" for word, count in counts.items() if count) + ".", err=True)
    raise typer.Exit(NOT_HELD if counts["broken"] or counts["unproven"] else 0)


def serve() -> None:
    """Run each attack that somebody asks for with an `exercise.requested`, until SIGTERM or Ctrl-C."""
    from tenuto.running import stop_flag

    from .requests import answer_requests

    typer.echo("The red team is ready.", err=True)
    answer_requests(_settings(), _ground, stop_flag(), _show)


@contextmanager
def _ground() -> Iterator[Ground]:
    from .ground import Ground

    settings = _settings()
    with Ground(settings, settings.state / "red-team" / "scratch") as ground:
        yield ground


def _settings() -> Settings:
    from tenuto.settings import load_settings
    from tenuto.wiring import with_addresses

    return with_addresses(load_settings())


def _show(report: Report) -> None:
    from rich.console import Console
    from rich.text import Text

    from ..text import visible_line

    console = Console(stderr=True, highlight=False, soft_wrap=True)
    line = Text(f"{WORDS[report.verdict]:10}", COLOURS[report.verdict])
    line.append(f" {report.scenario.name:26} {report.milliseconds / 1000:5.1f} s  {visible_line(report.seen)}", "")
    console.print(line)
    for stop in report.stops:
        console.print(Text(f"{'':11}{stop.control:4} {visible_line(stop.sentence)} {visible_line(stop.said)[:200]}".rstrip(), "dim"))
    for part in report.lacking:
        console.print(Text(f"{'':11}lacks: {visible_line(part)}", "dim"))
