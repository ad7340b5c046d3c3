"""Attacks on accounts (T7, M28): two agents under one account, and one agent's account on the topics of another.

Whether the queue itself knows accounts depends on the broker. The embedded one of the demonstration does not, and the attack
on topics says so instead of passing; on a Kafka with rights (`deploy/kafka/`) it is tried. That no two authors share an
account is the ledger's own rule and is tried everywhere.
"""

from __future__ import annotations

import hashlib

from tenuto.adapters import keyfiles
from tenuto.enclosure import inbox_topic
from tenuto.errors import NotConfigured, TenutoError
from tenuto.events import KeyRegistered, RecordRefused, SessionClosed
from tenuto.settings import EVENTS_TOPIC
from tenuto.wiring import kafka_access, open_bus

from ..text import visible_line
from .forging import Chain
from .ground import RANGE_AGENT, RANGE_FORGER, Ground
from .scenario import Lacking, Scenario, Seen, Stop

REFUSAL_SECONDS = 30.0
READ_MILLISECONDS = 2_000


def shared_account(ground: Ground) -> Seen:
    """Let the root register a second agent under the key of a first, so that nobody can tell who of the two spoke."""
    twin = f"range-twin-{str(ground.new_id())[-12:]}"
    shared = ground.signer(RANGE_FORGER)
    chain = Chain(ground, keyfiles.load_signer(ground.settings.keys, "root"))
    chain.publish(chain.opened())
    event = chain.event(
        KeyRegistered, subject=twin, subject_key_id=shared.key_id, public_key=shared.public_key.hex(), role="agent",
        owner=f"owner-of-{twin}", insecure_demo=True,
    )  # fmt: skip
    record = chain.signed(event, advance=False)
    chain.publish(record)
    digest = hashlib.sha256(record).hexdigest()
    refused = ground.wait_for(lambda one: isinstance(one.event, RecordRefused) and one.event.record_sha256 == digest, REFUSAL_SECONDS)
    if refused is not None:  # its place in the session is free, and a session of the root's is not left open
        chain.publish(chain.signed(chain.event(SessionClosed, outcome="completed")))
    if any(key.author == twin for key in ground.follower.walk.keyring.keys()):
        return Seen(reached=True, sentence=f"{twin} and {RANGE_FORGER} sign with one key.")
    told = "Not even the root registers a key for two authors: each account is one author's alone."
    stops = () if refused is None else (Stop("M28", told, (refused.event.id,)),)
    return Seen(reached=False, sentence="The second agent has no account.", stops=stops)


def others_topics(ground: Ground) -> Seen:
    """With one agent's account read another's inbox, write into it, and read the events of everybody."""
    settings = ground.settings
    if settings.kafka_security == "plaintext":
        raise Lacking(
            "The broker here knows no accounts (TENUTO_KAFKA_SECURITY is plaintext; the embedded one has no rights at all), so anybody who "
            "reaches it may read and write every topic. Run this against a Kafka as deploy/kafka/ has it."
        )
    inbox = inbox_topic(RANGE_FORGER)
    tried = {
        "read another's inbox": _read(ground, inbox), "write into another's inbox": _write(ground, inbox),
        "read what everybody records": _read(ground, EVENTS_TOPIC), "act under another's account": _borrow(ground),
    }  # fmt: skip
    managed = [what for what, refusal in tried.items() if not refusal]
    if managed:
        return Seen(reached=True, sentence=f"The account of {RANGE_AGENT} could {', '.join(managed)}.")
    said = " ".join(f"{what}: {refusal}" for what, refusal in tried.items())
    told = "The broker lets this account do nothing of it."
    return Seen(reached=False, sentence=told, stops=(Stop("M28", told, said=visible_line(said)),))


def _read(ground: Ground, topic: str) -> str:
    """Try to read a topic; return what refused it, or ""."""
    try:
        with open_bus(ground.settings, RANGE_AGENT).reader(topic, 0) as reader:
            reader.poll(100, READ_MILLISECONDS)
    except TenutoError as refusal:
        return str(refusal)
    return ""


def _write(ground: Ground, topic: str) -> str:
    try:
        with open_bus(ground.settings, RANGE_AGENT).publisher() as publisher:
            publisher.publish(topic, b"", b"a message that nobody signed")
            publisher.flush(READ_MILLISECONDS / 1000 * 5)
    except TenutoError as refusal:
        return str(refusal)
    return ""


def _borrow(ground: Ground) -> str:
    """Act for one author under the account of another, as one configuration for several agents would have it."""
    shared = ground.settings.model_copy(update={"kafka_user": RANGE_FORGER})
    try:
        kafka_access(shared, RANGE_AGENT)
    except NotConfigured as refusal:
        return str(refusal)
    return ""


SCENARIOS = (
    Scenario("shared-account", "Two agents behind one account.", ("T7", "M28"), shared_account),
    Scenario("others-topics", "Another agent's messages, with an account of my own.", ("T7", "M28"), others_topics),
)
