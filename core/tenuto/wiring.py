"""The one place that chooses real parts: Postgres, Kafka, files, the machine's clock. Nothing connects on import."""

from __future__ import annotations

import atexit
import weakref
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, nullcontext
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from .adapters import keyfiles
from .adapters.epochfolder import EpochFolder, TrustNow
from .adapters.kafka import KafkaBus
from .adapters.kafka_access import KafkaAccess
from .adapters.kafka_rights import DELIVERY, INGEST
from .adapters.keytreefile import KeyTreeFile
from .adapters.opa import OpaPolicy
from .adapters.partitions import Partitions
from .adapters.postgres import PostgresLedger, PostgresReader, open_datastore
from .adapters.retained import RetainedHashes, RetainedLedger, RetainedReader
from .adapters.shredding import Shredder
from .adapters.spentcalls import SpentFolder
from .adapters.tilefiles import TileLedger
from .adapters.witness_http import HttpWitness, WitnessServer, serve_witness
from .addresses import DATABASE, running_addresses
from .admission import Admission
from .approvals.spotcheck import Spotcheck, redraw
from .archive import Shelf
from .clock import ClockWatch, SystemClock, new_uuid7
from .delivery import Delivery
from .embedded import EmbeddedPostgres
from .enclosure import inbox_topic
from .epochs import Epochs
from .errors import NotConfigured
from .following import CheckpointFile, Follower, verified_checkpoint
from .founding import witness_name
from .gate import Gate, Patience
from .ingest import Ingest
from .intake.examining import Examiner
from .intake.judging import Judge, Limits
from .intake.testimony import Testimony
from .intake.vault import Vault
from .log.archive import CheckpointArchive, draw_witness, withheld
from .log.note import Cosigner, parse_vkey
from .log.tiles import TileFolder
from .log.witness import Witness
from .log.witnessing import parse_policy
from .mailbox import Mailbox
from .policy import Policy, load_policy
from .purging import Purging
from .rebuilding import Rebuilt, rebuild
from .recorder import Recorder
from .retention import Partition, Retention
from .router import Lot
from .salvage import losses_told, open_spool
from .sealing import Sealer
from .settings import EVENTS_TOPIC, Settings
from .trust import Trust, load_trust

ROLES = ("tenuto_ingest", "tenuto_reader", "tenuto_projector", "tenuto_console", "tenuto_keeper", "tenuto_notifier")
PURGE_APPROVAL_SECONDS = 7 * 86_400.0
"""People have a week to decide about a purge."""
ADMIT_SECONDS = 5.0
"""How long a tool server waits for a ledger that is away; the gate has just seen the start there."""
_on_demand: dict[Path, EmbeddedPostgres] = {}


def with_addresses(settings: Settings) -> Settings:
    """Return the settings with the addresses of the supervisor that runs on this home, where none are configured."""
    home = settings.home.absolute()
    found = running_addresses(home)
    update: dict[str, object] = {"home": home}
    if settings.database_url is None:
        update["database_url"] = found.get("database_url")
    if settings.kafka is None:
        update["kafka"] = found.get("kafka")
    return settings.model_copy(update=update)


def database_url(settings: Settings) -> str:
    """Return the database's URL as its owner: the configured one, the running one, or that of this home's embedded data.

    In the last case the embedded server runs for as long as this process, so that what a demonstration left can be read
    after it ended. Raises NotConfigured when there is none of the three.
    """
    found = with_addresses(settings)
    if found.database_url is not None:
        return found.database_url
    data = found.home / "postgres"
    if not (data / "password").exists():
        raise NotConfigured(f"There is no ledger at {found.home}. Start one with `tenuto up`, or set TENUTO_DATABASE_URL.")
    if data not in _on_demand:
        _on_demand[data] = EmbeddedPostgres(data).start()
        atexit.register(_on_demand[data].stop)
    return _on_demand[data].url_of(DATABASE)


def role_url(settings: Settings, role: str) -> str:
    """Return the database URL for one of ROLES; raises NotConfigured when there is no database."""
    parts = urlsplit(database_url(settings))
    place = parts.netloc.rsplit("@", 1)[-1]
    return urlunsplit(parts._replace(netloc=f"{role}@{place}"))


