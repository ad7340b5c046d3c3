"""What policy said, and under which bundle."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from .base import Event, Hash, Name

RULES_MAX = 32


class PolicyDecided(Event, frozen=True, kw_only=True, tag="policy.decided"):
    """The answer to one tool request. Any error or undefined result is a deny with the rule `error`.

    rules: ids of the rules that decided. obligation: what must happen before the tool may start.
    """

    call: Name
    effect: Literal["allow", "deny"]
    rules: Annotated[tuple[Name, ...], msgspec.Meta(max_length=RULES_MAX)]
    bundle: Hash
    engine: Name
    obligation: Literal["none", "approval", "approval_and_one_more"] = "none"


class PolicyChanged(Event, frozen=True, kw_only=True, tag="policy.changed"):
    """Another bundle decides from now on; the payload holds its text."""

    old_bundle: Hash | None
    bundle: Hash
