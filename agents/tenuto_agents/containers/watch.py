"""What happens to a release after it is out: calls that it may not make (M17), and its health while it is on probation (M18).

One look at one service, again and again, by a process of its own: the deployment agent may be waiting for people meanwhile.
All that it decides by comes from the kernel or from verified events of the run, so a watch that was killed goes on where
the ledger says. A call that is not allowed: isolation, alert, quarantine, and the release before it comes back. A release
that is unwell: within 15 minutes after the deployment of a flagged pull request it is rolled back; later, or without a
flag, there is an alert and a person decides.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from tenuto.clock import Clock
from tenuto.documents import Document, Result
from tenuto.errors import Busy
from tenuto.events import AlertRaised, DeploymentHealthy, DeploymentUnhealthy, Event
from tenuto.recorder import Recorder
from tenuto.verification import Verified

from .alerts import HEALTH_RULE, NO_WAY_BACK_RULE, alert_name, raise_alert, raise_egress_alert
from .flagged import flagged_by
from .network import Attempt
from .quarantine import Quarantine
from .rollout import UNWELL_LOOKS, InForce, NoWayBack, Recording, Rollout

PROBATION = timedelta(minutes=15)
EventsOf = Callable[[str], Sequence[Verified]]


class ContainerWatch:
    """Looks at one service. `events_of` gives the verified events of a run, up to the newest checkpoint."""

    def __init__(self, rollout: Rollout, quarantine: Quarantine, recorder: Recorder, events_of: EventsOf, clock: Clock) -> None:
        """`recorder` is open; its author may raise alerts and report deployments."""
        self._rollout, self._quarantine, self._recorder = rollout, quarantine, recorder
        self._events_of, self._clock = events_of, clock
        self._unwell = 0
        self._settled: set[str] = set()

    def look(self) -> str | None:
        """Look once; return in a sentence what was done about what was seen, or None. Raises Busy: look again later."""
        now = self._rollout.in_force()
        if now is None:
            return None
        if now.unsaid is not None:
            self._rollout.say_rolled_back(recording(self._recorder, now.instance.run))
        networks = self._rollout.hosts.networks
        attempts = networks.attempts(now.instance.name) if networks.exists(now.instance.name) else ()
        if attempts:
            return self.contain(now, attempts)
        seen = self._rollout.hosts.wrong_with(now.instance)
        self._unwell = self._unwell + 1 if seen else 0
        if seen is None or self._unwell < UNWELL_LOOKS:
            return None
        return self._judge(now, seen)

    def contain(self, now: InForce, attempts: Sequence[Attempt] = ()) -> str:
        """Quarantine what is in force and bring back what was before; with `attempts` there is an alert about them.

        Raises Busy while somebody else changes the service; it is isolated by then.
        """
        self._rollout.hosts.networks.isolate(now.instance.name)
        with self._rollout.alone():
            self._rollout.withdraw()
            record = recording(self._recorder, now.instance.run)
            said = raise_egress_alert(record, now.instance, attempts) if attempts else f"{now.instance.deployment} is taken out of service."
            snapshot = self._quarantine.take(now.instance, record, attempts)
            back = self._back(now, record)
            if self._rollout.in_force() == now:
                self._rollout.forget()
        return f"{said} It is quarantined; the snapshot is {snapshot[:12]}. {back}"

    def _judge(self, now: InForce, seen: str) -> str | None:
        instance = now.instance
        if instance.deployment in self._settled:
            return None
        events = self._events_of(instance.run)
        since = _healthy_since(events, instance.deployment)
        if since is None:
            raise Busy(f"The deployment {instance.deployment} is not in the ledger yet.")
        if _told(events, alert_name(HEALTH_RULE, instance)):
            self._settled.add(instance.deployment)
            return None
        record = recording(self._recorder, instance.run)
        checked = {"deployment": instance.deployment, "checks": self._unwell, "refs": ("T1", "M18")}
        record(DeploymentUnhealthy, document=Result(text=seen), **checked)
        return self._decide(now, record, seen, flagged_by(events) is not None, self._clock.now() - since)

    def _decide(self, now: InForce, record: Recording, seen: str, flagged: bool, age: timedelta) -> str:
        instance = now.instance
        if flagged and age <= PROBATION:
            with self._rollout.alone():
                back = self._back(now, record)
            self._settled.add(instance.deployment)
            return back
        why = "that is over 15 minutes after its deployment" if flagged else "its pull request is not flagged"
        sentence = f"{instance.deployment} is not healthy any more: {seen} It is not rolled back: {why}. Look at it."
        raise_alert(record, instance, HEALTH_RULE, "high", sentence)
        self._settled.add(instance.deployment)
        return sentence

    def _back(self, now: InForce, record: Recording) -> str:
        try:
            return self._rollout.go_back(record, "unhealthy").sentence
        except NoWayBack as none:
            raise_alert(record, now.instance, NO_WAY_BACK_RULE, "critical", str(none))
            return str(none)


def recording(recorder: Recorder, run: str) -> Recording:
    """Return what records for a run."""

    def record(kind: type[Event], *, document: Document | None = None, **fields: Any) -> Event:
        return recorder.record(kind, document=document, run=run, **fields)

    return record


def _healthy_since(events: Sequence[Verified], deployment: str) -> datetime | None:
    """When the ledger took the word that the deployment is well; the probation counts from there, by the ledger's clock."""
    found = [one.recorded_at for one in events if isinstance(one.event, DeploymentHealthy) and one.event.deployment == deployment]
    return found[-1] if found else None


def _told(events: Sequence[Verified], alert: str) -> bool:
    return any(isinstance(one.event, AlertRaised) and one.event.alert == alert for one in events)
