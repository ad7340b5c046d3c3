"""Test vectors that others publish, read out of the Go module registry's own archive and never copied into this tree.

The module is pinned by its version and by the hash that `go` computes of the whole archive, the one that a `go.sum` holds.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import zipfile
from typing import Any

from tenuto.embedded.child import PartMissing

from tests.interop.foreign import BUILD_SECONDS_MAX, find_go

WYCHEPROOF = "github.com/c2sp/wycheproof"
WYCHEPROOF_VERSION = "v0.0.0-20260902155932-3fa63dd0344a"
WYCHEPROOF_SUM = "h1:pNbL2nztRsWfW/ispAwsvcDFxs9Id38uIsR2/Up5G2c="


def wycheproof(name: str) -> dict[str, Any]:
    """Return a file of Wycheproof's `testvectors_v1`; raises PartMissing where it cannot be had."""
    archive = _downloaded(WYCHEPROOF, WYCHEPROOF_VERSION, WYCHEPROOF_SUM)
    with zipfile.ZipFile(archive) as files:
        found: dict[str, Any] = json.loads(files.read(f"{WYCHEPROOF}@{WYCHEPROOF_VERSION}/testvectors_v1/{name}"))
    return found


def _downloaded(module: str, version: str, right_sum: str) -> str:
    """Return where the module's archive is on this machine.

    `go` complains of a module that wants a newer Go, and has the archive all the same; we only read it.
    """
    go, _ = find_go()
    with tempfile.TemporaryDirectory() as nowhere:  # outside of any module
        ended = subprocess.run(
            [go, "mod", "download", "-json", f"{module}@{version}"],
            capture_output=True, text=True, timeout=BUILD_SECONDS_MAX, check=False, cwd=nowhere,
            env={**os.environ, "GOTOOLCHAIN": "local", "GOWORK": "off", "GOFLAGS": ""},
        )  # fmt: skip
    said = json.loads(ended.stdout or "{}")
    if not said.get("Zip"):
        raise PartMissing(f"Go could not fetch {module}: {said.get('Error') or ended.stderr.strip()[-300:]}")
    assert said["Sum"] == right_sum, f"{module} is not the archive that was pinned: {said['Sum']}"
    return str(said["Zip"])
