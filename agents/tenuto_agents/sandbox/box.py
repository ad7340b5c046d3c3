"""The box that tools run in, and the one function that decides what happens on a machine which has none."""

from __future__ import annotations

import platform
import shutil
import socket
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from tenuto.errors import NotConfigured, Refused

from ..processes import SAFE_PATH, Ended, kill_group, run_tool
from .screen import MACHINES, Machine, screen
from .watching import Sighting, Watch

INSIDE = "/src"
SCRATCH_BYTES_MAX = 16 * 1024**2
HANDSHAKE_SECONDS_MAX = 20.0
PROBE_SECONDS_MAX = 30.0
_LAUNCHER = Path(__file__).with_name("launcher.py")
_OWN_NAMESPACES = (
    "--unshare-all", "--unshare-user", "--disable-userns", "--die-with-parent", "--new-session", "--cap-drop", "ALL",
    "--hostname", "sandbox", "--clearenv", "--setenv", "PATH", "/usr/bin:/bin", "--setenv", "HOME", "/tmp",  # noqa: S108 - in there
    "--setenv", "LC_ALL", "C",
)  # fmt: skip
_SYSTEM = ("/lib", "/lib64", "/bin")


class SandboxMissing(NotConfigured):
    """There is no sandbox on this machine, and the agent was told not to work without one."""


class Breach(Refused):
    """Something in the box tried what a parser does not do; whatever it printed is not believed."""

    reason = "sandbox"

    def __init__(self, sentence: str, sightings: Sequence[Sighting]) -> None:
        """`sightings` are what the watcher denied, in order."""
        super().__init__(sentence)
        self.sightings = tuple(sightings)


class Box(Protocol):
    """Where a tool runs that reads what a stranger wrote."""

    @property
    def name(self) -> str:
        """What goes on record: `bubblewrap`, or `none`."""
        ...

    def run(
        self, argv: Sequence[str], *, folder: Path, seconds: float, reads: Sequence[Path] = (),
        environment: Mapping[str, str] | None = None,
    ) -> Ended:  # fmt: skip
        """Run `argv` with `folder` as its place; `reads` are files and folders that it may read besides, at their own paths.

        In a real box the folder is `/src`, can only be read, and relative paths are the only ones that hold in both; nothing
        is in the environment but PATH, HOME, a neutral locale and `environment`. Raises like `run_tool`, and Breach.
        """
        ...


class OpenBox:
    """No box at all: for a demonstration on a machine that has none. Says so in its name, which goes on record."""

    name = "none"

    def run(
        self, argv: Sequence[str], *, folder: Path, seconds: float, reads: Sequence[Path] = (),
        environment: Mapping[str, str] | None = None,
    ) -> Ended:  # fmt: skip
        """Run the tool as any other program of this machine."""
        return run_tool(argv, folder=folder, seconds=seconds, environment=environment)


class Bubblewrap:
    """A box of namespaces, by the program `bwrap`, watched from the first instruction of the tool on."""

    name = "bubblewrap"

    def __init__(self) -> None:
        """Raises SandboxMissing when the program or the kernel cannot do it here; a box was started once to see."""
        program, machine = shutil.which("bwrap", path=SAFE_PATH), MACHINES.get(platform.machine())
        if program is None or machine is None or sys.platform != "linux":
            raise SandboxMissing("There is no sandbox here: it needs Linux and the program bwrap (Debian: bubblewrap).")
        self._program, self._machine = program, machine
        with tempfile.TemporaryDirectory(prefix="tenuto-box-") as folder:
            ended = self.run([sys.executable, "-I", "-S", "-c", ""], folder=Path(folder), seconds=PROBE_SECONDS_MAX)
        if ended.code != 0:
            raise SandboxMissing(f"bwrap is here and works not: {ended.complaint()}. Are user namespaces allowed?")

    def run(
        self, argv: Sequence[str], *, folder: Path, seconds: float, reads: Sequence[Path] = (),
        environment: Mapping[str, str] | None = None,
    ) -> Ended:  # fmt: skip
        """Run the tool in a box of its own. A sighting makes the whole run a Breach, also when the tool ended well."""
        ours, theirs = socket.socketpair()
        guard = _Guard(ours, theirs, self._machine, argv[0])
        launch = [sys.executable, "-I", "-S", str(_LAUNCHER), str(theirs.fileno()), str(self._machine.seccomp), *argv]
        given = [part for name, value in (environment or {}).items() for part in ("--setenv", name, value)]
        command = [self._program, *_OWN_NAMESPACES, *given, *_mounts(folder, reads), "--", *launch]
        try:
            ended = run_tool(command, folder=folder, seconds=seconds, keep=(theirs.fileno(),), attend=guard.take_up)
        finally:
            watch = guard.end()
            if watch is not None and watch.sightings:
                raise _breach(argv, watch)
        if (watch is None and ended.code == 0) or (watch is not None and watch.failure is not None):
            raise Breach(f"{Path(argv[0]).name} was not watched to its end, so its result does not count.", ())
        return ended


def open_box(*, required: bool) -> Box:
    """Return the machine's box. Without one: raises SandboxMissing when it is required, else returns the open one."""
    try:
        return Bubblewrap()
    except SandboxMissing:
        if required:
            raise
        return OpenBox()


class _Guard:
    """The handshake with one box: filter in, listener out, and from then on a watch."""

    def __init__(self, ours: socket.socket, theirs: socket.socket, machine: Machine, tool: str) -> None:
        self._ours, self._theirs, self._machine, self._tool = ours, theirs, machine, tool
        self._watch: Watch | None = None

    def take_up(self, group: int) -> None:
        """Watch the box that has just been started as this process group; if it died before, its ending says why."""
        self._theirs.close()
        self._ours.settimeout(HANDSHAKE_SECONDS_MAX)
        try:
            self._ours.sendall(screen(self._machine))
            _, descriptors, _, _ = socket.recv_fds(self._ours, 1, 1)
        except OSError:
            return
        if descriptors:
            self._watch = Watch(descriptors[0], self._machine.calls, self._tool, on_end=lambda: kill_group(group))
            self._watch.start()
            self._ours.sendall(b"g")

    def end(self) -> Watch | None:
        self._theirs.close()
        self._ours.close()
        if self._watch is not None:
            self._watch.stop()
        return self._watch


def _breach(argv: Sequence[str], watch: Watch) -> Breach:
    name, first = Path(argv[0]).name, watch.sightings[0]
    sentence = f"{name} tried something in the sandbox that it never does ({first}); it was denied, and nothing it said counts."
    return Breach(sentence, watch.sightings)


def _mounts(folder: Path, reads: Sequence[Path]) -> list[str]:
    mounts = ["--ro-bind", "/usr", "/usr"]
    for place in map(Path, _SYSTEM):
        if place.is_symlink():
            mounts += ["--symlink", str(place.readlink()), str(place)]
        elif place.is_dir():
            mounts += ["--ro-bind", str(place), str(place)]
    mounts += ["--dev", "/dev", "--remount-ro", "/dev", "--size", str(SCRATCH_BYTES_MAX), "--tmpfs", "/tmp"]  # noqa: S108 - in there
    ours = dict.fromkeys((Path(sys.prefix), Path(sys.base_prefix), _LAUNCHER, *reads))
    for place in ours:
        mounts += ["--ro-bind", str(place), str(place)]
    return [*mounts, "--ro-bind", str(folder.resolve()), INSIDE, "--remount-ro", "/", "--chdir", INSIDE]
