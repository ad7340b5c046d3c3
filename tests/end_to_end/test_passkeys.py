"""`tenuto passkey ...` on a road that works: offered by the console, enrolled by an administrator, used, revoked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import Result
from tenuto.approvals import Approvals
from tenuto.approvals.passkeys import PasskeyRefused, challenge_of
from tenuto.cli import build
from tenuto.errors import NotConfigured
from tenuto.events import ApprovalSigned, PasskeyOffered
from tenuto.registering import Enrolment
from typer.testing import CliRunner

from tests.conftest import Database
from tests.road import Road
from tests.unit.approvals.authenticator import PAGE, Authenticator

PEOPLE = (
    Enrolment("console", "console", "operations", insecure_demo=False),
    Enrolment("ida-admin", "administrator", "ida", insecure_demo=False),
    Enrolment("ops-admin", "administrator", "operations", insecure_demo=False),
)
NONCE, DIGEST = "1" * 64, "d" * 64


@pytest.fixture
def road(tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[Road]:
    with Road(tmp_path, database) as road, road.working():
        road.register(*PEOPLE)
        monkeypatch.setenv("TENUTO_HOME", str(road.settings.home))
        monkeypatch.setenv("TENUTO_DATABASE_URL", road.settings.database_url or "")
        monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", road.settings.kafka or "")
        monkeypatch.setenv("TENUTO_RECEIPT_SECONDS", "60")
        yield road


def passkey(*arguments: str) -> Result:
    return CliRunner().invoke(build(), ["passkey", *arguments])


def fold_of(road: Road) -> Approvals:
    fold = Approvals()
    for verified in road.read():
        fold.apply(verified)
    return fold


def test_a_passkey_is_offered_enrolled_used_and_revoked_on_record(road: Road) -> None:
    device = Authenticator()
    name = device.credential[:12]
    with road.recorder("console") as console:
        console.wait(console.record(PasskeyOffered, **device.offer("lena")))
        assert f"lena                     offered, made on {PAGE}" in passkey("list").stdout

        own = passkey("enrol", name, "--owner", "lena", "--as", "ops-admin")
        assert isinstance(own.exception, NotConfigured), "who answers for the console enrols nothing that it offered"
        assert fold_of(road).passkeys.of("lena") == ()

        enrolled = passkey("enrol", name, "--owner", "lena", "--as", "ida-admin")
        assert enrolled.exit_code == 0, enrolled.output
        assert "of lena, since position" in passkey("list").stdout

        told = {"approval": "a-1", "digest": DIGEST, "decision": "deny", "coverage": None, "reviewer": "lena"}
        challenge = challenge_of(road.read()[0].event.log_origin, nonce=NONCE, **told)
        assertion = str(device.sign(challenge, nonce=NONCE))
        cast = console.record(ApprovalSigned, **told, assertion=assertion)
        console.wait(cast)
        fold_of(road).passkeys.use(cast, "lena")

        revoked = passkey("revoke", name, "--as", "ida-admin", "--reason", "lost")
        assert revoked.exit_code == 0, revoked.output
        with pytest.raises(PasskeyRefused, match="revoked at position"):
            fold_of(road).passkeys.use(cast, "lena")
    assert "revoked at position" in passkey("list").stdout


def test_a_name_that_fits_none_is_answered_with_where_to_look(road: Road) -> None:
    for command in (("enrol", "abc", "--owner", "lena"), ("revoke", "abc")):
        assert "`tenuto passkey list` shows them" in str(passkey(*command).exception)
    assert "is no reason" in str(passkey("revoke", "abc", "--reason", "bored").exception)
