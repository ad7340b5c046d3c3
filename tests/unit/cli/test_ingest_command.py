from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from tenuto import wiring
from tenuto.cli import build
from tenuto.errors import NotConfigured
from tenuto.settings import Settings
from typer.testing import CliRunner


@pytest.mark.parametrize(
    ("words", "partitions"), [((), None), (("--partition", "0"), [0]), (("--partition", "1", "--partition", "3"), [1, 3])]
)
def test_ingest_serves_the_partitions_that_are_named_or_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: Sequence[str], partitions: list[int] | None
) -> None:
    asked: list[Sequence[int] | None] = []

    def refuse(settings: Settings, served: Sequence[int] | None = None) -> None:
        asked.append(served)
        raise NotConfigured("nothing is here")

    monkeypatch.setattr(wiring, "open_ingest", refuse)
    monkeypatch.setenv("TENUTO_HOME", str(tmp_path))
    result = CliRunner().invoke(build(), ["ingest", *words])
    assert isinstance(result.exception, NotConfigured | SystemExit)
    assert asked == [partitions]
