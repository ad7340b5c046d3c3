"""One authority and one set of receivers for all tests of notifications."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.notify.receivers import MailServer, WebReceiver, mail_server
from tests.unit.siem.receiver import Authority, new_authority


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return new_authority(tmp_path_factory.mktemp("notify") / "authority")


@pytest.fixture(scope="session")
def certificate(authority: Authority) -> tuple[Path, Path]:
    return authority.issue("localhost")


@pytest.fixture(scope="session")
def mail(certificate: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[MailServer]:
    with mail_server(tmp_path_factory.mktemp("mail") / "kept", *certificate) as running:
        yield running


@pytest.fixture(autouse=True)
def _no_old_letters(request: pytest.FixtureRequest) -> None:
    if "mail" in request.fixturenames:
        request.getfixturevalue("mail").clear()


@pytest.fixture
def web(certificate: tuple[Path, Path]) -> Iterator[WebReceiver]:
    receiver = WebReceiver(*certificate)
    yield receiver
    receiver.close()
