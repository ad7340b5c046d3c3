"""The fault table of what is published: each record of a drain's step and of a page of delivery, failed, and failed but there.

The bus is told nothing twice without need, but may be; what counts is the end: every event in the ledger once, every inbox
whole, in order, and chained.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from tenuto.bus import BusRecord
from tenuto.enclosure import inbox_topic, parse_enclosure
from tenuto.errors import Busy
from tenuto.events import MessageSent
from tenuto.mailbox import Mailbox
from tenuto.settings import EVENTS_TOPIC
from tenuto.spool import Spool

from tests.faults.points import Crash, Fault, Points, faulty_disk
from tests.faults.test_every_write import FORMS
from tests.faults.works import Recording
from tests.simulation.bus import HostileBus
from tests.simulation.chance import Dice, SimulatedTime
from tests.unit.door.inboxes import texts_in
from tests.unit.door.mini_ledger import Road

PEOPLE = ("alice", "bob", "mira")


def bus(points: Points) -> HostileBus:
    """A bus that does no mischief but at a write point."""
    return HostileBus(Dice(0), points, SimulatedTime(), 2)


class Delivering:
    """A ledger with key news, messages and events for several inboxes, and a delivery on a bus that can fail."""

    def __init__(self, points: Points) -> None:
        self.points, self.road = points, Road()
        self.road.bus = bus(points)
        for number in range(3):
            self.road.sign("alice", MessageSent, to="bob", topic=f"note.{number}")
            self.road.sign("bob", MessageSent, to="mira", topic=f"note.{number}")
        self.road.ledger.seal()
        self.road.delivery = self.road.new_delivery()

    def deliver(self, fault: Fault | None) -> list[str]:
        """Deliver everything, meeting the fault; return what was published until it struck or all was there."""
        self.points.arm(fault)
        seen: list[str] = []
        for _ in range(4):
            try:
                self.road.delivery.step()
            except Crash:
                seen, self.road.delivery = seen or list(self.points.seen), self.road.new_delivery()
                self.points.revive()
            except Busy:
                continue
            else:
                break
        seen = seen or list(self.points.seen)
        self.points.revive()
        assert self.road.delivery.step() == 0, "nothing is left to deliver"
        return seen

    def inbox(self, author: str, folder: Path) -> tuple[list[int], list[str]]:
        """What a receiver makes of it: the positions of its records without repetitions, and its messages."""
        records: list[BusRecord] = self.road.bus.records(inbox_topic(author))
        spool = Spool(folder / f"{author}.db")
        mailbox: Mailbox = self.road.mailbox(author, spool)
        for _ in range(len(records) + 1):
            mailbox.pump(0)
        messages = []
        while (delivered := mailbox.next_message(0)) is not None:
            messages.append(delivered.event.topic)
            mailbox.done(delivered)
        assert mailbox._state.next_position == max(parse_enclosure(one.value).position for one in records) + 1
        assert texts_in(mailbox) == []
        mailbox.close()
        spool.close()
        return sorted({parse_enclosure(one.value).position for one in records}), messages


@pytest.mark.parametrize("form", FORMS)
def test_after_a_fault_at_any_record_of_a_delivery_every_inbox_is_whole_and_in_order(form: str, tmp_path: Path) -> None:
    points, (persisted, dies) = Points(), FORMS[form]
    whole = Delivering(points)
    seen = whole.deliver(None)
    (tmp_path / "whole").mkdir()
    expected = {author: whole.inbox(author, tmp_path / "whole") for author in PEOPLE}
    assert expected["bob"][1] == expected["mira"][1] == ["note.0", "note.1", "note.2"]
    for number, point in enumerate(seen):
        folder = tmp_path / str(number)
        folder.mkdir()
        delivering = Delivering(points)
        delivering.deliver(Fault(number, persisted, dies))
        with faulty_disk(Points(), folder):  # no fault, and no waiting for the disk either
            found = {author: delivering.inbox(author, folder) for author in PEOPLE}
        assert found == expected, f"{Fault(number, persisted, dies)}: {point}"


def recorded_with(points: Points, fault: Fault | None, home: Path) -> list[str]:
    """An author's life with one fault at something published; its end is checked. Returns what was published."""
    work = Recording(home)
    work.road.bus = bus(points)
    work.road.delivery = work.road.new_delivery()
    points.arm(fault)
    seen: list[str] = []
    for _ in range(4):
        try:
            work.do()
        except Crash:
            seen = list(points.seen)
            points.revive()
            work.restart()
        except Busy:
            continue
        else:
            break
    seen = seen or list(points.seen)
    points.revive()
    work.do()
    work.end()
    return seen


@pytest.mark.parametrize("form", FORMS)
def test_after_a_fault_at_any_record_of_a_drain_the_ledger_has_every_event_once(form: str, tmp_path: Path) -> None:
    points, (persisted, dies) = Points(), FORMS[form]
    seen = recorded_with(points, None, tmp_path / "whole")
    events = [number for number, point in enumerate(seen) if point == f"publish to {EVENTS_TOPIC}"]
    assert len(events) >= 2
    for number in events:
        recorded_with(points, Fault(number, persisted, dies), tmp_path / str(number))
