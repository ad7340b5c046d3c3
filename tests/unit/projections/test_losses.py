"""The read model of losses, and how the console says each of them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tenuto.events import RecordGap, RecordLost, RecordSpooled, RecordUnaccounted
from tenuto_dashboard import proof
from tenuto_projections.losses import Losses, losses

from .test_read_models import built
from .written import WrittenLedger, uuid


@pytest.fixture
def ledger() -> WrittenLedger:
    ledger = WrittenLedger()
    ledger.register("infra", "agent", "ann")
    ledger.register("ingest", "ingest", "ann")
    ledger.write("infra", RecordLost, lost_session=uuid("a"), first_seq=3, last_seq=5)
    ledger.write("ingest", RecordGap, gap_session=uuid("a"), first_seq=3, last_seq=5)
    ledger.write("infra", RecordUnaccounted, lost_session=uuid("b"), last_seq=7)
    since = ledger.now - timedelta(seconds=90)
    ledger.write(
        "infra", RecordSpooled, events=12, bytes_max=900, since=since, until=ledger.now, why="bus_away", periods=1
    )
    return ledger


def test_every_kind_of_loss_stands_in_the_read_model_newest_first(ledger: WrittenLedger) -> None:
    connection = built(ledger, Losses())
    spooled, unaccounted, gap, lost = losses(connection)
    assert [one.kind for one in (lost, gap, unaccounted, spooled)] == [
        "record.lost", "record.gap", "record.unaccounted", "record.spooled",
    ]  # fmt: skip
    assert (lost.author, lost.session, lost.first_seq, lost.last_seq) == ("infra", str(uuid("a")), 3, 5)
    assert (gap.author, gap.session, gap.first_seq, gap.last_seq) == ("ingest", str(uuid("a")), 3, 5)
    assert (unaccounted.session, unaccounted.first_seq, unaccounted.last_seq) == (str(uuid("b")), None, 7)
    assert (spooled.events, spooled.why, spooled.session) == (12, "bus_away", None)
    assert spooled.since is not None
    assert spooled.until is not None
    assert spooled.until - spooled.since == timedelta(seconds=90)
    assert losses(connection, 1) == (spooled,)


def test_the_integrity_page_says_each_in_a_sentence(ledger: WrittenLedger) -> None:
    said = str(proof.lost(losses(built(ledger, Losses()))).plain())
    for words in (
        "infra kept 12 events back for 90 s (bus_away)", "up to its event 7 and has no end", "nobody knows",
        "infra says: events 3 to 5", "ingest says: events 3 to 5", "A spool is gone", "Never arrived",
    ):  # fmt: skip
        assert words in said


def test_without_a_loss_the_page_says_so() -> None:
    assert "Nothing is known to be lost" in str(proof.lost(()).plain())
