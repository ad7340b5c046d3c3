"""`tenuto --help` is a page that a person finds something on: every command under one errand, and on one line."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import pytest
import typer
from tenuto.cli import build
from tenuto.cli.panels import Panel
from typer.testing import CliRunner

PANEL = re.compile(r"^╭─ (.+?) ─+╮$")
ROW = re.compile(r"^│ ([a-z][a-z-]*) +(\S.*?) +│$")


@pytest.fixture(scope="module")
def commands() -> dict[str, Any]:
    """The commands and groups that stand directly under `tenuto`, by name."""
    group: Any = typer.main.get_command(build())
    return {name: command for name, command in group.commands.items() if not command.hidden}


def listed(columns: int) -> dict[str, list[str]]:
    """What the help shows on a terminal of so many columns: the lines below each heading, borders and all."""
    shown = CliRunner().invoke(build(), ["--help"], env={"COLUMNS": str(columns), "TERMINAL_WIDTH": str(columns)}, color=False)
    assert shown.exit_code == 0, shown.output
    found: dict[str, list[str]] = {}
    for line in shown.output.splitlines():
        if heading := PANEL.match(line):
            lines = found.setdefault(heading[1], [])
        elif found and line.startswith("│"):
            lines.append(line)
    return found


@pytest.mark.parametrize("columns", [80, 120])
def test_every_command_stands_in_exactly_one_panel_on_one_line(columns: int, commands: dict[str, Any]) -> None:
    shown = listed(columns)
    del shown["Options"]
    assert list(shown) == list(Panel), "each errand has a panel that is not empty, in the order of the errands"
    broken = [line for lines in shown.values() for line in lines if not ROW.match(line) or line.rstrip("│ ").endswith("…")]
    assert not broken, "These take more than a line; let the first paragraph of the docstring be shorter."
    assert Counter(row[1] for lines in shown.values() for line in lines if (row := ROW.match(line))) == Counter(list(commands))


def test_every_command_says_its_errand_where_it_is_added(commands: dict[str, Any]) -> None:
    assert not [name for name, command in commands.items() if command.rich_help_panel not in list(Panel)]


def test_whoever_has_nothing_yet_finds_the_first_step_first(commands: dict[str, Any]) -> None:
    group: Any = typer.main.get_command(build())
    assert group.list_commands(typer.Context(group))[:2] == ["demo", "init"]
    assert set(group.list_commands(typer.Context(group))) == set(commands)
