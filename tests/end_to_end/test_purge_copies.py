"""After a purge: no copy holds the text, and no key that is left opens it, in any copy; while its neighbour opens everywhere.

Real Postgres with an archive of its log, real Apache Kafka, dumps from before and after, read models, export, tiles.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
import zlib
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep

import psycopg
import pytest
from click.testing import Result
from sqlalchemy import NullPool, create_engine
from tenuto import header as headers
from tenuto.adapters import keyfiles
from tenuto.adapters.keytreefile import KeyTreeFile
from tenuto.cli import build
from tenuto.clock import SystemClock
from tenuto.documents import Handover, PullRequest
from tenuto.embedded import EmbeddedPostgres, PartMissing
from tenuto.embedded import postgres as embedded
from tenuto.envelope import Envelope, parse
from tenuto.events import ApprovalRequested, MessageSent, RunStarted
from tenuto.keytree import READ_MODEL, KeyDestroyed
from tenuto.ledger import StoredPayload
from tenuto.migrating import migrate, sqlalchemy_url
from tenuto.payload import Ciphertext, PayloadRefused, SealOpener, open_payload, unwrap_key
from tenuto.registering import Enrolment
from tenuto.settings import EVENTS_TOPIC
from tenuto.wiring import role_url
from tenuto_projections.copies import options
from tenuto_projections.projection import Positions, Projector
from tenuto_projections.running import all_projections
from tenuto_projections.runs import run
from tenuto_projections.walked import Walked
from typer.testing import CliRunner

from tests.conftest import Database
from tests.kafka.apache_kafka import ApacheKafka
from tests.road import Road, answer

SECRET, NEIGHBOUR, LATER = "sesame-0pen-XYZZY-4711-marker", "neighbour-PLUGH-0815-marker", "later-FROTZ-2342-marker"
SECOND = "second-XYZZY-1147-marker"
NAMED = "run-named-in-the-clear"
PEOPLE = (
    Enrolment("pipeline", "pipeline", "team"), Enrolment("code-review", "agent", "team"),
    Enrolment("infrastructure", "agent", "team"), Enrolment("keeper", "keeper", "kay"),
    Enrolment("bob", "reviewer", "bob"), Enrolment("eve", "reviewer", "eve"), Enrolment("console", "console", "operations"),
)  # fmt: skip
SECONDS_MAX = 120.0


@pytest.fixture
def archive() -> Iterator[Path]:
    """A folder that the server's account may write."""
    with tempfile.TemporaryDirectory(prefix="tenuto-wal-") as folder:
        Path(folder).chmod(0o777)
        yield Path(folder)


@pytest.fixture
def archived(tmp_path: Path, archive: Path) -> Iterator[EmbeddedPostgres]:
    """A Postgres that keeps every segment of its write-ahead log."""
    with EmbeddedPostgres(tmp_path / "postgres") as server:
        with psycopg.connect(server.url, autocommit=True) as owner:
            owner.execute("ALTER SYSTEM SET archive_mode = on")
            owner.execute(f"ALTER SYSTEM SET archive_command = 'cp %p {archive}/%f'")
            owner.execute("CREATE DATABASE kept")
        server.stop()
        server.start()
        migrate(server.url_of("kept"))
        yield server


@pytest.fixture
def road(tmp_path: Path, archived: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch) -> Iterator[Road]:
    road = Road(tmp_path / "home", Database(archived, "kept"))
    (tmp_path / "kafka").mkdir()
    road.broker = ApacheKafka(tmp_path / "kafka")  # type: ignore[assignment]
    try:
        road.__enter__()
    except PartMissing as missing:
        if os.environ.get("CI") == "true":
            pytest.fail(f"Apache Kafka is required in CI: {missing}", pytrace=False)
        pytest.skip(f"No Apache Kafka on this machine: {missing}")
    with closing_road(road), road.working():
        for name, value in (
            ("TENUTO_HOME", str(road.settings.home)), ("TENUTO_DATABASE_URL", str(road.settings.database_url)),
            ("KAFKA_BOOTSTRAP_SERVERS", str(road.settings.kafka)), ("TENUTO_RECEIPT_SECONDS", "60"),
        ):  # fmt: skip
            monkeypatch.setenv(name, value)
        road.register(*PEOPLE)
        yield road


