"""What `tenuto hold` makes of its arguments."""

from __future__ import annotations

import pytest
from tenuto.cli import build
from tenuto.cli.hold import parsed_range
from tenuto.errors import NotConfigured
from typer.testing import CliRunner


@pytest.mark.parametrize(
    ("said", "ends"), [("3..9", (3, 9)), ("0..0", (0, 0)), ("7..", (7, None)), ("..7", (None, 7))]
)
def test_a_range_has_two_ends_and_either_may_be_open(said: str, ends: tuple[int | None, int | None]) -> None:
    assert parsed_range(said) == ends


@pytest.mark.parametrize("said", ["", "..", "7", "9..3", "1..2..3", "-1..4", "a..b", "1...3"])
def test_anything_else_is_refused(said: str) -> None:
    with pytest.raises(NotConfigured, match="range"):
        parsed_range(said)


@pytest.mark.parametrize("covers", [[], ["--everything", "--run", "pr-1"], ["--everything", "--positions", "1..2"]])
def test_a_hold_says_what_it_covers(covers: list[str]) -> None:
    ended = CliRunner().invoke(build(), ["hold", "place", "case-1", "--as", "counsel", "--reason", "a suit", *covers])
    assert isinstance(ended.exception, NotConfigured)
    assert "Say what is held" in str(ended.exception)
