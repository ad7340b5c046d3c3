"""A console where people log in: a real OpenID provider in a process of its own, a reverse proxy, and a planted ledger."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tenuto.approvals.identities import identity_of
from tenuto.approvals.spotcheck import Spotcheck
from tenuto.embedded.child import free_port
from tenuto.events import ApprovalSigned, Event, PasskeyEnrolled, ReviewerBound
from tenuto_projections.inbox import Approval, approval
from tenuto_projections.reviewed import looks_at

from tests.console.planted import Planted
from tests.console.proxy import proxied
from tests.console.running import Console, running_console

SECONDS_MAX = 120.0
ADMIN, CONSOLE = "ida", "console"
PEOPLE = ("lena", "otto", "vera")
MALLORY = {"sub": "mallory", "groups": ["admin", "reviewers"], "role": "admin", "roles": ["administrator"], "reviewer": "lena"}
"""A stranger whose provider says of him whatever he could wish for."""


@dataclass
class Place:
    """The console behind its proxy, the ledger under it, and how far the test has read what the console signed."""

    url: str
    behind: str
    issuer: str
    console: Console
    ledger: Planted
    taken: list[Event] = field(default_factory=list)
    looked: int = 0

    def write(self, kind: type[Event], author: str = ADMIN, **fields: Any) -> Event:
        """Somebody records something, now."""
        self.catch_clock()
        return self.ledger.write(author, kind, after=0.001, **fields)

    def identity(self, subject: str) -> str:
        return identity_of(self.issuer, subject)

    def bind(self, subject: str, reviewer: str) -> None:
        self.write(ReviewerBound, reviewer=reviewer, identity=self.identity(subject))

    def enrol(self, credential: str, reviewer: str) -> None:
        self.write(PasskeyEnrolled, reviewer=reviewer, owner=reviewer, credential=credential)

    def take(self, page: Any, kind: type[Event]) -> Any:
        """Wait until the console has signed the next event of this kind, and let the ledger have everything up to it."""
        place = self.until(page, lambda: next((at for at, one in enumerate(self.taken) if at >= self.looked and isinstance(one, kind)), None))
        self.looked = place + 1
        return self.taken[place]

    def until(self, page: Any, holds: Callable[[], Any]) -> Any:
        """Wait until something holds, while the ledger takes what the console signs; return it."""
        deadline = time.monotonic() + SECONDS_MAX
        self.pump()
        while (found := holds()) in (None, False):
            assert time.monotonic() < deadline, f"{page.inner_text('body')}\n{self.console.log()}"
            self.pump()
            page.wait_for_timeout(50)
        return found

    def pump(self) -> None:
        """Let the ledger have what the console has signed since the last time."""
        for event, reason in self.console.signed()[len(self.taken) :]:
            self.catch_clock()
            self.ledger.take(event, reason)
            self.taken.append(event)

    def catch_clock(self) -> None:
        """The planted ledger's time is a story's; what happens during the test happens now."""
        self.ledger.now = max(self.ledger.now, datetime.now(UTC))

    def send(self, like: ApprovalSigned, **changes: Any) -> None:
        """A console that is not ours any more sends an assertion under whatever it likes."""
        fields = {name: getattr(like, name) for name in ("approval", "digest", "decision", "coverage", "reviewer", "assertion")}
        self.write(ApprovalSigned, CONSOLE, **fields | changes)

    def standing(self, name: str) -> Approval:
        with self.ledger.engine.connect() as connection:
            found = approval(connection, name)
        assert found is not None
        return found

    def check(self, name: str) -> Spotcheck:
        """How the second look at an approval stands, as the fold has it."""
        with self.ledger.engine.connect() as connection:
            return looks_at(connection, [name])[name].check

    def verdict(self, name: str) -> tuple[bool, int, str]:
        """Whether the last vote counts, and which rule says why not, as the fold has it."""
        vote = self.standing(name).votes[-1]
        return vote.counts, vote.rule, vote.sentence


@contextmanager
def provider() -> Iterator[str]:
    """Run an OpenID provider and give its issuer."""
    issuer = f"http://localhost:{(port := free_port())}"
    known = [json.dumps(MALLORY), *(json.dumps({"sub": name}) for name in PEOPLE)]
    command = [sys.executable, "-W", "ignore", "-m", "oidc_provider_mock", "--host", "localhost", "--port", str(port)]
    for one in known:
        command += ["--user-claims", one]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _until_it_answers(f"{issuer}/.well-known/openid-configuration", process)
        yield issuer
    finally:
        process.terminate()
        process.wait()


@contextmanager
def running_place(home: Path, database: str, ledger: Planted) -> Iterator[Place]:
    """Start provider, console and proxy; lena and otto are bound and have no keys yet."""
    secret = home / "client.secret"
    secret.touch(mode=0o600)
    secret.write_text("a-secret-of-the-test\n")
    port = free_port()
    url = f"http://localhost:{port}"
    login = {"login_client_id": "tenuto-console", "login_client_secret_file": secret, "console_url": url}
    with provider() as issuer:
        login["login_metadata_url"] = f"{issuer}/.well-known/openid-configuration"
        with running_console(home, database, **login) as console, proxied(port, int(console.url.rpartition(":")[2])):
            place = Place(url, console.url.replace("127.0.0.1", "localhost"), issuer, console, ledger)
            ledger.register(ADMIN, "administrator", ADMIN)
            for name in ("lena", "otto"):
                place.bind(name, name)
            yield place


def _until_it_answers(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + SECONDS_MAX
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=20):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise AssertionError("The OpenID provider did not start.")