@contextmanager
def closing_road(road: Road) -> Iterator[None]:
    try:
        yield
    finally:
        road.__exit__()


def tenuto(*arguments: str) -> Result:
    result = CliRunner().invoke(build(), list(arguments))
    assert result.exit_code == 0, (arguments, result.output, result.exception)
    return result


def change(text: str) -> PullRequest:
    return PullRequest(repository=text, title=text, author="ann", base="main", head="h", description=text)


def tell(road: Road, text: str, run_name: str) -> tuple[int, int]:
    """A run and a message that both say `text`; returns their positions."""
    with road.recorder("pipeline") as pipeline:
        began = pipeline.record(RunStarted, document=change(text), run=run_name, workflow="w", base="a" * 40, head="b" * 40)
        first = pipeline.wait(began).position
    with road.recorder("code-review") as author:
        sent = author.send("infrastructure", "review", Handover(pull_request=change(text), reasoning=text), run=run_name)
        return first, author.wait(sent).position


def project(road: Road) -> None:
    engine = create_engine(
        sqlalchemy_url(role_url(road.settings, "tenuto_projector")), poolclass=NullPool, execution_options=options(road.settings)
    )
    follower, walked = road.follower(payloads=True), Walked(road.trust, opens_payloads=True)
    Projector(follower, engine, all_projections(), Positions(), clock=SystemClock(), walked=walked).catch_up()
    engine.dispose()


def titles(road: Road, *names: str) -> list[str | None]:
    engine = create_engine(
        sqlalchemy_url(role_url(road.settings, "tenuto_console")), poolclass=NullPool, execution_options=options(road.settings)
    )
    with engine.connect() as connection:
        found = [run(connection, name) for name in names]
    engine.dispose()
    return [one and one.title for one in found]


def dump(server: EmbeddedPostgres, file: Path) -> Path:
    command = [str(embedded._binaries() / "pg_dump"), f"--dbname={server.url_of('kept')}", f"--file={file}"]
    subprocess.run(command, check=True, timeout=SECONDS_MAX, capture_output=True)
    return file


def archive_everything(server: EmbeddedPostgres, archive: Path) -> None:
    with psycopg.connect(server.url, autocommit=True) as owner:
        row = owner.execute("SELECT pg_walfile_name(pg_switch_wal())").fetchone()
    assert row is not None
    deadline = monotonic() + SECONDS_MAX
    while not (archive / row[0]).exists() and monotonic() < deadline:
        sleep(0.05)
    assert (archive / row[0]).exists()


