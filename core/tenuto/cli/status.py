"""`tenuto status`: where everything is and how far each stage is behind, also when half of it is away.

The lines are for the person who is woken at night: what is late comes with how late, what is missing with its name.
Programs read `--json`, whose names do not change.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..settings import Settings, load_settings
from .panels import Panel

if TYPE_CHECKING:
    from datetime import datetime

    from ..ledger import LedgerReader
    from ..trust import Trust

HEALTH_SECONDS_MAX = 2.0
EMPTY_FEW = 2
"""With fewer empty partitions than this the owner is told to make some."""
MINUTE, HOUR, DAY = 60, 3600, 86_400
LOSSES_PAGE, LOSSES_READ_MAX = 500, 100_000
LOSS_KINDS = ("record.lost", "record.unaccounted", "record.gap", "record.spooled")


def add_commands(app: typer.Typer) -> None:
    """Add `status`."""
    app.command("status", rich_help_panel=Panel.START)(status)


def status(as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of lines.")] = False) -> None:
    """Show where everything is, and what lags behind the ledger."""
    found = facts(load_settings())
    if as_json:
        typer.echo(json.dumps(found, indent=2, sort_keys=True))
        return
    shown = list(lines(found))
    width = max(len(name) for name, _ in shown)
    for name, sentence in shown:
        typer.echo(f"{name:{width}} {' '.join(sentence.split())}")


def facts(settings: Settings) -> dict[str, Any]:
    """Return every address, folder and lag of this home; a part that is away shows as null."""
    from ..addresses import running_addresses
    from ..clock import SystemClock
    from ..waiting import look_at_spools, put_aside
    from ..wiring import database_url, open_trust, with_addresses

    settings, now = with_addresses(settings), SystemClock().now()
    addresses = running_addresses(settings.home)
    trust = open_trust(settings)
    found: dict[str, Any] = {
        "origin": trust.origin,
        "home": str(settings.home),
        "tiles": str(settings.tiles),
        "keys": str(settings.keys),
        "database": without_password(database_url(settings)),
        "broker": settings.kafka,
        "console": addresses.get("console", console_address(settings)),
        "parts": {name: health_of(address) for name, address in addresses.get("health", {}).items()},
        "events": None,
        "empty_partitions": None,
        "signed": None,
        "unsigned": None,
        "witnessed": witnessed(settings, trust, now),
        "read_models": None,
        "spools": {one.author: asdict(one) for one in look_at_spools(settings.spool, now)},
        "overdue_seconds": settings.receipt_seconds,
        "put_aside": put_aside(settings.spool),
        "losses": None,
        "notifications": notifications(settings),
    }
    return found | stages(settings, trust, now)


def stages(settings: Settings, trust: Trust, now: datetime) -> dict[str, Any]:
    """Return what ledger, log and read models say of their sizes; what does not answer is left out and named."""
    from ..adapters.partitions import empty_partitions
    from ..adapters.tracking import read_model_positions
    from ..errors import TenutoError
    from ..following import CheckpointFile
    from ..log.checkpoint import parse_checkpoint
    from ..wiring import open_reader, role_url

    found: dict[str, Any] = {}
    note = CheckpointFile(settings.tiles).latest()
    try:
        if note is not None:
            found["signed"] = parse_checkpoint(note, trust.log_key, trust.origin).size
    except TenutoError as error:
        found["log_error"] = str(error)
    try:
        with closing(open_reader(settings)) as reader:
            found["events"] = reader.head().size
            found["losses"] = losses(reader, now)
        found["empty_partitions"] = empty_partitions(role_url(settings, "tenuto_reader"))
        found["unsigned"] = found["events"] - found.get("signed", 0)
        seen = read_model_positions(role_url(settings, "tenuto_reader"))
        found["read_models"] = {name: {"seen": size, "behind": max(0, found["events"] - size)} for name, size in seen.items()}
    except TenutoError as error:
        found["database_error"] = str(error)
    return found


def losses(reader: LedgerReader, now: datetime) -> dict[str, Any]:
    """Return how many events of each kind of loss are on record, as the ledger has them and not verified here.

    `by_kind`: all and those of the last 24 hours. At most LOSSES_READ_MAX are looked at, the oldest; `newest` is when the
    last of them came in.
    """
    from ..envelope import split_state
    from ..header import decode

    found: dict[str, Any] = {"by_kind": {kind: {"all": 0, "last_day": 0} for kind in LOSS_KINDS}, "newest": None}
    start, read = 0, 0
    while read < LOSSES_READ_MAX and (page := reader.read_kinds(LOSS_KINDS, start, LOSSES_PAGE)):
        for one in page:
            counted = found["by_kind"][decode(split_state(one.state)[0]).kind]
            counted["all"] += 1
            counted["last_day"] += (now - one.recorded_at).total_seconds() < DAY
        start, read, found["newest"] = page[-1].position + 1, read + len(page), page[-1].recorded_at.isoformat()
    return found


def witnessed(settings: Settings, trust: Trust, now: datetime) -> dict[str, Any]:
    """Return the last checkpoint that a witness of the policy cosigned: its size, by whom, how long ago, and who did not.

    While the newest checkpoint has no cosignature, it is the one that the sealer remembers. `missing` lists the
    witnesses without which the quorum is not reached; empty when it is, or when the policy demands none.
    """
    from ..errors import TenutoError
    from ..following import CheckpointFile
    from ..log.witnessing import parse_policy

    policy = parse_policy(trust.policy)
    found: dict[str, Any] = {
        "size": None, "age_seconds": None, "by": [], "without": list(policy.witnesses), "error": None,
    }  # fmt: skip
    for note in (CheckpointFile(settings.tiles).latest(), remembered(settings)):
        try:
            times = {} if note is None else cosigned_by(note, trust)
        except TenutoError as error:
            return found | {"missing": list(policy.missing(frozenset())), "error": str(error)}
        if note is not None and times:
            found["size"] = int(note.split(b"\n")[1])
            found["age_seconds"] = max(0.0, now.timestamp() - max(times.values()))
            found["by"] = sorted(times)
            found["without"] = [name for name in policy.witnesses if name not in times]
            break
    return found | {"missing": list(policy.missing(frozenset(found["by"])))}


def remembered(settings: Settings) -> bytes | None:
    """Return the last cosigned checkpoint that the sealer of this home kept, or None."""
    from ..sealing import cosigned_file

    file = cosigned_file(settings.state / "sealer")
    return file.read_bytes() if file.is_file() else None


def cosigned_by(note: bytes, trust: Trust) -> dict[str, int]:
    """Return which witnesses of the policy cosigned this note, and when, in seconds since 1970; all verified."""
    from ..log.note import open_note, parse_vkey
    from ..log.witnessing import parse_policy

    witnesses = parse_policy(trust.policy).witnesses
    opened = open_note(note, [parse_vkey(trust.log_key), *(one.verifier for one in witnesses.values())])
    made = {name: opened.signed_by(one.verifier) for name, one in witnesses.items()}
    return {name: signature.seconds for name, signature in made.items() if signature is not None}


def lines(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what `facts` found as name and sentence."""
    for name in ("origin", "home", "tiles", "keys", "database", "broker", "console"):
        yield name, str(found[name] or "none")
    for name, part in found["parts"].items():
        state = "healthy" if part["healthy"] else f"NOT HEALTHY: {part.get('error', 'it says so itself')}"
        yield f"part {name}", f"{state} ({part['address']})"
    if "database_error" in found:
        yield "ledger", f"AWAY: {found['database_error']}"
    else:
        yield "ledger", count(found["events"], "event") + room_line(found["empty_partitions"])
    yield "signed", signed_line(found)
    yield "witnessed", witnessed_line(found["witnessed"], found["signed"])
    if found["read_models"] == {}:
        yield "read models", "none has seen an event; is `tenuto project` running?"
    for name, model in (found["read_models"] or {}).items():
        yield f"read model {name}", f"{count(model['behind'], 'event')} behind" if model["behind"] else "up to date"
    for author, spool in found["spools"].items():
        yield f"spool {author}", spool_line(spool, found["overdue_seconds"])
    for name, told in found["put_aside"].items():
        yield f"put aside {name}", "its loss is on record; keep it for its owner" if told else "NOT YET TOLD: start its author"
    if found["notifications"] is not None:
        yield from notification_lines(found["notifications"], found["events"])
    if found["losses"] is not None:
        yield "losses", losses_line(found["losses"])


