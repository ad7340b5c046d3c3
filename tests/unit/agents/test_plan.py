"""What a plan would do, without what it keeps secret."""

from __future__ import annotations

from typing import Any

import pytest
from tenuto_agents import plan as plans
from tenuto_agents.plan import PlanRefused, mask, plan_risks, planned_changes, summary


def change(kind: str, name: str, actions: list[str], **values: Any) -> dict[str, Any]:
    inner = {"actions": actions, "before": None, "after": None, "after_unknown": False, **values}
    return {"address": f"{kind}.{name}", "type": kind, "name": name, "change": inner}


def judged(*changes: dict[str, Any]) -> Any:
    return planned_changes({"format_version": "1.2", "resource_changes": list(changes)})


def test_sensitive_values_are_masked_wherever_the_mask_says() -> None:
    value = {"a": "secret", "b": [{"c": "secret", "d": 1}], "e": None}
    masked = mask(value, {"a": True, "b": [{"c": True}], "e": True})
    assert masked == {"a": "(sensitive)", "b": [{"c": "(sensitive)", "d": 1}], "e": None}
    after = {"input": {"password": "secret"}}
    (one,) = judged(change("x", "y", ["create"], after=after, after_sensitive={"input": {"password": True}}))
    assert "secret" not in str(one)
    (whole,) = judged(change("x", "y", ["create"], after=after, after_sensitive=True))
    assert whole.after is None


def test_only_what_differs_is_shown_of_an_update() -> None:
    (one,) = judged(change("x", "y", ["update"], before={"a": 1, "b": 2}, after={"a": 1, "b": 3}))
    assert (one.before, one.after) == ({"b": 2}, {"b": 3})


def test_values_known_only_later_say_so() -> None:
    (one,) = judged(change("x", "y", ["create"], after={"a": 1}, after_unknown={"id": True, "a": False}))
    assert one.after == {"a": 1, "id": "(known after apply)"}


@pytest.mark.parametrize(
    ("one", "risks"),
    [
        (change("aws_security_group_rule", "a", ["update"]), ("security_group",)),
        (change("google_compute_firewall", "a", ["create"]), ("security_group",)),
        (change("terraform_data", "a", ["create"], after={"input": {"ingress": []}}), ("security_group",)),
        (change("aws_iam_role_policy", "a", ["create"]), ("iam",)),
        (change("google_service_account", "a", ["create"]), ("iam",)),
        (change("aws_lb_listener", "a", ["create"]), ("public_endpoint",)),
        (change("terraform_data", "dns_record_shop", ["update"]), ("public_endpoint",)),
        (change("x", "y", ["update"], after={"deep": [{"to": "0.0.0.0/0"}]}), ("public_endpoint",)),
        (change("x", "y", ["update"], after={"publicly_accessible": True}), ("public_endpoint",)),
        (change("x", "y", ["delete"], before={"a": 1}), ("deletion",)),
        (change("x", "y", ["delete", "create"]), ("replacement",)),
        (change("x", "y", ["create", "delete"]), ("replacement",)),
        (change("terraform_data", "service_shop", ["update"], after={"input": {"replicas": 3}}), ()),
    ],
)
def test_risks_are_read_from_type_name_and_values(one: dict[str, Any], risks: tuple[str, ...]) -> None:
    assert plan_risks(judged(one)) == risks


def test_nothing_to_do_is_no_change() -> None:
    assert judged(change("x", "y", ["no-op"]), change("data_x", "y", ["read"])) == ()
    assert summary(()) == "nothing"


@pytest.mark.parametrize("raw", [{}, {"format_version": "2.0"}, {"format_version": "1.2", "errored": True}])
def test_a_plan_that_cannot_be_read_is_not_judged(raw: dict[str, Any]) -> None:
    with pytest.raises(PlanRefused):
        planned_changes(raw)


def test_a_plan_over_its_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plans, "CHANGES_MAX", 1)
    judged(change("x", "y", ["create"]))
    with pytest.raises(PlanRefused, match="Split it"):
        judged(change("x", "y", ["create"]), change("x", "z", ["create"]))
