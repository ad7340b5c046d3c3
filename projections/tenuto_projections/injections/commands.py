"""`tenuto report injections`: the weekly report to the security team, printed, and on record as an alert that asks to be read."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer
from tenuto.cli.panels import Panel

from .. import commands as shared

if TYPE_CHECKING:
    from uuid import UUID

    from tenuto.settings import Settings

    from .sightings import Sightings
    from .weekly import Report

AUTHOR = "reporter"
SOFTWARE = "tenuto-report/0.1.0"
DETECTOR, VERSION, RULE = "injections", "1", "injections.weekly"
RECEIPT_SECONDS_MAX = 60.0


class Form(StrEnum):
    """How the report is printed."""

    markdown = "markdown"
    json = "json"


def add_commands(app: typer.Typer) -> None:
    """Add the group `report`."""
    group = typer.Typer(help="Reports for people who do not watch the console.", no_args_is_help=True)
    group.callback()(lambda: None)
    group.command("injections")(injections)
    app.add_typer(group, name="report", rich_help_panel=Panel.PROVE)


def injections(
    *,
    week: Annotated[str, typer.Option(help="Which week: such as 2026-W48, `last`, or `this` (so far).")] = "last",
    form: Annotated[Form, typer.Option("--format", help="How it is printed.")] = Form.markdown,
    record: Annotated[bool, typer.Option("--record", help=f"Put it on record as an alert, in the name of {AUTHOR}.")] = False,
) -> None:
    """Report who tried to give the agents orders in a week: by agent, repository, author and kind, and against the weeks before.

    It needs the storage key, since what was tried stands in payloads. Exit code 0, or 3 when the log is not what it claims to be.
    """
    import msgspec
    from tenuto.clock import SystemClock

    from .markdown import to_markdown
    from .sightings import Sightings
    from .weekly import as_data, chosen_week, report_of

    with shared._sentences():
        settings, now = shared._settings(), SystemClock().now()
        name, since = chosen_week(week, now)
        seen = Sightings()
        for page in shared._follower(settings, payloads=True).pages():
            for verified in page:
                seen.take(verified)
        report = report_of(seen, name, since, now)
        typer.echo(to_markdown(report) if form is Form.markdown else msgspec.json.encode(as_data(report)).decode(), nl=form is Form.json)
        if record:
            shared._say(f"It is on record at position {_put_on_record(settings, report, seen)}, as an alert to acknowledge.")


def _put_on_record(settings: Settings, report: Report, seen: Sightings) -> int:
    """Return where the alert stands. Its payload has the counts, its evidence the newest attempts, else what it was computed up to."""
    from tenuto.clock import new_uuid7
    from tenuto.documents import AlertNote
    from tenuto.events import AlertRaised
    from tenuto.wiring import open_recorder

    note = AlertNote(sentence=report.sentence, figures={kind: float(count) for kind, count in sorted(report.counts().items())})
    with open_recorder(settings, AUTHOR, software=SOFTWARE) as recorder:
        raised = recorder.record(
            AlertRaised, document=note, refs=("T1", "M19"), alert=f"{DETECTOR}-{report.week.lower()}-{new_uuid7()}", detector=DETECTOR,
            version=VERSION, rule=RULE, severity="high" if report.real else "low", score=1000, suspect=AUTHOR,
            evidence=_evidence(report, seen),
        )  # fmt: skip
        return recorder.wait(raised, RECEIPT_SECONDS_MAX).position


def _evidence(report: Report, seen: Sightings) -> tuple[UUID, ...]:
    from tenuto.errors import NotConfigured
    from tenuto.events.alert import EVIDENCE_IDS_MAX

    if seen.newest is None:
        raise NotConfigured("The log has no signed event yet, so there is nothing to report about.")
    attempts = [*report.real, *(one for one in report.attempts if one.exercise)]
    found = tuple(dict.fromkeys(one.event for one in reversed(attempts)))
    return found[:EVIDENCE_IDS_MAX] or (seen.newest.event.id,)
