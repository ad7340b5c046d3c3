"""Programs that we did not write, built from the Go module registry, to meet ours: a C2SP witness and client libraries.

`go/go.mod` pins them and `go/go.sum` holds the hash of every file; `go/main.go` and `go/verdicts/main.go` are ours and
only wire the libraries to a command line. What is built goes to a cache outside the tree, `$XDG_CACHE_HOME/tenuto/interop-<hash of the inputs>`, once
per machine. The witness is `litewitness`, as its authors run it: its key behind an ssh-agent socket, its state in SQLite.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import socket
import sqlite3
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, TypeVar

import pytest
from tenuto.embedded.child import LOOPBACK, Child, PartMissing, Plan, free_port
from tenuto.log.merkle import EMPTY_ROOT
from tenuto.log.note import Cosigner, encode_base64

HERE = Path(__file__).parent / "go"
WITNESS_PACKAGE = "filippo.io/torchwood/cmd/litewitness"
INPUTS = ("go.mod", "go.sum", "main.go", "verdicts/main.go")
GO_VERSION_MIN = (1, 25)
BUILD_SECONDS_MAX = 900
"""On a machine that is new, all modules are fetched and compiled first, while the other tests run."""
RUN_SECONDS_MAX = 60
JUDGE_SECONDS_MAX = 240
START_SECONDS_MAX = 90.0
Part = TypeVar("Part")


class ForeignPrograms:
    """The folder with the three programs, `litewitness`, `interop` and `verdicts`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, *arguments: str | Path) -> dict[str, Any]:
        """Run `interop` and return what it found; raises ForeignRefusal with its sentence when it refuses."""
        ended = subprocess.run(
            [self.folder / "interop", *arguments],
            capture_output=True, text=True, timeout=RUN_SECONDS_MAX, check=False, env={"PATH": os.defpath},
        )  # fmt: skip
        if ended.returncode != 0:
            raise ForeignRefusal(ended.stderr.strip())
        found: dict[str, Any] = json.loads(ended.stdout)
        return found

    def judge(self, requests: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Ask `verdicts` all of this at once; returns one answer for each."""
        asked = "".join(f"{json.dumps(request)}\n" for request in requests)
        ended = subprocess.run(
            [self.folder / "verdicts"],
            input=asked, capture_output=True, text=True, timeout=JUDGE_SECONDS_MAX, check=False, env={"PATH": os.defpath},
        )  # fmt: skip
        assert ended.returncode == 0, ended.stderr
        answers = [json.loads(line) for line in ended.stdout.splitlines()]
        assert len(answers) == len(requests)
        return answers


class ForeignRefusal(Exception):
    """The foreign client does not accept what it was shown."""


class LiteWitness:
    """A foreign witness on loopback with state of its own in `directory`; `start` and `stop` may be repeated."""

    def __init__(self, programs: ForeignPrograms, directory: Path, name: str, seed: bytes) -> None:
        self._programs, self._directory, self._name, self._seed = programs, directory, name, seed
        self._children: list[Child] = []
        self._sockets: tempfile.TemporaryDirectory[str] | None = None
        self._port, self._starts = free_port(), 0
        self.address = f"http://{LOOPBACK}:{self._port}"
        directory.mkdir(parents=True)

    @property
    def vkey(self) -> str:
        """What a policy pins. Made by us from the seed; that the witness says the same is asserted when it starts."""
        return Cosigner(self._name, self._seed).vkey

    @property
    def database(self) -> Path:
        """Its state."""
        return self._directory / "litewitness.db"

    def start(self) -> None:
        """Start it with its key, and wait until it listens."""
        self._starts += 1
        # The path of a socket may have 107 bytes; the directory of a test is longer.
        self._sockets = tempfile.TemporaryDirectory(prefix="tenuto-")
        ring = Path(self._sockets.name) / "agent"
        keyring = self._child("keyring.log", self._programs.folder / "interop", "keyring", ring, self._seed.hex())
        keyring.wait_until(lambda: self._said("keyring.log").count("SHA256:") == self._starts, START_SECONDS_MAX)
        fingerprint = self._said("keyring.log").split()[-1]
        witness = self._child(
            "litewitness.log", self._programs.folder / "litewitness",
            f"-name={self._name}", f"-db={self.database}", f"-ssh-agent={ring}", f"-key={fingerprint}",
            f"-listen={LOOPBACK}:{self._port}",
        )  # fmt: skip
        witness.wait_until(self._listens, START_SECONDS_MAX)
        assert self.vkey in self._said("litewitness.log")

    def stop(self) -> None:
        """End it; what it knows stays in its database. Harmless when repeated."""
        while self._children:
            self._children.pop().stop()
        if self._sockets is not None:
            self._sockets.cleanup()
            self._sockets = None

    def learn(self, origin: str, vkey: str) -> None:
        """Make it accept a log. Its own `witnessctl` needs a module that the registry does not serve."""
        with sqlite3.connect(self.database) as database:
            database.execute("INSERT INTO log VALUES (?, 0, ?)", (origin, encode_base64(EMPTY_ROOT)))
            database.execute("INSERT INTO key VALUES (?, ?)", (origin, vkey))
        database.close()

    def size_of(self, origin: str) -> int:
        """Return how large it knows the log to be."""
        with sqlite3.connect(self.database) as database:
            (size,) = database.execute("SELECT tree_size FROM log WHERE origin = ?", (origin,)).fetchone()
        database.close()
        return int(size)

    def _child(self, log: str, program: Path, *arguments: str | Path) -> Child:
        command = [str(part) for part in (program, *arguments)]
        child = Child(Plan(command, self._directory / log))
        self._children.append(child)
        return child

    def _said(self, log: str) -> str:
        return (self._directory / log).read_text()

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((LOOPBACK, self._port)) == 0


class _Files(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body leave in two pieces, and the second must not wait for the first

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a log folder as any static file server would; gives its address."""
    server = ThreadingHTTPServer((LOOPBACK, 0), partial(_Files, directory=str(folder)))
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://{LOOPBACK}:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def required(part: Callable[[], Part]) -> Part:
    """Return a part that this machine may lack: a local run then skips and says so; CI fails, for there it must be."""
    try:
        return part()
    except PartMissing as missing:
        if os.environ.get("CI") == "true":
            pytest.fail(f"What we did not write is required in CI: {missing}", pytrace=False)
        pytest.skip(str(missing))


def built_programs() -> ForeignPrograms:
    """Return the programs, building them if this machine has none from these inputs; raises PartMissing."""
    go, version = find_go()
    inputs = b"".join((HERE / name).read_bytes() for name in INPUTS)
    label = hashlib.sha256(inputs + version.encode()).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tenuto" / f"interop-{label}"
    if not cache.exists():
        cache.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache.parent, prefix="building-") as scratch:
            build([go, "build", "-o", f"{scratch}/built/", ".", "./verdicts", WITNESS_PACKAGE])
            try:
                (Path(scratch) / "built").rename(cache)
            except OSError:
                # Another run on this machine was quicker; its programs come from the same inputs.
                if not cache.exists():
                    raise
    return ForeignPrograms(cache)


