"""The road, read from beginning to end. Whoever wants to know how Tenuto works can read this file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Engine, NullPool, create_engine, select
from tenuto.adapters import keyfiles
from tenuto.bus import BusRecord
from tenuto.clock import SystemClock
from tenuto.documents import PullRequest, Reason, from_payload, to_payload
from tenuto.enclosure import Enclosure, inbox_topic, parse_enclosure
from tenuto.envelope import parse
from tenuto.errors import Busy
from tenuto.events import DecisionMade, KeyRegistered, MessageSent, RunStarted
from tenuto.following import verified_checkpoint
from tenuto.header import decode
from tenuto.log.checkpoint import parse_checkpoint
from tenuto.log.proof import verify_inclusion
from tenuto.log.witnessing import parse_policy, verify_policy
from tenuto.migrating import sqlalchemy_url
from tenuto.payload import PayloadRefused, open_payload
from tenuto.recorder import Recorder
from tenuto.registering import Enrolment
from tenuto.settings import EVENTS_TOPIC
from tenuto.signing import SeedSigner, verify_header
from tenuto.wiring import role_url
from tenuto_projections.copies import opened, options
from tenuto_projections.projection import Positions, Projector
from tenuto_projections.running import all_projections
from tenuto_projections.runs import RUN
from tenuto_projections.walked import Walked

from tests.conftest import Database
from tests.road import ORIGIN, SECONDS_MAX, Road, next_message, until

REVIEWER = Enrolment("code-review", "agent", "ada")
DEPLOYER = Enrolment("deployment", "agent", "ben")
PIPELINE = Enrolment("pipeline", "pipeline", "ada")
CHANGE = PullRequest(repository="shop", title="Open the metrics port", author="mara", base="a" * 40, head="b" * 40)


@pytest.fixture
def road(tmp_path: Path, database: Database) -> Iterator[Road]:
    """A log that was just founded: keys and a trust file, and not one event."""
    with Road(tmp_path, database) as road:
        yield road


def test_one_event_goes_the_whole_road(road: Road) -> None:
    with road.working():
        assert road.register(PIPELINE) == ["ingest", "pipeline"]
    pipeline = road.recorder("pipeline")

    # The author signs the event and keeps it, before anybody else sees it.
    started = pipeline.record(RunStarted, document=CHANGE, run="run-1", workflow="change")
    assert pipeline.lag().events == 2  # the session's opening and this one
    kept = parse(pipeline._spool.record_of(started.id) or b"")
    verify_header(kept.header, kept.signature, signer(road, "pipeline").public_key)

    # On the bus it is an envelope that says nothing of the payload to those who carry it.
    (record,) = until(lambda: [one for one in on_the_bus(road) if decode(parse(one.value).header) == started] or None)
    assert b"metrics port" not in record.value

    # Ingest is the one door in: it judges the record and gives it the next position.
    before = road.size()
    while road.size() < before + 2:
        road.ingest.step()
    position = before + 1

    # In the ledger, but not signed by the log yet: nobody is shown it, and its author has no receipt.
    assert [one.position for one in road.read()] == list(range(before))
    with pytest.raises(Busy):
        pipeline.wait(started, 0)

    # The sealer signs a checkpoint over it, and the witness cosigns.
    sealed = road.sealer.seal()
    assert sealed is not None
    assert (sealed.checkpoint.size, len(sealed.cosigned_by), sealed.alarms) == (position + 1, 1, ())
    note = (road.settings.tiles / "checkpoint").read_bytes()
    verify_policy(note, parse_policy(road.trust.policy), ORIGIN)

    # Delivery carries the receipt back, and the author verifies it against the log's key.
    road.delivery.step()
    receipt = pipeline.wait(started)
    assert receipt.position == position
    (proof,) = [one for one in in_the_inbox(road, "pipeline") if one.position == position]
    checkpoint = parse_checkpoint(proof.note, road.trust.log_key, ORIGIN)
    verify_inclusion(proof.leaf, position, checkpoint.size, proof.proof, checkpoint.root)

    # A follower is the one door out: it hands out the very bytes that were signed, and the payload that was committed to.
    read = road.read(payloads=True)[position]
    assert (read.event, read.recorded_at) == (started, receipt.recorded_at)
    assert (read.event.payload_type, read.payload) == to_payload(CHANGE)

    # A projection makes of it what people look at.
    with projecting(road) as (projected, engine):
        assert projected.catch_up() == position + 1
        with engine.connect() as connection:
            row = connection.execute(select(RUN.c.run, RUN.c.title, RUN.c.position)).one()
            assert (row.run, opened(connection, row.title), row.position) == ("run-1", "Open the metrics port", position)
    assert "metrics" not in row.title
    with road.working():
        pipeline.close()


def test_a_message_arrives_with_its_proof_and_only_its_receiver_can_read_it(road: Road) -> None:
    with road.working():
        road.register(REVIEWER, DEPLOYER)
        with road.recorder("code-review") as sender, road.recorder("deployment") as receiver:
            sent = sender.send("deployment", "review.verdict", Reason(text="The port may be opened."), run="run-1")
            delivered = next_message(receiver)
            assert receiver.mailbox is not None
            receiver.mailbox.done(delivered)
            sender.wait(sent)

    assert delivered.event == sent
    assert delivered.key.author == "code-review"
    assert from_payload(delivered.payload, Reason).text == "The port may be opened."

    # What lies in the receiver's inbox is proven by a signed checkpoint, and sealed to the receiver alone.
    (enclosure,) = [one for one in in_the_inbox(road, "deployment") if one.position == delivered.position]
    checkpoint = verified_checkpoint(enclosure.note, road.trust)
    verify_inclusion(enclosure.leaf, delivered.position, checkpoint.size, enclosure.proof, checkpoint.root)
    sealed = enclosure.envelope.sealed
    assert sealed is not None
    assert b"may be opened" not in sealed.ciphertext.body
    key = signer(road, "deployment").open_seal(sealed.sealed_key)
    assert sent.payload_commit is not None
    assert sent.payload_len is not None
    opened = open_payload(sealed.ciphertext, key, sent.payload_commit, sent.payload_len)
    assert opened == delivered.payload
    for other in ("code-review", "root", "ingest"):
        with pytest.raises(PayloadRefused):
            signer(road, other).open_seal(sealed.sealed_key)

    # The sender's copy of the same event is a receipt: it carries no payload.
    (receipt,) = [one for one in in_the_inbox(road, "code-review") if one.position == delivered.position]
    assert receipt.envelope.sealed is None


def test_a_broker_that_stops_and_forgets_everything_loses_nothing_and_doubles_nothing(road: Road) -> None:
    with road.working():
        road.register(REVIEWER, DEPLOYER)
        sender, receiver = road.recorder("code-review"), road.recorder("deployment")
        sender.wait(concluded(sender, 0))
        with road.standing_still():
            for number in range(1, 6):
                concluded(sender, number)
            sender.send("deployment", "test.note", Reason(text="before the broker went away"))
            road.lose_the_broker()
            for number in range(6, 9):
                concluded(sender, number)
            road.bring_the_broker_back()
        delivered = next_message(receiver)
        assert from_payload(delivered.payload, Reason).text == "before the broker went away"
        assert receiver.mailbox is not None
        receiver.mailbox.done(delivered)
        sender.wait(concluded(sender, 9))
        sender.flush(SECONDS_MAX)
        receiver.flush(SECONDS_MAX)
        sender.close()
        receiver.close()
    assert [event.findings for event in road.events("code-review", DecisionMade)] == list(range(10))
    assert len(road.events("code-review", MessageSent)) == 1
    kinds = {one.event.kind for one in road.read()}
    assert not kinds & {"record.gap", "record.refused", "record.equivocation"}


def test_an_ingest_that_dies_between_two_batches_loses_nothing_and_doubles_nothing(road: Road) -> None:
    with road.working():
        road.register(REVIEWER, DEPLOYER)
        with road.recorder("code-review") as one, road.recorder("deployment") as other:
            for number in range(30):
                concluded(one, number)
                concluded(other, number)
                if number % 10 == 5:
                    road.let_ingest_die_and_come_back()
            one.flush(SECONDS_MAX)
            other.flush(SECONDS_MAX)
    for author in ("code-review", "deployment"):
        assert [event.findings for event in road.events(author, DecisionMade)] == list(range(30))
    kinds = {one.event.kind for one in road.read()}
    assert not kinds & {"record.gap", "record.refused", "record.equivocation"}


def test_who_is_registered_once_is_not_registered_again(road: Road) -> None:
    with road.working():
        assert road.register(REVIEWER) == ["ingest", "code-review"]
        assert road.unregistered(REVIEWER, DEPLOYER) == [DEPLOYER]
        with road.recorder("code-review") as recorder:
            recorder.wait(concluded(recorder, 0))
    assert [event.subject for event in road.events("root", KeyRegistered)] == ["ingest", "code-review"]


def concluded(recorder: Recorder, number: int) -> DecisionMade:
    """One small event that can be told from all others."""
    return recorder.decision("comment", subject="commit", subject_digest="0" * 64, model="m", findings=number)


def signer(road: Road, author: str) -> SeedSigner:
    """What only the author has."""
    return keyfiles.load_signer(road.settings.keys, author)


def on_the_bus(road: Road, topic: str = EVENTS_TOPIC) -> list[BusRecord]:
    """Every record of a topic, as anybody sees it who can read the bus."""
    found: list[BusRecord] = []
    for partition in range(road.bus.partitions(topic)):
        with road.bus.reader(topic, partition) as reader:
            reader.seek(0)
            for _ in range(reader.end_offset()):
                found += reader.poll(500, 100)
    return found


def in_the_inbox(road: Road, author: str) -> list[Enclosure]:
    """What delivery put into an author's inbox."""
    return [parse_enclosure(record.value) for record in on_the_bus(road, inbox_topic(author))]


@contextmanager
def projecting(road: Road) -> Iterator[tuple[Projector, Engine]]:
    """A projector before the first event, with the rights of its role."""
    engine = create_engine(sqlalchemy_url(role_url(road.settings, "tenuto_projector")), poolclass=NullPool, execution_options=options(road.settings))
    walked = Walked(road.trust, opens_payloads=True)
    yield (
        Projector(
            road.follower(payloads=True), engine, all_projections(), Positions(), clock=SystemClock(), walked=walked
        ),
        engine,
    )
    engine.dispose()
