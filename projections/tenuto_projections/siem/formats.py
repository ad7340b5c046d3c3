"""The formats that events can be exported in, by name."""

from __future__ import annotations

from importlib.metadata import version

from . import jsonl, ocsf
from .exporting import LineFormat
from .sinks import LineReader

OCSF, JSONL = "ocsf", "jsonl"


def line_format(name: str, software: str | None = None) -> LineFormat:
    """Return the format `name`, OCSF or JSONL; `software` is the version that OCSF events name as their product's."""
    if name == JSONL:
        opening = f'{{"schema":"{jsonl.SCHEMA}",'.encode()
        reader = LineReader(opening, jsonl.mark)
        return LineFormat(JSONL, lambda event, size, payload: jsonl.record(event, size, payload=payload), reader)
    says = version("tenuto") if software is None else software
    return LineFormat(
        OCSF,
        lambda event, size, payload: ocsf.record(event, size, payload=payload, version=says),
        LineReader(b'{"category_uid":', ocsf.mark),
    )
