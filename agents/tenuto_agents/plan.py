"""What a Terraform plan would do, as a reviewer and a policy need it: resources, values that change, risks.

`show -json` writes sensitive values in clear and a mask beside them. Nothing leaves this module before the mask was laid
over it. Risks are read from the type, the name and the values of what changes, and rather once too often: a risk that is
named asks a person, a risk that is missed asks nobody.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tenuto.documents import PlannedChange
from tenuto.errors import Refused

CHANGES_MAX = 500
SENSITIVE = "(sensitive)"
UNKNOWN = "(known after apply)"
RISKS = ("security_group", "iam", "public_endpoint", "deletion", "replacement")

_BY_WORD: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("security_group", re.compile(r"security_?group|firewall|network_acl|(?:^|_)nacl|ingress|egress|nsg")),
    ("iam", re.compile(r"(?:^|[_.])(?:iam|role|policy|permission|service_account|access_key|user|grant)s?(?:$|[_.])")),
    ("public_endpoint", re.compile(
        r"(?:^|[_.])(?:dns|route53|lb|alb|elb|nlb|load_?balancer|listener|eip|public|gateway|cloudfront|cdn|endpoint)(?:$|[_.])"
    )),
)  # fmt: skip
_BY_KEY: tuple[tuple[str, frozenset[str]], ...] = (
    ("security_group", frozenset({"ingress", "egress", "cidr", "cidrs", "cidr_blocks", "source_ranges"})),
    ("iam", frozenset({"assume_role_policy", "policy_arn", "iam_role"})),
)
_EVERYBODY = ("0.0.0.0/0", "::/0")
_PUBLIC_KEYS = frozenset({"public", "publicly_accessible", "associate_public_ip_address", "public_access"})


class PlanRefused(Refused):
    """The plan cannot be judged: unreadable, incomplete, or too large for a reviewer."""

    reason = "plan"


def planned_changes(raw: Mapping[str, Any]) -> tuple[PlannedChange, ...]:
    """Return what the plan would change, sensitive values masked; raises PlanRefused.

    `raw` is the JSON of `terraform show -json` (format 1.x).
    """
    if not str(raw.get("format_version", "")).startswith("1.") or raw.get("errored"):
        raise PlanRefused(f"The plan has the format {raw.get('format_version')!r} or holds an error; it is not judged.")
    changes = [one for one in raw.get("resource_changes", []) if set(one["change"]["actions"]) - {"no-op", "read"}]
    if len(changes) > CHANGES_MAX:
        raise PlanRefused(f"The plan changes {len(changes)} resources; more than {CHANGES_MAX} are not reviewed. Split it.")
    return tuple(_planned(one) for one in changes)


def plan_risks(changes: tuple[PlannedChange, ...]) -> tuple[str, ...]:
    """Return every risk of the plan once, in the order of RISKS."""
    found = {risk for change in changes for risk in change.risks}
    return tuple(risk for risk in RISKS if risk in found)


def summary(changes: tuple[PlannedChange, ...]) -> str:
    """Say in one line what would change, such as `update terraform_data.service_shop`."""
    return ", ".join(f"{' and '.join(change.actions)} {change.address}" for change in changes) or "nothing"


def _planned(one: Mapping[str, Any]) -> PlannedChange:
    change = one["change"]
    before = mask(change.get("before"), change.get("before_sensitive"))
    after = mask(_with_unknown(change.get("after"), change.get("after_unknown")), change.get("after_sensitive"))
    actions = tuple(change["actions"])
    risks = _risks(one, actions)
    if isinstance(before, dict) and isinstance(after, dict) and "delete" not in actions:
        before, after = _differing(before, after)
    return PlannedChange(
        address=one["address"], type=one["type"], actions=actions, risks=risks,
        before=before if isinstance(before, dict) else None, after=after if isinstance(after, dict) else None,
    )  # fmt: skip


def mask(value: Any, sensitive: Any) -> Any:
    """Return `value` with everything replaced that Terraform's mask marks as sensitive."""
    if sensitive is True:
        return SENSITIVE if value is not None else None
    if isinstance(value, dict) and isinstance(sensitive, dict):
        return {name: mask(part, sensitive.get(name)) for name, part in value.items()}
    if isinstance(value, list) and isinstance(sensitive, list):
        return [mask(part, sensitive[at] if at < len(sensitive) else None) for at, part in enumerate(value)]
    return value


def _with_unknown(value: Any, unknown: Any) -> Any:
    if unknown is True:
        return UNKNOWN
    if isinstance(unknown, dict) and isinstance(value, dict | None):
        known = value or {}
        names = [*known, *(name for name in unknown if name not in known and unknown[name])]
        return {name: _with_unknown(known.get(name), unknown.get(name)) for name in names}
    return value


def _differing(before: dict[str, Any], after: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Keep what differs; a reviewer looks for the change, not for what stays."""
    names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    return {name: before[name] for name in names if name in before}, {name: after[name] for name in names if name in after}


def _risks(one: Mapping[str, Any], actions: tuple[str, ...]) -> tuple[str, ...]:
    named = f"{one['type']}.{one['name']}".lower()
    found = {risk for risk, pattern in _BY_WORD if pattern.search(named)}
    for values in (one["change"].get("before"), one["change"].get("after")):
        found |= _value_risks(values)
    if "delete" in actions:
        found.add("replacement" if "create" in actions else "deletion")
    return tuple(risk for risk in RISKS if risk in found)


def _value_risks(value: Any) -> set[str]:
    if isinstance(value, dict):
        found = {risk for risk, keys in _BY_KEY if keys & value.keys()}
        if any(value.get(key) is True for key in _PUBLIC_KEYS):
            found.add("public_endpoint")
        return found.union(*(_value_risks(part) for part in value.values()))
    if isinstance(value, list):
        return set().union(*(_value_risks(part) for part in value))
    return {"public_endpoint"} if isinstance(value, str) and value.strip() in _EVERYBODY else set()
