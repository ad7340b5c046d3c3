"""The rollout in stages, with real containers: the way back is walked first, and a bad release never takes the work (R4, M18)."""

from __future__ import annotations

import shutil
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from tenuto.errors import Busy
from tenuto.events import (
    AlertRaised,
    DeploymentHealthy,
    DeploymentQuarantined,
    DeploymentRolledBack,
    DeploymentStarted,
    DeploymentUnhealthy,
)
from tenuto_agents.attacks.container_range import HEALTHY
from tenuto_agents.containers import watch as watch_module
from tenuto_agents.containers.container_place import ContainerPlace
from tenuto_agents.containers.rollout import UNWELL_LOOKS, NoWayBack, Rollout

from tests.containers.stand import SERVICE, Stand

STEPS = (DeploymentStarted, DeploymentHealthy, DeploymentUnhealthy, DeploymentRolledBack, DeploymentQuarantined)
SICKENS = "mkdir /tmp/www; cat /release/www/health > /tmp/www/health; (sleep 1; echo {} > /tmp/www/health) & exec httpd -f -p $PORT -h /tmp/www\n"


def test_a_release_goes_through_every_stage_and_replaces_the_one_before(stand: Stand) -> None:
    first = stand.release("1")
    assert first.healthy
    assert stand.version() == "1"
    one = stand.in_force()
    second = stand.release("2")
    assert second.healthy
    assert stand.version() == "2"
    two = stand.in_force()
    assert stand.hosts.engine.names(SERVICE) == [two.name]
    assert not stand.hosts.networks.exists(one.name)
    environments = [event.environment for event in stand.world.events(DeploymentStarted)]
    assert environments == ["staging", "canary", "production", "scratch", "staging", "canary", "production"]
    way_back = stand.world.events(DeploymentStarted)[3]
    assert way_back.artifact == one.digest, "the way back is the release that was in force"
    assert "R4" in way_back.refs
    found = stand.hosts.engine.find(two.name)
    assert found is not None
    assert found.digest == two.digest


@pytest.mark.parametrize(
    ("program", "health"),
    [(HEALTHY, '{"version": "1"}'), ("exec sleep 60\n", '{"version": "2"}')],
    ids=["another version", "dead end point"],
)
def test_a_release_that_is_not_well_never_takes_the_work(stand: Stand, program: str, health: str) -> None:
    stand.put_in_force("1")
    stand.hosts.seconds = 1.0
    release = stand.release("2", program=program, health=health)
    assert not release.healthy
    assert stand.version() == "1"
    assert "production" not in [event.environment for event in stand.world.events(DeploymentStarted)[1:]]
    assert [event.why for event in stand.world.events(DeploymentRolledBack)] == ["unhealthy"]
    assert stand.hosts.engine.names(SERVICE) == [stand.in_force().name]


