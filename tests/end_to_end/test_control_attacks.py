# ruff: noqa: F811 - a fixture is imported, and named again where a test takes it
"""The red team against draws, purges and accounts: each attack is held, and broken without its control. More in tests/soak."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from tenuto.keyring import Key, Keyring
from tenuto.signing import key_id
from tenuto_agents.attacks.ground import Ground

from tests.conftest import Database
from tests.end_to_end.controls import ground, run  # noqa: F401 - a fixture, and how an attack is run
from tests.road import Road

HELD: Mapping[str, set[str]] = {"shared-account": {"M28"}, "draw-again": {"M14", "M27"}, "purge-unasked": {"M21"}}


@pytest.mark.parametrize("name", HELD)
def test_the_attack_is_held_and_evidence_says_by_what(ground: Ground, name: str) -> None:
    report = run(name, ground)
    assert (report.verdict, set(report.held)) == ("held", HELD[name]), report.seen
    assert report.event.evidence


def test_the_session_that_tried_in_the_roots_name_is_not_left_open(ground: Ground) -> None:
    refused = run("shared-account", ground).event.evidence[0]
    position = next(one.position for one in ground.since() if one.event.id == refused)
    closed = ground.wait_for(lambda one: one.position > position and one.event.author == "root" and one.event.kind == "session.closed")
    assert closed is not None


def test_a_key_ring_that_takes_a_key_twice_gives_two_agents_one_account(
    tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def add(self: Keyring, event: object, position: int, *, role: str, owner: str, insecure: bool) -> None:
        public_key, subject = bytes.fromhex(event.public_key), event.subject  # type: ignore[attr-defined]
        self._keys[subject, key_id(public_key)] = Key(subject, key_id(public_key), public_key, role, owner, insecure, position)

    monkeypatch.setattr(Keyring, "_add", add)
    monkeypatch.setattr("tenuto_agents.attacks.accounts.REFUSAL_SECONDS", 2.0)
    with Road(tmp_path / "home", database) as loose, loose.working():
        loose.register()
        with Ground(loose.settings, tmp_path / "red" / "scratch") as range_of_this:
            assert run("shared-account", range_of_this).verdict == "broken"


def test_others_topics_are_not_tried_where_the_broker_knows_no_accounts(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)  # where what a machine lacks fails the test; the broker here lacks it everywhere
    with pytest.raises(pytest.skip.Exception, match="knows no accounts"):
        run("others-topics", ground)
