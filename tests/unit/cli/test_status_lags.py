"""How far behind each stage is, as facts for programs and as a sentence for whoever is woken at night."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
from tenuto.adapters import keyfiles
from tenuto.cli.status import ago, facts, lines, losses, losses_line, signed_line, spool_line, witnessed, witnessed_line
from tenuto.clock import micros
from tenuto.envelope import split_state
from tenuto.events import RecordLost, RecordUnaccounted
from tenuto.founding import found, witness_name
from tenuto.header import decode
from tenuto.ledger import Head, Recorded
from tenuto.log.checkpoint import Checkpoint, sign_checkpoint
from tenuto.log.merkle import EMPTY_ROOT
from tenuto.log.note import Cosigner
from tenuto.sealing import cosigned_file
from tenuto.settings import Settings
from tenuto.spool import Outgoing, Spool
from tenuto.trust import load_trust

from tests.conftest import Database
from tests.unit.projections.written import WrittenLedger, uuid

ORIGIN = "tenuto.test/status"
NOWHERE = "postgresql:///x?host=/nowhere"
WITNESS = witness_name(ORIGIN)
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
MADE = int(NOW.timestamp()) - 90


@pytest.fixture
def home(tmp_path: Path) -> Path:
    found(tmp_path, ORIGIN)
    (tmp_path / "log").mkdir()
    return tmp_path


def note(home: Path, size: int, *, cosigned: bool) -> bytes:
    checkpoint = Checkpoint(ORIGIN, size, EMPTY_ROOT if size == 0 else bytes(32))
    signed = sign_checkpoint(checkpoint, keyfiles.load_log_signer(home / "keys", ORIGIN))
    cosigner = Cosigner(WITNESS, keyfiles.load_key(home / "keys", keyfiles.WITNESS_KEY))
    return signed + (cosigner.cosign(checkpoint.text(), MADE) if cosigned else b"")


def publish(home: Path, size: int, *, cosigned: bool) -> None:
    (home / "log" / "checkpoint").write_bytes(note(home, size, cosigned=cosigned))


def seen(home: Path) -> dict[str, object]:
    return witnessed(Settings(home=home), load_trust(home), NOW)


def test_the_age_of_a_cosignature_is_counted_from_the_time_that_the_witness_signed(home: Path) -> None:
    publish(home, 5, cosigned=True)
    (name,) = seen(home)["by"]  # type: ignore[misc]
    assert seen(home) == {"size": 5, "age_seconds": 90.0, "by": [name], "without": [], "missing": [], "error": None}


def test_while_the_newest_checkpoint_lacks_its_cosignature_the_last_cosigned_one_is_told(home: Path) -> None:
    kept = cosigned_file(home / "state" / "sealer")
    kept.parent.mkdir(parents=True)
    kept.write_bytes(note(home, 5, cosigned=True))
    publish(home, 9, cosigned=False)
    told = seen(home)
    assert (told["size"], told["age_seconds"], told["missing"]) == (5, 90.0, [])
    assert "4 signed since are NOT COSIGNED" in witnessed_line(told, 9)


def test_a_log_without_any_cosignature_names_the_witness_that_is_missing(home: Path) -> None:
    publish(home, 5, cosigned=False)
    told = seen(home)
    assert told["size"] is None
    assert told["missing"] == told["without"]
    assert witnessed_line(told, 5) == f"NO WITNESS cosigned yet; missing: {', '.join(told['missing'])}"  # type: ignore[arg-type]


def test_a_cosignature_that_does_not_hold_is_told_and_hides_nothing_else(home: Path) -> None:
    publish(home, 5, cosigned=True)
    file = home / "log" / "checkpoint"
    file.write_bytes(file.read_bytes().replace(b"\n5\n", b"\n6\n"))
    told = facts(Settings(home=home, database_url=NOWHERE))
    shown = dict(lines(told))
    assert shown["signed"].startswith("REFUSED: ")
    assert shown["witnessed"].startswith("REFUSED: ")
    assert shown["ledger"].startswith("AWAY: ")


def test_each_read_model_and_each_spool_says_how_far_behind_it_is(home: Path, database: Database) -> None:
    with psycopg.connect(database.url(), autocommit=True) as connection:
        connection.execute("UPDATE ledger.log_head SET tree_size = 1200 WHERE id = 1")
        connection.execute("INSERT INTO read_model.tracking VALUES ('runs/1', 1200), ('inbox/1', 1188)")
    spool = Spool(home / "spool" / "code-review.db")
    spool.claim("code-review", ORIGIN, "00" * 32)
    at = micros(datetime.now(UTC) - timedelta(minutes=10))
    spool.append(Outgoing(UUID(int=1), 1, UUID(int=2), bytes(32), at, bytes(2048), "00" * 32))
    publish(home, 1000, cosigned=True)
    told = facts(Settings(home=home, database_url=database.url(), receipt_seconds=60.0))
    spool.close()
    assert (told["events"], told["signed"], told["unsigned"]) == (1200, 1000, 200)
    assert told["read_models"] == {"inbox/1": {"seen": 1188, "behind": 12}, "runs/1": {"seen": 1200, "behind": 0}}
    assert told["spools"]["code-review"]["events"] == 1
    shown = dict(lines(told))
    assert shown["ledger"] == "1,200 events"
    assert shown["signed"] == "1,000 events, 200 not yet"
    assert shown["read model inbox/1"] == "12 events behind"
    assert shown["read model runs/1"] == "up to date"
    assert shown["spool code-review"] == "1 event without receipt (2,048 bytes), the oldest for 10 min; RECEIPTS OVERDUE"
    assert shown["losses"] == "none on record"


def test_a_log_that_signed_more_than_the_ledger_holds_is_not_called_up_to_date(home: Path, database: Database) -> None:
    publish(home, 1000, cosigned=True)
    shown = dict(lines(facts(Settings(home=home, database_url=database.url()))))
    assert shown["signed"] == "1,000 events, 1,000 MORE THAN THE LEDGER HOLDS: rows were lost, or the database is another log's"


class KindsLedger(WrittenLedger):
    """Which can be asked for some kinds only."""

    def head(self) -> Head:
        raise AssertionError("the head says nothing about losses")

    def read(self, start: int, limit: int, *, payloads: bool = True) -> list[Recorded]:
        raise AssertionError("only the kinds that matter are read")

    def read_kinds(self, kinds: Sequence[str], start: int, limit: int) -> list[Recorded]:
        found = [one for one in self.entries if decode(split_state(one.state)[0]).kind in kinds]
        return [one for one in found if one.position >= start][:limit]


def test_losses_on_record_are_counted_by_kind_and_those_of_the_last_day_apart() -> None:
    ledger = KindsLedger()
    ledger.register("infra", "agent", "ann")
    gone = uuid("gone")
    ledger.write("infra", RecordLost, lost_session=gone, first_seq=1, last_seq=2)
    ledger.now += timedelta(hours=30)
    ledger.write("infra", RecordLost, lost_session=gone, first_seq=3, last_seq=3)
    ledger.write("infra", RecordUnaccounted, lost_session=gone, last_seq=0)
    told = losses(ledger, ledger.now)
    assert told["by_kind"]["record.lost"] == {"all": 2, "last_day": 1}
    assert losses_line(told) == "2 LOST (1 in the last 24 h), 1 UNACCOUNTED (1 in the last 24 h)"


def test_a_spool_put_aside_is_told_until_its_loss_is_on_record(home: Path) -> None:
    for name in ("a.db.damaged-1", "b.db.told-2", "b.db.told-2-wal", "a.db"):
        (home / "spool").mkdir(exist_ok=True)
        (home / "spool" / name).write_bytes(b"torn")
    told = facts(Settings(home=home, database_url=NOWHERE))
    assert told["put_aside"] == {"a.db.damaged-1": False, "b.db.told-2": True}
    shown = dict(lines(told))
    assert shown["put aside a.db.damaged-1"].startswith("NOT YET TOLD")
    assert "on record" in shown["put aside b.db.told-2"]
    assert "losses" not in shown, "the ledger is away"


def test_read_models_that_nobody_fills_are_told(home: Path, database: Database) -> None:
    told = facts(Settings(home=home, database_url=database.url()))
    assert told["read_models"] == {}
    assert "tenuto project" in dict(lines(told))["read models"]


def test_a_spool_is_told_in_one_sentence() -> None:
    empty = {"events": 0, "bytes": 0, "oldest_seconds": None, "messages": 0, "refused": 0, "error": None}
    assert spool_line(empty) == "nothing waits"
    assert spool_line(empty | {"messages": 2, "refused": 1}) == (
        "nothing waits; 2 messages not done; 1 event REFUSED by the ledger"
    )
    assert spool_line(empty | {"error": "it is torn"}) == "UNREADABLE: it is torn"


def test_an_unsigned_ledger_is_told_in_capitals() -> None:
    assert signed_line({"signed": None, "events": 3}) == "NOTHING of 3 events"
    assert signed_line({"signed": None, "events": 0}) == "nothing yet"
    assert signed_line({"signed": 1, "unsigned": None, "events": None}) == "1 event"


def test_a_quorum_that_is_not_reached_names_who_is_missing() -> None:
    told = {"size": 5, "age_seconds": 1.0, "by": ["a"], "without": ["b"], "missing": ["b"], "error": None}
    assert witnessed_line(told, 5) == "5 events, 1 s ago, by a; QUORUM NOT REACHED without b"
    assert witnessed_line(told | {"missing": []}, 5) == "5 events, 1 s ago, by a; without b"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.4, "0 s"), (119, "119 s"), (120, "2 min"), (7199, "119 min"), (7200, "2 h"), (172_800, "2 days")],
)
def test_a_time_span_keeps_its_meaning(seconds: float, shown: str) -> None:
    assert ago(seconds) == shown
