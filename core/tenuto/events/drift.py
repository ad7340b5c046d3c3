"""Infrastructure that is not as approved (M7, M20)."""

from __future__ import annotations

from .base import Count, Event, Hash, Name


class DriftDetected(Event, frozen=True, kw_only=True, tag="drift.detected"):
    """`resources` differ from the baseline `baseline`; the payload lists them."""

    stack: Name
    baseline: Hash
    resources: Count


class DriftReverted(Event, frozen=True, kw_only=True, tag="drift.reverted"):
    """The stack is as its baseline again, through policy and a bound plan."""

    stack: Name
    baseline: Hash
    digest: Hash