def build(command: Sequence[str], folder: Path = HERE) -> None:
    """Run `go build` in a folder with `go.mod`; it verifies every module against `go.sum`."""
    environment = {**os.environ, "GOFLAGS": "-mod=readonly -trimpath -buildvcs=false", "GOTOOLCHAIN": "local"}
    environment["GOWORK"] = "off"
    try:
        ended = subprocess.run(
            command, capture_output=True, text=True, timeout=BUILD_SECONDS_MAX, check=False, cwd=folder, env=environment
        )
    except subprocess.TimeoutExpired:
        raise PartMissing(f"Go did not build the foreign programs within {BUILD_SECONDS_MAX} s.") from None
    if ended.returncode != 0:
        said = next((line for line in reversed(ended.stderr.splitlines()) if line.strip()), "no reason given")
        raise PartMissing(f"Go could not build the foreign programs: {said}")


def find_go() -> tuple[str, str]:
    """Return the machine's `go` and what it says of itself; raises PartMissing when there is none or it is too old."""
    go = shutil.which("go")
    least = ".".join(map(str, GO_VERSION_MIN))
    if go is None:
        raise PartMissing(
            f"What we did not write comes by way of `go`, version {least} or newer, which is not on the PATH."
        )
    said = subprocess.run([go, "version"], capture_output=True, text=True, timeout=60, check=False).stdout.strip()
    found = re.search(r"go(\d+)\.(\d+)", said)
    if found is None or (int(found[1]), int(found[2])) < GO_VERSION_MIN:
        raise PartMissing(f"What we did not write needs Go {least} or newer; {go} says: {said}.")
    return go, said
