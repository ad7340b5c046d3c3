"""Nothing of a pull request gets out of the box, each layer holds alone, and what tries is seen (M24, M25, M26)."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tenuto.settings import load_settings
from tenuto_agents.commands import open_agent
from tenuto_agents.processes import Ended, ToolTimedOut, run_tool
from tenuto_agents.sandbox import Breach, Bubblewrap, OpenBox, Sighting, box, escapes, open_box, watching
from tenuto_agents.sandbox.launcher import FILE_BYTES_MAX
from tenuto_agents.sandbox.screen import MACHINES, screen
from tenuto_agents.sandbox.watching import SIGHTINGS_MAX, THREADS_MAX, Watch, address

PROGRAM = Path(escapes.__file__)
DENIED = {"connect", "shell", "fork", "mount", "unshare"}
"""What the watcher sees; the rest ends at the mounts, the limits and the empty environment."""


@dataclass
class Victim:
    """A machine worth attacking: a folder, a secret file, an open port."""

    folder: Path
    server: socket.socket = field(default_factory=lambda: socket.create_server(("127.0.0.1", 0)))

    def attack(self, *names: str) -> list[str]:
        """The command that tries these attacks."""
        file, port = self.folder / "shadow", str(self.server.getsockname()[1])
        file.write_text("root:$6$secret")
        return [sys.executable, "-I", str(PROGRAM), str(self.folder), str(file), port, *names]

    def called(self) -> bool:
        """Whether anybody has reached the port."""
        self.server.settimeout(0)
        try:
            self.server.accept()[0].close()
        except BlockingIOError:
            return False
        return True

    def left(self) -> set[str]:
        """What lies in the folder besides the victim's own."""
        return {one.name for one in self.folder.iterdir()} - {"shadow"}


@pytest.fixture
def victim(tmp_path: Path) -> Iterator[Victim]:
    folder = tmp_path / "victim"
    folder.mkdir()
    one = Victim(folder)
    with one.server:
        yield one


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    return folder


def python(sandbox: Bubblewrap, source: Path, code: str, seconds: float = 120) -> Ended:
    return sandbox.run([sys.executable, "-I", "-c", code], folder=source, seconds=seconds)


def test_without_the_box_the_attacks_work(victim: Victim, source: Path) -> None:
    ended = run_tool(victim.attack(), folder=source, seconds=120, environment={"DEPLOY_TOKEN": "x"})
    assert set(json.loads(ended.stdout)) >= {"connect", "write", "read", "environment", "shell", "fork", "big_file"}
    assert victim.called()
    assert victim.left() == {"left-behind"}


@pytest.mark.parametrize("name", escapes.ATTACKS)
def test_no_attack_gets_out_of_the_box(sandbox: Bubblewrap, victim: Victim, source: Path, name: str) -> None:
    try:
        ended = sandbox.run(victim.attack(name), folder=source, seconds=120, reads=(PROGRAM,))
    except Breach as breach:
        assert name in DENIED
        assert breach.sightings
    else:
        assert name not in DENIED
        assert (ended.code, ended.stdout) == (0, b"[]\n")
    assert not victim.called()
    assert victim.left() == set()


def test_the_walls_hold_where_the_watcher_lets_everything_through(
    sandbox: Bubblewrap, victim: Victim, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Watch, "_judge", lambda *_: True)
    ended = sandbox.run(victim.attack(), folder=source, seconds=120, reads=(PROGRAM,))
    # Only the watcher stops new processes; they are still in the box.
    assert json.loads(ended.stdout) == ["shell", "fork"]
    assert not victim.called()


@pytest.mark.parametrize(
    ("code", "call", "detail"),
    [
        ("import socket; socket.create_connection(('192.0.2.7', 4444), 1)", "connect", "to 192.0.2.7:4444"),
        ("import socket; socket.socket(socket.AF_INET6).connect(('::1', 99))", "connect", "to [::1]:99"),
        ("import socket; socket.socket(socket.AF_UNIX).connect('/run/docker.sock')", "connect", "to unix:/run/docker.sock"),
        ("import os; os.execv('/bin/sh', ['sh'])", "execve", "/bin/sh"),
        ("import os; os.execv('/bin/sh\\u202e', ['sh'])", "execve", "/bin/sh\\u{202e}"),
        ("import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('192.0.2.7', 53))", "sendto", "to 192.0.2.7:53"),
        ("import ctypes; ctypes.CDLL(None).syscall(425, 8, 0)", "io_uring_setup", ""),
        ("import os; os.fork()", "clone", ""),
    ],
)  # fmt: skip
def test_what_tries_to_get_out_is_named(sandbox: Bubblewrap, source: Path, code: str, call: str, detail: str) -> None:
    with pytest.raises(Breach, match="it was denied") as caught:
        python(sandbox, source, f"try:\n    {code}\nexcept OSError:\n    pass")
    assert caught.value.sightings[0] == Sighting(call, detail)


