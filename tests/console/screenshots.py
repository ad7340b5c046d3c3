"""Makes the pictures of the README from the planted story: `python -m tests.console.screenshots`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import psycopg
from tenuto.embedded import EmbeddedPostgres
from tenuto.migrating import migrate, sqlalchemy_url

from tests.console import story
from tests.console.planted import Planted
from tests.console.running import ROOT, Console, find_browser, open_browser, running_console

IMAGES = ROOT / "docs" / "images"
WINDOW = {"width": 1440, "height": 900}
SECONDS_MAX = 60.0
SETTLE_MS = 1500
BYTES_MAX = 300_000
PICTURES = {
    "console-inbox": ("/inbox", story.PARTNER.title),
    "console-review": (f"/review?approval={story.GRAVEST}", "Piece by piece"),
    "console-spotchecks": ("/spotchecks", "Spot checks"),
    "console-spotcheck": (f"/spotchecks?approval={story.OVERDUE}", "The draw"),
    "console-reviewers": ("/reviewers", "Load now"),
    "console-policy": ("/policy", "Canaries"),
    "console-run": (f"/runs?run={story.SHIPPED}", "Timeline"),
    "console-integrity": ("/integrity", "Verify it yourself"),
}
"""Each with its address and a text that says that it is drawn."""


def main() -> None:
    """Start a Postgres, tell the story, and take the pictures."""
    program = find_browser()
    if program is None:
        sys.exit("No Chromium on this machine; name one in CHROMIUM.")
    with tempfile.TemporaryDirectory() as folder, EmbeddedPostgres(Path(folder) / "postgres", durable=False) as server:
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute("CREATE DATABASE story")
        migrate(server.url_of("story"))
        ledger = Planted(sqlalchemy_url(server.url_of("story")), story.just_ended())
        story.tell(ledger)
        home = Path(folder) / "home"
        home.mkdir()
        with running_console(home, sqlalchemy_url(server.url_of("story", user="tenuto_console"))) as console:
            take(console, program, ledger)
        ledger.engine.dispose()


def take(console: Console, program: str, ledger: Planted) -> None:
    """Take every picture, each below BYTES_MAX, of a log that was checked a moment ago."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    with open_browser(program) as browser:
        context = browser.new_context(viewport=WINDOW, color_scheme="light", reduced_motion="reduce")
        context.set_default_timeout(SECONDS_MAX * 1000)
        for name, (address, text) in PICTURES.items():
            ledger.seal()
            page = context.new_page()
            page.goto(console.url + address)
            page.get_by_text(text).first.wait_for()
            page.wait_for_timeout(SETTLE_MS)
            file = IMAGES / f"{name}.png"
            page.screenshot(path=file)
            page.close()
            size = file.stat().st_size
            assert size < BYTES_MAX, f"{file} has {size:,} bytes; at most {BYTES_MAX:,}."
            print(f"{file.relative_to(ROOT)}: {size:,} bytes")


if __name__ == "__main__":
    main()
