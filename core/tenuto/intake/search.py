"""Where ingest finds its own registration when a flood lies before it.

What must be refused must be put on record, and for that the ledger must know ingest's key. The root's event that registers
it may stand behind more forged records than a batch holds: whoever can write to the topic could put them there before
the log is founded, and ingest would wait for ever for what it may not pass over. So it looks ahead, for what the root
itself said and nothing else, and lets that in first. The flood is not passed over: the offset stays where it is, each forged
record is refused on record afterwards, and the root's events, when they are reached, are recognised.

The root's other events of before come in with the registration, ahead of what stood before them; nothing else does. A
search goes on where the last one ended, and keeps no more than FOUND_MAX of the root's events.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..bus import BusRecord, TopicReader
from ..errors import Refused
from ..events import RecordPurged
from ..keyring import ROOT, Keyring
from ..ledger import SessionHead
from .arrival import Arrival, again, arrived
from .examining import Examiner
from .judging import Judgement

FOUND_MAX = 256
PAGES_MAX = 32
"""So many batches are looked through in one step; the other partitions have their turn in between."""
POLL_MS = 100


class RootSearch:
    """What the root said in one partition, from a place on that ingest could not pass."""

    def __init__(self, start: int) -> None:
        """Nothing was looked at yet; `start` is the offset that could not be passed."""
        self._next = start
        self._found: dict[tuple[object, int], Arrival] = {}

    def look(self, reader: TopicReader, examiner: Examiner, keyring: Keyring, records_max: int) -> list[Arrival]:
        """Read on, to the present end or for PAGES_MAX batches; return all that the root's key signed, each event once.

        Leaves `reader` anywhere. Raises what a reader raises.
        """
        reader.seek(self._next)
        end = reader.end_offset()
        for _ in range(PAGES_MAX):
            records = reader.poll(records_max, POLL_MS) if self._next < end else []
            if not records or len(self._found) >= FOUND_MAX:
                break
            self._take(records, examiner, keyring)
            self._next = records[-1].offset + 1
        return [again(arrival) for _, arrival in sorted(self._found.items(), key=lambda one: one[1].said.seq)]

    def _take(self, records: Sequence[BusRecord], examiner: Examiner, keyring: Keyring) -> None:
        arrivals = [arrived(record, examiner.origin) for record in records]
        said = [one for one in arrivals if one.refusal is None and one.said.author == ROOT and one.place not in self._found]
        for arrival in said:
            try:
                arrival.key = keyring.verify_entitlement(arrival.said)
            except Refused:
                continue
        genuine = [one for one in said if one.key is not None]
        examiner.finish(genuine)
        for arrival in genuine:
            if arrival.findings is not None and arrival.findings.refusal is None and len(self._found) < FOUND_MAX:
                self._found.setdefault(arrival.place, arrival)


class Admission(Judgement):
    """Judges what a search found: what continues the root's sessions enters, up to ingest's registration.

    Nothing is refused, nothing waits and no offset moves; what does not enter is met again on the ordinary road.
    """

    @property
    def able(self) -> bool:
        """Whether ingest can say what it has to say once these events are in the ledger."""
        return self._judge.testimony.able(self.keyring)

    def run(self, arrivals: Sequence[Arrival]) -> None:
        """Judge the arrivals in their order."""
        for arrival in arrivals:
            if self.able:
                return
            self._verify([arrival])
            if not arrival.judged and not isinstance(arrival.event, RecordPurged):
                self._admit(arrival)

    def _admit(self, arrival: Arrival) -> None:
        head = self._sessions.heads.get(arrival.said.session, SessionHead())
        if arrival.said.seq != head.seq + 1:
            return
        try:
            self._sessions.verify_next(arrival.said)
            self._enter(arrival)
        except Refused:
            return