def spellings(text: str) -> dict[str, bytes]:
    """A text as it may lie in a file: itself, UTF-16, hex, and base64 at each of its three places."""
    plain = text.encode()
    forms = {"plain": plain, "utf-16": text.encode("utf-16-le"), "hex": plain.hex().encode(), "HEX": plain.hex().upper().encode()}
    return forms | {f"base64+{skip}": b64encode(plain[skip:])[: (len(plain) - skip) // 3 * 4].rstrip(b"=") for skip in range(3)}


def inflated(data: bytes) -> Iterator[bytes]:
    """What lies in it as a zlib or gzip stream."""
    for found in re.finditer(rb"\x78[\x01\x5e\x9c\xda]|\x1f\x8b\x08", data):
        try:
            yield zlib.decompressobj(47).decompress(data[found.start() : found.start() + 65_536], 1 << 20)
        except zlib.error:
            continue


def found_in(folder: Path, text: str) -> set[str]:
    """The files, below a folder or one alone, that hold the text in any spelling."""
    paths = [folder] if folder.is_file() else [path for path in folder.rglob("*") if path.is_file()]
    forms, hits = spellings(text), set[str]()
    for path in paths:
        data = path.read_bytes()
        for part in (data, *inflated(data)):
            hits |= {f"{path.name} ({form})" for form, spelt in forms.items() if spelt in part}
    return hits


def test_the_search_finds_every_spelling(tmp_path: Path) -> None:
    for name, data in {
        "plain": SECRET.encode(), "hex": SECRET.encode().hex().encode(), "wide": SECRET.encode("utf-16-le"),
        "b64": b64encode(b"x" + SECRET.encode()), "z": b"??" + zlib.compress(SECRET.encode()),
        "gz": b"??" + zlib.compress(SECRET.encode(), wbits=31), "b64z": b64encode(b"xy" + SECRET.encode()),
    }.items():  # fmt: skip
        (tmp_path / name).write_bytes(b"\0before " + data + b" after")
        assert found_in(tmp_path / name, SECRET), name
        assert not found_in(tmp_path / name, NEIGHBOUR), name


# `tenuto verify` leaves its reader to the end of its process, which here is the test's.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore:connection.*was deleted while still open:ResourceWarning")
def test_no_copy_holds_what_was_purged_and_no_key_opens_it(
    road: Road, archived: EmbeddedPostgres, archive: Path, tmp_path: Path
) -> None:
    gone, kept, second = tell(road, SECRET, NAMED), tell(road, NEIGHBOUR, "run-2"), tell(road, SECOND, "run-4")
    project(road)
    assert titles(road, NAMED, "run-2", "run-4") == [SECRET, NEIGHBOUR, SECOND]
    tenuto("export", "--to", str(tmp_path / "siem.jsonl"), "--format", "jsonl")
    before = dump(archived, tmp_path / "before.sql")
    purge(road, gone)
    renew(road)
    purge(road, second)
    rotate(road)
    later = tell(road, LATER, "run-3")
    project(road)
    assert titles(road, NAMED, "run-2", "run-3", "run-4") == [None, NEIGHBOUR, LATER, None]
    after = dump(archived, tmp_path / "after.sql")
    archive_everything(archived, archive)
    shown_as_purged(gone[0])
    gone = (*gone, *second)

    segments = tmp_path / "kafka" / "data"
    copies = (before, after, archive, segments, road.settings.tiles, road.settings.spool, tmp_path / "siem.jsonl", road.settings.home)
    for copy in copies:
        assert found_in(copy, SECRET) | found_in(copy, SECOND) == set(), copy
    for copy in (before, after, archive, segments, road.settings.tiles):
        assert found_in(copy, NAMED), f"the search is blind in {copy}"

    events = {one.position: one.event for one in road.read()}
    rows = rows_of(before)
    tree = KeyTreeFile(road.settings.keys)
    for position in gone:
        event = events[position]
        assert rows[position].wrapped_key.hex().encode() in before.read_bytes()
        assert any(rows[position].wrapped_key in path.read_bytes() for path in archive.iterdir())
        with pytest.raises(KeyDestroyed):
            unwrap_key(rows[position].wrapped_key, tree, bytes.fromhex(str(event.payload_commit)))
    for position in kept:
        event, row = events[position], rows[position]
        key = unwrap_key(row.wrapped_key, tree, bytes.fromhex(str(event.payload_commit)))
        text = open_payload(Ciphertext(row.nonce, row.body), key, str(event.payload_commit), int(event.payload_len or 0))
        assert NEIGHBOUR.encode() in text
    demand_copies_closed(road, {str(events[place].payload_commit) for place in gone}, before, archive)
    demand_segments_closed(road, {events[place].id for place in gone}, {events[place].id for place in later})
    demand_only_the_receiver_opens(road, events[gone[1]])


def purge(road: Road, places: tuple[int, int]) -> None:
    """By the commands, as a person does it."""
    asked = tenuto("purge", "request", *map(str, places), "--reason", "secret", "--why", "A password was pasted.").stdout
    name = re.findall(r"tenuto purge apply (\S+)", asked)[0]
    request = next(one for one in road.events("keeper", ApprovalRequested) if getattr(one, "approval", None) == name)
    assert isinstance(request, ApprovalRequested)
    for reviewer in ("bob", "eve"):
        with road.recorder("console") as console, road.recorder(reviewer) as person:
            for event in answer(road, console, person, request):
                person.wait(event)
    said = tenuto("purge", "apply", name).stdout
    assert "2 keys and 2 rows were destroyed" in said
    assert "epoch keys that exist (1)" in said
    assert "infrastructure received it" in said


def renew(road: Road) -> None:
    """The storage key that bore the first purge is destroyed, and nothing in the key folder is of it."""
    folder = road.settings.keys
    nodes = {line.split()[2] for line in (folder / keyfiles.STORAGE_KEY).read_text().splitlines() if line.startswith("node")}
    assert "The storage key was renewed (number 1)" in tenuto("key", "storage", "renew").stdout
    left = b"".join(path.read_bytes() for path in folder.iterdir())
    assert len(nodes) > 100
    assert not any(node.encode() in left or bytes.fromhex(node) in left for node in nodes)


def rotate(road: Road) -> None:
    assert isinstance(CliRunner().invoke(build(), ["key", "epoch", "destroy", "1"]).exception, Exception)
    assert "Epoch 2 is open" in tenuto("key", "epoch", "rotate").stdout
    assert "key of epoch 1 is destroyed" in tenuto("key", "epoch", "destroy", "1").stdout
    assert keyfiles.epochs(road.settings.keys) == [2]


def shown_as_purged(position: int) -> None:
    said = tenuto("verify").stdout
    assert re.search(rf'"position":{position},"said":"purged by keeper on \d{{4}}-\d\d-\d\d under approval-\S+ \(secret\)"', said)
    assert "purged by keeper on" in tenuto("show", str(position)).stdout
    assert "purged by keeper on" in tenuto("replay", NAMED).stdout


def rows_of(file: Path) -> dict[int, StoredPayload]:
    """The payload rows of a plain dump, by position."""
    block = re.findall(r"^COPY ledger\.payload_00000 .*?FROM stdin;\n(.*?)^\\\.$", file.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    lines = [line.split("\t") for line in block[0].splitlines()]
    return {int(line[0]) - 1: StoredPayload(*(bytes.fromhex(field.lstrip("\\x")) for field in line[1:])) for line in lines}


def demand_copies_closed(road: Road, commits: set[str], *places: Path) -> None:
    """What read models kept of the purged payloads is in the old dump, and no key opens it."""
    tree, seen = KeyTreeFile(road.settings.keys), set[str]()
    for place in places:
        for path in [place] if place.is_file() else list(place.iterdir()):
            for commit, box in re.findall(rb"([0-9a-f]{64})\.([A-Za-z0-9+/]{30,}={0,2})", path.read_bytes()):
                assert b64decode(box[: len(box) // 4 * 4])
                seen.add(commit.decode())
    assert commits & seen
    for commit in commits:
        with pytest.raises(KeyDestroyed):
            tree.key_for(bytes.fromhex(commit), READ_MODEL)


def demand_segments_closed(road: Road, gone: set[object], later: set[object]) -> None:
    """Of the events topic as Kafka still has it: no epoch key that exists opens what was purged; the present one opens what came later."""
    seen = set[object]()
    for partition in range(road.bus.partitions(EVENTS_TOPIC)):
        with road.bus.reader(EVENTS_TOPIC, partition) as reader:
            reader.seek(0)
            while records := reader.poll(500, 1000):
                for record in records:
                    envelope = parse(record.value)
                    event = headers.decode(envelope.header)
                    if event.id in gone | later:
                        seen.add(event.id)
                        assert opens(road, envelope) == (event.id in later)
    assert seen == gone | later


def opens(road: Road, envelope: Envelope) -> bool:
    assert envelope.sealed is not None
    for epoch in keyfiles.epochs(road.settings.keys):
        try:
            SealOpener(keyfiles.load_epoch_secret(road.settings.keys, epoch)).open(envelope.sealed)
        except PayloadRefused:
            continue
        return True
    return False


def demand_only_the_receiver_opens(road: Road, event: object) -> None:
    """What `tenuto purge apply` says in the end: the receiver's own copy stays until its topic has forgotten it."""
    assert isinstance(event, MessageSent)
    from tenuto.enclosure import inbox_topic, parse_enclosure

    copies = []
    with road.bus.reader(inbox_topic("infrastructure"), 0) as reader:
        reader.seek(0)
        while records := reader.poll(500, 1000):
            told = [parse_enclosure(record.value).envelope for record in records]
            copies += [one for one in told if headers.decode(one.header).id == event.id]
    sealed = copies[0].sealed
    assert sealed is not None
    assert keyfiles.load_signer(road.settings.keys, "infrastructure").open_seal(sealed.sealed_key)
    for name in ("code-review", "keeper", "root", "ingest"):
        with pytest.raises(PayloadRefused):
            keyfiles.load_signer(road.settings.keys, name).open_seal(sealed.sealed_key)
