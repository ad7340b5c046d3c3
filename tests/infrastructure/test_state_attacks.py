"""The state attacks on real Terraform and the real store (T8, M32): each is stopped, and succeeds with the control off."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from tenuto.errors import Busy, Refused
from tenuto.events import AlertRaised, ApprovalExpired, ApprovalRequested, StateAttested, StateWritten, ToolFailed
from tenuto.gate import ActionRefused
from tenuto_agents.attesting import vouch_by_people
from tenuto_agents.reverting import DriftWatch, drift_run
from tenuto_agents.statehome import StateMoved
from tenuto_agents.task import StopRequest, Task
from tenuto_agents.terraform import PlanSwapped, TerraformFailed
from tenuto_agents.vouching import Guards, NotRequested, StateNotVouched

from tests.infrastructure.site import NoGuards, Site
from tests.infrastructure.thief import edit_an_attribute, insert_a_resource, remove_a_resource, write_state

MAIN = """
resource "terraform_data" "guard" {
  input = { level = "strict" }
}
resource "terraform_data" "service" {
  input = { replicas = %d }
}
"""


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = Site(tmp_path_factory.mktemp("site"), MAIN % 2)
    with made.place.open():
        made.first()
        yield made


@pytest.fixture
def site(standing: Site) -> Iterator[Site]:
    """The one stack of this file; a test that poisons its state has it healed again."""
    good = standing.state()
    standing.stand_back()
    yield standing
    standing.stand_back()
    if standing.attested()[-1].digest != standing.state().digest:
        standing.heal(good)


def next_main(site: Site) -> str:
    """Another change each time."""
    return MAIN % next(site.numbers)


class OnlyAttested(NoGuards):
    """Only check 1."""

    verify_attested = Guards.verify_attested


class OnlyRequested(NoGuards):
    """Only check 2."""

    verify_requested = Guards.verify_requested


ATTACKS = [insert_a_resource, remove_a_resource, edit_an_attribute]


def test_an_honest_change_goes_through_and_the_state_it_left_is_vouched_for(site: Site) -> None:
    number = next(site.numbers)
    head = site.change(MAIN % number)
    assert site.applied() == 1
    assert [one.digest for one in site.attested()][-1] == site.state().digest
    assert site.attested()[-1].revision == head
    assert {one.principal for one in site.events(StateWritten)} == {"infrastructure"}
    assert f'"replicas": {number}'.encode() in site.state().content


def test_a_change_that_is_applied_already_may_come_again(site: Site) -> None:
    """The base would take it back, but nothing is planned, so nothing has to be explained."""
    base = site.repository.git("rev-parse", "HEAD")
    main = next_main(site)
    site.change(main)
    site.repository.git("reset", "-q", "--hard", base)
    site.change(main)
    assert site.applied() == 1


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
@pytest.mark.parametrize(("guards", "refusal"), [(OnlyAttested(), StateNotVouched), (OnlyRequested(), NotRequested)])
def test_a_poisoned_state_is_not_planned_from(
    site: Site, attack: object, guards: Guards, refusal: type[Refused]
) -> None:
    assert callable(attack)
    write_state(site, attack)
    with pytest.raises(refusal):
        site.change(next_main(site), guards=guards)
    assert site.applied() == 0
    assert set(site.events(ToolFailed)[-1].refs) >= {"T8", "M32"}


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_without_the_checks_the_poison_does_its_work(site: Site, attack: object) -> None:
    assert callable(attack)
    write_state(site, attack)
    before = site.state().document()["resources"]
    site.change(next_main(site), guards=NoGuards())
    assert site.applied() == 1
    after = site.state().document()["resources"]
    assert [one["name"] for one in before] != [one["name"] for one in after] or before != after


def test_a_state_that_moves_between_approval_and_apply_stops_the_apply(site: Site) -> None:
    site.before_apply = lambda: write_state(site, insert_a_resource)
    with pytest.raises(StateNotVouched, match="moved between"):
        site.change(next_main(site))
    assert site.applied() == 0


def test_where_only_terraform_looks_a_moved_state_is_stale(site: Site) -> None:
    site.before_apply = lambda: write_state(site, insert_a_resource)
    with pytest.raises(TerraformFailed, match="stale"):
        site.change(next_main(site), guards=NoGuards())
    assert site.applied() == 0


def test_a_state_written_right_after_the_apply_is_not_vouched_for(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the agent would vouch for the poison itself."""
    from tenuto_agents import infrastructure

    def apply_then_poison(workspace: object, planned: object) -> str:
        text = honest(workspace, planned)
        write_state(site, insert_a_resource)
        return text

    honest = infrastructure.apply
    monkeypatch.setattr(infrastructure, "apply", apply_then_poison)
    vouched = len(site.events(StateAttested))
    with pytest.raises(StateMoved):
        site.change(next_main(site))
    assert len(site.events(StateAttested)) == vouched
    with pytest.raises(StateNotVouched):
        site.change(next_main(site))


