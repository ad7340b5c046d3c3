"""The one place that chooses real parts: Postgres, Kafka, files, the machine's clock. Nothing connects on import."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from .adapters.keyfiles import load_signer, load_storage_key
from .adapters.kafka import KafkaPublisher, TopicReader
from .adapters.postgres import PostgresReader
from .clock import SystemClock, new_uuid7
from .errors import NotConfigured
from .following import CheckpointFile, Follower
from .gate import Gate
from .mailbox import Mailbox
from .policy import load_policy
from .recorder import Recorder
from .settings import INBOX_TOPIC_PREFIX, Settings
from .spool import Spool
from .trust import Trust, load_trust

ROLES = ("tenuto_ingest", "tenuto_reader", "tenuto_projector", "tenuto_console")


def role_url(settings: Settings, role: str) -> str:
    """Return the database URL for one of ROLES; raises NotConfigured when no database is set."""
    if settings.database_url is None:
        raise NotConfigured("No database is set. Set TENUTO_DATABASE_URL, or start the embedded one with `tenuto up`.")
    parts = urlsplit(settings.database_url)
    place = parts.netloc.rsplit("@", 1)[-1]
    return urlunsplit(parts._replace(netloc=f"{role}@{place}"))


def bootstrap_servers(settings: Settings) -> str:
    """Return the Kafka bootstrap servers; raises NotConfigured when none are set."""
    if settings.kafka is None:
        raise NotConfigured("No broker is set. Set KAFKA_BOOTSTRAP_SERVERS, or start the embedded one with `tenuto up`.")
    return settings.kafka


def open_trust(settings: Settings) -> Trust:
    """Return the pinned facts of this home."""
    return load_trust(settings.home)


def verify_pool(settings: Settings) -> Executor:
    """Return the threads that check signatures."""
    return ThreadPoolExecutor(settings.verify_threads, thread_name_prefix="verify")


def open_reader(settings: Settings, role: str = "tenuto_reader") -> PostgresReader:
    """Return the ledger, for reading."""
    return PostgresReader(role_url(settings, role))


def open_follower(settings: Settings, *, payloads: bool = True, role: str = "tenuto_reader") -> Follower:
    """Return a follower that starts before the first event; with `payloads` it needs the storage key."""
    return Follower(
        open_reader(settings, role),
        CheckpointFile(settings.tiles),
        open_trust(settings),
        storage_key=load_storage_key(settings.keys) if payloads else None,
        pool=verify_pool(settings),
    )


def open_recorder(settings: Settings, author: str, *, software: str, receipts: bool = True) -> Recorder:
    """Return the author's door, with its session opened; the key of `author` must be in the home's key folder."""
    trust = open_trust(settings)
    signer = load_signer(settings.keys, author)
    spool = Spool(settings.spool / f"{author}.db")
    recorder = Recorder(
        signer=signer,
        trust=trust,
        publisher=KafkaPublisher(bootstrap_servers(settings)),
        spool=spool,
        clock=SystemClock(),
        new_id=new_uuid7,
        receipt_seconds=settings.receipt_seconds,
    )
    if receipts:
        recorder.mailbox = open_mailbox(settings, author, spool)
    recorder.open(software)
    return recorder


def open_mailbox(settings: Settings, author: str, spool: Spool) -> Mailbox:
    """Return the author's inbox: receipts for what it sent, messages addressed to it."""
    return Mailbox(
        signer=load_signer(settings.keys, author),
        trust=open_trust(settings),
        reader=TopicReader(bootstrap_servers(settings), INBOX_TOPIC_PREFIX + author, 0),
        spool=spool,
    )


def open_gate(settings: Settings, recorder: Recorder, *, policies: Sequence[Path] = ()) -> Gate:
    """Return the gate for an author's tools; it recomputes every approval from the verified ledger."""
    return Gate(
        recorder=recorder,
        follower=open_follower(settings, payloads=False),
        policy=load_policy(policies),
        clock=SystemClock(),
        new_id=new_uuid7,
    )
