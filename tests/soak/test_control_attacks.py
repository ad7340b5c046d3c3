# ruff: noqa: F811 - a fixture is imported, and named again where a test takes it
"""The red team against caps, second looks, leaked passwords and purges, which take many approvals or a secrets manager."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from tenuto.approvals import routing
from tenuto.approvals.fold import Approvals
from tenuto.approvals.spotcheck import Spotchecks
from tenuto_agents.attacks.ground import Ground
from tenuto_agents.secrets.rotation import OpenBaoRotator

from tests.end_to_end.controls import ground, run  # noqa: F401 - a fixture, and how an attack is run

HELD: Mapping[str, set[str]] = {
    "flood-of-requests": {"M12"}, "rubber-stamped": {"M12"}, "second-look-by-approver": {"M14"}, "stolen-password": {"M10", "M11"},
    "read-after-purge": {"M21", "R3"},
}  # fmt: skip


@pytest.mark.parametrize("name", HELD)
def test_the_attack_is_held_and_evidence_says_by_what(ground: Ground, name: str) -> None:
    report = run(name, ground)
    assert (report.verdict, set(report.held)) == ("held", HELD[name]), report.seen
    assert report.event.evidence


def test_without_the_cap_of_the_router_somebody_is_given_more_than_an_hour_holds(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routing._Load, "places", lambda *_: 99)
    assert run("flood-of-requests", ground).verdict == "broken"


def test_without_rule_4_the_eleventh_approval_counts(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Approvals, "_broken_rule", lambda *_: (0, ""))
    assert run("rubber-stamped", ground).verdict == "broken"


def test_without_the_exclusion_the_approver_looks_a_second_time(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = Spotchecks._open

    def without_exclusion(self: Spotchecks, event: object, verified: object) -> None:
        opened(self, event, verified)  # type: ignore[arg-type]
        name = event.approval  # type: ignore[attr-defined]
        if name in self._checks:
            object.__setattr__(self._checks[name], "excluded", frozenset())

    monkeypatch.setattr(Spotchecks, "_open", without_exclusion)
    assert run("second-look-by-approver", ground).verdict == "broken"


def test_without_rotation_the_leaked_password_opens_the_database(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OpenBaoRotator, "rotate", lambda *_: None)
    assert run("stolen-password", ground).verdict == "broken"


def test_a_purge_that_leaves_the_key_alone_leaves_the_secret_in_an_older_dump(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenuto.adapters.shredding.puncture", lambda *_: 1)
    report = run("read-after-purge", ground)
    assert (report.verdict, report.seen) == ("broken", "It is still in a row of an older dump.")
