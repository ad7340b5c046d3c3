"""The local target really starts services, judges them, and goes back."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tenuto_agents import service_process
from tenuto_agents.artifact import Artifact, ArtifactRefused, build_artifact
from tenuto_agents.git import Repository
from tenuto_agents.service_process import Unhealthy, is_alive
from tenuto_agents.target import RELEASES_KEPT, LocalTarget

from tests.unit.agents.repositories import Scratch

APP = """
import json, os
from http.server import BaseHTTPRequestHandler, HTTPServer
class App(BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({"version": %r}).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *rest):
        pass
HTTPServer(("127.0.0.1", int(os.environ["PORT"])), App).serve_forever()
"""


class Releases:
    """Artifacts of a service; `make` says which version it claims and which program it holds."""

    def __init__(self, path: Path) -> None:
        self.scratch = Scratch(path)

    def make(self, version: str, program: str | None = None) -> Artifact:
        service = {"name": "app", "version": version, "entry": "app.py"}
        files = {"app.py": program or APP % version, "deploy/service.json": json.dumps(service), "mark": version}
        return build_artifact(Repository(self.scratch.path), self.scratch.commit(files))


@pytest.fixture
def releases(tmp_path: Path) -> Releases:
    return Releases(tmp_path / "repo")


@pytest.fixture
def target(tmp_path: Path) -> Iterator[LocalTarget]:
    made = LocalTarget(tmp_path / "target", health_seconds=60)
    yield made
    made.stop()


def version_at(address: str) -> str:
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=60)
    connection.request("GET", "/health")
    version = json.loads(connection.getresponse().read())["version"]
    connection.close()
    return str(version)


def test_a_release_runs_and_a_second_one_replaces_it(target: LocalTarget, releases: Releases) -> None:
    first, second = releases.make("1"), releases.make("2")
    _, address = target.release(first)
    before = target.running()
    assert before is not None
    assert version_at(address) == "1"
    _, address = target.release(second)
    assert version_at(address) == "2"
    assert not is_alive(before)
    assert target.current() == second.digest


@pytest.mark.parametrize(
    "program",
    ["raise SystemExit(1)\n", APP % "other", APP.replace('json.dumps({"version": %r}).encode()', 'b""'),
     APP.replace('json.dumps({"version": %r}).encode()', 'b"[1]"'), (APP % "2").replace("200", "500")],
    ids=["ends", "wrong version", "empty body", "not an object", "status 500"],
)  # fmt: skip
def test_an_unhealthy_release_is_taken_back(
    tmp_path: Path, target: LocalTarget, releases: Releases, program: str
) -> None:
    quick = LocalTarget(tmp_path / "target", health_seconds=0.6)
    good, bad = releases.make("1"), releases.make("2", program)
    _, address = target.release(good)
    with pytest.raises(Unhealthy) as unhealthy:
        quick.release(bad)
    assert unhealthy.value.checks >= 1
    assert target.restore(good.digest)
    assert target.current() == good.digest
    assert version_at(address) == "1"


def test_a_previous_release_that_died_meanwhile_is_started_again(
    tmp_path: Path, target: LocalTarget, releases: Releases
) -> None:
    good = releases.make("1")
    target.release(good)
    running = target.running()
    assert running is not None
    os.killpg(running.pid, signal.SIGKILL)
    with pytest.raises(Unhealthy):
        target.release(releases.make("2", "raise SystemExit(1)\n"))
    assert target.restore(good.digest)
    again = target.running()
    assert again is not None
    assert version_at(again.address) == "1"


def test_an_unhealthy_first_release_leaves_nothing_running(target: LocalTarget, releases: Releases) -> None:
    with pytest.raises(Unhealthy):
        target.release(releases.make("1", "raise SystemExit(1)\n"))
    assert not target.restore(None)
    assert (target.current(), target.running()) == (None, None)


def test_a_service_outlives_the_process_that_started_it_and_another_can_stop_it(
    tmp_path: Path, target: LocalTarget, releases: Releases
) -> None:
    releases.make("1")
    program = (
        "import sys; from pathlib import Path\n"
        "from tenuto_agents.artifact import build_artifact; from tenuto_agents.git import Repository\n"
        "from tenuto_agents.target import LocalTarget\n"
        "r = Repository(Path(sys.argv[1])); LocalTarget(Path(sys.argv[2])).release(build_artifact(r, r.resolve('change')))\n"
    )
    subprocess.run([sys.executable, "-c", program, releases.scratch.path, tmp_path / "target"], check=True, timeout=60)
    running = target.running()
    assert running is not None
    assert version_at(running.address) == "1"
    target.stop()
    assert not is_alive(running)


def test_a_process_id_that_belongs_to_another_by_now_is_left_alone(target: LocalTarget, releases: Releases) -> None:
    target.release(releases.make("1"))
    running = target.running()
    assert running is not None
    stranger = service_process.Running(running.digest, running.pid, running.started - 1, running.port, running.service)
    service_process.stop_service(stranger)
    os.kill(running.pid, 0)
    assert not is_alive(stranger)
    assert is_alive(running)
    service_process.stop_service(running)
    assert not is_alive(running)


def test_a_release_that_was_altered_on_disk_is_put_there_afresh(target: LocalTarget, releases: Releases, tmp_path: Path) -> None:
    artifact = releases.make("1")
    target.release(artifact)
    file = tmp_path / "target" / "releases" / artifact.digest / "app.py"
    file.write_text("raise SystemExit(1)\n", encoding="utf-8")
    _, address = target.release(artifact)
    assert version_at(address) == "1"


def test_files_without_a_service_are_a_release(target: LocalTarget, tmp_path: Path) -> None:
    scratch = Scratch(tmp_path / "files", {"index.html": "<p>hello</p>\n"})
    artifact = build_artifact(Repository(scratch.path), scratch.base)
    target.release(artifact)
    assert (tmp_path / "target" / "current" / "index.html").read_text(encoding="utf-8") == "<p>hello</p>\n"


def test_old_releases_are_removed(target: LocalTarget, tmp_path: Path) -> None:
    scratch = Scratch(tmp_path / "files")
    for number in range(RELEASES_KEPT + 2):
        target.release(build_artifact(Repository(scratch.path), scratch.commit({"n": str(number)})))
    kept = list((tmp_path / "target" / "releases").iterdir())
    assert len([path for path in kept if path.is_dir()]) == len(target.kept()) == RELEASES_KEPT


def test_an_older_release_is_kept_as_it_was_approved_and_brought_back_like_any_other(target: LocalTarget, releases: Releases) -> None:
    first, second = releases.make("1"), releases.make("2")
    target.release(first)
    target.release(second)
    assert set(target.kept()) == {first.digest, second.digest}
    kept = target.artifact(first.digest)
    assert (kept.content, kept.service, kept.files) == (first.content, first.service, first.files)
    _, address = target.release(kept)
    assert version_at(address) == "1"
    assert target.current() == first.digest


def test_an_archive_that_was_altered_or_is_gone_is_no_release(target: LocalTarget, releases: Releases, tmp_path: Path) -> None:
    first = releases.make("1")
    target.release(first)
    archive = tmp_path / "target" / "releases" / f"{first.digest}.tar"
    archive.write_bytes(archive.read_bytes()[:-512] + b"x" * 512)
    with pytest.raises(ArtifactRefused, match="not the one with the digest"):
        target.artifact(first.digest)
    with pytest.raises(ArtifactRefused, match="not kept here any more"):
        target.artifact("0" * 64)
