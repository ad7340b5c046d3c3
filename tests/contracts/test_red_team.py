"""The red team on the real road: each attack is held, says by what, and reaches its goal as soon as its control is off."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path

import psycopg
import pytest
import tenuto.keyring
from tenuto.approvals.fold import Approvals
from tenuto.documents import Account, from_payload
from tenuto.embedded import EmbeddedPostgres
from tenuto.errors import NotConfigured
from tenuto.events import ExerciseEnded, ExerciseRequested, ExerciseStarted, MessageSent
from tenuto.events.exercise import EXERCISE_EVIDENCE_MAX
from tenuto.keyring import ENTITLED
from tenuto.registering import Enrolment
from tenuto.threats import load_threat_model
from tenuto_agents.attacks import exercise as exercising
from tenuto_agents.attacks import messages
from tenuto_agents.attacks import requests as answering
from tenuto_agents.attacks.catalogue import SCENARIOS, chosen
from tenuto_agents.attacks.exercise import Report, exercise
from tenuto_agents.attacks.ground import RANGE_AGENT, RED_TEAM, Ground
from tenuto_agents.attacks.requests import Requests
from tenuto_agents.attacks.scenario import Scenario, Seen, Stop
from tenuto_projections.coverage.evidence import evidence_of

from tests.conftest import TEMPLATE, Database
from tests.road import Road

RANGE = "red_team"
HELD: Mapping[str, set[str]] = {
    "forged-author": {"M27"}, "altered-in-transit": {"M27"}, "not-entitled": {"M27"}, "other-log": {"M27"}, "ended-key": {"M27"},
    "replayed": {"M27"}, "two-histories": {"M27"}, "burst-of-forgeries": {"M27"}, "approved-unseen": {"M13"},
    "approved-something-else": {"R1"}, "approved-by-initiator": {"R1"}, "one-of-two": {"R2"}, "twice-by-one": {"R2"},
    "used-again": {"R1"}, "swapped-after-approval": {"M6"}, "tail-cut": {"M23"}, "wound-back": {"M23"}, "field-edited": {"M23"},
    "reordered": {"M23"}, "forked": {"M23"},
}  # fmt: skip
"""What holds on a bare road; the watch, which would add M29, does not run here."""


@pytest.fixture(scope="module")
def road(tmp_path_factory: pytest.TempPathFactory, postgres: EmbeddedPostgres) -> Iterator[Road]:
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {RANGE} TEMPLATE {TEMPLATE}")
    with Road(tmp_path_factory.mktemp("range"), Database(postgres, RANGE)) as made, made.working():
        made.register(Enrolment("code-review", "agent", "ada"))
        yield made


@pytest.fixture(scope="module")
def ground(road: Road) -> Iterator[Ground]:
    messages.ALERT_SECONDS, before = 0.0, messages.ALERT_SECONDS
    with Ground(road.settings, road.settings.state / "red-team" / "scratch") as opened:
        yield opened
    messages.ALERT_SECONDS = before


@pytest.mark.parametrize("name", HELD)
def test_the_attack_is_held_and_evidence_says_by_what(ground: Ground, name: str) -> None:
    report = exercise(SCENARIOS[name], ground)
    assert (report.verdict, set(report.held)) == ("held", HELD[name]), report


def test_an_agent_that_may_sign_approvals_reaches_its_goal(tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "REFUSAL_SECONDS", 3.0)
    with ExitStack() as stack:
        loose = stack.enter_context(Road(tmp_path, database))
        stack.enter_context(loose.working())
        loose.register()
        ground = stack.enter_context(Ground(loose.settings, loose.settings.state / "red-team" / "scratch"))
        assert exercise(SCENARIOS["not-entitled"], ground).verdict == "held"
        wide = dict(ENTITLED) | {"agent": ENTITLED["agent"] | {"approval.signed"}}
        monkeypatch.setattr(tenuto.keyring, "ENTITLED", wide)
        assert exercise(SCENARIOS["not-entitled"], ground).verdict == "broken"


def test_a_fold_without_rule_3_lets_an_unseen_approval_through(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Approvals, "_broken_rule", lambda *_: (0, ""))
    assert exercise(SCENARIOS["approved-unseen"], ground).verdict == "broken"


def test_what_no_evidence_names_is_not_held(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exercising, "EVIDENCE_SECONDS_MAX", 0.5)

    def claims(_: Ground) -> Seen:
        return Seen(reached=False, sentence="Trust me.", stops=(Stop("M1", "It held.", (ground.new_id(),)),))

    def nothing(_: Ground) -> Seen:
        return Seen(reached=False, sentence="Nothing happened.")

    for attack in (claims, nothing):
        report = exercise(Scenario("boast", "A green light for nothing.", ("M1",), attack), ground)
        assert (report.verdict, report.held) == ("unproven", ())


def test_a_defect_of_the_attack_is_on_record_and_ends_the_run(ground: Ground, road: Road) -> None:
    def breaks(_: Ground) -> Seen:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        exercise(Scenario("broken-tool", "Nothing.", ("M1",), breaks), ground)
    last = [event for event in road.events(RED_TEAM, ExerciseEnded) if isinstance(event, ExerciseEnded)][-1]
    assert (last.scenario, last.verdict) == ("broken-tool", "unproven")


def test_the_ledger_tells_what_was_tried(ground: Ground, road: Road) -> None:
    report: Report = exercise(SCENARIOS["forged-author"], ground)
    found = evidence_of([road.read()]).newest["forged-author"]
    assert (found.exercise, found.verdict, found.held) == (report.event.exercise, "held", ("M27",))
    assert [event for event in road.events(RED_TEAM, ExerciseStarted) if getattr(event, "exercise", "") == found.exercise]


def test_a_request_is_answered_once(ground: Ground, road: Road) -> None:
    asked = ground.red_team.record(ExerciseRequested, exercise="exercise-asked", scenario="replayed")
    ground.wait_on_record(asked)
    exercise(SCENARIOS["replayed"], ground, "exercise-asked", (asked.id,))
    before, after = Requests(), Requests()
    for verified in road.read():
        after.take(verified)
        if verified.event.id == asked.id:
            before.take(verified)
    assert before.next() == asked
    assert after.next() is None


def test_a_defect_ends_one_request_and_the_next_is_answered(ground: Ground, road: Road, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(_: Ground) -> Seen:
        raise ZeroDivisionError

    def calm(_: Ground) -> Seen:
        return Seen(reached=False, sentence="Nothing happened.", stops=(Stop("M23", "It was looked at.", said="fine"),))

    attacks = {name: Scenario(name, "Nothing.", ("M23",), attack) for name, attack in (("defective", breaks), ("calm", calm))}
    monkeypatch.setattr(answering, "SCENARIOS", attacks)
    monkeypatch.setattr(answering, "AGAIN_SECONDS", 0.01)
    for name in attacks:
        asked = ground.red_team.record(ExerciseRequested, exercise=f"exercise-{name}", scenario=name)
    ground.wait_on_record(asked)
    stop, shown = threading.Event(), list[Report]()

    def show(report: Report) -> None:
        shown.append(report)
        stop.set()

    answering.answer_requests(road.settings, lambda: nullcontext(ground), stop, show)
    assert [(one.scenario.name, one.verdict) for one in shown] == [("calm", "held")]
    ended = [event for event in road.events(RED_TEAM, ExerciseEnded) if isinstance(event, ExerciseEnded)]
    assert [(one.scenario, one.verdict) for one in ended[-2:]] == [("defective", "unproven"), ("calm", "held")]


@pytest.mark.parametrize(("count", "in_payload"), [(EXERCISE_EVIDENCE_MAX, 0), (EXERCISE_EVIDENCE_MAX + 1, EXERCISE_EVIDENCE_MAX + 1)])
def test_evidence_that_the_header_cannot_hold_is_in_the_payload(ground: Ground, road: Road, count: int, in_payload: int) -> None:
    def said(_: Ground) -> Seen:
        door = ground.recorder(RANGE_AGENT)
        ids = tuple(door.record(MessageSent, to="nobody-here", topic="range.greeting").id for _ in range(count))
        return Seen(reached=False, sentence="Much was said.", stops=(Stop("M27", "All of it.", ids),))

    ended = exercise(Scenario("talkative", "Nothing.", ("M27",), said), ground).event
    payload = next(one.payload for one in road.read(payloads=True) if one.event.id == ended.id)
    account = from_payload(payload, Account)
    assert len(ended.evidence) == EXERCISE_EVIDENCE_MAX
    assert len(account.evidence) == in_payload
    if in_payload:
        assert [str(one) for one in ended.evidence] == list(account.evidence)[:EXERCISE_EVIDENCE_MAX]


def test_a_part_that_is_kept_is_made_once_and_ends_with_the_run_or_before(tmp_path: Path) -> None:
    ended = list[str]()

    @contextmanager
    def make(folder: Path) -> Iterator[str]:
        yield folder.name
        ended.append(folder.name)

    bare = object.__new__(Ground)
    bare.folder, bare._kept = tmp_path / "scratch", {}
    assert [bare.kept("vault", make), bare.kept("vault", make), ended] == ["scratch-vault", "scratch-vault", []]
    bare.let_go("vault")
    bare.let_go("vault")
    assert ended == ["scratch-vault"]


def test_two_red_teams_do_not_share_a_home(ground: Ground, road: Road) -> None:
    with pytest.raises(NotConfigured, match="in use"), Ground(road.settings, ground.folder):
        pass


def test_the_keys_of_the_range_end_with_the_run(tmp_path: Path, database: Database) -> None:
    with Road(tmp_path, database) as short, short.working():
        with Ground(short.settings, short.settings.state / "red-team" / "scratch") as opened:
            assert opened.recorder(RANGE_AGENT).author == RANGE_AGENT
        keys = {key.author: key.until for key in _ring(short)}
    assert all(until is not None for author, until in keys.items() if author.startswith("range-"))
    assert keys[RED_TEAM] is None


def test_there_are_thirty_attacks_and_every_threat_is_tried() -> None:
    tried = {ref for scenario in chosen([]) for ref in scenario.refs}
    assert {f"T{number}" for number in range(1, 9)} <= tried
    assert len({scenario.name for scenario in chosen([])}) == len(chosen([])) >= 30
    assert [ref for ref in sorted(tried) if not load_threat_model().knows(ref)] == []


def _ring(road: Road) -> list[tenuto.keyring.Key]:
    follower = road.follower()
    follower.catch_up()
    return list(follower.walk.keyring.keys())