def notification_lines(found: dict[str, Any], events: int | None) -> Iterator[tuple[str, str]]:
    """Say how far the notifier is, what it holds back, whom it cannot reach, and which of its channels are in trouble."""
    behind = max(0, (events or 0) - found["seen"])
    said = f"{count(behind, 'event')} behind" if behind else "up to date"
    said += f"; {count(found['held'], 'notice')} held back for a digest" if found["held"] else ""
    said += f"; NO ADDRESS of {', '.join(found['unreachable'])}" if found["unreachable"] else ""
    yield "notify", said
    for name, channel in found["channels"].items():
        said = f"{count(channel['waiting'], 'letter')} waiting" if channel["waiting"] else "nothing waits"
        said += f", {count(channel['refused'], 'letter')} REFUSED" if channel["refused"] else ""
        if channel["failures"]:
            said += f"; AWAY, {count(channel['failures'], 'failure')} in a row: {channel['error']}"
        yield f"channel {name}", said


def notifications(settings: Settings) -> dict[str, Any] | None:
    """Return what the notifier of this home last said of itself, None where none ever ran."""
    file = settings.state / "notify" / "status.json"
    try:
        found: dict[str, Any] = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return None
    return found


def losses_line(found: dict[str, Any]) -> str:
    """Say what is on record as lost, unknown, missing or late, and how much of it is of the last 24 hours."""
    named = {
        "record.lost": "LOST", "record.unaccounted": "UNACCOUNTED", "record.gap": "never arrived", "record.spooled": "kept back",
    }  # fmt: skip
    said = [
        f"{counted['all']:,} {named[kind]} ({counted['last_day']:,} in the last 24 h)"
        for kind, counted in found["by_kind"].items()
        if counted["all"]
    ]
    return ", ".join(said) or "none on record"


