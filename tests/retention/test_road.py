"""The whole road after its beginning left the tables: ingest starts again, new authors get everything, old records are known."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import psycopg
from tenuto.adapters.partitions import Partitions
from tenuto.bus import TopicReader
from tenuto.cli import build
from tenuto.documents import Reason
from tenuto.events import RecordRefused, ToolUnknown
from tenuto.registering import Enrolment, register
from tenuto.retention import Partition
from tenuto.settings import EVENTS_TOPIC
from typer.testing import CliRunner

from tests.conftest import Database
from tests.retention.site import LEAVES
from tests.road import SECONDS_MAX, Road, next_message

PEOPLE = (
    Enrolment("infra", "agent", "ann"), Enrolment("keeper", "keeper", "kim"), Enrolment("counsel", "custodian", "carl"),
    Enrolment("review", "agent", "rob"),
)  # fmt: skip


def small_partitions(database: Database) -> None:
    with psycopg.connect(database.url(), autocommit=True) as owner:
        for table in ("entry", "payload"):
            for number in range(16):
                owner.execute(f"DROP TABLE ledger.{table}_{number:05d}")
    with Partitions(database.url()) as tables:
        tables._make(Partition("00000", 0, LEAVES - 1, 0))
        tables.prepare(leaves=LEAVES, ahead=4)


def test_the_road_goes_on_when_its_beginning_is_in_an_archive(database: Database, tmp_path: Path) -> None:
    small_partitions(database)
    with Road(tmp_path / "home", database) as road, road.working():
        road.register(*PEOPLE)
        with road.recorder("infra") as infra, road.recorder("review") as review:
            first = infra.record(ToolUnknown, call="c-0", tool="t")
            old = road.bus.reader(EVENTS_TOPIC, 0), road.bus.reader(EVENTS_TOPIC, 1)
            sent = infra.send("review", "change", Reason(text="the first words"))
            assert next_message(review).payload is not None
            for number in range(LEAVES):
                last = infra.record(ToolUnknown, call=f"c-{number}", tool="t")
            infra.wait(last)
            before = road.read(payloads=True)

            counsel = ("--as", "counsel", "--reason", "a suit")
            assert "position" in tenuto(road, "hold", "place", "case-1", *counsel, "--positions", "0..10")
            assert "case-1" in tenuto(road, "hold", "list")
            plan = tenuto(road, "retention", "plan", "--older-than", "0m").splitlines()
            assert f"0-{LEAVES - 1}" in plan[1]
            assert "legal hold case-1" in plan[1]
            apply = ("retention", "apply", "--older-than", "0m", "--as", "keeper")
            assert "Nothing may be dropped" in tenuto(road, *apply)
            assert "lifted the hold case-1" in tenuto(road, "hold", "lift", "case-1", *counsel)
            assert tenuto(road, *apply).count("not in the tables any more") == 1
            verified = tenuto(road, "verify")
            assert f'"minimum":{LEAVES}' in verified
            assert "the first words" in tenuto(road, "show", str(sent.id))
            folder = str(tmp_path / "bundle")
            tenuto(road, "bundle", "--event", str(sent.id), "--payloads", "--to", folder)
            assert '"verified":true' in tenuto(road, "verify", "--bundle", folder)

            # Ingest folds the keys from position 0, and knows an old record again when the broker offers it a second time.
            road.let_ingest_die_and_come_back()
            with road.standing_still():
                resend(road, old)
            infra.wait(infra.record(ToolUnknown, call="after", tool="t"))
            assert road.events("ingest", RecordRefused) == []
            assert first in [one.event for one in road.read()]

            # An inbox that is new gets the key news from the first event on, each with its proof.
            follower = road.follower()
            follower.catch_up()
            with road.recorder("root") as root:
                newcomer_key = [Enrolment("newcomer", "agent", "nora")]
                register(root, follower.walk.keyring, road.settings.keys, newcomer_key, SECONDS_MAX)
            with road.recorder("newcomer") as newcomer:
                newcomer.wait(newcomer.record(ToolUnknown, call="hello", tool="t"))
            infra.send("review", "change", Reason(text="the last words"))
            assert next_message(review).payload is not None
        assert road.read(payloads=True)[: len(before)] == before


def tenuto(road: Road, *arguments: str) -> str:
    """What the command prints, run as an operator would run it on this home."""
    settings = road.settings
    environment = {
        "TENUTO_HOME": str(settings.home), "TENUTO_DATABASE_URL": settings.database_url, "TENUTO_KAFKA": settings.kafka,
    }  # fmt: skip
    ended = CliRunner().invoke(build(), list(arguments), env=environment)
    if ended.exception is not None:
        raise ended.exception
    return ended.output


def resend(road: Road, readers: Sequence[TopicReader]) -> None:
    """Publish the first records of every partition again, as a broker does that forgot where its reader stood."""
    publisher = road.bus.publisher()
    sent = 0
    for reader in readers:
        with closing(reader):
            reader.seek(reader.beginning_offset())
            for record in reader.poll(20, 2000):
                publisher.publish(EVENTS_TOPIC, record.key, record.value)
                sent += 1
    publisher.flush(60)
    publisher.close()
    assert sent > 10
