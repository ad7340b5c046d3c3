"""How an event is shown: one JSON object a line in a pipe, one line of text on a terminal.

Payloads and names come from strangers. On a terminal nothing of them is interpreted: no markup, no escape sequence, no
character that changes the direction of the text around it.
"""

from __future__ import annotations

import os
import sys
import unicodedata
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

import msgspec
from rich.console import Console
from rich.text import Text
from tenuto.documents import readable
from tenuto.events import Event
from tenuto.verification import Verified

from ..payloads import payload_state
from ..stages import sentence
from ..walked import FAILED, PASSED, Tick

MARKS = {PASSED: "✓", FAILED: "✗"}
_STYLES = {PASSED: "green", FAILED: "bold red"}
_SHARED = frozenset(Event.__struct_fields__)
_KEPT = frozenset("\n\t")


class Output:
    """Standard output: JSON lines in a pipe, text on a terminal. A reader that closes the pipe ends the command quietly."""

    def __init__(self) -> None:
        """Look where standard output goes."""
        self.tty = sys.stdout.isatty()
        self._console = Console(highlight=False, markup=False, emoji=False, soft_wrap=True) if self.tty else None

    def emit(self, record: Mapping[str, Any], lines: Iterable[Text]) -> None:
        """Write the record as one JSON line, or the lines."""
        try:
            if self._console is None:
                sys.stdout.write(msgspec.json.encode(record).decode() + "\n")
                sys.stdout.flush()
                return
            for line in lines:
                self._console.print(line)
        except BrokenPipeError:
            # Python would complain once more when it flushes at exit, so that flush goes nowhere.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise SystemExit(0) from None


def stamp(moment: datetime) -> str:
    """Format a moment in UTC, to the microsecond, with Z."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def printable(text: str) -> str:
    """Make control and formatting characters visible (ESC as `\\x1b`), so that a terminal shows and never obeys them."""
    return "".join(_visible(character) for character in text)


def _visible(character: str) -> str:
    if character in _KEPT or unicodedata.category(character) not in ("Cc", "Cf", "Zl", "Zp", "Cs", "Co"):
        return character
    return character.encode("unicode_escape").decode()


def record(verified: Verified) -> dict[str, Any]:
    """Return an event as plain data, in a key order that never changes; payloads are not in it."""
    event = verified.event
    own = {name: value for name, value in msgspec.structs.asdict(event).items() if name not in _SHARED}
    return {
        "position": verified.position, "recorded_at": stamp(verified.recorded_at), "at": stamp(event.at),
        "kind": event.kind, "author": event.author, "role": verified.key.role, "run": event.run, "id": str(event.id),
        "session": str(event.session), "seq": event.seq, "cause": [str(cause) for cause in event.cause],
        "to": event.to, "refs": list(event.refs), "summary": sentence(event),
        "insecure_demo": verified.key.insecure_demo, "payload": payload_state(verified),
        "payload_type": event.payload_type, "fields": {name: _plain(value) for name, value in own.items()},
    }  # fmt: skip


def line(verified: Verified) -> Text:
    """Return an event as one line for a terminal."""
    event = verified.event
    text = Text()
    text.append(f"{verified.position:>7}  ", style="dim")
    text.append(verified.recorded_at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ") + "  ", style="dim")
    text.append(f"{event.author:<20} ", style="cyan")
    text.append(f"{event.kind:<20} ", style="bold")
    text.append(sentence(event))
    if verified.key.insecure_demo:
        text.append("  [insecure demo key]", style="yellow")
    return text


def payload_text(verified: Verified) -> str | None:
    """Return the payload for reading, indented if it is JSON; None if it is not there."""
    content = readable(verified.event.payload_type, verified.payload)
    if content is None or isinstance(content, str):
        return None if content is None else printable(content)
    pretty = msgspec.json.format(msgspec.json.encode(content), indent=2).decode()
    return printable(pretty)


def marks(ticks: Iterable[Tick]) -> Text:
    """Return the nine ticks in one short row; steps side by side with the same mark are one range, such as `1-8✓ 9–`."""
    text = Text()
    for state, group in groupby(ticks, key=lambda tick: tick.state):
        steps = [tick.step for tick in group]
        name = str(steps[0]) if len(steps) == 1 else f"{steps[0]}-{steps[-1]}"
        text.append(f"{name}{MARKS.get(state, '–')} ", style=_STYLES.get(state, "dim"))
    return text


def tick_lines(ticks: Iterable[Tick]) -> list[Text]:
    """Return the nine ticks, one a line, each with its sentence."""
    return [
        Text.assemble(
            (f"  {tick.step} {MARKS.get(tick.state, '–')} ", _STYLES.get(tick.state, "dim")),
            (tick.title, "bold"),
            f": {printable(tick.sentence)}",
        )
        for tick in ticks
    ]


def tick_records(ticks: Iterable[Tick]) -> list[dict[str, Any]]:
    """Return the nine ticks as plain data."""
    return [{"step": tick.step, "title": tick.title, "state": tick.state, "sentence": tick.sentence} for tick in ticks]


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return stamp(value)
    if isinstance(value, (tuple, list)):
        return [_plain(part) for part in value]
    return value if value is None or isinstance(value, (str, int, float, bool)) else str(value)
