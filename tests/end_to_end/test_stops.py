"""The demonstration can be stopped, killed or started wrongly at any moment: nothing stays behind, and the next one goes on.

All tests use one home, in whatever state the one before left it; that is the point.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tenuto.cli import main
from tenuto.embedded.child import LOOPBACK, free_port

from tests.end_to_end.conftest import UNATTENDED, tenuto
from tests.end_to_end.running import demand_none_left, processes_of, running

DECIDED, DEPLOYED = "decision.made", "deployment.healthy"
USAGE, INTERRUPTED = 2, 130
Here = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("stops") / "home"


def demo_on(port: int | None = None) -> tuple[str, ...]:
    return (*UNATTENDED, "--port", str(free_port() if port is None else port))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Here:
    """Runs a command that ends before it starts anything in this process, which has loaded it already."""
    for name in [name for name in os.environ if name.startswith(("TENUTO_", "KAFKA_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("TENUTO_HOME", str(tmp_path / "home"))

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        monkeypatch.setattr(sys, "argv", ["tenuto", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return subprocess.CompletedProcess(arguments, int(ended.value.code or 0), said.out, said.err)

    return run


def test_ctrl_c_while_the_log_is_being_founded_stops_everything(home: Path) -> None:
    with running(home, *demo_on()) as demo:
        demo.wait_for("Starting the embedded broker")
        demo.send(signal.SIGINT)
        assert demo.ended() == INTERRUPTED, demo.said
        assert "What was recorded is kept" in demo.said
        assert "Traceback" not in demo.said
    demand_none_left(home)
    assert not (home / "running.json").exists()


def test_nothing_survives_a_killed_demonstration_but_the_service_that_it_deployed(home: Path) -> None:
    """A deployed service has a life of its own, as in production; it is stopped by its own command."""
    with running(home, *demo_on()) as demo:
        demo.wait_for(DEPLOYED)
        assert len(processes_of(home)) > 10
        demo.send(signal.SIGKILL)
        demo.ended()
        demand_none_left(home, besides=home / "targets")
    assert len(processes_of(home)) == 1
    assert tenuto(home, "stop-services").returncode == 0
    demand_none_left(home)


def test_the_next_demonstration_goes_on_where_a_killed_one_was_and_ends_when_a_part_dies_saying_which(home: Path) -> None:
    with running(home, *demo_on()) as demo:
        demo.wait_for(DECIDED)  # the authors of the killed one have found their places, and the whole road carries
        (ingest,) = [pid for pid, command in processes_of(home).items() if command.endswith("-m tenuto ingest")]
        os.kill(ingest, signal.SIGKILL)
        assert demo.ended() == USAGE, demo.said
        assert "The process `ingest` has ended" in demo.said
        assert "Traceback" not in demo.said
    demand_none_left(home)
    assert tenuto(home, "verify").returncode == 0


def test_a_taken_port_is_said_before_anything_starts(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind((LOOPBACK, 0))
        taken.listen()
        port = taken.getsockname()[1]
        ended = tenuto(tmp_path / "home", *demo_on(port))
    assert ended.returncode == USAGE
    assert f"Port {port} on {LOOPBACK} is not free for the approval console" in ended.stderr
    assert not (tmp_path / "home").exists()


def test_a_repository_that_cannot_be_used_is_said_before_anything_starts(tmp_path: Path, here: Here) -> None:
    folder, repository = tmp_path / "folder", tmp_path / "repository"
    folder.mkdir()
    subprocess.run(["git", "init", "--quiet", "--initial-branch=main", str(repository)], check=True)
    commit = ("-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "--quiet", "--allow-empty", "-m", "first")
    subprocess.run(["git", "-C", str(repository), *commit], check=True)
    for arguments, words in (
        (("--repo", str(tmp_path / "nowhere")), "There is no repository at"),
        (("--repo", str(folder)), f"{folder} is not a git repository"),
        (("--repo", str(repository), "--head", "pr/nothing"), "'pr/nothing'"),
        (("--repo", str(repository), "--head", "--help"), "'--help'"),
    ):
        ended = here(*demo_on(), *arguments)
        assert (ended.returncode, ended.stdout) == (USAGE, ""), ended.stderr
        assert words in ended.stderr
        assert "Traceback" not in ended.stderr
    assert not (tmp_path / "home").exists()


def test_a_setting_that_nobody_knows_is_wrong_usage(tmp_path: Path) -> None:
    ended = tenuto(tmp_path / "home", "status", TENUTO_HOEM="x")
    assert ended.returncode == USAGE
    assert "TENUTO_HOEM" in ended.stderr


def test_a_home_without_a_log_is_said_with_the_remedy(here: Here) -> None:
    for command in ("verify", "log", "status", "deliver"):
        ended = here(command)
        assert ended.returncode == USAGE
        assert "tenuto init" in ended.stderr or "tenuto up" in ended.stderr
        assert "Traceback" not in ended.stderr
