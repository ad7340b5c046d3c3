"""A real Apache Kafka 4 for the contract tests: fetched with Maven, checked against recorded hashes, started with Java.

The jars go to a cache outside the tree, `$XDG_CACHE_HOME/tenuto/kafka-<version>`, once per machine. Each one's SHA-256
must be in `checksums.sha256` and each line there must have its jar, before anything is started. To move to another
version, change `pom.xml` and VERSION, and write the file anew with `python -m tests.kafka.apache_kafka --checksums`
after looking at what Maven brought.

One node in KRaft mode is broker and controller at once. Its data survive a stop and a start on the same directory.
`make kafka` starts one until Ctrl-C.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Mapping
from pathlib import Path
from threading import Event
from types import TracebackType
from typing import Self

from tenuto.embedded.broker import answers_kafka
from tenuto.embedded.child import LOOPBACK, Child, DirectoryLock, PartFailed, PartMissing, Plan, demand_free, free_port

VERSION = "4.1.1"
JAVA_VERSION_MIN = 17
MAVEN_PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
FETCH_SECONDS_MAX = 300
FORMAT_SECONDS_MAX = 60
START_SECONDS_MAX = 90.0
GRACE_SECONDS = 30.0
HERE = Path(__file__).parent
CHECKSUMS = HERE / "checksums.sha256"
# A node for tests should start quickly and stay small; it never runs long enough to need the optimising compiler.
JAVA_OPTIONS = ("-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto")

SINGLE_NODE = {
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
}


class ApacheKafka:
    """One Apache Kafka node on loopback that owns `directory`; `bootstrap` is its address while it runs."""

    def __init__(self, directory: Path, port: int | None = None) -> None:
        """Use `directory`, created when missing, and `port` on 127.0.0.1, or any free one when None."""
        self._directory = directory.absolute()
        self._port = free_port() if port is None else port
        self._child: Child | None = None
        self._lock: DirectoryLock | None = None

    @property
    def bootstrap(self) -> str:
        """`host:port` for clients; the same after a stop and a start."""
        return f"{LOOPBACK}:{self._port}"

    def start(self) -> Self:
        """Fetch the jars if this machine has none, format the storage if it is new, start, and wait for an answer.

        Raises PartMissing where Java, Maven or the jars cannot be had, PartFailed with the end of the broker's log.
        """
        java = find_java()
        jars = fetched_jars()
        demand_free(self._port, "Apache Kafka")
        self._lock = DirectoryLock(self._directory)
        try:
            command = (java, *JAVA_OPTIONS, "-cp", f"{jars}/*")
            self._format(command)
            self._child = Child(self._plan((*command, "kafka.Kafka", str(self._properties))))
            self._child.wait_until(lambda: answers_kafka(self._port), START_SECONDS_MAX)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Stop it cleanly; what it acknowledged stays in its directory. Harmless when it is not running."""
        if self._child is not None:
            self._child.stop()
            self._child = None
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def __enter__(self) -> Self:
        """Start."""
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self.stop()

    @property
    def _properties(self) -> Path:
        return self._directory / "server.properties"

    def _settings(self) -> Mapping[str, str]:
        """The node's configuration."""
        controller = free_port()
        return {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@{LOOPBACK}:{controller}",
            "listeners": f"PLAINTEXT://{LOOPBACK}:{self._port},CONTROLLER://{LOOPBACK}:{controller}",
            "controller.listener.names": "CONTROLLER",
            "log.dirs": str(self._directory / "data"),
            **SINGLE_NODE,
        }

    def _accounts(self) -> tuple[str, ...]:
        """What formatting the storage is told of the first accounts."""
        return ()

    def _format(self, command: tuple[str, ...]) -> None:
        settings = self._settings()
        self._properties.write_text("".join(f"{name}={value}\n" for name, value in settings.items()), "ascii")
        if (self._directory / "data" / "meta.properties").exists():
            return
        tool = (
            "kafka.tools.StorageTool",
            "format",
            "--cluster-id",
            new_cluster_id(),
            "--config",
            str(self._properties),
            *self._accounts(),
        )
        code = Child(self._plan((*command, *tool))).wait(FORMAT_SECONDS_MAX)
        if code != 0:
            raise PartFailed(f"Formatting Kafka's storage ended with code {code}; see {self._directory / 'kafka.log'}.")

    def _plan(self, command: tuple[str, ...]) -> Plan:
        return Plan(command, self._directory / "kafka.log", grace_seconds=GRACE_SECONDS)


