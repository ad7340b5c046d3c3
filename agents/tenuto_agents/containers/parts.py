"""Which foreign programs the container site needs, and whether this machine lets them work.

A missing part is named before anything is deployed: half a rollout that stops for want of a program is worse than none.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from ..processes import SAFE_PATH, Ended, ToolMissing, run_tool

PROGRAMS = ("skopeo", "podman", "runc", "nft", "ip", "gpg")
SEARCH_PATH = SAFE_PATH + ":/usr/sbin:/sbin:/usr/local/sbin"
TOOL_SECONDS_MAX = 60.0


def find_part(program: str) -> str:
    """Return the path of a program; raises ToolMissing."""
    found = shutil.which(program, path=SEARCH_PATH)
    if found is None:
        raise ToolMissing(f"The program {program} is not on this machine. Install it, or deploy without a container site.")
    return found


def run_part(
    *argv: str, folder: Path | None = None, seconds: float = TOOL_SECONDS_MAX, environment: dict[str, str] | None = None
) -> Ended:
    """Run a program of the site by its name, as `processes.run_tool` does; raises what that raises."""
    env = {"PATH": SEARCH_PATH, **(environment or {})}
    return run_tool([find_part(argv[0]), *argv[1:]], folder=folder or Path("/"), seconds=seconds, environment=env)


def missing_parts() -> str | None:
    """Return in one sentence what this machine lacks for containers, or None."""
    absent = [program for program in PROGRAMS if shutil.which(program, path=SEARCH_PATH) is None]
    if absent:
        return f"Not on this machine: {', '.join(absent)}."
    with tempfile.NamedTemporaryFile(prefix="tenuto-probe-") as unique:
        name = Path(unique.name).name.replace("_", "x")
        made = run_part("ip", "netns", "add", name)
        if made.code != 0:
            return f"This machine lets nobody make a network namespace: {made.complaint()}"
        try:
            filtered = run_part("ip", "netns", "exec", name, find_part("nft"), "add", "table", "inet", "tenuto")
        finally:
            run_part("ip", "netns", "delete", name)
    return f"This machine lets nobody filter packets: {filtered.complaint()}" if filtered.code != 0 else None
