"""The ledger in memory keeps the contract, and says that it is not durable."""

from __future__ import annotations

import pytest
from tenuto.adapters.memory import MemoryLedger, Rows

from tests.contracts.ledger_contract import LedgerContract


class MemoryStores:
    def __init__(self) -> None:
        self.rows = Rows()

    def open(self) -> MemoryLedger:
        return MemoryLedger(self.rows)

    def lose(self, store: MemoryLedger) -> None:
        store.close()


class TestMemoryLedger(LedgerContract):
    @pytest.fixture
    def stores(self) -> MemoryStores:
        return MemoryStores()


def test_it_announces_that_it_is_not_durable(caplog: pytest.LogCaptureFixture) -> None:
    MemoryLedger()
    assert "not durable" in caplog.text
