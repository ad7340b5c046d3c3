"""`tenuto coverage`: which controls are shown to work, by which attack or real event, and what risk is left."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer
from tenuto.cli.panels import Panel

from .. import commands as shared

if TYPE_CHECKING:
    from .judging import Judged, JudgedThreat, Report

STYLES = {"broken": "bold red", "held": "green", "working": "cyan", "stale": "yellow", "never": "dim"}


def add_commands(app: typer.Typer) -> None:
    """Add `coverage`."""
    app.command("coverage", rich_help_panel=Panel.PROVE)(coverage)


def coverage(
    days: Annotated[int, typer.Option(help="How many days old evidence may be.", min=1, max=3650)] = 30,
) -> None:
    """Compute which threats are covered, and the risk left.

    From the verified ledger: threats, mitigations, rules and chains.

    Exit code 0 when no attack on record reached its goal, 1 when one did, 3 when the log is not what it claims to be.
    """
    from tenuto.clock import SystemClock
    from tenuto.threats import load_threat_model
    from tenuto.wiring import open_follower

    from ..replay.records import Output
    from .evidence import evidence_of
    from .judging import judge

    with shared._sentences():
        evidence = evidence_of(open_follower(shared._settings(), payloads=False).pages())
    report = judge(load_threat_model(), evidence, SystemClock().now(), timedelta(days=days))
    _print(report, Output())
    raise typer.Exit(shared.NOT_FOUND if report.broken else 0)


def _print(report: Report, output: Any) -> None:
    from rich.text import Text

    for threat in report.threats:
        _line(output, _record(threat.judged) | {"inherent": threat.inherent, "residual": round(threat.residual, 1)}, _risk(threat))
    for one in (*report.mitigations, *report.rules, *report.chains):
        _line(output, _record(one), Text(""))
    counts = ", ".join(f"{report.count(state)} {state}" for state in STYLES if report.count(state))  # type: ignore[arg-type]
    shared._say(f"{len(report.mitigations)} mitigations: {counts}. Computed from {report.size:,} verified events; evidence counts for {report.within.days} days.")


def _line(output: Any, record: dict[str, Any], more: Any) -> None:
    from rich.text import Text

    line = Text.assemble(f"{record['id']:4}", (f"{record['state']:8}", STYLES[record["state"]]), f" {record['name']}")
    line.append_text(more)
    said = [Text(f"{'':12} {record['because']}", "dim")] if record["because"] else []
    output.emit(record, [line, *said])


def _risk(threat: JudgedThreat) -> Any:
    from rich.text import Text

    return Text(f"  risk {threat.inherent} -> {threat.residual:.1f}", "bold")


def _record(one: Judged) -> dict[str, Any]:
    from ..replay.records import stamp

    return {
        "id": one.id, "name": one.name, "state": one.state, "attacks": one.tried, "held": one.held,
        "scenario": one.exercise.scenario if one.exercise else None, "verdict": one.exercise.verdict if one.exercise else None,
        "position": one.exercise.position if one.exercise else None, "events": one.work.events if one.work else 0,
        "at": stamp(one.at) if one.at else None, "because": because(one),
    }  # fmt: skip


def because(one: Judged) -> str:
    """Say in a sentence what the state rests on."""
    said = []
    if one.exercise is not None:
        said.append(f"{one.exercise.scenario} ({one.exercise.verdict}) at position {one.exercise.position}, {one.exercise.at:%Y-%m-%d %H:%M} UTC")
    if one.work is not None:
        said.append(f"{one.work.events} real event(s), the last {one.work.kind} at position {one.work.position}")
    return "; ".join(said)
