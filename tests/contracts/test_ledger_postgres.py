"""The ledger in Postgres keeps the contract, as the role `tenuto_ingest`, which may insert and nothing more."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from eventsourcing.persistence import OperationalError
from tenuto.adapters.postgres import PostgresLedger, PostgresReader, _answering, open_datastore
from tenuto.errors import Busy

from tests.check_ledger import check_ledger
from tests.conftest import Database
from tests.contracts.ledger_contract import NAME, LedgerContract
from tests.written import STORAGE_KEY, TRUST, Author, batch_of, genesis


class PostgresStores:
    def __init__(self, database: Database) -> None:
        self.database, self.opened = database, list[PostgresLedger]()

    def open(self) -> PostgresLedger:
        url = self.database.url("tenuto_ingest")
        self.opened.append(PostgresLedger(open_datastore(url), url))
        return self.opened[-1]

    def lose(self, store: PostgresLedger) -> None:
        with store._datastore.get_connection() as connection:
            pid = connection.info.backend_pid
        with psycopg.connect(self.database.url(), autocommit=True) as superuser:
            superuser.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))


@pytest.fixture
def stores(database: Database) -> Iterator[PostgresStores]:
    stores = PostgresStores(database)
    yield stores
    for store in stores.opened:
        store.close()


class TestPostgresLedger(LedgerContract):
    @pytest.fixture
    def stores(self, database: Database) -> Iterator[PostgresStores]:
        stores = PostgresStores(database)
        yield stores
        for store in stores.opened:
            store.close()


def test_a_reader_sees_what_the_writer_wrote(stores: PostgresStores, database: Database) -> None:
    stores.open().append(batch_of(genesis(Author("root"))))
    reader = PostgresReader(database.url("tenuto_reader"))
    assert len(check_ledger(reader, TRUST, storage_key=STORAGE_KEY)) == 5
    reader.close()


def test_a_reader_connects_again_after_its_session_was_ended(stores: PostgresStores, database: Database) -> None:
    stores.open().append(batch_of(genesis(Author("root"))))
    reader = PostgresReader(database.url("tenuto_reader"))
    assert reader.head().size == 5
    with psycopg.connect(database.url(), autocommit=True) as superuser:
        superuser.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = 'tenuto_reader'"
        )
    with pytest.raises(Busy, match="does not answer"):
        reader.head()
    assert reader.head().size == 5
    reader.close()


def test_a_database_that_is_away_is_busy(tmp_path: object) -> None:
    url = f"postgresql://tenuto_ingest@/nowhere?host={tmp_path}&connect_timeout=1"
    datastore = open_datastore(url)
    datastore.pool.timeout = 0.2
    ledger = PostgresLedger(datastore, url)
    for attempt in (lambda: ledger.claim(NAME), lambda: ledger.append(batch_of([])), ledger.head):
        with pytest.raises(Busy, match="does not answer"):
            attempt()
    ledger.close()


def test_the_rest_of_the_url_reaches_the_connection() -> None:
    datastore = open_datastore(
        "postgresql://tenuto_ingest@db.example/tenuto?sslmode=verify-full&options=-c%20work_mem%3D8MB"
    )
    settings = datastore.pool.kwargs
    assert isinstance(settings, dict)
    assert settings["sslmode"] == "verify-full"
    assert settings["options"] == "-c work_mem=8MB -c lock_timeout=30000"
    datastore.close()


def test_a_writer_waits_for_the_head_row_no_longer_than_its_lock_timeout(database: Database) -> None:
    from datetime import timedelta

    url = database.url("tenuto_ingest")
    ledger = PostgresLedger(open_datastore(url, lock_timeout=timedelta(milliseconds=100)), url)
    with psycopg.connect(database.url()) as other:
        other.execute("SELECT 1 FROM ledger.log_head FOR UPDATE")
        with pytest.raises(Busy, match="lock timeout"):
            ledger.append(batch_of(genesis(Author("root"))))
    assert ledger.append(batch_of(genesis(Author("root")))) == range(5)
    ledger.close()


@pytest.mark.parametrize("wrapped", [False, True], ids=["by the driver", "by the library"])
def test_a_full_disk_is_waited_for_and_not_called_a_database_that_is_away(*, wrapped: bool) -> None:
    def write() -> None:
        try:
            raise psycopg.errors.DiskFull("could not extend file")
        except psycopg.Error as full:
            if wrapped:
                raise OperationalError(full) from full
            raise

    with pytest.raises(Busy, match="The disk of the ledger database is full.*could not extend file"), _answering():
        write()
