"""How a verified bundle is shown: its events, the nine ticks, and everything that it does not prove."""

from __future__ import annotations

from typing import Any

import msgspec
from rich.text import Text
from tenuto.bundle import Report
from tenuto.errors import Refused
from tenuto.verification import STEPS, VerificationFailed

from .replay.records import Output, line, printable, record, tick_lines, tick_records
from .walked import NOT_DONE, PASSED, Tick

LINES_MAX = 500


def print_report(report: Report) -> None:
    """Print what was verified: text on a terminal, one JSON object in a pipe."""
    Output().emit(report_record(report), _lines(report))


def print_refusal(refusal: Refused) -> None:
    """Print a refusal as data; a person reads its sentence elsewhere."""
    shown: dict[str, Any] = {"verified": False, "step": None, "position": None, "sentence": str(refusal)}
    if isinstance(refusal, VerificationFailed):
        shown |= {"step": refusal.step, "position": refusal.position, "sentence": refusal.sentence}
    Output().emit(shown, [])


def report_record(report: Report) -> dict[str, Any]:
    """Return a report as plain data, in a key order that never changes."""
    head, ticks = report.checkpoint, _ticks(report)
    return {
        "verified": True, "origin": head.origin, "size": head.size, "root": head.root.hex(),
        "asked": msgspec.to_builtins(report.manifest.asked), "trust": "given" if report.trusted else "only the bundle's",
        "trust_sha256": report.fingerprint, "not_done": [tick.step for tick in ticks if tick.state == NOT_DONE],
        "steps": tick_records(ticks), "remarks": list(report.remarks),
        "purges": [
            {"position": one.position, "approval": one.approval, "approved_by": list(one.approved_by), "missing": list(one.missing)}
            for one in report.purges
        ],
        "unknown_files": list(report.unknown),
        "events": [{"why": listed.why} | record(verified) for listed, verified in report.events],
    }  # fmt: skip


def _ticks(report: Report) -> list[Tick]:
    return [
        Tick(taken.step, STEPS[taken.step], PASSED if taken.done else NOT_DONE, taken.sentence) for taken in report.steps
    ]


def _lines(report: Report) -> list[Text]:
    head, ticks = report.checkpoint, _ticks(report)
    answers = [verified for listed, verified in report.events if listed.why == "asked"]
    lines = [line(verified) for verified in answers[:LINES_MAX]]
    if len(answers) > LINES_MAX:
        lines.append(Text(f"... and {len(answers) - LINES_MAX:,} more, all in the pipe's JSON.", style="dim"))
    lines += tick_lines(ticks)
    verdict = f"The bundle holds: {len(answers):,} events asked about, among {head.size:,} that {head.origin} signed."
    lines.append(Text(verdict, style="bold green"))
    said = [*report.remarks, *_trust_lines(report), *_unknown_lines(report)]
    left_out = [str(tick.step) for tick in ticks if tick.state == NOT_DONE]
    if left_out:
        said.append(f"Not done here: step {', '.join(left_out)}, for the reason said above.")
    return lines + [Text(printable(sentence), style="yellow") for sentence in said]


def _trust_lines(report: Report) -> list[str]:
    if report.trusted:
        return []
    sentence = "Only the bundle itself says that these are the log's keys: whoever made it could have made a log too."
    return [f"{sentence} Compare the SHA-256 of its trust.json with the log's owner, or use --trust: {report.fingerprint}."]


def _unknown_lines(report: Report) -> list[str]:
    if not report.unknown:
        return []
    return [f"Not looked at, since a bundle has no such files: {', '.join(report.unknown)}."]
