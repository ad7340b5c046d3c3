"""The local target: releases in folders named by their digest, a link to the current one, and its process.

A release is put beside the running one, started on a port of its own, and judged; only then the old one is stopped. So the
way back is always the same: point the link back and stop the new one. `running.json` says which process is current; it is
written after the judgement, so a crash before leaves the old release in force.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import msgspec
from tenuto.errors import Refused

from .artifact import Artifact, ArtifactRefused, artifact_of, unpacked
from .service_process import Running, Unhealthy, await_healthy, is_alive, start_service, stop_service

HEALTH_SECONDS_MAX = 15.0
RELEASES_KEPT = 5
ARCHIVE = ".tar"
CURRENT, RUNNING, STARTING = "current", "running.json", "starting.json"


class LocalTarget:
    """One environment for one service on this machine. `root` is its folder, and nobody else writes there."""

    def __init__(self, root: Path, *, health_seconds: float = HEALTH_SECONDS_MAX) -> None:
        """Nothing is started here. `health_seconds`: how long a release may take until it is healthy."""
        self._root, self._seconds = root, health_seconds
        self._releases = root / "releases"

    def current(self) -> str | None:
        """Return the digest of the current release, or None before the first."""
        try:
            return Path(os.readlink(self._root / CURRENT)).name
        except FileNotFoundError:
            return None

    def running(self) -> Running | None:
        """Return the process of the current release if it runs."""
        found = self._load(RUNNING)
        return found if found is not None and is_alive(found) else None

    def release(self, artifact: Artifact) -> tuple[int, str]:
        """Make `artifact` the current release; return after how many milliseconds it was healthy, and its address.

        Raises Unhealthy; then the new one may still run and be current, until `restore`. Raises ArtifactRefused when the
        bytes are not those of the digest; then nothing happened.
        """
        self._stop_left_over()
        folder = self._unpack(artifact)
        self._switch(artifact.digest)
        if artifact.service is None:
            _verify_files(folder, artifact)
            self._retire(None)
            return 0, folder.as_uri()
        started = start_service(artifact.service, folder, artifact.digest)
        self._save(STARTING, started)
        milliseconds = await_healthy(started, self._seconds)
        self._retire(started)
        return milliseconds, started.address

    def kept(self) -> tuple[str, ...]:
        """Return the digests of the releases whose archives are here."""
        return tuple(sorted(path.stem for path in self._releases.glob(f"*{ARCHIVE}")))

    def artifact(self, digest: str) -> Artifact:
        """Return a kept release as it was approved; raises ArtifactRefused when it is gone or not that any more."""
        try:
            content = (self._releases / f"{digest}{ARCHIVE}").read_bytes()
        except FileNotFoundError:
            raise ArtifactRefused(f"The release {digest} is not kept here any more.") from None
        return artifact_of(content, digest)

    def restore(self, digest: str | None) -> bool:
        """Go back to the release `digest` after `release` failed; return whether it is in force and healthy again.

        None, when there was no release before: then there is none afterwards.
        """
        self._stop_left_over()
        if digest is None or not (self._releases / digest).is_dir():
            (self._root / CURRENT).unlink(missing_ok=True)
            return False
        self._switch(digest)
        before = self._load(RUNNING)
        if before is None:
            return True
        if not is_alive(before):
            before = start_service(before.service, self._releases / digest, digest)
            self._save(RUNNING, before)
        try:
            await_healthy(before, self._seconds)
        except Unhealthy:
            return False
        return True

    def stop(self) -> None:
        """Stop whatever runs here; the releases stay. Harmless when nothing does."""
        self._stop_left_over()
        found = self._load(RUNNING)
        if found is not None:
            stop_service(found)
            (self._root / RUNNING).unlink(missing_ok=True)

    def _unpack(self, artifact: Artifact) -> Path:
        content = unpacked(artifact)
        self._releases.mkdir(parents=True, exist_ok=True)
        folder = self._releases / artifact.digest
        # Always afresh and moved into place whole: what lies there from before may have been altered.
        scratch = Path(tempfile.mkdtemp(prefix="unpack-", dir=self._root))
        for path, data in content.items():
            file = scratch / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
        if folder.exists():
            shutil.rmtree(folder)
        scratch.rename(folder)
        archive = self._releases / f"{artifact.digest}{ARCHIVE}"
        beside = archive.with_suffix(".new")
        beside.write_bytes(artifact.content)
        beside.replace(archive)
        return folder

    def _switch(self, digest: str) -> None:
        link = self._root / f".{CURRENT}"
        link.unlink(missing_ok=True)
        link.symlink_to(Path("releases") / digest)
        link.replace(self._root / CURRENT)

    def _retire(self, started: Running | None) -> None:
        """The new release is well: it is on record as running, then the old one ends and old folders go."""
        before = self._load(RUNNING)
        if started is None:
            (self._root / RUNNING).unlink(missing_ok=True)
        else:
            self._save(RUNNING, started)
        (self._root / STARTING).unlink(missing_ok=True)
        if before is not None:
            stop_service(before)
        folders = [path for path in self._releases.iterdir() if path.is_dir() and path.name != self.current()]
        for folder in sorted(folders, key=lambda path: path.stat().st_mtime, reverse=True)[RELEASES_KEPT - 1 :]:
            shutil.rmtree(folder)
            (self._releases / f"{folder.name}{ARCHIVE}").unlink(missing_ok=True)

    def _stop_left_over(self) -> None:
        started = self._load(STARTING)
        if started is not None:
            stop_service(started)
            (self._root / STARTING).unlink(missing_ok=True)

    def _save(self, name: str, running: Running) -> None:
        self._root.mkdir(parents=True, exist_ok=True)
        scratch = self._root / f".{name}"
        scratch.write_bytes(msgspec.json.encode(running))
        scratch.replace(self._root / name)

    def _load(self, name: str) -> Running | None:
        try:
            return msgspec.json.decode((self._root / name).read_bytes(), type=Running)
        except FileNotFoundError:
            return None
        except msgspec.MsgspecError as error:
            raise Refused(f"{self._root / name} cannot be read ({error}). Stop the service by hand and delete it.") from error


def _verify_files(folder: Path, artifact: Artifact) -> None:
    """A release without a service is well when its files are those of the artifact; raises Unhealthy."""
    for path, data in unpacked(artifact).items():
        if (folder / path).read_bytes() != data:
            raise Unhealthy(f"The file {path!r} of the release is not the artifact's.", 1)
