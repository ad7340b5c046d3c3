"""What is drift and what is only another way of writing nothing; what is managed and what is not."""

from __future__ import annotations

from typing import Any

import pytest
from tenuto_agents.drift import changed_outside, without_nothing
from tenuto_agents.inventory import Listed, managed, unmanaged


def drifted(before: Any, after: Any) -> tuple[str, ...]:
    return changed_outside({"resource_drift": [{"address": "a.b", "change": {"before": before, "after": after}}]})


@pytest.mark.parametrize(
    ("before", "after"),
    [({"tags": None}, {"tags": {}}), ({"a": 1, "b": ""}, {"a": 1}), ({"a": {"b": None}}, {"a": {}}), ({"a": []}, {"a": None}),
     ({"a": [{"b": None}]}, {"a": [{}]})],
)  # fmt: skip
def test_another_way_of_writing_nothing_is_no_drift(before: Any, after: Any) -> None:
    assert drifted(before, after) == ()


@pytest.mark.parametrize(
    ("before", "after"), [({"a": 1}, {"a": 0}), ({"a": False}, {"a": None}), ({"a": 0}, {}), ({"a": ["x"]}, {"a": []}), ({"a": 1}, None)]
)
def test_what_differs_is_drift(before: Any, after: Any) -> None:
    assert drifted(before, after) == ("a.b",)


def test_false_and_zero_are_something() -> None:
    assert without_nothing({"a": False, "b": 0, "c": None}) == {"a": False, "b": 0}


def test_what_is_in_no_state_is_unmanaged() -> None:
    state = {"resources": [
        {"mode": "managed", "type": "aws_security_group", "instances": [{"attributes": {"id": "sg-1"}}, {"attributes": None}]},
        {"mode": "data", "type": "aws_security_group", "instances": [{"attributes": {"id": "sg-2"}}]},
    ]}  # fmt: skip
    one, two = Listed("aws_security_group", "sg-1", "web"), Listed("aws_security_group", "sg-2", "rogue")
    assert ("aws_security_group", "sg-2") not in managed([state])
    assert unmanaged([one, two], [state]) == (two,)
    assert unmanaged([one, two], []) == (one, two)
    assert unmanaged([Listed("aws_vpc", "sg-1", "")], [state]) == (Listed("aws_vpc", "sg-1", ""),)
