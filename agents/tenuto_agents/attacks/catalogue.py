"""All attacks that there are, by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tenuto.errors import NotConfigured

from . import (
    accounts,
    drifting,
    flooding,
    images,
    leaked,
    leaks,
    messages,
    plans,
    published,
    pull_requests,
    readers,
    releases,
    reporting,
    reviews,
    second_looks,
    states,
)
from .scenario import Scenario

SCENARIOS: Mapping[str, Scenario] = {
    scenario.name: scenario
    for part in (messages, accounts, reviews, flooding, second_looks, published, pull_requests, readers, reporting, leaks, leaked, states, plans, drifting, images, releases)
    for scenario in part.SCENARIOS
}  # fmt: skip


def chosen(names: Sequence[str]) -> list[Scenario]:
    """Return the scenarios of these names, all without any; raises NotConfigured for a name that is none."""
    for name in names:
        if name not in SCENARIOS:
            raise NotConfigured(f"There is no attack {name!r}. `tenuto attack list` prints those that there are.")
    return [SCENARIOS[name] for name in names or SCENARIOS]
