"""The whole road over a Kafka that knows its clients: the rights are enough for the work, and end with the key.

Everything is done by the commands that an operator has, in the order in which a new system needs them.
"""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from pathlib import Path

import pytest
from click.testing import Result
from kafka.admin import ACL, ACLOperation, ACLPermissionType, ACLResourcePatternType, ResourcePattern, ResourceType
from tenuto.adapters import keyfiles
from tenuto.adapters.kafka import KafkaBus
from tenuto.adapters.kafka_rights import ADMIN, OURS
from tenuto.approvals import Approvals
from tenuto.approvals.passkeys import challenge_of
from tenuto.cli import build
from tenuto.embedded import EmbeddedBroker
from tenuto.errors import NotConfigured, TenutoError
from tenuto.events import ApprovalOpened, ApprovalSigned, DecisionMade, PasskeyEnrolled, PasskeyOffered
from tenuto.registering import Enrolment
from tenuto.wiring import open_bus, open_recorder
from tenuto_agents.attacks import accounts
from tenuto_agents.attacks.exercise import exercise
from tenuto_agents.attacks.ground import RANGE_AGENT, Ground, range_people
from typer.testing import CliRunner

from tests.conftest import Database
from tests.kafka.secured import SecuredKafka
from tests.road import SECONDS_MAX, Road, until
from tests.unit.approvals.authenticator import Authenticator

REVIEW = Enrolment("code-review", "agent", "ada")
CONSOLE, OTTO = Enrolment("console", "console", "operations"), Enrolment("otto", "reviewer", "otto")
IDA = Enrolment("ida", "administrator", "ida")


class RunningBroker(EmbeddedBroker):
    """Stands where the road starts a broker of its own; this one runs already, and for others as well."""

    def __init__(self, bootstrap: str) -> None:
        self._address = bootstrap

    @property
    def bootstrap(self) -> str:
        return self._address

    def start(self) -> RunningBroker:
        return self

    def stop(self) -> None:
        pass


class SecuredRoad(Road):
    """A road whose parts have accounts; its topics are made by the administrator."""

    def __init__(self, home: Path, database: Database, server: SecuredKafka) -> None:
        super().__init__(home, database)
        self.broker = RunningBroker(server.bootstrap)
        self.settings = self.settings.model_copy(update={"kafka": server.bootstrap, "kafka_security": "sasl_plaintext"})
        admin = self.settings.keys / keyfiles.password_file(ADMIN)
        admin.touch(mode=0o600)
        admin.write_text(server.passwords[ADMIN])

    @property
    def bus(self) -> KafkaBus:
        return open_bus(self.settings, ADMIN)