def test_a_state_that_nobody_vouches_for_is_not_taken_over(tmp_path: Path) -> None:
    site = Site(tmp_path, MAIN % 2)
    with site.place.open():
        site.first()
        lone = Site(tmp_path / "again", MAIN % 2)
        lone.place, lone.repository = site.place, site.repository
        with pytest.raises(StateNotVouched, match="no apply on record"):
            lone.change(MAIN % 3)


def test_a_plan_swapped_after_the_approval_is_not_applied(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    plans = site.folder / "stacks"

    def swap() -> None:
        for file in plans.glob("*/plan-*/tenuto.tfplan"):
            file.write_bytes(file.read_bytes() + b"\0")

    site.before_apply = swap
    with pytest.raises(PlanSwapped):
        site.change(next_main(site))
    assert site.applied() == 0


def test_an_approval_is_good_for_one_plan(site: Site) -> None:
    """The reviewers never look at the second plan; the approval of the first does not clear it."""
    site.change(next_main(site))

    asked = len(site.events(ApprovalRequested))

    def let_time_pass() -> None:
        if len(site.events(ApprovalRequested)) > asked:
            site.road.ahead = timedelta(hours=1)

    site.people = let_time_pass
    with pytest.raises(ActionRefused):
        site.change(next_main(site))
    assert site.applied() == 1
    assert len(site.events(ApprovalExpired)) == 1


def test_a_store_that_is_away_stops_everything(tmp_path: Path) -> None:
    site = Site(tmp_path, MAIN % 2)
    with site.place.open():
        site.first()
    site.stand_back()
    with pytest.raises(Busy, match="no answer"):
        site.change(next_main(site))
    assert site.applied() == 0


def test_people_who_saw_how_a_state_differs_can_vouch_for_it(site: Site) -> None:
    good = site.state()
    write_state(site, remove_a_resource)
    stack = site.agent().stack(str(site.repository.path), site.terraform)
    task = Task(site.road, site.gate, "drift-shop", (), StopRequest())
    head = site.repository.git("rev-parse", "HEAD")
    event = vouch_by_people(task, stack, str(site.repository.path), head, initiator="mara", last=stack.state.find(good.digest))
    assert (event.digest, event.revision) == (site.state().digest, head)
    asked = site.events(ApprovalRequested)[-1]
    assert (asked.tool, asked.digest, asked.risks) == ("state.attest", event.digest, ())
    card = site.road.document(ApprovalRequested)
    assert [(one.address, one.actions) for one in card.changes] == [("terraform_data.guard", ("delete",))]
    assert "strict" not in str(card), "values of a state are not shown"
    site.heal(good)


def test_a_poisoned_state_is_found_without_any_change_and_told_once(site: Site) -> None:
    watch = DriftWatch(site.agent(), site.terraform, None)
    task = Task(site.road, site.gate, drift_run(site.stack), (), StopRequest())
    (watched,) = watch.watched(task)
    write_state(site, edit_an_attribute)
    for _ in range(2):
        with pytest.raises(StateNotVouched):
            watch.check(task, watched, [], revert=True)
    (alert,) = site.events(AlertRaised)
    assert (alert.rule, alert.severity, alert.evidence) == ("state.not_vouched", "critical", (watched.baseline.id,))
