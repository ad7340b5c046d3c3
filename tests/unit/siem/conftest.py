"""One ledger, and what an export of it writes when nothing disturbs it."""

from __future__ import annotations

import pytest

from tests.unit.projections.written import WrittenLedger

from .chronicle import grown
from .exports import SIZE, export_file


@pytest.fixture(scope="module")
def ledger() -> WrittenLedger:
    return grown(SIZE)


@pytest.fixture(scope="module")
def whole(ledger: WrittenLedger, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """What an export that nothing disturbs writes."""
    folder = tmp_path_factory.mktemp("whole")
    assert export_file(ledger, folder) == SIZE
    return (folder / "out").read_bytes()
