"""The console as people start it, in a process of its own, and the browser that looks at it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from tenuto.documents import Reason
from tenuto.embedded.child import free_port
from tenuto.events import Event
from tenuto.header import decode, encode
from tenuto.settings import Settings
from tenuto_dashboard.commands import command_line
from tenuto_dashboard.login import prepare

from tests.console.planted import plant_home

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROOT = Path(__file__).parents[2]
SCRIPT = Path(__file__).with_name("planted_app.py")
START_SECONDS_MAX = 180.0
STOP_SECONDS_MAX, SETTLE_SECONDS = 20.0, 1.0
CLOSED_WHILE_OPENING = re.compile(
    r"Exception in ASGI application\n"
    r"(?:(?!.*(?:Exception in ASGI application|tenuto_dashboard)).*\n)*?"
    r".*WebSocketDisconnected: Cannot call \"send\" once a close message has been sent\.\n"
)
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--force-color-profile=srgb", "--hide-scrollbars",
)  # fmt: skip


@dataclass(frozen=True)
class Console:
    """A running console."""

    url: str
    home: Path

    def signed(self) -> list[tuple[Event, Reason | None]]:
        """What its door was asked to sign, in order, each with the reason beside it."""
        file = self.home / "door.jsonl"
        whole = file.read_bytes().rpartition(b"\n")[0] if file.exists() else b""  # the console may be writing the last line
        lines = whole.splitlines()
        read = [msgspec.json.decode(line) for line in lines]
        return [(decode(line["header"].encode()), line["reason"] and Reason(text=line["reason"])) for line in read]

    def log(self) -> str:
        """What the process said, without what Streamlit 1.67 says when a tab closes before its connection has opened.

        Its web server then closes a connection that is closed already, outside any page of ours. A defect in a page is
        printed in other words, so that it still stands here. What is being written is waited for, to its last word.
        """
        seen = -1
        while "Traceback" in (said := self._said()) and len(said) != seen:
            seen = len(said)
            time.sleep(SETTLE_SECONDS)
        return said

    def _said(self) -> str:
        return CLOSED_WHILE_OPENING.sub("", (self.home / "console.log").read_text("utf-8", "replace"))


@contextmanager
def running_console(home: Path, database: str, **more: Any) -> Iterator[Console]:
    """Start the console of the command line over a planted database, wait until it answers, and stop it at the end.

    `more` are further settings.
    """
    plant_home(home)
    settings = Settings(home=home, console_port=free_port(), **more)
    prepare(settings)
    console = Console(f"http://{settings.console_address}:{settings.console_port}", home)
    own = {name: value for name, value in os.environ.items() if not name.startswith("TENUTO_")}
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    own |= {f"TENUTO_{name.upper()}": str(value) for name, value in more.items()}
    planted = {"PYTHONPATH": path, "PLANTED_DATABASE": database, "PLANTED_DOOR": str(home / "door.jsonl"), "TENUTO_HOME": str(home)}
    with (home / "console.log").open("wb") as log:
        process = subprocess.Popen(command_line(settings, SCRIPT), env=own | planted, stdout=log, stderr=log)
        try:
            _wait_until_healthy(console, process)
            yield console
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def open_browser(program: str) -> Iterator[Browser]:
    """Start a headless browser."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(FLAGS))
        yield browser
        browser.close()


def find_browser() -> str | None:
    """Return the path of a Chromium, or None."""
    named = os.environ.get("CHROMIUM")
    return named or next((found for name in BROWSERS if (found := shutil.which(name))), None)


def _wait_until_healthy(console: Console, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{console.url}/_stcore/health", timeout=20):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise AssertionError(f"The console did not start:\n{console.log()}")


def line_of(event: Event, reason: str | None) -> bytes:
    """What the planted door writes for `Console.signed`."""
    return msgspec.json.encode({"header": encode(event).decode(), "reason": reason}) + b"\n"