def new_cluster_id() -> str:
    """Return a random UUID as Kafka writes them: 22 characters of URL-safe base64, the first not a dash."""
    while True:
        name = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode("ascii").rstrip("=")
        if not name.startswith("-"):
            return name


def find_java() -> str:
    """Return the machine's `java`; raises PartMissing when there is none or it is too old for Kafka 4."""
    java = shutil.which("java")
    if java is None:
        raise PartMissing(f"Apache Kafka needs `java`, version {JAVA_VERSION_MIN} or newer, on the PATH.")
    said = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=60, check=False).stderr
    found = re.search(r'version "(\d+)', said)
    if found is None or int(found[1]) < JAVA_VERSION_MIN:
        raise PartMissing(f"Apache Kafka needs Java {JAVA_VERSION_MIN} or newer; {java} says: {said.splitlines()[:1]}.")
    return java


def fetched_jars() -> Path:
    """Return the folder of verified jars, fetching them with Maven if this machine has none; raises PartMissing."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tenuto" / f"kafka-{VERSION}"
    if not cache.exists():
        cache.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache.parent, prefix="fetching-") as scratch:
            fetched = Path(scratch) / "jars"
            fetch(fetched)
            demand_recorded(fetched)
            try:
                fetched.rename(cache)
            except OSError:
                # Another run on this machine was quicker; its jars are checked below like our own.
                if not cache.exists():
                    raise
    demand_recorded(cache)
    return cache


def fetch(folder: Path) -> None:
    """Let Maven copy the jars that `pom.xml` names, and what they need, into `folder`."""
    maven = shutil.which("mvn")
    if maven is None:
        raise PartMissing("Apache Kafka is fetched with `mvn`, which is not on the PATH.")
    command = [maven, "--quiet", "--batch-mode", f"--file={HERE / 'pom.xml'}", MAVEN_PLUGIN]
    command += ["-DincludeScope=runtime", f"-DoutputDirectory={folder}"]
    try:
        ended = subprocess.run(
            command, capture_output=True, text=True, timeout=FETCH_SECONDS_MAX, check=False, cwd=folder.parent
        )
    except subprocess.TimeoutExpired:
        raise PartMissing(f"Maven did not bring Apache Kafka {VERSION} within {FETCH_SECONDS_MAX} s.") from None
    if ended.returncode != 0:
        reason = next((line for line in ended.stdout.splitlines() if line.strip()), "no reason given")
        raise PartMissing(f"Maven could not fetch Apache Kafka {VERSION}: {reason}")


def demand_recorded(folder: Path) -> None:
    """Raise PartFailed unless the jars in `folder` are exactly those recorded, byte for byte."""
    recorded = dict(reversed(line.split("  ", 1)) for line in CHECKSUMS.read_text("ascii").splitlines())
    found = checksums(folder)
    wrong = sorted(name for name in recorded.keys() | found.keys() if recorded.get(name) != found.get(name))
    if wrong:
        raise PartFailed(f"{folder} differs from {CHECKSUMS.name} in {', '.join(wrong)}. Remove it and fetch anew.")


def checksums(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each jar in hexadecimal, by file name."""
    return {jar.name: hashlib.sha256(jar.read_bytes()).hexdigest() for jar in sorted(folder.iterdir())}


def main() -> None:
    """Run one until Ctrl-C; with `--checksums` only fetch, and write the recorded hashes anew."""
    if sys.argv[1:] == ["--checksums"]:
        with tempfile.TemporaryDirectory(prefix="tenuto-kafka-") as scratch:
            fetch(Path(scratch) / "jars")
            lines = [f"{digest}  {name}\n" for name, digest in checksums(Path(scratch) / "jars").items()]
        CHECKSUMS.write_text("".join(lines), "ascii")
        return
    with tempfile.TemporaryDirectory(prefix="tenuto-kafka-") as directory, ApacheKafka(Path(directory)) as kafka:
        print(f"Apache Kafka {VERSION} answers. Stop it with Ctrl-C.")
        print(f"export KAFKA_BOOTSTRAP_SERVERS={kafka.bootstrap}", flush=True)
        asked_to_stop = Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: asked_to_stop.set())
        asked_to_stop.wait()


if __name__ == "__main__":
    main()
