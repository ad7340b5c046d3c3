"""What lets everybody in, read from plans: ways of writing it, and what is no such thing."""

from __future__ import annotations

from typing import Any

import pytest
from tenuto_agents.exposure import world_open


def opened(values: Any, kind: str = "aws_security_group", actions: tuple[str, ...] = ("create",), unknown: Any = None) -> bool:
    change = {"actions": list(actions), "before": None, "after": values, "after_unknown": unknown or {}}
    return bool(world_open({"resource_changes": [{"address": f"{kind}.a", "type": kind, "name": "a", "change": change}]}))


def rule(*networks: str, first: Any = 8443, last: Any = None, key: str = "cidr_blocks") -> dict[str, Any]:
    return {"from_port": first, "to_port": first if last is None else last, key: list(networks)}


@pytest.mark.parametrize(
    "rules",
    [
        rule("0.0.0.0/0"), rule("10.0.0.0/8", "0.0.0.0/0"), rule("0.0.0.0/1"), rule("128.0.0.0/1"), rule("192.0.0.0/3"), rule("1.2.3.4/0"),
        rule(" 0.0.0.0/0 "), rule("::/0", key="ipv6_cidr_blocks"), rule("2000::/3", key="ipv6_cidr_blocks"),
        rule("0.0.0.0/0", first=443, last=8443), rule("0.0.0.0/0", first=0, last=0), rule("0.0.0.0/0", first=None),
        {"port": 22, "cidrs": ["0.0.0.0/0"]}, {"port": 22, "source_ranges": ["0.0.0.0/0"]}, {"cidr_ipv4": "0.0.0.0/0", "from_port": 22},
        {"source_address_prefix": "*", "port": 22}, {"cidr_blocks": ["0.0.0.0/0"]},
    ],
)  # fmt: skip
def test_ways_of_writing_everybody(rules: dict[str, Any]) -> None:
    assert opened({"ingress": [rules]})
    assert opened({"input": {"ingress": [rules]}}, "terraform_data")
    assert opened({"type": "ingress", **rules}, "aws_security_group_rule", ("update",))


@pytest.mark.parametrize(
    "rules", [rule("10.0.0.0/8"), rule("0.0.0.0/0", first=443), rule("0.0.0.0/0", first=80), rule("fd00::/16", key="ipv6_cidr_blocks"),
              rule("not a network"), rule()],
)  # fmt: skip
def test_what_is_for_some_or_for_the_web_is_not_open(rules: dict[str, Any]) -> None:
    assert not opened({"ingress": [rules]})


def test_what_goes_out_and_what_goes_away_lets_nobody_in() -> None:
    assert not opened({"egress": [rule("0.0.0.0/0")]})
    assert not opened({"type": "egress", **rule("0.0.0.0/0")}, "aws_security_group_rule")
    assert not opened({"ingress": [rule("0.0.0.0/0")]}, actions=("delete",))
    assert not opened({"ingress": [rule("0.0.0.0/0")]}, actions=("no-op",))
    assert not opened({"route": [{"cidr_block": "0.0.0.0/0"}]}, "aws_route_table")
    assert not opened({"destination_cidr_block": "0.0.0.0/0", "cidr_block": "0.0.0.0/0"}, "aws_route")


def test_networks_known_only_after_the_apply_count_as_everybody() -> None:
    """Else a plan would hide them behind an attribute of something that is made in the same apply."""
    partly = {"from_port": 22, "to_port": 22}
    assert opened({"ingress": [partly]}, unknown={"ingress": [{"cidr_blocks": True}]})
    assert opened({"ingress": [partly]}, unknown={"ingress": [{"cidr_blocks": [True]}]})
    assert not opened({"ingress": [rule("10.0.0.0/8")]}, unknown={"id": True, "ingress": [{"cidr_blocks": [False]}]})