def open_bus(settings: Settings, account: str | None = None) -> KafkaBus:
    """Return the bus, as `account` where the broker knows accounts.

    Raises NotConfigured when no broker is set and none runs on this home, or the settings of the account do not fit.
    """
    kafka = with_addresses(settings).kafka
    if kafka is None:
        raise NotConfigured("No broker is set. Set KAFKA_BOOTSTRAP_SERVERS, or start the embedded one with `tenuto up`.")
    return KafkaBus(kafka, kafka_access(settings, account))


def kafka_access(settings: Settings, account: str | None) -> KafkaAccess:
    """Return how `account` proves itself, by its files in the key folder where the settings name no others.

    Raises NotConfigured when the settings name another account: a process acts under its author's name or not at all.
    """
    user, by_password = settings.kafka_user, settings.kafka_security.startswith("sasl_")
    if by_password and account is not None and user not in (None, account):
        raise NotConfigured(
            f"TENUTO_KAFKA_USER is {user} and this process acts for {account}; accounts are not shared. Unset it, or set "
            f"{account} and its own password file."
        )
    password, cert, key = settings.kafka_password_file, settings.kafka_cert, settings.kafka_key
    user = user or (account if by_password else None)
    if by_password and user is not None and password is None:
        password = settings.keys / keyfiles.password_file(user)
    if settings.kafka_security == "ssl" and account is not None and cert is None and key is None:
        cert, key = (settings.keys / name for name in keyfiles.certificate_files(account))
    return KafkaAccess(
        settings.kafka_security, ca=settings.kafka_ca, cert=cert, key=key,
        mechanism=settings.kafka_mechanism, user=user, password_file=password,
    )  # fmt: skip


def open_trust(settings: Settings) -> Trust:
    """Return the pinned facts of this home."""
    return load_trust(settings.home)


def verify_pool(settings: Settings) -> Executor | None:
    """Return the threads that check signatures; None where a process does it itself."""
    return ThreadPoolExecutor(settings.verify_threads, thread_name_prefix="verify") if settings.verify_threads else None


def open_shelf(settings: Settings) -> Shelf:
    """Return the folder of archives of this home's log."""
    return Shelf(settings.archives, open_trust(settings).origin)


def open_reader(settings: Settings, role: str = "tenuto_reader") -> RetainedReader:
    """Return the ledger, for reading: the tables, and what retention took out of them from the archives."""
    return RetainedReader(PostgresReader(role_url(settings, role)), open_shelf(settings), TileFolder(settings.tiles))


def open_hashes(settings: Settings) -> RetainedHashes:
    """Return what proofs are made of: the published tiles, and the archives for what was pruned."""
    return RetainedHashes(TileFolder(settings.tiles), open_shelf(settings))


def open_follower(settings: Settings, *, payloads: bool = True, role: str = "tenuto_reader") -> Follower:
    """Return a follower that starts before the first event; with `payloads` it needs the storage key."""
    reader, pool = open_reader(settings, role), verify_pool(settings)
    follower = Follower(
        reader,
        CheckpointFile(settings.tiles),
        open_trust(settings),
        storage_key=KeyTreeFile(settings.keys) if payloads else None,
        pool=pool,
    )
    # A follower is dropped, not closed; its connection and its threads go with it.
    weakref.finalize(follower, reader.close)
    if pool is not None:
        weakref.finalize(follower, pool.shutdown, wait=False)
    return follower


def open_tile_follower(folder: Path, trust: Trust, settings: Settings) -> Follower:
    """Return a follower over published files alone; raises NotConfigured, or VerificationFailed at the checkpoint."""
    checkpoints = CheckpointFile(folder)
    note = checkpoints.latest()
    size = 0 if note is None else verified_checkpoint(note, trust).size
    shelf = Shelf(settings.archives, trust.origin)
    return Follower(TileLedger(folder, size, shelf), checkpoints, trust, pool=verify_pool(settings))


@contextmanager
def open_ingest(settings: Settings, partitions: Sequence[int] | None = None) -> Iterator[Ingest]:
    """Give the one door in, over these partitions of the events topic, or all of them."""
    trust = open_trust(settings)
    url = role_url(settings, "tenuto_ingest")
    keyfiles.load_epoch_secret(settings.keys, trust.epoch)  # without the present one nothing could be taken in
    pool = verify_pool(settings)
    judge = Judge(
        testimony=Testimony(keyfiles.load_signer(settings.keys, INGEST), trust.origin, new_uuid7),
        examiner=Examiner(trust.origin, Vault(EpochFolder(settings.keys), KeyTreeFile(settings.keys)), pool),
        limits=Limits(settings.batch_events, settings.gap_seconds, settings.refusals_in_a_row),
    )
    store = RetainedLedger(PostgresLedger(open_datastore(url), url), open_shelf(settings), TileFolder(settings.tiles))
    ingest = Ingest(
        open_bus(settings, INGEST), store, judge=judge, root_public_key=trust.root, clock=SystemClock(),
        share=(EVENTS_TOPIC, partitions),
    )  # fmt: skip
    ingest.clock_watch = ClockWatch(SystemClock())
    with pool or nullcontext(), closing(store), closing(ingest):
        yield ingest


