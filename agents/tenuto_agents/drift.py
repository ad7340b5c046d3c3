"""How infrastructure differs from its approved baseline: what Terraform would change back, and what it cannot see (M7).

The baseline is the commit whose apply the agent last vouched for. Providers write nothing, null and an empty list for the
same thing and change their mind between apply and refresh; such a difference is none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tenuto.documents import PlannedChange

from .inventory import Listed
from .plan import planned_changes, summary
from .stack import Planned

LISTED_MAX = 50


@dataclass(frozen=True, slots=True)
class Drift:
    """What differs. `planned` would take back what Terraform sees; `unmanaged` is what it does not see.

    outside: addresses that changed outside of Terraform, also where the configuration does not care.
    """

    planned: Planned
    outside: tuple[str, ...]
    unmanaged: tuple[Listed, ...]

    @property
    def count(self) -> int:
        """How many resources differ."""
        return len({*(one.address for one in self.planned.changes), *self.outside}) + len(self.unmanaged)

    def sentence(self) -> str:
        """What differs, for a person."""
        parts = []
        if self.planned.changes:
            parts.append(f"Taking it back would {summary(self.planned.changes)}.")
        if self.outside:
            parts.append(f"Changed outside of Terraform: {', '.join(self.outside[:LISTED_MAX])}.")
        if self.unmanaged:
            named = ", ".join(f"{one.type} {one.id} ({one.name})" for one in self.unmanaged[:LISTED_MAX])
            parts.append(f"In the cloud and in no state: {named}.")
        return " ".join(parts) or "Nothing differs."


def changed_outside(raw: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the addresses that the refresh found changed; `raw` is the JSON of `terraform show -json`."""
    return tuple(
        one["address"] for one in raw.get("resource_drift", [])
        if without_nothing(one["change"].get("before")) != without_nothing(one["change"].get("after"))
    )  # fmt: skip


def without_nothing(value: Any) -> Any:
    """Return a value without what stands for nothing in it: null, empty text, empty lists and mappings."""
    if isinstance(value, dict):
        kept = {name: without_nothing(part) for name, part in value.items()}
        return {name: part for name, part in kept.items() if part not in (None, "", [], {})}
    if isinstance(value, list):
        return [without_nothing(part) for part in value]
    return value


def real_changes(changes: Iterable[PlannedChange]) -> tuple[PlannedChange, ...]:
    """Return the changes that are more than another way of writing nothing."""
    return tuple(
        one for one in changes
        if set(one.actions) != {"update"} or without_nothing(one.before) != without_nothing(one.after)
    )  # fmt: skip


def found_drift(planned: Planned, unmanaged: tuple[Listed, ...]) -> Drift:
    """Return the drift in a plan of the baseline."""
    real = Planned(planned.plan, real_changes(planned_changes(planned.plan.raw)), planned.risks, planned.open_to_world)
    return Drift(real, changed_outside(planned.plan.raw), unmanaged)