def room_line(empty: int | None) -> str:
    """Warn when few empty partitions are left: ingest stops at the end of the last one."""
    if empty is None or empty >= EMPTY_FEW:
        return ""
    return f"; ONLY {count(empty, 'empty partition')} LEFT, make room with `tenuto retention prepare`"


def signed_line(found: dict[str, Any]) -> str:
    """Say how much the log signed and what is still unsigned."""
    if "log_error" in found:
        return f"REFUSED: {found['log_error']}"
    if found["signed"] is None:
        return "nothing yet" if not found["events"] else f"NOTHING of {count(found['events'], 'event')}"
    unsigned = found["unsigned"] or 0
    if unsigned < 0:
        return f"{count(found['signed'], 'event')}, {-unsigned:,} MORE THAN THE LEDGER HOLDS: rows were lost, or the database is another log's"
    rest = f", {unsigned:,} not yet" if unsigned else ""
    return count(found["signed"], "event") + rest


def witnessed_line(seen: dict[str, Any], signed: int | None) -> str:
    """Say which checkpoint was cosigned last, how long ago, and who is missing."""
    if seen["error"]:
        return f"REFUSED: {seen['error']}"
    if seen["size"] is None:
        return "NO WITNESS cosigned yet; missing: " + ", ".join(seen["missing"]) if seen["missing"] else "no witness demanded"
    said = f"{count(seen['size'], 'event')}, {ago(seen['age_seconds'])} ago, by {', '.join(seen['by'])}"
    if signed is not None and signed > seen["size"]:
        said += f"; {signed - seen['size']:,} signed since are NOT COSIGNED"
    if seen["missing"]:
        return f"{said}; QUORUM NOT REACHED without {', '.join(seen['missing'])}"
    return said + (f"; without {', '.join(seen['without'])}" if seen["without"] else "")


def spool_line(spool: dict[str, Any], overdue_seconds: float = float("inf")) -> str:
    """Say what waits in an author's spool; capitals where receipts are overdue."""
    if spool["error"]:
        return f"UNREADABLE: {spool['error']}"
    said = "nothing waits"
    if spool["events"]:
        said = f"{count(spool['events'], 'event')} without receipt ({spool['bytes']:,} bytes)"
        said += f", the oldest for {ago(spool['oldest_seconds'] or 0.0)}"
        said += "; RECEIPTS OVERDUE" if (spool["oldest_seconds"] or 0.0) > overdue_seconds else ""
    if spool["messages"]:
        said += f"; {count(spool['messages'], 'message')} not done"
    return said + (f"; {count(spool['refused'], 'event')} REFUSED by the ledger" if spool["refused"] else "")


def count(number: int, noun: str) -> str:
    """Return the number with its noun, such as `1 event` and `1,204 events`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def ago(seconds: float) -> str:
    """Return a time span in its largest unit that fits twice, so that the figure keeps a meaning: `90 s`, `5 min`, `3 h`."""
    for unit, name in ((DAY, "days"), (HOUR, "h"), (MINUTE, "min")):
        if seconds >= 2 * unit:
            return f"{seconds // unit:.0f} {name}"
    return f"{seconds:.0f} s"


def health_of(address: str) -> dict[str, Any]:
    """Ask a part for its health; what does not answer is not healthy."""
    from urllib.error import URLError
    from urllib.request import urlopen

    try:
        with urlopen(f"{address}/healthz", timeout=HEALTH_SECONDS_MAX) as answer:  # noqa: S310 - an address of our own
            told: dict[str, Any] = json.load(answer)
    except (URLError, OSError, ValueError) as error:
        told = {"healthy": False, "error": str(error)}
    return told | {"address": address}


def without_password(url: str) -> str:
    """Return a database URL as it may be shown: a password in it is replaced by asterisks."""
    from urllib.parse import urlsplit, urlunsplit

    parts = urlsplit(url)
    if parts.password is None:
        return url
    return urlunsplit(parts._replace(netloc=parts.netloc.replace(f":{parts.password}@", ":***@", 1)))


def console_address(settings: Settings) -> str:
    """Where the approval console listens."""
    return f"http://{settings.console_address}:{settings.console_port}"