@contextmanager
def open_purging(settings: Settings, author: str, *, policies: Sequence[Path] = ()) -> Iterator[Purging]:
    """Give a keeper's way to purge; `author` must be registered with the role keeper, its key in the home's folder."""
    follower = open_follower(settings, payloads=False)
    with (
        open_recorder(settings, author, software="tenuto-purge") as recorder,
        closing(open_reader(settings)) as reader,
    ):
        gate = Gate(
            recorder=recorder, follower=follower, clock=SystemClock(), new_id=new_uuid7,
            policy=load_policy(policies) if policies else open_policy(settings.policy),
            patience=Patience(approval_seconds=PURGE_APPROVAL_SECONDS),
        )  # fmt: skip
        yield Purging(
            recorder=recorder, gate=gate, walk=follower.walk, new_id=new_uuid7,
            open_follower=lambda: open_follower(settings, payloads=False),
            vessel=Shredder(settings.keys, role_url(settings, "tenuto_keeper"), reader, open_shelf(settings)),
        )  # fmt: skip


@contextmanager
def open_sealer(settings: Settings) -> Iterator[Sealer]:
    """Give the sealer, with its own key and state; it asks the witnesses that the policy names and whose address is known."""
    trust = open_trust(settings)
    with (
        closing(open_reader(settings)) as reader,
        Sealer(
            reader=reader,
            tiles=TileFolder(settings.tiles),
            state=settings.state / "sealer",
            signer=keyfiles.load_log_signer(settings.keys, trust.origin),
            origin=trust.origin,
            witnesses=open_witnesses(settings, trust),
            clock=SystemClock(),
        ) as sealer,
    ):
        yield sealer


def rebuild_log(settings: Settings, given: Sequence[Path] = ()) -> Rebuilt:
    """Make the log folder again from the ledger, see `rebuilding`; `given` are files with one signed note each."""
    with closing(open_reader(settings)) as reader:
        return rebuild(reader, TileFolder(settings.tiles), settings.state, trust=open_trust(settings), given=given)


def withheld_from(settings: Settings, url: str) -> tuple[str, list[int], int]:
    """Return the draw witness's name, what it cosigned and the published log does not show, and up to which size."""
    trust = open_trust(settings)
    policy, note = parse_policy(trust.policy), TileFolder(settings.tiles).published()
    size = 0 if note is None else verified_checkpoint(note, trust).size
    witness = HttpWitness(url, draw_witness(policy).vkey)
    shown = CheckpointArchive(settings.tiles)
    return witness.verifier.name, withheld(shown, witness.archive(trust.origin), policy, trust.origin, size), size


def open_witnesses(settings: Settings, trust: Trust) -> list[HttpWitness]:
    """Return the witnesses to ask: those with an address in the policy, and the local one at `witness_url`."""
    known = parse_policy(trust.policy).witnesses.values()
    local = witness_name(trust.origin)
    addressed = [(settings.witness_url if key.verifier.name == local else key.url, key.verifier.vkey) for key in known]
    return [HttpWitness(url, vkey) for url, vkey in addressed if url is not None]


def open_witness(settings: Settings, port: int) -> WitnessServer:
    """Return the witness of this machine, with its own key and state; it knows the log of this home."""
    trust = open_trust(settings)
    cosigner = Cosigner(witness_name(trust.origin), keyfiles.load_key(settings.keys, keyfiles.WITNESS_KEY))
    logs = [parse_vkey(trust.log_key)]
    witness = Witness(cosigner=cosigner, logs=logs, state=settings.state / "witness", clock=SystemClock())
    return serve_witness(witness, port=port)


@contextmanager
def open_delivery(settings: Settings) -> Iterator[Delivery]:
    """Give what carries receipts and messages to the inboxes."""
    with closing(open_reader(settings)) as reader:
        delivery = Delivery(
            follower=open_follower(settings, payloads=False),
            bus=open_bus(settings, DELIVERY),
            reader=reader,
            hashes=open_hashes(settings),
            storage_key=KeyTreeFile(settings.keys),
        )
        with closing(delivery):
            yield delivery


