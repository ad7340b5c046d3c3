"""A passkey in a real browser, with Chromium's virtual authenticator; what it signed is put to the fold of approvals."""

from __future__ import annotations

import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from tenuto.approvals.passkeys import PasskeyRefused, Passkeys
from tenuto.embedded.child import free_port
from tenuto.events import ApprovalSigned, PasskeyEnrolled, PasskeyOffered, PasskeyRevoked
from tenuto.keyring import Key
from tenuto.settings import Settings
from tenuto_dashboard.commands import command_line

from tests.console.running import ROOT
from tests.doubles import START

SCRIPT = Path(__file__).with_name("passkey_app.py")
SECONDS_MAX = 120.0
ORIGIN, CONSOLE = "tenuto.test/log", Key("console", "k", b"", "console", "operations", insecure_demo=False, since=0)
ADMIN = Key("ida", "k", b"", "administrator", "ida", insecure_demo=False, since=0)


@dataclass
class Page:
    """A page with the button, the browser's view of it, and what the page wrote down."""

    page: Any
    devtools: Any
    file: Path

    def written(self) -> list[dict[str, Any]]:
        whole = self.file.read_text().rpartition("\n")[0] if self.file.exists() else ""  # the page may be writing the last line
        return [json.loads(line) for line in whole.splitlines()]

    def press(self, name: str) -> dict[str, Any]:
        """Press a button and return what the page wrote down about it."""
        before = len(self.written())
        self.page.get_by_role("button", name=name).click()
        deadline = time.monotonic() + SECONDS_MAX
        while len(self.written()) == before and time.monotonic() < deadline:
            self.page.wait_for_timeout(50)
        return self.written()[before]


@dataclass(frozen=True)
class Served:
    """Where the page is served, and the file it writes to."""

    url: str
    file: Path


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    port, folder = free_port(), tmp_path_factory.mktemp("passkey")
    served = Served(f"http://localhost:{port}", folder / "written.jsonl")
    own = {name: value for name, value in os.environ.items() if not name.startswith("TENUTO_")}
    path = os.pathsep.join([str(ROOT), own.get("PYTHONPATH", "")])
    planted = {"PASSKEY_PAGE": served.url, "PASSKEY_FILE": str(served.file), "PYTHONPATH": path}
    settings = Settings(home=folder, console_port=port, console_address="localhost")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command_line(settings, SCRIPT), env=own | planted, stdout=log, stderr=log)
        try:
            wait_until_healthy(served.url, process)
            yield served
        finally:
            process.terminate()
            process.wait()


@contextmanager
def opened(browser: Any, served: Served, *, known_as: str | None = None, verified: bool = True) -> Iterator[Page]:
    """Open the page with an authenticator of its own; `known_as` is where the console believes to stand."""
    context = browser.new_context()
    try:
        page = context.new_page()
        page.set_default_timeout(SECONDS_MAX * 1000)
        devtools = context.new_cdp_session(page)
        devtools.send("WebAuthn.enable")
        options = {
            "protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True,
            "isUserVerified": verified, "automaticPresenceSimulation": True,
        }  # fmt: skip
        devtools.send("WebAuthn.addVirtualAuthenticator", {"options": options})
        page.goto(served.url + (f"/?page={known_as}" if known_as else ""))
        yield Page(page, devtools, served.file)
    finally:
        context.close()


def wait_until_healthy(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + SECONDS_MAX
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/_stcore/health", timeout=20):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise AssertionError("The page did not start.")


def event(kind: Any, author: str = "console", **fields: Any) -> Any:
    return kind(
        v=1, log_origin=ORIGIN, author=author, key_id="k", session=UUID(int=1), seq=0, prev="0" * 64, at=START,
        id=UUID(int=2), **fields,
    )  # fmt: skip


def enrolled(offer: dict[str, Any]) -> Passkeys:
    passkeys = Passkeys()
    passkeys.apply(event(PasskeyOffered, **offer), CONSOLE, 1)
    passkeys.apply(event(PasskeyEnrolled, "ida", reviewer="lena", owner="lena", credential=offer["credential"]), ADMIN, 2)
    return passkeys


def vote(assertion: str, **changes: Any) -> ApprovalSigned:
    fields = {"approval": "a-1", "digest": "d" * 64, "decision": "approve", "coverage": "c" * 64, "reviewer": "lena"}
    return event(ApprovalSigned, **fields | changes, assertion=assertion)


def refused(passkeys: Passkeys, cast: ApprovalSigned) -> str:
    with pytest.raises(PasskeyRefused) as caught:
        passkeys.use(cast, "lena")
    return str(caught.value)


def test_what_a_browser_signed_counts_once_for_its_decision_and_its_passkey(browser: Any, served: Served) -> None:
    with opened(browser, served) as page:
        offer = page.press("Make a passkey")["offer"]
        first, second = page.press("Approve")["assertion"], page.press("Approve")["assertion"]
    passkeys = enrolled(offer)
    assert "did not sign this" in refused(passkeys, vote(first, digest="e" * 64)), "another plan"
    assert "did not sign this" in refused(passkeys, vote(first, decision="deny")), "another decision"
    passkeys.use(vote(first), "lena")
    assert "used before" in refused(passkeys, vote(first)), "the same again"
    assert "used before" in refused(passkeys, vote(second)), "signed anew over the same challenge"
    other = enrolled(offer)
    gone = event(PasskeyRevoked, "ida", reviewer="lena", credential=offer["credential"], reason="lost")
    other.apply(gone, ADMIN, 3)
    assert "revoked" in refused(other, vote(first)), "a revoked passkey"


def test_a_passkey_made_on_another_page_is_refused(browser: Any, served: Served) -> None:
    with opened(browser, served, known_as="http://localhost:1") as page:
        said = page.press("Make a passkey")["refused"]
    assert "origin" in said


def test_what_was_signed_on_another_page_is_refused_by_the_fold(browser: Any, served: Served) -> None:
    with opened(browser, served) as page:
        offer = page.press("Make a passkey")["offer"]
        assertion = page.press("Approve")["assertion"]
    passkeys = enrolled(offer | {"web_origin": "http://localhost:1"})
    assert "origin" in refused(passkeys, vote(assertion))


def test_a_person_whom_the_device_does_not_verify_cannot_sign_and_is_told_so(browser: Any, served: Served) -> None:
    with opened(browser, served, verified=False) as page:
        said = page.press("Make a passkey")["refused"]
    assert "did not sign" in said


def test_a_second_passkey_on_the_same_device_is_refused_in_words(browser: Any, served: Served) -> None:
    with opened(browser, served) as page:
        page.press("Make a passkey")
        page.page.get_by_role("button", name="Approve").wait_for()
        assert "holds a passkey of yours already" in page.press("Make a passkey")["refused"]
