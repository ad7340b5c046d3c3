"""Findings of detectors, as signed events that name their evidence."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

import msgspec

from .base import Event, Name
from .decision import Permille

EVIDENCE_IDS_MAX = 16
Severity = Literal["low", "medium", "high", "critical"]


class AlertRaised(Event, frozen=True, kw_only=True, tag="alert.raised"):
    """A detector found something abnormal. The payload explains it; `evidence` are the ids of the events it rests on.

    detector, version: which detector, which model. score: parts in a thousand; rules give 1000.
    """

    alert: Name
    detector: Name
    version: Name
    rule: Name
    severity: Severity
    score: Permille
    suspect: Name
    evidence: Annotated[tuple[UUID, ...], msgspec.Meta(min_length=1, max_length=EVIDENCE_IDS_MAX)]


class AlertAcknowledged(Event, frozen=True, kw_only=True, tag="alert.acknowledged"):
    """A person has seen the alert and works on it."""

    alert: Name


class AlertClosed(Event, frozen=True, kw_only=True, tag="alert.closed"):
    """A person closed the alert; the payload says why."""

    alert: Name
    finding: Literal["true_positive", "false_positive", "accepted_risk"]
