"""podman, used as little as possible: run a release by digest, look at it, freeze it, take it away.

Every container starts locked down: read-only, no capabilities, no new privileges, a user without rights, limits on memory
and processes, and the network namespace that was prepared for it. podman starts nothing that is not in its storage already,
and into that storage images come only through `registry.Registry.pull`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
from tenuto.errors import TenutoError

from ..processes import Ended
from .image import PORT, USER
from .network import NAMESPACES
from .parts import run_part
from .registry import storage_driver

DEPLOYMENT_LABEL, SERVICE_LABEL = "tenuto.deployment", "tenuto.service"
MEMORY, PROCESSES_MAX = "256m", 64
LOG_BYTES_MAX = 4_000_000


class EngineFailed(TenutoError):
    """podman could not do what was asked; the sentence carries its own."""


class Container(msgspec.Struct, frozen=True):
    """A container that podman knows: name, manifest digest in hex, state (`running`, `paused`, ...), process id, log file."""

    name: str
    digest: str
    state: str
    pid: int
    log: str
    deployment: str


class Engine:
    """podman with a storage of this site's own. `work`: a folder of this agent's."""

    def __init__(self, storage: Path, work: Path) -> None:
        """Writes podman's configuration into `work`; nothing is started."""
        self._work, self._storage = work, storage
        storage.mkdir(parents=True, exist_ok=True)
        graph, run = storage / "graph", storage / "run"
        _write(work / "storage.conf", f'[storage]\ndriver = "{storage_driver()}"\ngraphroot = "{graph}"\nrunroot = "{run}"\n')
        # No systemd and no journal are needed, so that it also runs where the agent is the only process of its machine.
        _write(work / "containers.conf", '[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\nruntime = "runc"\n'
               f'tmp_dir = "{storage / "tmp"}"\n[containers]\nlog_driver = "k8s-file"\nlog_size_max = {LOG_BYTES_MAX}\n')  # fmt: skip

    def run(self, name: str, reference: str, *, service: str, deployment: str) -> None:
        """Start container `name` in the network of that name, of an image that was pulled by `reference`; raises EngineFailed."""
        limits = ("--memory", MEMORY, "--pids-limit", str(PROCESSES_MAX), "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=512:512")
        locked = ("--read-only", "--cap-drop", "all", "--security-opt", "no-new-privileges", "--user", USER, "--restart", "no")
        self._podman("run", "--detach", "--quiet", "--pull=never", "--name", name, "--network", f"ns:{NAMESPACES / name}",
                     "--label", f"{DEPLOYMENT_LABEL}={deployment}", "--label", f"{SERVICE_LABEL}={service}", "--env", f"PORT={PORT}", *locked, *limits, reference)  # fmt: skip

    def find(self, name: str) -> Container | None:
        """Return the container, or None when podman does not know it."""
        ended = self._try("container", "inspect", name)
        if ended.code != 0:
            return None
        found: dict[str, Any] = json.loads(ended.stdout)[0]
        state, config = found["State"], found["HostConfig"]
        return Container(
            name=name, digest=str(found["ImageDigest"]).removeprefix("sha256:"), state=state["Status"], pid=int(state["Pid"]),
            log=config["LogConfig"]["Path"], deployment=found["Config"]["Labels"].get(DEPLOYMENT_LABEL, ""),
        )  # fmt: skip

    def names(self, service: str) -> list[str]:
        """Return the names of all containers of a service, whatever their state."""
        listed = self._podman("ps", "--all", "--filter", f"label={SERVICE_LABEL}={service}", "--format", "{{.Names}}")
        return listed.stdout.decode().split()

    def pause(self, name: str) -> None:
        """Freeze all its processes; raises EngineFailed. Harmless when it is frozen."""
        found = self.find(name)
        if found is None or found.state != "paused":
            self._podman("pause", name)

    def inspect(self, name: str) -> bytes:
        """Return all that podman knows about it, as JSON."""
        return self._podman("container", "inspect", name).stdout

    def changed_files(self, name: str) -> bytes:
        """Return which files differ from its image, as JSON; raises EngineFailed."""
        return self._podman("diff", "--format", "json", name).stdout

    def export(self, name: str, file: Path) -> None:
        """Write its whole file system as a tar archive; raises EngineFailed."""
        self._podman("export", "--output", str(file), name)

    def remove(self, name: str) -> None:
        """End it by force and forget it; harmless when it is gone. Raises EngineFailed when it cannot be ended."""
        self._podman("rm", "--force", "--time", "0", "--ignore", name)

    def _podman(self, *arguments: str) -> Ended:
        ended = self._try(*arguments)
        if ended.code != 0:
            raise EngineFailed(f"`podman {arguments[0]}` failed: {ended.complaint()}")
        return ended

    def _try(self, *arguments: str) -> Ended:
        environment = {
            "CONTAINERS_STORAGE_CONF": str(self._work / "storage.conf"), "CONTAINERS_CONF": str(self._work / "containers.conf"),
            "CONTAINERS_REGISTRIES_CONF": str(self._work / "registries.conf"), "HOME": str(self._work),
            "XDG_RUNTIME_DIR": str(self._work),
        }  # fmt: skip
        return run_part("podman", *arguments, folder=self._work, environment=environment)


def _write(file: Path, content: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content, encoding="utf-8")