@contextmanager
def open_epochs(settings: Settings) -> Iterator[Epochs]:
    """Give what opens and destroys epochs, with the root's key, which must be in the home's folder."""
    tables = PostgresReader(role_url(settings, "tenuto_reader"))
    with open_recorder(settings, "root", software="tenuto-epoch") as root, closing(tables) as reader:
        yield Epochs(
            home=settings.home, keys=settings.keys, spools=settings.spool, root=root, bus=open_bus(settings, INGEST),
            reader=reader, topic=EVENTS_TOPIC, follower=open_follower(settings, payloads=False),
            seconds=settings.receipt_seconds,
        )  # fmt: skip


@contextmanager
def open_retention(
    settings: Settings, record: Callable[[Partition, str], None], *, did: Callable[[str], None] = lambda _: None
) -> Iterator[Retention]:
    """Give what takes old events out of the database, as its owner; raises Busy while another process does.

    `record` puts the event on record and returns when it is signed; see `Retention`.
    """
    trust, url = open_trust(settings), role_url(settings, "tenuto_reader")
    storage = settings.keys / keyfiles.STORAGE_KEY
    with Partitions(database_url(settings), did) as tables, closing(PostgresReader(url)) as reader:
        yield Retention(
            follower=open_follower(settings, payloads=False), trust=trust, tables=tables, reader=reader,
            shelf=open_shelf(settings), tiles=TileFolder(settings.tiles), record=record, did=did,
            storage_key=KeyTreeFile(settings.keys) if storage.exists() else None,
        )  # fmt: skip


def open_recorder(settings: Settings, author: str, *, software: str, receipts: bool = True) -> Recorder:
    """Return the author's door, with its session opened; the key of `author` must be in the home's key folder."""
    bus, trust = open_bus(settings, author), open_trust(settings)
    signer = keyfiles.load_signer(settings.keys, author)
    file = settings.spool / keyfiles.spool_file(author)
    spool, losses = open_spool(file)
    with ExitStack() as undo:
        undo.callback(spool.close)
        recorder = Recorder(
            signer=signer,
            trust=trust,
            publisher=bus.publisher(),
            spool=spool,
            clock=SystemClock(),
            new_id=new_uuid7,
            receipt_seconds=settings.receipt_seconds,
        )
        recorder.follow_epochs(TrustNow(settings.home, trust))
        if receipts:
            topic = inbox_topic(author)
            recorder.mailbox = Mailbox(signer=signer, trust=trust, open_reader=lambda: bus.reader(topic, 0), spool=spool)
        recorder.open(software, losses)
        losses_told(file)
        undo.pop_all()  # from here on `recorder.close` closes them
    return recorder


def open_gate(settings: Settings, recorder: Recorder, *, policies: Sequence[Path] = ()) -> Gate:
    """Return the gate for an author's tools, under `policies` or what the settings name; it recomputes every approval."""
    return Gate(
        recorder=recorder,
        follower=open_follower(settings, payloads=False),
        policy=load_policy(policies) if policies else open_policy(settings.policy),
        clock=SystemClock(),
        new_id=new_uuid7,
    )


def open_admission(settings: Settings, agent: str) -> Admission:
    """Return what stands before the tools of `agent` in a tool server: its own look at the ledger, its own policy."""
    clock = SystemClock()
    return Admission(
        agent=agent, follower=open_follower(settings, payloads=False), policy=open_policy(settings.policy), clock=clock,
        spent=SpentFolder(settings.state / "admitted", clock), patience=Patience(ledger_seconds=ADMIT_SECONDS),
    )  # fmt: skip


def open_lot(settings: Settings) -> Lot:
    """Return what draws for spot checks, from the log folder of this home and the witness that its trust file names first."""
    trust = open_trust(settings)
    policy = parse_policy(trust.policy)

    def draw(check: Spotcheck) -> tuple[int, str]:
        covering, ticket = redraw(settings.tiles, check, policy, trust.origin)
        return covering.checkpoint.size, ticket

    return draw


def open_policy(sources: str | None) -> Policy:
    """Return the policy at `sources`, as the setting `policy` has it; raises NotConfigured when it cannot be used."""
    if sources is None:
        return load_policy()
    if sources.startswith(("http://", "https://")):
        return OpaPolicy(sources)
    return load_policy([Path(source.strip()) for source in sources.split(",")])
