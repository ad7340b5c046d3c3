"""Review Board, once for all tests here."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.interop.foreign import required
from tests.platforms.review_board import ReviewBoardServer, installed


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReviewBoardServer]:
    with ReviewBoardServer(required(installed), tmp_path_factory.mktemp("review-board")) as running:
        yield running
