"""`tenuto notify` as people run it: a process of its own beside the real road, real receivers, killed in the middle."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from standardwebhooks import Webhook as Verifier
from tenuto.cli.status import notifications
from tenuto.clock import SystemClock
from tenuto.documents import ApprovalCard, PlannedChange, Reason
from tenuto.events import ApprovalRequested, ApprovalSigned
from tenuto.gate import Action
from tenuto.registering import Enrolment
from tenuto.router import Router
from tenuto.wiring import open_follower, open_gate

from tests.conftest import Database
from tests.road import SECONDS_MAX, Road, until
from tests.unit.notify.conftest import authority, certificate, mail, web  # noqa: F401 - fixtures
from tests.unit.notify.receivers import MailServer, WebReceiver
from tests.unit.siem.receiver import Authority

SECRET = "whsec_" + "A" * 32
PEOPLE = (
    Enrolment("infrastructure", "agent", "ada"), Enrolment("lena", "reviewer", "lena"), Enrolment("otto", "reviewer", "otto"),
    Enrolment("router", "router", "operations"),
)  # fmt: skip
FILE = """
[channels.mail]
kind = "email"
host = "localhost"
port = {port}
sender = "tenuto@example.com"
ca = "{ca}"
[channels.hook]
kind = "webhook"
url = "{url}"
secret_file = "secret"
ca = "{ca}"
[people.lena]
channels = ["mail", "hook"]
email = "lena@example.com"
[people.mara]
channels = ["mail"]
email = "mara@example.com"
"""


def ask(road: Road) -> ApprovalRequested:
    """An agent asks for one approval by its gate, and the router gives it to lena: she is the first of two by name."""
    card = ApprovalCard(title="A queue", sentence="Adds <!channel> a queue.", changes=(PlannedChange(address="q.x", type="q", actions=("create",)),))
    with road.recorder("infrastructure") as agent:
        gate = open_gate(road.settings, agent)
        action = Action(
            tool="terraform.apply", resource="stack:shop", digest="d" * 64, subject="terraform.plan", initiator="mara", card=card,
            arguments={"resources": 1, "open_to_world": 0},
        )  # fmt: skip
        asked = gate.request(action, run="run-1")
    with road.recorder("router") as recorder:
        router = Router(open_follower(road.settings, payloads=False), recorder, SystemClock())
        until(lambda: goes_on(router, asked))
    return asked


def goes_on(router: Router, asked: ApprovalRequested) -> bool | None:
    """Step until the ledger shows that somebody has the request."""
    router.step()
    return bool(router.desk.live(router.desk.approvals.standing(asked.approval, router._seen))) or None if router.desk.approvals.requests() else None


@contextmanager
def notifier(road: Road, file: Path) -> Iterator[subprocess.Popen[bytes]]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("TENUTO_")}
    settings = {
        "TENUTO_HOME": str(road.home), "TENUTO_DATABASE_URL": str(road.settings.database_url), "TENUTO_NOTIFY": str(file),
        "TENUTO_CONSOLE_URL": "https://console.example",
    }  # fmt: skip
    with (road.home / "notify.log").open("ab") as log:
        process = subprocess.Popen([sys.executable, "-m", "tenuto", "notify"], env=own | settings, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def file(tmp_path: Path, mail: MailServer, web: WebReceiver, authority: Authority) -> Path:  # noqa: F811
    (tmp_path / "secret").write_text(SECRET + "\n")
    (tmp_path / "secret").chmod(0o600)
    (tmp_path / "notify.toml").write_text(FILE.format(port=mail.port, ca=authority.ca, url=web.url))
    return tmp_path / "notify.toml"


def test_a_reviewer_and_an_initiator_are_told_once_by_a_process_that_reads_headers_only_and_is_killed(
    tmp_path: Path, database: Database, file: Path, mail: MailServer, web: WebReceiver  # noqa: F811
) -> None:
    with Road(tmp_path / "home", database) as road, road.working():
        road.register(*PEOPLE)
        asked = ask(road)
        with notifier(road, file) as process:
            posted: Any = until(lambda: web.posted or None)[0]
            until(lambda: mail.letters() or None)
            verified = Verifier(SECRET).verify(posted.body.decode(), posted.headers)
            assert verified["data"]["link"] == f"https://console.example/review?approval={asked.approval}"
            assert b"queue" not in posted.body, "what the card says is a payload"
            assert "queue" not in mail.letters()[0]["text"]
            assert until(lambda: roles_in_use(database) or None) == {"tenuto_notifier"}
            until(lambda: noted(road) or None)  # a kill between the sending and its note sends again, under the same id
            process.send_signal(signal.SIGKILL)
        with road.recorder("otto") as otto:
            fields = {"run": asked.run, "cause": (asked.id,), "approval": asked.approval, "digest": asked.digest}
            otto.record(ApprovalSigned, document=Reason(text="Not today."), decision="deny", **fields)
            otto.flush(SECONDS_MAX)
        with notifier(road, file) as process:
            until(lambda: len(mail.letters()) > 1 or None)
            size = road.size()
            until(lambda: (notifications(road.settings) or {}).get("seen", 0) >= size or None)
            process.send_signal(signal.SIGTERM)
            assert process.wait(SECONDS_MAX) == 0
        told = [(letter["to"], subject_of(letter)) for letter in mail.letters()]
        assert told == [
            (["lena@example.com"], "Tenuto: A request is yours to review."),
            (["mara@example.com"], "Tenuto: What you asked for was denied."),
        ]
        assert len(web.posted) == 1
        assert (notifications(road.settings) or {})["unreachable"] == ["otto"]
        assert road.size() == size, "a notifier writes nothing into the ledger"


def noted(road: Road) -> bool:
    """Whether the notifier has noted that each channel took its letter."""
    channels = (notifications(road.settings) or {}).get("channels", {})
    return len(channels) == 2 and all(channel["last_sent"] is not None for channel in channels.values())


def subject_of(letter: dict[str, Any]) -> str:
    return next(line for line in letter["text"].splitlines() if line.startswith("Subject: ")).removeprefix("Subject: ")


def roles_in_use(database: Database) -> set[str]:
    """The roles under which processes other than this one's road are connected: the notifier's."""
    query = "SELECT usename FROM pg_stat_activity WHERE datname = %s AND usename = 'tenuto_notifier'"
    with psycopg.connect(database.url()) as connection:
        return {row[0] for row in connection.execute(query, (database.name,)).fetchall()}