@pytest.fixture
def road(
    secured_kafka: SecuredKafka, tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> SecuredRoad:
    road = SecuredRoad(tmp_path, database, secured_kafka)
    monkeypatch.setenv("TENUTO_HOME", str(road.home))
    monkeypatch.setenv("TENUTO_DATABASE_URL", database.url())
    monkeypatch.setenv("TENUTO_KAFKA", secured_kafka.bootstrap)
    monkeypatch.setenv("TENUTO_KAFKA_SECURITY", "sasl_plaintext")
    monkeypatch.setenv("TENUTO_PARTITIONS", "2")
    monkeypatch.setenv("TENUTO_RECEIPT_SECONDS", str(SECONDS_MAX))
    with secured_kafka.admin() as admin:
        # What other tests left in the topics would be refused, event by event.
        for topic in [topic for topic in admin.list_topics() if topic.startswith(OURS)]:
            admin.delete_topics([topic])
            until(lambda topic=topic: True if topic not in admin.list_topics() else None)
    return road


def tenuto(*arguments: str) -> Result:
    return CliRunner().invoke(build(), arguments)


def kafka(*arguments: str) -> Result:
    return tenuto("kafka", *arguments)


def test_a_road_begins_works_and_lets_go_of_an_author_with_the_rights_that_the_commands_give(road: SecuredRoad) -> None:
    for name in ("root", "ingest", "delivery"):
        assert kafka("account", name).exit_code == 0
    assert kafka("topics").stdout.startswith("tenuto.events has 2 partitions.")
    wanted = kafka("acls")
    assert wanted.exit_code == 1
    assert "+ User:root may write topic tenuto.events" in wanted.stdout
    assert kafka("acls", "--apply").exit_code == 0
    assert kafka("acls").stdout == "The rights of 3 accounts are as they should be.\n"

    with road, road.working():
        road.register(REVIEW)
        assert kafka("account", REVIEW.author).exit_code == 0
        assert kafka("acls").stdout.splitlines() == [
            "+ User:code-review may read topic tenuto.inbox.code-review",
            "+ User:code-review may write topic tenuto.events",
        ]
        assert kafka("acls", "--apply").exit_code == 0
        with open_recorder(road.settings, REVIEW.author, software="test/1") as recorder:
            made = recorder.record(DecisionMade, subject="commit", subject_digest="0" * 64, verdict="approve", model="m")
            assert recorder.wait(made, SECONDS_MAX).position > 0

        assert tenuto("key", "revoke", REVIEW.author, "--reason", "owner_left").exit_code == 0
        assert [line[:18] for line in kafka("acls").stdout.splitlines()] == ["- User:code-review"] * 2
        assert kafka("acls", "--apply").exit_code == 0
    with pytest.raises(NotConfigured, match="does not let code-review look at tenuto.events"):
        open_bus(road.settings, REVIEW.author).partitions("tenuto.events")
    recorder = open_recorder(road.settings, REVIEW.author, software="test/1")
    with recorder, pytest.raises(NotConfigured, match="does not let code-review"):
        recorder.flush(SECONDS_MAX)


def test_a_console_needs_one_account_for_passkeys_and_the_reviewers_own_beside_it_for_a_key_file(road: SecuredRoad) -> None:
    for name in ("root", "ingest", "delivery"):
        assert kafka("account", name).exit_code == 0
    kafka("topics")
    assert kafka("acls", "--apply").exit_code == 0
    device, settings = Authenticator(), road.settings
    told = {"approval": "a-1", "digest": "d" * 64, "decision": "deny", "coverage": None, "reviewer": "lena"}
    with road, road.working():
        road.register(CONSOLE, IDA, OTTO)
        for one in (CONSOLE, IDA):
            assert kafka("account", one.author).exit_code == 0
        assert kafka("acls", "--apply").exit_code == 0
        with (
            open_recorder(settings, CONSOLE.author, software="test/1") as console,
            open_recorder(settings, IDA.author, software="test/1") as ida,
        ):
            console.wait(console.record(PasskeyOffered, **device.offer("lena")), SECONDS_MAX)
            ida.wait(ida.record(PasskeyEnrolled, reviewer="lena", owner="lena", credential=device.credential), SECONDS_MAX)
            challenge = challenge_of(road.read()[0].event.log_origin, nonce="1" * 64, **told)
            cast = console.record(ApprovalSigned, **told, assertion=str(device.sign(challenge, nonce="1" * 64)))
            console.wait(cast, SECONDS_MAX)
        fold = Approvals()
        for verified in road.read():
            fold.apply(verified)
        fold.passkeys.use(cast, "lena")  # it is hers, by the account of the console alone
        with pytest.raises(NotConfigured, match=r"otto\.kafka-password cannot be read"):
            open_bus(settings, OTTO.author).partitions("tenuto.events")
        with pytest.raises(NotConfigured, match=r"does not let console look at tenuto\.inbox\.otto"):
            open_bus(settings, CONSOLE.author).partitions("tenuto.inbox.otto")
        assert kafka("account", OTTO.author).exit_code == 0
        with (
            open_recorder(settings, CONSOLE.author, software="test/1") as console,
            open_recorder(settings, OTTO.author, software="test/1") as otto,
        ):
            vote = {"approval": "a-1", "digest": "d" * 64, "decision": "deny"}
            assert otto.wait(otto.record(ApprovalSigned, **vote), SECONDS_MAX).position > 0
            assert console.wait(console.record(ApprovalOpened, approval="a-1", digest="d" * 64, reviewer="otto"), SECONDS_MAX).position > 0


def test_a_password_is_replaced_and_the_old_one_opens_nothing(road: SecuredRoad, secured_kafka: SecuredKafka) -> None:
    file = road.settings.keys / keyfiles.password_file(ADMIN)
    old = road.settings.model_copy(update={"kafka_password_file": file.with_suffix(".old")})
    shutil.copy(file, file.with_suffix(".old"))
    assert kafka("account", ADMIN, "--new").exit_code == 0
    secured_kafka.passwords[ADMIN] = file.read_text().strip()
    assert (file.stat().st_mode & 0o777, sorted(road.settings.keys.glob("*.next"))) == (0o600, [])
    assert kafka("topics").exit_code == 0
    with pytest.raises(NotConfigured, match="does not recognise kafka-admin"):
        open_bus(old, ADMIN).partitions("tenuto.events")


def test_nobody_gets_an_account_who_is_not_registered(road: SecuredRoad) -> None:
    refused = kafka("account", "nobody")
    assert isinstance(refused.exception, TenutoError)
    assert "nobody has no valid key" in str(refused.exception)
    assert not (road.settings.keys / keyfiles.password_file("nobody")).exists()


def test_the_red_team_gets_at_no_topic_of_others_unless_somebody_gives_it_the_right(road: SecuredRoad, secured_kafka: SecuredKafka) -> None:
    scenario = next(one for one in accounts.SCENARIOS if one.name == "others-topics")
    for name in ("root", "ingest", "delivery"):
        assert kafka("account", name).exit_code == 0
    assert kafka("topics").exit_code == 0
    assert kafka("acls", "--apply").exit_code == 0
    with road, road.working(), ExitStack() as stack:
        road.register(*range_people())
        for one in range_people():
            assert kafka("account", one.author).exit_code == 0
        assert kafka("acls", "--apply").exit_code == 0
        ground = stack.enter_context(Ground(road.settings, road.home / "red" / "scratch"))
        report = exercise(scenario, ground)
        assert (report.verdict, report.held) == ("held", ("M28",)), report.seen
        everything = ResourcePattern(ResourceType.TOPIC, OURS, ACLResourcePatternType.PREFIXED)
        with secured_kafka.admin() as admin:
            admin.create_acls([ACL(f"User:{RANGE_AGENT}", "*", ACLOperation.ALL, ACLPermissionType.ALLOW, everything)])
        broken = until(lambda: found if (found := exercise(scenario, ground)).verdict == "broken" else None)
        assert "read another's inbox" in broken.seen
        kafka("acls", "--apply")
