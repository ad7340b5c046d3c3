"""What `tenuto --help` is divided into: the errands people come with, in the order in which they come with them.

Each package names the panel where it adds a command. One that names none, as another distribution's may, stands in front
of all under `Commands`; ours never do.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from typer.core import TyperGroup


class Panel(StrEnum):
    """One errand each; the order is that of the help."""

    START = "Start here"
    REVIEW = "Policy and approval"
    PROVE = "Look and prove"
    AGENTS = "Put agents to work"
    CONTAIN = "Watch and contain"
    ATTACK = "Red team"
    PEOPLE = "Keys and people"
    OPERATE = "Operate"
    PARTS = "The parts that up runs, each by itself"


class ByErrand(TyperGroup):
    """The commands in the order of their panels, within a panel as they were added."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names as the help lists them; `ctx` is the library's own."""
        order = {str(panel): place for place, panel in enumerate(Panel)}
        names = super().list_commands(ctx)
        return sorted(names, key=lambda name: order.get(str(getattr(self.commands[name], "rich_help_panel", None)), -1))
