"""Each notice once, or again under the same id after a crash; nobody is flooded; a dead receiver holds up nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tenuto.cli.status import notification_lines, notifications
from tenuto.errors import Busy, Refused
from tenuto.log.merkle import Frontier, leaf_hash
from tenuto.settings import Settings
from tenuto.verification import VerificationFailed, Verified
from tenuto_projections.notify.contacts import Contact, Contacts, WebhookChannel
from tenuto_projections.notify.notices import Notice
from tenuto_projections.notify.notifying import RETRY_SECONDS_MAX, Notifier
from tenuto_projections.notify.outbox import Outbox
from tenuto_projections.notify.telling import Telling
from tenuto_projections.notify.wording import Letter
from tenuto_projections.siem.cursor import CursorRefused

from tests.doubles import StoppedClock
from tests.unit.approvals.histories import INITIATOR, History

ORIGIN, CONSOLE = "test/log", "https://tenuto.example"
PER_HOUR = 3


class Ledger(History):
    """A history that can be followed: its leaves have roots, and `torn` makes the next catch-up end in a refusal."""

    def __init__(self) -> None:
        super().__init__()
        self.register("lena", "otto", "pia")
        self.torn = False

    def follow(self, page: int = 5) -> Any:
        state = SimpleNamespace(size=0, frontier=Frontier())

        def pages() -> Iterator[list[Verified]]:
            while state.size < len(self.events):
                taken = [self.sealed(one) for one in self.events[state.size : state.size + page]]
                state.size += len(taken)
                state.frontier = state.frontier.extend([one.leaf for one in taken])
                yield taken
            if self.torn:
                raise VerificationFailed(6, "the root is not the signed one")

        return SimpleNamespace(walk=state, pages=pages)

    def sealed(self, one: Verified) -> Verified:
        from dataclasses import replace

        return replace(one, leaf=leaf_hash(f"{one.position} {one.event!r}".encode()))

    def give(self, count: int, start: int = 0, reviewer: str = "lena") -> None:
        for number in range(start, start + count):
            self.request(f"a{number}", minutes=600)
            self.assign(reviewer, f"a{number}")


class Kept:
    """A sender that keeps what it got, and has every kind of trouble when told."""

    def __init__(self) -> None:
        self.letters: list[Letter] = []
        self.away = False
        self.refuses: set[str] = set()
        self.crash = False
        self.tries = 0

    def send(self, letter: Letter, contact: Contact) -> None:
        self.tries += 1
        if self.away:
            raise Busy("It does not answer.")
        if letter.notice.person in self.refuses:
            raise Refused("no such person")
        self.letters.append(letter)
        if self.crash:
            raise KeyboardInterrupt

    def reasons(self) -> list[str]:
        return [letter.notice.reason for letter in self.letters]


class Life:
    """One home of a notifier: the same outbox in every life, the same clock, two channels."""

    def __init__(self, folder: Path, ledger: Ledger) -> None:
        self.folder, self.ledger = folder, ledger
        self.clock = StoppedClock(ledger.now)
        self.senders = {"a": Kept(), "b": Kept()}
        both, one = Contact(channels=("a", "b")), Contact(channels=("a",))
        channel = WebhookChannel(url="https://x", secret_file="x")
        self.contacts = Contacts(
            channels={"a": channel, "b": channel}, people={"lena": both, "otto": one, INITIATOR: one, "ops": one}, alerts=("ops",),
            per_hour=PER_HOUR,
        )
        self.begin()

    def begin(self) -> None:
        self.outbox = Outbox(self.folder)
        telling = Telling(ORIGIN, frozenset(self.contacts.people), self.contacts.alerts, lead=timedelta(minutes=10))
        self.notifier = Notifier(
            self.ledger.follow(), telling, self.outbox, self.contacts, self.senders, origin=ORIGIN, console=CONSOLE,
            clock=self.clock, status=self.folder / "status.json",
        )  # fmt: skip

    def end(self) -> None:
        self.outbox.close()

    def again(self) -> None:
        self.end()
        self.begin()

    def step(self, **later: float) -> int:
        self.clock.moment = max(self.clock.moment, self.ledger.now) + timedelta(**later)
        self.ledger.now = self.clock.moment
        return self.notifier.step()

    @property
    def a(self) -> Kept:
        return self.senders["a"]

    @property
    def b(self) -> Kept:
        return self.senders["b"]


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def life(tmp_path: Path, ledger: Ledger) -> Iterator[Life]:
    life = Life(tmp_path / "notify", ledger)
    life.step()
    yield life
    life.end()


def test_a_request_is_told_once_on_each_channel_however_often_the_process_begins_anew(life: Life, ledger: Ledger) -> None:
    ledger.give(1)
    for _ in range(3):
        life.step(seconds=30)
        life.again()
    life.step(seconds=30)
    assert life.a.reasons() == life.b.reasons() == ["assigned"]
    assert life.a.letters[0].notice.id == life.b.letters[0].notice.id


def test_a_crash_between_sending_and_noting_it_sends_again_under_the_same_id(life: Life, ledger: Ledger) -> None:
    ledger.give(1)
    life.a.crash = True
    with pytest.raises(KeyboardInterrupt):
        life.step()
    life.a.crash = False
    life.again()
    life.step(seconds=1)
    life.step(seconds=60)
    first, second = life.a.letters
    assert first == second
    assert len(life.b.letters) == 1


def test_a_crash_before_the_place_is_kept_loses_nothing(life: Life, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger.give(2)
    with monkeypatch.context() as crashing:
        crashing.setattr(Outbox, "_insert", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            life.step()
    life.again()
    life.step()
    assert life.a.reasons() == ["assigned"] * 2


def test_what_is_not_under_a_compared_root_is_told_to_nobody(life: Life, ledger: Ledger) -> None:
    ledger.give(1)
    ledger.torn = True
    with pytest.raises(VerificationFailed):
        life.step()
    ledger.torn = False
    life.again()
    assert life.a.letters == []
    life.step()
    assert life.a.reasons() == ["assigned"]


def test_the_first_time_what_is_open_is_told_and_what_is_over_is_not(tmp_path: Path) -> None:
    ledger = Ledger()
    ledger.give(1)
    ledger.sign("lena", approval="a0")
    ledger.give(1, start=1, reviewer="otto")
    life = Life(tmp_path / "notify", ledger)
    life.step()
    assert [(letter.notice.reason, letter.notice.about) for letter in life.a.letters] == [("assigned", "a1")]
    life.end()


def test_another_history_or_a_shorter_one_is_refused(life: Life, ledger: Ledger) -> None:
    ledger.give(1)
    life.step()
    dropped = ledger.events.pop()
    life.again()
    with pytest.raises(CursorRefused, match="events were told of before, the log has signed"):
        life.step(seconds=9)
    ledger.events.append(dropped)
    ledger.events[1] = ledger.events[2]
    life.again()
    with pytest.raises(CursorRefused, match="not those that were told of before"):
        life.step(seconds=9)


# --- nobody is flooded ------------------------------------------------------------------------------------------------------


def test_the_limit_is_reached_and_one_above_it_waits_for_the_digest(life: Life, ledger: Ledger) -> None:
    ledger.give(PER_HOUR)
    life.step()
    assert life.a.reasons() == ["assigned"] * PER_HOUR
    ledger.give(1, start=PER_HOUR)
    life.step(seconds=10)
    assert len(life.a.letters) == PER_HOUR
    assert life.outbox.held() == 1
    life.step(minutes=59)
    assert len(life.a.letters) == PER_HOUR


def test_a_flood_becomes_one_digest_once_the_hour_has_room_and_a_crash_does_not_make_two(life: Life, ledger: Ledger) -> None:
    ledger.give(PER_HOUR)
    life.step()
    ledger.give(10 - PER_HOUR, start=PER_HOUR)
    life.step(seconds=1)
    ledger.sign("pia", "deny", "a9")
    life.step(minutes=30)
    assert life.a.reasons() == ["assigned"] * PER_HOUR + ["denied"]
    life.a.crash = True
    with pytest.raises(KeyboardInterrupt):
        life.step(minutes=31)
    life.a.crash = False
    life.again()
    life.step(seconds=10)
    digest, repeated = life.a.letters[-2:]
    assert digest == repeated
    assert digest.notice.reason == "digest"
    assert digest.link == f"{CONSOLE}/inbox"
    assert len(digest.notice.lines) == 10 - PER_HOUR - 1, "what was decided meanwhile is not in it"
    assert all("A request is yours to review." in line for line in digest.notice.lines)
    life.step(minutes=30)
    assert len(life.b.letters) == PER_HOUR + 1


def test_a_flood_of_requests_does_not_hide_what_is_urgent_and_one_persons_flood_is_not_anothers(life: Life, ledger: Ledger) -> None:
    ledger.give(9)
    life.step()
    ledger.request("u", minutes=15)
    ledger.assign("otto", "u")
    life.step(seconds=1)
    life.step(minutes=6)
    assert [letter.notice.reason for letter in life.a.letters if letter.notice.person == "otto"] == ["assigned", "expiring"]
    ledger.give(1, start=20)
    life.step(minutes=9)
    assert [letter.notice.person for letter in life.a.letters].count("lena") == PER_HOUR


# --- receivers in trouble ---------------------------------------------------------------------------------------------------


def test_a_dead_receiver_is_tried_less_and_less_often_and_holds_up_no_other(life: Life, ledger: Ledger) -> None:
    life.a.away = True
    ledger.request("a0", minutes=10_000)
    ledger.assign("lena", "a0")
    life.step()
    assert (life.a.tries, life.b.reasons()) == (1, ["assigned"])
    tries = []
    for _ in range(200):
        life.step(seconds=20)
        tries.append(life.a.tries)
    pauses = [tries.count(number) * 20 for number in range(2, life.a.tries)]
    assert pauses == sorted(pauses)
    assert pauses[-1] == RETRY_SECONDS_MAX
    assert life.outbox.channel("a").error == "It does not answer."
    life.a.away = False
    life.step(seconds=RETRY_SECONDS_MAX)
    assert life.a.reasons() == ["assigned"]
    assert life.outbox.channel("a").failures == 0


def test_what_is_over_when_the_receiver_comes_back_is_not_told_any_more(life: Life, ledger: Ledger) -> None:
    life.a.away = life.b.away = True
    ledger.give(2)
    life.step()
    ledger.sign("pia", "deny", "a0")
    life.a.away = life.b.away = False
    life.step(minutes=1)
    assert [letter.notice.about for letter in life.b.letters] == ["a1"]


def test_one_person_whom_a_channel_refuses_for_ever_holds_up_nobody(life: Life, ledger: Ledger) -> None:
    life.a.refuses = {"otto"}
    ledger.give(1, reviewer="otto")
    ledger.give(1, start=1)
    life.step()
    life.step(minutes=5)
    assert [letter.notice.person for letter in life.a.letters] == ["lena"]
    assert life.a.tries == 2
    assert life.outbox.counts("a") == {"refused": 1, "sent": 1}


def test_status_shows_lag_trouble_and_whom_nobody_can_reach(life: Life, ledger: Ledger, tmp_path: Path) -> None:
    life.a.away, life.b.refuses = True, {"lena"}
    ledger.give(1)
    life.step()
    (tmp_path / "state").mkdir()
    (tmp_path / "notify").rename(tmp_path / "state" / "notify")
    found = notifications(Settings(home=tmp_path))
    assert found is not None
    lines = dict(notification_lines(found, len(ledger.events) + 3))
    assert lines == {
        "notify": "3 events behind; NO ADDRESS of pia",
        "channel a": "1 letter waiting; AWAY, 1 failure in a row: It does not answer.",
        "channel b": "nothing waits, 1 letter REFUSED",
    }
    assert json.loads(json.dumps(found)) == found
    assert notifications(Settings(home=tmp_path / "elsewhere")) is None


def test_two_processes_do_not_share_an_outbox(life: Life) -> None:
    with pytest.raises(Busy, match="Another process has"):
        Outbox(life.folder)


def test_what_is_old_and_done_is_forgotten_and_what_waits_is_not(life: Life, ledger: Ledger) -> None:
    life.b.away = True
    ledger.request("a0", minutes=100_000)
    ledger.assign("lena", "a0")
    ledger.request("a1", minutes=100_000)
    ledger.assign("otto", "a1")
    life.step()
    life.step(days=31)
    rows = life.outbox._file.execute("SELECT person FROM notice WHERE state = 'out'").fetchall()
    assert rows == [("lena",)]


def test_notices_go_round(life: Life, ledger: Ledger) -> None:
    ledger.give(1)
    life.a.away = True
    life.step()
    (kept,) = life.outbox.waiting("a", 9)
    assert isinstance(kept, Notice)
    assert kept == life.b.letters[0].notice