def test_a_tool_that_is_let_through_once_cannot_start_itself_again(sandbox: Bubblewrap, source: Path) -> None:
    with pytest.raises(Breach) as caught:
        python(sandbox, source, f"import os; os.execv({sys.executable!r}, ['python', '-c', ''])")
    assert caught.value.sightings == (Sighting("execve", sys.executable),)


def test_a_fork_bomb_is_ended_at_a_number_of_sightings(sandbox: Bubblewrap, source: Path) -> None:
    bomb = "import os\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        pass"
    with pytest.raises(Breach) as caught:
        python(sandbox, source, bomb)
    assert len(caught.value.sightings) == SIGHTINGS_MAX


@pytest.mark.parametrize("more", [0, 1])
def test_threads_are_let_through_up_to_their_number(sandbox: Bubblewrap, source: Path, more: int) -> None:
    code = (
        f"import threading\nflag = threading.Event()\nfor _ in range({THREADS_MAX + more}):\n"
        "    threading.Thread(target=flag.wait, daemon=True).start()\nflag.set()"
    )
    if more:
        with pytest.raises(Breach):
            python(sandbox, source, code)
    else:
        assert python(sandbox, source, code).code == 0


def test_the_box_shows_the_folder_read_only_and_nothing_of_ours(sandbox: Bubblewrap, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENUTO_MODEL", "x")
    (source / "a").write_text("a")
    os.symlink("/etc/passwd", source / "link")
    code = (
        "import os, json\nopen_ = []\nfor p in ('a', 'link', '/etc/passwd', '/proc/self/environ'):\n"
        "    try: open(p).close(); open_.append(p)\n    except OSError: pass\n"
        "print(json.dumps([open_, sorted(os.environ), os.access('.', os.W_OK)]))"
    )
    assert json.loads(python(sandbox, source, code).stdout) == [["a"], ["HOME", "LC_ALL", "PATH", "PWD"], False]


def test_a_file_over_the_limit_is_not_written(sandbox: Bubblewrap, source: Path) -> None:
    ended = python(sandbox, source, "open('/tmp/x', 'wb').write(b'x' * 20_000_000)")
    assert b"No space left" in ended.stderr
    flood = python(sandbox, source, "import sys\nwhile True: sys.stdout.write('x' * 1_000_000)")
    assert flood.code != 0
    assert len(flood.stdout) <= FILE_BYTES_MAX


def test_a_tool_that_hangs_is_killed_in_its_box(sandbox: Bubblewrap, source: Path) -> None:
    with pytest.raises(ToolTimedOut):
        python(sandbox, source, "import time; time.sleep(60)", seconds=0.8)


def test_without_its_watcher_nothing_runs(sandbox: Bubblewrap, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Watch, "start", lambda self: os.close(self._listener))
    monkeypatch.setattr(Watch, "stop", lambda self: None)
    ended = python(sandbox, source, "print('ran')")
    assert ended.code != 0
    assert b"ran" not in ended.stdout
    assert b"not implemented" in ended.stderr


def test_a_watcher_that_dies_takes_the_box_with_it(sandbox: Bubblewrap, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    judge = Watch._judge

    def fail_at_the_second(self: Watch, call: str, pid: int, arguments: tuple[int, ...]) -> bool:
        if self._started:
            raise RuntimeError("the watcher's own mistake")
        return judge(self, call, pid, arguments)

    monkeypatch.setattr(Watch, "_judge", fail_at_the_second)
    with pytest.raises(Breach, match="not watched to its end"):
        python(sandbox, source, "import os, time\ntry: os.fork()\nexcept OSError: pass\ntime.sleep(30)")


def test_a_machine_without_a_sandbox_refuses_to_review_unless_it_is_a_demonstration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    settings = load_settings({})
    with pytest.raises(box.SandboxMissing, match="bubblewrap"):
        open_agent(settings, "code-review")
    assert open_box(required=False).name == "none"
    assert open_agent(load_settings({}, sandbox="optional"), "code-review")._box.name == OpenBox.name  # type: ignore[union-attr]


def test_a_bwrap_that_cannot_make_namespaces_counts_as_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\necho 'No permissions to create a new namespace' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(shutil, "which", lambda *_, **__: str(broken))
    with pytest.raises(box.SandboxMissing, match="No permissions to create a new namespace"):
        Bubblewrap()


def test_the_filter_is_one_instruction_list_per_machine() -> None:
    for machine in MACHINES.values():
        assert len(screen(machine)) % 8 == 0
        assert len(set(machine.calls.values())) == len(machine.calls)


def test_an_address_that_is_none_is_said_to_be_none() -> None:
    assert address(b"") == "(no address)"
    assert address(b"\xff" * 128) == "to family 65535"
    assert watching._read_memory(os.getpid(), 1, 8) is None
