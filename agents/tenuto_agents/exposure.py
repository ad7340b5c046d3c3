"""Which resources of a plan would let the whole internet in, at a port that is not for everybody (M5).

People approve security groups, but nobody has to approve this: it is denied by policy. A rule counts as open when it lets
in a network so large that it is a way of writing "everybody", at any port but those of the web; and when its networks are
known only after the apply, since nobody could say today what it opens.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from typing import Any

WEB_PORTS = frozenset({80, 443})
EVERYBODY_BITS_MAX = {4: 7, 6: 15}
"""Networks with at most so many bits of prefix are everybody: 0.0.0.0/0, but also its two halves, and quarters of those."""

_NETWORKS = frozenset({
    "cidr", "cidrs", "cidr_block", "cidr_blocks", "ipv6_cidr_block", "ipv6_cidr_blocks", "source_ranges", "cidr_ipv4", "cidr_ipv6",
    "source_address_prefix", "source_address_prefixes",
})  # fmt: skip
_OUTBOUND = frozenset({"egress", "outbound"})
_ROUTES = frozenset({"route", "routes"})
_NOT_RULES = ("aws_route", "aws_vpc", "aws_subnet", "aws_default_route_table", "aws_default_vpc")


def world_open(raw: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the addresses of resources that would be open to everybody; `raw` is the JSON of `terraform show -json`."""
    return tuple(one["address"] for one in raw.get("resource_changes", []) if _opens(one))


def _opens(one: Mapping[str, Any]) -> bool:
    change = one["change"]
    if not set(change["actions"]) - {"no-op", "read", "delete"} or str(one["type"]).startswith(_NOT_RULES):
        return False
    return any(_is_open(rule, unknown) for rule, unknown in _rules(change.get("after"), change.get("after_unknown")))


def _rules(value: Any, unknown: Any) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yield every mapping that names networks to let in, with the part of Terraform's mask of unknown values over it."""
    if isinstance(value, dict):
        mask = unknown if isinstance(unknown, dict) else {}
        if _NETWORKS & (value.keys() | mask.keys()) and not _is_outbound(value):
            yield value, mask
        for name, part in value.items():
            if name not in _OUTBOUND | _ROUTES:
                yield from _rules(part, mask.get(name))
    elif isinstance(value, list):
        masks = unknown if isinstance(unknown, list) else []
        for at, part in enumerate(value):
            yield from _rules(part, masks[at] if at < len(masks) else None)


def _is_outbound(rule: Mapping[str, Any]) -> bool:
    return str(rule.get("type", rule.get("direction", ""))).lower() in ("egress", "outbound")


def _is_open(rule: Mapping[str, Any], unknown: Mapping[str, Any]) -> bool:
    if any(_is_unknown(unknown.get(name)) for name in _NETWORKS):
        return True
    networks = [network for name in _NETWORKS & rule.keys() for network in _texts(rule[name])]
    return any(_is_everybody(network) for network in networks) and not _is_web(rule)


def _is_unknown(mask: Any) -> bool:
    return mask is True or (isinstance(mask, list) and any(_is_unknown(part) for part in mask))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        yield from (part for part in value if isinstance(part, str))


def _is_everybody(network: str) -> bool:
    if network.strip().lower() in ("*", "any", "internet"):
        return True
    try:
        parsed = ipaddress.ip_network(network.strip(), strict=False)
    except ValueError:
        return False
    return parsed.prefixlen <= EVERYBODY_BITS_MAX[parsed.version]


def _is_web(rule: Mapping[str, Any]) -> bool:
    """Whether the rule opens one port, which is one of the web's; anything that is not told is not."""
    first, last = rule.get("from_port", rule.get("port")), rule.get("to_port", rule.get("port"))
    return first == last and first in WEB_PORTS
