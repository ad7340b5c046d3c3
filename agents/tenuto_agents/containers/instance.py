"""One container of a release in a network of its own, and whether it is well.

Well is what its service says of itself, read and compared inside its own network: a JSON object with the expected version.
A dead end point, an empty body and another release on the same port are not (`service_process.judge`).
"""

from __future__ import annotations

import http.client
import time
from collections.abc import Sequence
from uuid import UUID

import msgspec

from ..artifact import Service
from ..service_process import PROBE_PAUSE_SECONDS, PROBE_SECONDS_MAX, Unhealthy, judge
from .engine import Engine
from .image import PORT
from .network import NetworkFailed, Networks, connect_inside
from .site import Allowed


class Instance(msgspec.Struct, frozen=True):
    """A started container: its name, which is also that of its network namespace; its address there, empty without a link.

    of: the service as the site calls it. deployment: the deployment it belongs to. digest: manifest of its image, hex. run: the workflow that it came from.
    started: the event that says that it was to be started.
    """

    name: str
    of: str
    deployment: str
    digest: str
    service: Service
    run: str
    address: str = ""
    started: UUID | None = None

    @property
    def endpoint(self) -> str:
        """Address and port where it serves; empty without a link."""
        return f"{self.address}:{PORT}" if self.address else ""


class Hosts:
    """Starts and ends instances: first the network with its rules, then the container in it."""

    def __init__(self, engine: Engine, networks: Networks, seconds: float) -> None:
        """`seconds`: how long an instance may take until it is well."""
        self.engine, self.networks, self.seconds = engine, networks, seconds

    def start(self, planned: Instance, reference: str, allowed: Sequence[Allowed], *, linked: bool) -> tuple[Instance, int]:
        """Start a pulled image as `planned` and return it with the milliseconds until it was well.

        Raises Unhealthy (then it may still run; `end` it), NetworkFailed, EngineFailed.
        """
        self.engine.remove(planned.name)
        address = self.networks.create(planned.name, allowed, linked=linked)
        started = msgspec.structs.replace(planned, address=address)
        self.engine.run(started.name, reference, service=started.of, deployment=started.deployment)
        return started, self.await_well(started)

    def await_well(self, instance: Instance) -> int:
        """Return after how many milliseconds it was well; raises Unhealthy after `seconds`, or when it ended."""
        begin, checks = time.monotonic(), 0
        while True:
            checks += 1
            seen = self.wrong_with(instance)
            if seen is None:
                return int((time.monotonic() - begin) * 1000)
            found = self.engine.find(instance.name)
            if found is None or found.state != "running":
                raise Unhealthy(f"The container of {instance.deployment} ended after it was started; its last answer: {seen}", checks)
            if time.monotonic() - begin > self.seconds:
                raise Unhealthy(f"{instance.deployment} was not healthy within {self.seconds:g} seconds: {seen}", checks)
            time.sleep(PROBE_PAUSE_SECONDS)

    def wrong_with(self, instance: Instance) -> str | None:
        """Ask once; return None when it is well, else what was wrong."""
        connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=PROBE_SECONDS_MAX)
        try:
            connection.sock = connect_inside(instance.name, PORT, PROBE_SECONDS_MAX)
        except (OSError, NetworkFailed) as error:
            return f"no answer ({type(error).__name__})."
        return judge(connection, instance.service)

    def end(self, name: str) -> None:
        """End a container and take its network away; harmless when they are gone."""
        self.engine.remove(name)
        self.networks.remove(name)
