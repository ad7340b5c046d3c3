"""GitHub's own published webhooks: the npm package `@octokit/webhooks-examples`, fetched once into a cache of this machine."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import pytest

PACKAGE, VERSION = "@octokit/webhooks-examples", "7.6.1"
SHA256 = "89e6cb1c6345d32e3dd775617fa54effbdc26c859e514898d7728e95e9738280"
FETCH_SECONDS_MAX = 120


def github_examples() -> list[tuple[str, dict[str, Any]]]:
    """Event and payload of every example; without npm or a registry a local run skips in one line, and CI fails."""
    archive = _cache() / f"webhooks-examples-{VERSION}.tgz"
    if not archive.exists():
        reason = _fetch(archive)
        if reason and os.environ.get("CI") == "true":
            pytest.fail(f"CI=true and GitHub's examples cannot be had: {reason}", pytrace=False)
        if reason:
            pytest.skip(f"GitHub's examples cannot be had: {reason}")
    content = archive.read_bytes()
    assert hashlib.sha256(content).hexdigest() == SHA256, f"{archive} is not the package that was pinned; remove it"
    with tarfile.open(archive) as files:
        index = files.extractfile("package/api.github.com/index.json")
        assert index is not None
        found = json.load(index)
    return [(event["name"], example) for event in found for example in event["examples"]]


def _cache() -> Path:
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tenuto"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _fetch(archive: Path) -> str:
    """Fetch the package; returns why it could not be had, or nothing."""
    npm = shutil.which("npm")
    if npm is None:
        return "there is no npm on this machine"
    with tempfile.TemporaryDirectory(dir=archive.parent) as folder:
        command = [npm, "pack", "--silent", f"{PACKAGE}@{VERSION}"]
        try:
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=FETCH_SECONDS_MAX, check=False)
        except subprocess.TimeoutExpired:
            return "npm did not answer in time"
        packed = list(Path(folder).glob("*.tgz"))
        if done.returncode != 0 or len(packed) != 1:
            return f"npm pack failed: {done.stderr.strip()[-200:]}"
        packed[0].replace(archive)
    return ""
