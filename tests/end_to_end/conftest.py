"""One run of the demonstration for the whole session; what it left is read by many tests and changed only as a copy."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from time import sleep
from typing import Any

import pytest
from tenuto.addresses import DATABASE, RUNNING_FILE
from tenuto.embedded import EmbeddedPostgres
from tenuto.embedded.child import free_port

SECONDS_MAX = 240
UNATTENDED = ("demo", "--unattended", "--no-attacks")


def environment(home: Path, **settings: str) -> dict[str, str]:
    """The caller's environment with no setting of Tenuto in it but these."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("TENUTO_", "KAFKA_"))}
    return own | {"TENUTO_HOME": str(home)} | settings


def tenuto(home: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run one command to its end, its standard output in a pipe."""
    command = [sys.executable, "-m", "tenuto", *arguments]
    return subprocess.run(
        command, env=environment(home, **settings), capture_output=True, text=True, timeout=SECONDS_MAX, check=False
    )


def copy_of(home: Path, folder: Path) -> Path:
    """Copy a home, with the owners of its files; nothing may run on it."""
    subprocess.run(["cp", "-a", str(home), str(folder)], check=True)
    return folder


@dataclass(frozen=True)
class Demo:
    """A home where the demonstration ran, and what it said. Read only: `settings` name its database, which answers."""

    home: Path
    ended: subprocess.CompletedProcess[str]
    settings: Mapping[str, str]

    def ask(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command on what the demonstration left."""
        return tenuto(self.home, *arguments, **self.settings)

    @cached_property
    def events(self) -> list[dict[str, Any]]:
        """Every event on record, as `tenuto log` prints it."""
        return [json.loads(line) for line in self.ask("log").stdout.splitlines()]

    @cached_property
    def run(self) -> str:
        """Name of the one run."""
        (run,) = {event["run"] for event in self.events if event["kind"] == "run.started"}
        return str(run)


@dataclass(frozen=True)
class Demonstrated:
    """How the demonstration ended, its home, and a copy that was made before anything else looked at it.

    second: how another one ended that was started on the same home meanwhile.
    """

    home: Path
    copy: Path
    ended: subprocess.CompletedProcess[str]
    second: subprocess.CompletedProcess[str]


@pytest.fixture(scope="session")
def demonstrated(tmp_path_factory: pytest.TempPathFactory) -> Demonstrated:
    folder = tmp_path_factory.mktemp("demo")
    home = folder / "home"
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(tenuto, home, *UNATTENDED, "--port", str(free_port()))
        while not (home / RUNNING_FILE).exists() and not first.done():
            sleep(0.05)
        second = tenuto(home, *UNATTENDED, "--port", str(free_port()))
        ended = first.result()
    assert ended.returncode == 0, ended.stderr
    return Demonstrated(home, copy_of(home, folder / "copy"), ended, second)


@pytest.fixture(scope="session")
def demo(demonstrated: Demonstrated) -> Iterator[Demo]:
    with EmbeddedPostgres(demonstrated.home / "postgres") as server:
        yield Demo(demonstrated.home, demonstrated.ended, {"TENUTO_DATABASE_URL": server.url_of(DATABASE)})
