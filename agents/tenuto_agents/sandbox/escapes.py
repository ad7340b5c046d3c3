"""What a hostile file would try if a parser executed it: a program that attacks the box it runs in, and says what worked.

Run by its path with a folder to write to, a file to read and a port to reach; prints the names of the attacks that
succeeded, as JSON. It is harmless outside of a box too, where most of it works: that is how the tests know that it is the
box which stops it.
"""

from __future__ import annotations

import ctypes
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

BIG_BYTES = 48 * 1024**2  # more than the box gives; asked for in one go, as ten gigabytes would be
FORKS = 40
NEW_USER_NAMESPACE = 0x10000000
ATTACKS = ("connect", "write", "read", "environment", "shell", "fork", "big_file", "mount", "unshare")


def connect(port: int) -> bool:
    """Call home."""
    with socket.create_connection(("127.0.0.1", port), 2):
        return True


def write(folder: str) -> bool:
    """Leave something behind on the machine."""
    return Path(folder, "left-behind").write_text("x") > 0


def read(file: str) -> bool:
    """Read what lies on the machine, such as /etc/shadow."""
    return len(Path(file).read_bytes()) > 0


def environment() -> bool:
    """Find a token in the environment."""
    return any("TOKEN" in name or "KEY" in name for name in os.environ)


def shell() -> bool:
    """Run a program."""
    return subprocess.run(["/bin/sh", "-c", "exit 0"], check=False).returncode == 0


def fork() -> bool:
    """Multiply, a little."""
    for _ in range(FORKS):
        child = os.fork()
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)
    return True


def big_file(folder: str) -> bool:
    """Fill the disk."""
    place = Path(folder if Path(folder).is_dir() else "/tmp", "big")  # noqa: S108 - the box has its own
    try:
        with place.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, BIG_BYTES)
        return True
    finally:
        place.unlink(missing_ok=True)


def mount(folder: str) -> bool:
    """Change the file system."""
    libc, place = ctypes.CDLL(None, use_errno=True), folder.encode()
    return bool(libc.mount(b"none", place, b"tmpfs", 0, None) == 0 and libc.umount(place) == 0)


def unshare() -> bool:
    """Become root in a namespace of one's own, where the kernel has more mistakes."""
    return bool(ctypes.CDLL(None).unshare(NEW_USER_NAMESPACE) == 0)


def main(folder: str, file: str, port: str, *only: str) -> None:
    """Try each attack, or only those named."""
    tries: dict[str, Callable[[], bool]] = {
        "connect": lambda: connect(int(port)), "write": lambda: write(folder), "read": lambda: read(file), "environment": environment,
        "shell": shell, "fork": fork, "big_file": lambda: big_file(folder), "mount": lambda: mount(folder), "unshare": unshare,
    }  # fmt: skip
    print(json.dumps([name for name in only or ATTACKS if _works(tries[name])]))


def _works(attack: Callable[[], bool]) -> bool:
    try:
        return attack()
    except (OSError, subprocess.SubprocessError):
        return False


if __name__ == "__main__":
    main(*sys.argv[1:])
