"""Read model `alerts/1`: what detectors found, on which evidence, and what a person made of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import BigInteger, Boolean, Column, Connection, Index, Integer, MetaData, Text, select, update
from tenuto.documents import AlertNote
from tenuto.events import AlertAcknowledged, AlertClosed, AlertRaised
from tenuto.verification import Verified

from .copies import opened, sealed
from .payloads import document, payload_state, purged_positions
from .tables import Instant, Rows, Untrusted, table

ALERTS_MAX = 200

METADATA = MetaData()
ALERT = table(
    "alert", METADATA,
    Column("alert", Text, primary_key=True),
    Column("position", BigInteger, nullable=False),
    Column("event_id", Text, nullable=False),
    Column("raised", Instant, nullable=False),
    Column("author", Text, nullable=False),
    Column("run", Text),
    Column("detector", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("rule", Text, nullable=False),
    Column("severity", Text, nullable=False),
    Column("score", Integer, nullable=False),
    Column("suspect", Text, nullable=False),
    Column("evidence", Text, nullable=False),
    Column("refs", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("acknowledged_by", Text),
    Column("acknowledged", Instant),
    Column("closed_by", Text),
    Column("closed", Instant),
    Column("finding", Text),
    Column("insecure_demo", Boolean, nullable=False),
    Column("payload", Text, nullable=False),
    Column("sentence", Untrusted),
    Column("figures", Untrusted),
)  # fmt: skip
Index("alert_position", ALERT.c.position)
Index("alert_state", ALERT.c.state, ALERT.c.position)

_About = AlertRaised | AlertAcknowledged | AlertClosed


@dataclass(frozen=True, slots=True)
class Alert:
    """One finding. state: raised, acknowledged or closed. score: parts in a thousand. evidence: event ids.

    sentence, figures: the detector's note; untrusted, None and empty when it is not there. finding: true_positive,
    false_positive, accepted_risk, or None while it is not closed.
    """

    alert: str
    position: int
    event_id: str
    raised: datetime
    author: str
    run: str | None
    detector: str
    version: str
    rule: str
    severity: str
    score: int
    suspect: str
    evidence: tuple[str, ...]
    refs: tuple[str, ...]
    state: str
    acknowledged_by: str | None
    acknowledged: datetime | None
    closed_by: str | None
    closed: datetime | None
    finding: str | None
    insecure_demo: bool
    payload: str
    sentence: str | None
    figures: dict[str, float]


def alerts(
    connection: Connection, limit: int = 50, before: int | None = None, state: str | None = None
) -> tuple[Alert, ...]:
    """Return the newest alerts first, at most ALERTS_MAX, all or those in one state.

    `before` is the position of the last one shown.
    """
    query = select(ALERT).order_by(ALERT.c.position.desc()).limit(min(limit, ALERTS_MAX))
    if before is not None:
        query = query.where(ALERT.c.position < before)
    if state is not None:
        query = query.where(ALERT.c.state == state)
    return tuple(_alert(connection, dict(row._mapping)) for row in connection.execute(query))


class Alerts:
    """The projection. The first event of a name counts: an alert is raised, acknowledged and closed once."""

    name = "alerts/1"
    tables = METADATA

    def fold(self, page: Sequence[Verified]) -> None:
        """Nothing is kept in memory."""

    def apply(self, connection: Connection, page: Sequence[Verified]) -> None:
        """Write the alerts of this page."""
        events = [verified for verified in page if isinstance(verified.event, _About)]
        rows = Rows(connection, ALERT, ((verified.event.alert,) for verified in events))  # type: ignore[attr-defined]
        for verified in events:
            _take(connection, verified, rows)
        rows.write()
        _forget(connection, purged_positions(page))


def _take(connection: Connection, verified: Verified, rows: Rows) -> None:
    event = verified.event
    if isinstance(event, AlertRaised):
        rows.add(**_raised(connection, event, verified))
    elif isinstance(event, AlertAcknowledged):
        row = rows.get(event.alert)
        if row is not None and row["state"] == "raised":
            row.update(state="acknowledged", acknowledged_by=event.author, acknowledged=verified.recorded_at)
    elif isinstance(event, AlertClosed):
        row = rows.get(event.alert)
        if row is not None and row["state"] != "closed":
            row.update(state="closed", closed_by=event.author, closed=verified.recorded_at, finding=event.finding)


def _raised(connection: Connection, event: AlertRaised, verified: Verified) -> dict[str, Any]:
    note = document(verified, AlertNote)
    return {
        "alert": event.alert, "position": verified.position, "event_id": str(event.id), "raised": verified.recorded_at,
        "author": event.author, "run": event.run, "detector": event.detector, "version": event.version,
        "rule": event.rule, "severity": event.severity, "score": event.score, "suspect": event.suspect,
        "evidence": " ".join(str(evidence) for evidence in event.evidence), "refs": " ".join(event.refs),
        "state": "raised", "insecure_demo": verified.key.insecure_demo, "payload": payload_state(verified),
        "sentence": sealed(connection, verified, None if note is None else note.sentence),
        "figures": sealed(connection, verified, None if note is None else msgspec.json.encode(note.figures).decode()),
    }  # fmt: skip


def _forget(connection: Connection, positions: Sequence[int]) -> None:
    """A purge reaches what was copied out of the payload, too."""
    if positions:
        blank: dict[str, str | None] = {"payload": "purged", "sentence": None, "figures": None}
        connection.execute(update(ALERT).where(ALERT.c.position.in_(positions)).values(blank))


def _alert(connection: Connection, values: dict[str, Any]) -> Alert:
    for name in ("evidence", "refs"):
        values[name] = tuple(values[name].split())
    values["sentence"] = opened(connection, values["sentence"])
    values["figures"] = msgspec.json.decode(opened(connection, values["figures"]) or "{}")
    return Alert(**values)
