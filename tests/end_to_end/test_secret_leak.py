"""A password leaks and opens nothing any more: on the real road, against a real OpenBao and a real Postgres (M8, M10, M11, M21)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from tenuto.clock import new_uuid7
from tenuto.documents import Reason
from tenuto.embedded import EmbeddedPostgres
from tenuto.embedded.child import free_port
from tenuto.events import AlertRaised, ApprovalRequested, MessageSent, SecretLeaked, SecretRotated
from tenuto.purges import PURGE_TOOL
from tenuto.registering import Enrolment
from tenuto.wiring import open_purging
from tenuto_agents.secrets.live import Live, add_live, load_live, open_scanner
from tenuto_agents.secrets.response import LeakResponse, filter_of
from tenuto_agents.secrets.rotation import OpenBaoRotator, RotationFailed
from tenuto_agents.secrets.watching import SecretWatch

from tests.conftest import Database
from tests.end_to_end.openbao import OpenBao, bao_or_skip
from tests.road import Road, answer

PEOPLE = (
    Enrolment("code-review", "agent", "team"), Enrolment("infrastructure", "agent", "team"), Enrolment("keeper", "keeper", "kay"),
    Enrolment("bob", "reviewer", "bob"), Enrolment("eve", "reviewer", "eve"), Enrolment("console", "console", "operations"),
)  # fmt: skip
ROTATE = 'path "database/rotate-role/shop" { capabilities = ["update"] }'


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """A database that asks for passwords, with the user whose password will leak."""
    with EmbeddedPostgres(tmp_path_factory.mktemp("shop"), free_port(), durable=False) as server:
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute("CREATE ROLE shop LOGIN PASSWORD 'before-it-was-managed'")
        yield server


@pytest.fixture(scope="module")
def bao(shop: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenBao]:
    with OpenBao(bao_or_skip(), tmp_path_factory.mktemp("bao")) as server:
        server.manage(shop.url, "shop", "shop")
        yield server


@pytest.fixture
def road(tmp_path: Path, database: Database) -> Iterator[Road]:
    with Road(tmp_path, database) as road, road.working():
        road.register(*PEOPLE)
        yield road


def log_in(shop: EmbeddedPostgres, password: str) -> None:
    psycopg.connect(shop.url_of("postgres", "shop", password), connect_timeout=60).close()


def test_the_leaked_password_is_rotated_and_its_payload_purged(road: Road, bao: OpenBao, shop: EmbeddedPostgres) -> None:
    password = bao.get("database/static-creds/shop")["data"]["password"]
    log_in(shop, password)
    home, keys = road.settings.home, road.settings.keys
    fingerprint = add_live(home, keys, password.encode(), Live("database-password", "shop"))
    with road.recorder("code-review") as author:  # an agent without the filter, as an author of somebody else would be
        sent = author.send("infrastructure", "review", Reason(text=f"log in with {password}"), run="run-1")
        position = author.wait(sent).position
    rotator = OpenBaoRotator(bao.address, bao.token(ROTATE).encode())

    def guard() -> None:
        with open_purging(road.settings, "keeper") as purging:
            ask = lambda place: purging.request([str(place)], "secret", "", "kay").request.approval  # noqa: E731
            response = LeakResponse(purging.recorder, load_live(home), rotator=rotator, ask_purge=ask, new_id=new_uuid7)
            watch = SecretWatch(open_scanner(home, keys), response, "keeper")
            for verified in road.read(payloads=True):
                watch.look_at_event(verified)
            purging.recorder.flush(120)

    guard()
    leaked = road.events("keeper", SecretLeaked)[0]
    assert (leaked.fingerprint, leaked.place, leaked.run) == (fingerprint, f"ledger:{position}", "run-1")  # type: ignore[attr-defined]
    assert [event.cause for event in road.events("keeper", SecretRotated)] == [(leaked.id,)]
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        log_in(shop, password)
    log_in(shop, bao.get("database/static-creds/shop")["data"]["password"])

    asked = next(event for event in road.events("keeper", ApprovalRequested) if event.tool == PURGE_TOOL)  # type: ignore[attr-defined]
    for name in ("bob", "eve"):
        with road.recorder("console") as console, road.recorder(name) as reviewer:
            for event in answer(road, console, reviewer, asked):  # type: ignore[arg-type]
                reviewer.wait(event)
    with open_purging(road.settings, "keeper") as purging:
        purging.apply(asked.approval)  # type: ignore[attr-defined]
    assert road.read(payloads=True)[position].payload is None


def test_a_rotation_without_permission_or_server_fails_and_says_so(bao: OpenBao) -> None:
    with pytest.raises(RotationFailed, match="403"):
        OpenBaoRotator(bao.address, b"no-such-token").rotate("shop")
    token = bao.token(ROTATE).encode()
    with pytest.raises(RotationFailed, match="403"):
        OpenBaoRotator(bao.address, token).rotate("another")


def test_an_agent_with_the_filter_puts_no_secret_into_the_ledger(road: Road) -> None:
    token = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"
    with road.recorder("code-review") as author:
        filter_of(author, open_scanner(road.settings.home, road.settings.keys))
        author.wait(author.send("infrastructure", "review", Reason(text=f"log in with {token}"), run="run-1"))
        author.flush(120)
    found = road.read(payloads=True)
    assert not any(token.encode() in (one.payload or b"") for one in found)
    sent = next(one for one in found if isinstance(one.event, MessageSent))
    assert b"log in with [secret github-token" in (sent.payload or b"")
    leaked = next(one.event for one in found if isinstance(one.event, SecretLeaked))
    alert = next(one.event for one in found if isinstance(one.event, AlertRaised))
    assert (leaked.place, leaked.refs, alert.evidence) == ("message.sent", ("T3", "M8"), (leaked.id,))
