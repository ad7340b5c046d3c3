from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tenuto.mailbox import Mailbox
from tenuto.spool import Spool

from tests.unit.door.mini_ledger import Road


@pytest.fixture
def road() -> Road:
    return Road()


@pytest.fixture
def bob(road: Road, tmp_path: Path) -> Iterator[Mailbox]:
    spool = Spool(tmp_path / "bob-inbox.db")
    mailbox = road.mailbox("bob", spool)
    yield mailbox
    mailbox.close()
    spool.close()


