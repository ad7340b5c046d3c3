"""What is running, and how it is doing."""

from __future__ import annotations

from typing import Literal

from .base import Count, Event, Hash, Name


class DeploymentStarted(Event, frozen=True, kw_only=True, tag="deployment.started"):
    """An artifact, by digest, is being put into an environment."""

    deployment: Name
    environment: Name
    artifact: Hash


class DeploymentHealthy(Event, frozen=True, kw_only=True, tag="deployment.healthy"):
    """Health checks passed after `milliseconds`."""

    deployment: Name
    milliseconds: Count


class DeploymentUnhealthy(Event, frozen=True, kw_only=True, tag="deployment.unhealthy"):
    """Health checks failed; the payload holds what they saw."""

    deployment: Name
    checks: Count


class DeploymentRolledBack(Event, frozen=True, kw_only=True, tag="deployment.rolled_back"):
    """The previous artifact is back."""

    deployment: Name
    artifact: Hash
    why: Literal["unhealthy", "spotcheck", "person"]


class DeploymentQuarantined(Event, frozen=True, kw_only=True, tag="deployment.quarantined"):
    """Cut off (`isolated`), kept for the investigator (`preserved`, with the digest of what was saved), or taken away (`ended`)."""

    deployment: Name
    stage: Literal["isolated", "preserved", "ended"] = "preserved"
    snapshot: Hash | None = None
