"""How much one person is told: at most so much in an hour, and the rest afterwards in one digest (T4, alarm fatigue).

What is not worth telling any more is dropped first. While the hour has room, notices go out one by one. Without room they are held,
and as soon as it has some again all that was held, and what came meanwhile, goes out as one. Urgent things have an hour of their
own, so that a flood of requests cannot hide an alert.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from itertools import groupby

from .contacts import Contacts
from .notices import Notice, notice_id
from .outbox import Outbox
from .wording import LINES_SHOWN_MAX, line_of

HOUR = timedelta(hours=1)


def let_out(outbox: Outbox, contacts: Contacts, still: Callable[[Notice], bool], *, origin: str, now: datetime) -> None:
    """Decide about everything that nothing was decided about yet."""
    undecided = outbox.undecided()
    over = [notice for notice, _ in undecided if not still(notice) or notice.person not in contacts.people]
    outbox.drop(over)
    gone = {notice.id for notice in over}
    left = sorted(((one, held) for one, held in undecided if one.id not in gone), key=lambda pair: _budget(pair[0]))
    for (person, urgent), group in groupby(left, key=lambda pair: _budget(pair[0])):
        pairs = list(group)
        room = contacts.per_hour - outbox.count_out(person, now - HOUR, urgent=urgent)
        _spend(outbox, contacts.people[person].channels, pairs, room, origin=origin, now=now)


def digest_of(gathered: Sequence[Notice], origin: str, now: datetime) -> Notice:
    """Return one notice in the place of several for the same person."""
    lines = [line_of(one) for one in gathered[:LINES_SHOWN_MAX]]
    if len(gathered) > LINES_SHOWN_MAX:
        lines.append(f"and {len(gathered) - LINES_SHOWN_MAX} more")
    person = gathered[0].person
    name = notice_id(origin, "digest", person, *(one.id for one in gathered))
    return Notice(
        id=name, reason="digest", person=person, about="", position=gathered[-1].position, at=now, lines=tuple(lines)
    )


def _budget(notice: Notice) -> tuple[str, bool]:
    return notice.person, notice.urgent


def _spend(
    outbox: Outbox, channels: Sequence[str], pairs: Sequence[tuple[Notice, bool]], room: int, *, origin: str, now: datetime
) -> None:
    notices = [notice for notice, _ in pairs]
    if room < 1:
        outbox.hold(notices)
        return
    if any(held for _, held in pairs) and len(notices) > 1:
        outbox.gather(digest_of(notices, origin, now), notices, channels, now)
        return
    for notice in notices[:room]:
        outbox.release(notice, channels, now)
    outbox.hold(notices[room:])
