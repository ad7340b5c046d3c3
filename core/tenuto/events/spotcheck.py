"""The second look at approved deployments (M14)."""

from __future__ import annotations

from typing import Literal

from .base import Event, Hash, Name


class SpotcheckDrawn(Event, frozen=True, kw_only=True, tag="spotcheck.drawn"):
    """The draw for one approval: `ticket` is the hash that decided, so anybody can repeat the draw."""

    approval: Name
    ticket: Hash
    drawn: bool


class SpotcheckSigned(Event, frozen=True, kw_only=True, tag="spotcheck.signed"):
    """The second reviewer's finding about an approval that was drawn."""

    approval: Name
    finding: Literal["agree", "disagree"]
