"""A real Open Policy Agent, built from the Go module registry, as a process of its own on loopback."""

from __future__ import annotations

import hashlib
import os
import tempfile
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Self

from tenuto.embedded.child import LOOPBACK, Child, Plan, free_port

from tests.interop.foreign import build, find_go

HERE = Path(__file__).parent / "go"
PACKAGE = "github.com/open-policy-agent/opa"
START_SECONDS_MAX = 90.0


def built_opa() -> Path:
    """Return the program, building it if this machine has none from these inputs; raises PartMissing."""
    go, version = find_go()
    inputs = b"".join((HERE / name).read_bytes() for name in ("go.mod", "go.sum"))
    label = hashlib.sha256(inputs + version.encode()).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tenuto" / f"opa-{label}"
    if not cache.exists():
        cache.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache.parent, prefix="building-") as scratch:
            build([go, "build", "-o", f"{scratch}/opa", PACKAGE], HERE)
            (Path(scratch) / "opa").replace(cache)
    return cache


class OpaServer:
    """One server with the policies that a test puts into it."""

    def __init__(self, program: Path, directory: Path) -> None:
        self._program, self._log = program, directory / "opa.log"
        self._child: Child | None = None
        self._port = free_port()
        self.address = f"http://{LOOPBACK}:{self._port}"

    def __enter__(self) -> Self:
        command = [str(self._program), "run", "--server", f"--addr={LOOPBACK}:{self._port}", "--disable-telemetry"]
        self._child = Child(Plan(command, self._log))
        self._child.wait_until(self._healthy, START_SECONDS_MAX)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End it. Harmless when repeated."""
        if self._child is not None:
            self._child.stop()
            self._child = None

    def put(self, name: str, rego: str) -> None:
        """Load one policy, or replace it; an HTTPError when it does not compile."""
        self._send("PUT", f"/v1/policies/{name}", rego)

    def drop(self, name: str) -> None:
        """Take one policy away."""
        self._send("DELETE", f"/v1/policies/{name}")

    def _healthy(self) -> bool:
        try:
            self._send("GET", "/health")
        except (urllib.error.URLError, ConnectionError):
            return False
        return True

    def _send(self, method: str, path: str, body: str | None = None) -> None:
        request = urllib.request.Request(
            self.address + path, None if body is None else body.encode(), {"Content-Type": "text/plain"}, method=method
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            answer.read()