def test_without_the_health_check_a_dead_release_takes_the_work(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control switched off."""
    stand.put_in_force("1")
    monkeypatch.setattr(stand.hosts, "wrong_with", lambda instance: None)
    assert stand.release("2", program="exec sleep 60\n").healthy
    with pytest.raises(OSError):
        stand.version()


def test_a_release_that_sickens_as_a_canary_is_taken_back(stand: Stand) -> None:
    stand.put_in_force("1")
    stand.site = stand.rollout.site = stand.ground.site(**stand.changed, canary_seconds=30.0)
    release = stand.release("2", program=SICKENS)
    assert not release.healthy
    assert "was healthy and is not any more" in release.sentence
    assert stand.version() == "1"
    assert stand.kinds(*STEPS)[-1].startswith("deployment.rolled_back")


def test_a_first_release_that_is_not_well_leaves_nothing(stand: Stand) -> None:
    stand.hosts.seconds = 1.0
    assert not stand.release("1", program="exit 1\n").healthy
    assert stand.rollout.in_force() is None
    assert stand.hosts.engine.names(SERVICE) == []


def test_nothing_is_promoted_when_the_way_back_is_gone(stand: Stand) -> None:
    stand.put_in_force("1")
    shutil.rmtree(stand.ground.signature(f"releases/{SERVICE}", stand.in_force().digest).parent)
    with pytest.raises(NoWayBack, match="no way back from a new one"):
        stand.release("2")
    assert stand.version() == "1"
    assert stand.kinds(*STEPS)[-1].endswith("/way-back")


def test_without_the_proof_of_the_way_back_the_promotion_burns_the_bridge(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control switched off: it goes out, and then there is no way back."""
    stand.put_in_force("1")
    shutil.rmtree(stand.ground.signature(f"releases/{SERVICE}", stand.in_force().digest).parent)
    monkeypatch.setattr(Rollout, "_prove_way_back", lambda *_: None)
    assert stand.release("2").healthy
    with pytest.raises(NoWayBack, match="cannot go back"):
        stand.rollout.roll_back(stand.record, "person")


def test_a_person_can_bring_the_release_before_back(stand: Stand) -> None:
    one = stand.put_in_force("1")
    stand.put_in_force("2")
    stand.rollout.roll_back(stand.record, "spotcheck")
    assert stand.version() == "1"
    assert stand.in_force().digest == one.digest
    assert [(event.artifact, event.why) for event in stand.world.events(DeploymentRolledBack)] == [(one.digest, "spotcheck")]
    with pytest.raises(NoWayBack, match="no release of shop to go back to"):
        stand.rollout.roll_back(stand.record, "person")


def test_after_a_second_look_the_place_goes_back_to_what_the_ledger_names_and_repeating_it_does_no_harm(stand: Stand) -> None:
    one, two = stand.put_in_force("1"), stand.put_in_force("2")
    place = ContainerPlace(stand.rollout, None, None)  # type: ignore[arg-type]
    task: Any = SimpleNamespace(record=stand.record)
    assert place.ways_back() == (one.digest,)
    with pytest.raises(NoWayBack, match="does not lead back to 000000000000"):
        place.go_back(task, "0" * 64, two.deployment)
    for _ in range(2):
        place.go_back(task, one.digest, two.deployment)
    assert stand.version() == "1"
    assert [(event.artifact, event.why) for event in stand.world.events(DeploymentRolledBack)] == [(one.digest, "spotcheck")]


def test_two_rollouts_of_one_service_do_not_mix(stand: Stand) -> None:
    with stand.rollout.alone(), pytest.raises(Busy, match="Another process"):
        stand.release("1")


def test_what_a_dead_rollout_left_behind_is_cleared(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    stand.put_in_force("1")
    with monkeypatch.context() as patched:
        patched.setattr(Rollout, "_promote", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            stand.release("2")
    assert len(stand.hosts.engine.names(SERVICE)) == 2
    assert stand.release("3").healthy
    assert stand.hosts.engine.names(SERVICE) == [stand.in_force().name]
    assert stand.version() == "3"


# --- after it is out: 15 minutes of probation (M18) -----------------------------------------------------------------------


@pytest.fixture
def quick_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenuto_agents.containers.instance.PROBE_SECONDS_MAX", 0.3)


def looked(stand: Stand) -> str | None:
    watch = stand.watching()
    return [watch.look() for _ in range(UNWELL_LOOKS)][-1]


@pytest.mark.usefixtures("quick_probe")
def test_a_flagged_release_that_sickens_within_15_minutes_is_rolled_back(stand: Stand) -> None:
    stand.put_in_force("1", run="run-0")
    stand.put_in_force("2")
    stand.at(timedelta(minutes=14, seconds=59))
    stand.flag()
    stand.stop_answering()
    assert looked(stand) == f"shop is back at {stand.in_force().digest[:12]}."
    assert stand.version() == "1"
    assert stand.kinds(*STEPS)[-2:] == [
        f"{kind} {stand.world.events(DeploymentUnhealthy)[0].deployment}" for kind in ("deployment.unhealthy", "deployment.rolled_back")
    ]
    assert stand.watching().look() is None


@pytest.mark.usefixtures("quick_probe")
@pytest.mark.parametrize(
    ("after", "flagged", "why"),
    [(timedelta(minutes=15, seconds=1), True, "over 15 minutes"), (timedelta(minutes=1), False, "not flagged")],
    ids=["too late", "not flagged"],
)
def test_later_or_without_a_flag_there_is_an_alert_and_a_person_decides(
    stand: Stand, after: timedelta, flagged: bool, why: str
) -> None:
    stand.put_in_force("1", run="run-0")
    stand.put_in_force("2")
    two = stand.in_force()
    stand.at(after)
    if flagged:
        stand.flag()
    stand.stop_answering()
    assert why in (looked(stand) or "")
    assert stand.in_force() == two
    alert = stand.world.events(AlertRaised)[0]
    assert (alert.rule, alert.suspect, alert.evidence) == ("health.lost", two.deployment, (two.started,))
    assert looked(stand) is None, "it is said once, by another watch too"


@pytest.mark.usefixtures("quick_probe")
def test_a_rollback_whose_image_lost_its_signature_escalates(stand: Stand) -> None:
    stand.put_in_force("1", run="run-0")
    before = stand.in_force()
    stand.put_in_force("2")
    stand.at(timedelta(minutes=1))
    stand.flag()
    shutil.rmtree(stand.ground.signature(f"releases/{SERVICE}", before.digest).parent)
    stand.stop_answering()
    assert "cannot go back" in (looked(stand) or "")
    assert [(alert.rule, alert.severity) for alert in stand.world.events(AlertRaised)] == [("rollback.failed", "critical")]


@pytest.mark.usefixtures("quick_probe")
def test_a_watch_that_died_after_a_rollback_and_before_its_record_says_it_when_it_comes_back(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand.put_in_force("1", run="run-0")
    stand.put_in_force("2")
    two = stand.in_force()
    with monkeypatch.context() as patched:
        patched.setattr(Rollout, "say_rolled_back", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            stand.rollout.roll_back(stand.record, "unhealthy")
    assert stand.world.events(DeploymentRolledBack) == []
    assert stand.watching().look() is None
    assert [event.deployment for event in stand.world.events(DeploymentRolledBack)] == [two.deployment]
    assert stand.watching().look() is None
    assert len(stand.world.events(DeploymentRolledBack)) == 1


@pytest.mark.usefixtures("quick_probe")
def test_without_the_probation_a_flagged_release_stays_broken(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control switched off."""
    monkeypatch.setattr(watch_module, "PROBATION", timedelta(0))
    stand.put_in_force("1", run="run-0")
    stand.put_in_force("2")
    stand.at(timedelta(minutes=1))
    stand.flag()
    stand.stop_answering()
    looked(stand)
    with pytest.raises(OSError):
        stand.version()
