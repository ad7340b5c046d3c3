"""The address in a notification: a plain GET of it shows a page and changes nothing, whoever fetches it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import get_args
from urllib.request import Request, urlopen

import pytest
from sqlalchemy import text
from tenuto_projections.notify.notices import Notice, Reason
from tenuto_projections.notify.wording import link_of

from tests.console.planted import Planted
from tests.console.running import Console

WAITING = "worker-scale-1"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_fetching_what_a_notification_links_to_signs_nothing_and_decides_nothing(console: Console, told: Planted, method: str) -> None:
    def state() -> object:
        with told.engine.connect() as connection:
            rows = connection.execute(text("SELECT approval, state FROM read_model.approval ORDER BY approval")).all()
        return rows, console.signed()

    before = state()
    for reason in get_args(Reason):
        notice = Notice(id="n", reason=reason, person="lena", about=WAITING, position=1, at=datetime.now(UTC))
        link = link_of(notice, console.url)
        for address in (link, f"{link}{'&' if '?' in link else '?'}decision=approve"):
            with urlopen(Request(address, method=method), timeout=60) as answer:
                assert answer.status == 200
    assert state() == before
