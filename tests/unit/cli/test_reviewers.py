"""Shifts as people write them."""

from __future__ import annotations

import pytest
from tenuto.cli.reviewers import minutes_of
from tenuto.errors import NotConfigured


@pytest.mark.parametrize(
    ("written", "minutes"),
    [(None, (None, None)), ("08:00-16:00", (480, 960)), ("22:30-06:00", (1350, 360)), ("00:00-23:59", (0, 1439))],
)
def test_a_shift_is_minutes_of_the_day(written: str | None, minutes: tuple[int | None, int | None]) -> None:
    assert minutes_of(written) == minutes


@pytest.mark.parametrize("written", ["8-16", "08:00", "24:00-06:00", "08:60-09:00", "08:00-16:00 CET", ""])
def test_anything_else_is_refused_with_the_form(written: str) -> None:
    with pytest.raises(NotConfigured, match="08:00-16:00"):
        minutes_of(written)
