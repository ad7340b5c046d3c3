"""The demonstration can be stopped, killed or started wrongly at any moment: nothing stays behind, and the next one goes on.

All tests use one home, in whatever state the one before left it; that is the point.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from pathlib import Path

import pytest
from tenuto.embedded.child import LOOPBACK, free_port

from tests.end_to_end.conftest import UNATTENDED, tenuto
from tests.end_to_end.running import demand_none_left, processes_of, running

CONSOLE_SAID, DEPLOYED = "The approval console is at", "deployment.healthy"
USAGE, INTERRUPTED = 2, 130


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("stops") / "home"


def demo_on(port: int | None = None) -> tuple[str, ...]:
    return (*UNATTENDED, "--port", str(free_port() if port is None else port))


def test_ctrl_c_while_the_log_is_being_founded_stops_everything(home: Path) -> None:
    with running(home, *demo_on()) as demo:
        demo.wait_for("Starting the embedded broker")
        demo.send(signal.SIGINT)
        assert demo.ended() == INTERRUPTED, demo.said
        assert "What was recorded is kept" in demo.said
        assert "Traceback" not in demo.said
    demand_none_left(home)
    assert not (home / "running.json").exists()


def test_a_part_that_dies_ends_the_demonstration_which_says_which_it_was(home: Path) -> None:
    with running(home, *demo_on()) as demo:
        demo.wait_for(CONSOLE_SAID)
        (ingest,) = [pid for pid, command in processes_of(home).items() if command.endswith("-m tenuto ingest")]
        os.kill(ingest, signal.SIGKILL)
        assert demo.ended() == USAGE, demo.said
        assert "ingest" in demo.said.partition(CONSOLE_SAID)[2]
        assert "Traceback" not in demo.said
    demand_none_left(home)


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


def test_the_next_demonstration_succeeds_while_a_second_on_the_same_home_is_turned_away(home: Path) -> None:
    with running(home, *demo_on()) as demo:
        demo.wait_for("Starting the embedded broker")
        second = tenuto(home, *demo_on())
        assert second.returncode == USAGE
        assert f"{home / 'supervisor'} is in use by process" in second.stderr
        assert demo.ended() == 0, demo.said
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


def test_a_repository_that_cannot_be_used_is_said_before_anything_starts(tmp_path: Path) -> None:
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
        ended = tenuto(tmp_path / "home", *demo_on(), *arguments)
        assert (ended.returncode, ended.stdout) == (USAGE, ""), ended.stderr
        assert words in ended.stderr
        assert "Traceback" not in ended.stderr
    assert not (tmp_path / "home").exists()


def test_a_setting_that_nobody_knows_is_wrong_usage(tmp_path: Path) -> None:
    ended = tenuto(tmp_path / "home", "status", TENUTO_HOEM="x")
    assert ended.returncode == USAGE
    assert "TENUTO_HOEM" in ended.stderr


def test_a_home_without_a_log_is_said_with_the_remedy(tmp_path: Path) -> None:
    for command in ("verify", "log", "status", "deliver"):
        ended = tenuto(tmp_path / "home", command)
        assert ended.returncode == USAGE
        assert "tenuto init" in ended.stderr or "tenuto up" in ended.stderr
        assert "Traceback" not in ended.stderr
