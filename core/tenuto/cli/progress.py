"""What the demonstration shows while a run is under way: each verified event of it, a line each, as the log signs it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from ..documents import Result, from_payload
from ..embedded import PartFailed
from ..errors import Refused
from ..events import RunFinished, ToolFinished
from ..following import Follower
from ..verification import Verified
from ..wiring import open_recorder
from .unattended import StandIn

if TYPE_CHECKING:
    from ..supervising import Platform

LOOK_SECONDS = 0.1
IDLE_SECONDS = 1.0
SOFTWARE = "tenuto-demo"
STAND_IN_CONSOLE = "unattended-console"
SHOWN = (
    "workflow", "verdict", "tool", "resource", "effect", "rules", "obligation", "decision", "votes", "topic", "to",
    "deployment", "environment", "why", "outcome", "software", "severity", "rule", "reason",
)  # fmt: skip
VERDICTS = {
    "succeeded": "succeeded", "refused": "was refused: a control or a person stopped it", "failed": "failed",
}  # fmt: skip
COLOURS = {
    "approval": "bold yellow", "tool": "cyan", "decision": "magenta", "policy": "blue", "deployment": "green",
    "alert": "bold red", "run": "bold", "record": "red",
}  # fmt: skip


class Progress:
    """Follows one run; with `unattended`, that insecure reviewer approves what is asked, before a console of its own."""

    def __init__(self, platform: Platform, follower: Follower, *, unattended: str | None) -> None:
        """Stands where the log is now: what is older is not shown."""
        self._platform, self._follower = platform, follower
        self._stand_in: StandIn | None = None
        if unattended is not None:
            reviewer, console = (
                open_recorder(platform.settings, author, software=SOFTWARE) for author in (unattended, STAND_IN_CONSOLE)
            )
            self._stand_in = StandIn(reviewer, console)
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)

    def follow(self, run: str, *, seconds: float | None) -> str:
        """Show the run's events until it ends and return its outcome; raises PartFailed when it takes too long."""
        deadline = None if seconds is None else time.monotonic() + seconds
        outcome = ""
        while not outcome:
            for verified in self._follower.catch_up():
                if self._stand_in is not None:
                    self._stand_in.take(verified)
                if verified.event.run != run:
                    continue
                self._show(verified)
                if isinstance(verified.event, RunFinished):
                    outcome = verified.event.outcome
                    self._console.print(verdict(verified, verified.event), style="bold")
            if self._stand_in is not None:
                self._stand_in.look()
            self._platform.demand_running()
            if deadline is not None and time.monotonic() > deadline:
                raise PartFailed(f"The run {run} did not end within {seconds:.0f} s. The logs are in the home's folder `logs`.")
            time.sleep(LOOK_SECONDS)
        if self._stand_in is not None:
            self._stand_in.close()
        return outcome

    def idle(self) -> None:
        """Keep everything running until Ctrl-C."""
        while True:
            self._platform.demand_running()
            time.sleep(IDLE_SECONDS)

    def _show(self, verified: Verified) -> None:
        event = verified.event
        line = Text(f"{verified.recorded_at:%H:%M:%S} {verified.position:>5}  {event.author:20} ")
        line.append(f"{event.kind:20}", COLOURS.get(event.kind.partition(".")[0], ""))
        line.append(" " + told(verified))
        if without_sandbox(verified):
            line.append("  without a sandbox: this machine has no bubblewrap", "bold red")
        if verified.key.insecure_demo:
            line.append("  insecure demo key", "bold red")
        self._console.print(line)


def without_sandbox(verified: Verified) -> bool:
    """Whether a finished tool says of itself that what strangers wrote was read outside of a sandbox."""
    if not isinstance(verified.event, ToolFinished):
        return False
    try:
        return from_payload(verified.payload, Result).values.get("sandbox") == "none"
    except Refused:
        return False


def verdict(verified: Verified, finished: RunFinished) -> Text:
    """Say how the run ended and why, in its last author's words; control characters in them are not obeyed."""
    try:
        why = from_payload(verified.payload, Result).text
    except Refused:
        why = ""
    shown = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in why)
    return Text(f"The run {VERDICTS[finished.outcome]}. {shown}".rstrip())


def told(verified: Verified) -> str:
    """Say in a few words what an event is about, from its closed header fields only."""
    event = verified.event
    parts = []
    for name in SHOWN:
        value = getattr(event, name, None)
        if value and value != "none":
            parts.append(" ".join(value) if isinstance(value, tuple) else str(value))
    return " ".join(parts)
