"""The alerts of the container site, as signed events that name the deployment and the digest of its image (M17, M18)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from tenuto.documents import AlertNote
from tenuto.events import AlertRaised

from .instance import Instance
from .network import Attempt
from .rollout import Recording

DETECTOR, VERSION = "containers", "1"
EGRESS_RULE, HEALTH_RULE, NO_WAY_BACK_RULE = "egress.unexpected", "health.lost", "rollback.failed"
DESTINATIONS_SHOWN_MAX = 8
_REFS = {EGRESS_RULE: ("T5", "M17", "C3"), HEALTH_RULE: ("T1", "M18"), NO_WAY_BACK_RULE: ("T1", "M18", "R4")}


def alert_name(rule: str, instance: Instance) -> str:
    """Name an alert: there is one of each rule for a deployment."""
    return f"{rule}-{instance.deployment}"


def raise_alert(
    record: Recording, instance: Instance, rule: str, severity: Literal["high", "critical"], sentence: str, *,
    figures: Mapping[str, float] | None = None,
) -> None:  # fmt: skip
    """Record an alert about an instance; its evidence is the start of the deployment."""
    record(
        AlertRaised, document=AlertNote(sentence=sentence, figures=dict(figures or {})), alert=alert_name(rule, instance),
        detector=DETECTOR, version=VERSION, rule=rule, severity=severity, score=1000, suspect=instance.deployment,
        evidence=(instance.started,), refs=_REFS[rule],
    )  # fmt: skip


def raise_egress_alert(record: Recording, instance: Instance, attempts: Sequence[Attempt]) -> str:
    """Record that an instance called what it may not, and return the sentence."""
    called = ", ".join(f"{one.address} {one.protocol}/{one.port} ({one.packets} packets)" for one in attempts[:DESTINATIONS_SHOWN_MAX])
    sentence = f"{instance.deployment} (image sha256:{instance.digest}) called {called}, which it may not."
    raise_alert(record, instance, EGRESS_RULE, "critical", sentence, figures={"destinations": float(len(attempts))})
    return sentence
