"""Whatever the order and the repetitions, the same chains come out."""

from __future__ import annotations

import logging

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tenuto.events import (
    RecordEquivocation,
    RecordGap,
    RecordRefused,
)

from tests.unit.ingest.place import Place
from tests.written import Author, Written


@given(data=st.data())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_the_order_and_the_repetitions_the_same_chains_come_out(data: st.DataObject) -> None:
    """Valid sessions, shuffled and doubled, over restarts at any point and any batch size; with the gap as a last resort."""
    logging.disable(logging.WARNING)
    try:
        place = Place(batch_events=data.draw(st.integers(1, 9)))
        authors = [Author("deployment"), Author("infrastructure"), Author("deployment")]
        records = [one for author in authors for one in author.session_of(data.draw(st.integers(1, 6)))]
        lost = set(data.draw(st.lists(st.integers(0, len(records) - 1), max_size=2)))
        sent = [one for number, one in enumerate(records) if number not in lost]
        sent = data.draw(st.permutations(sent + [one for one in sent if data.draw(st.booleans())]))
        for one in sent:
            place.publish(one)
            if data.draw(st.integers(0, 3)) == 0:
                place.ingest.step()
            if data.draw(st.integers(0, 9)) == 0:
                place.restart()
        settle(place)
        expected = {author.session: [one.hash for one in sent_in_order(sent, author)] for author in authors}
        found = {
            author.session: [one.header_hash for one in place.events() if one.event.session == author.session]
            for author in authors
        }
        assert found == expected
        assert place.said(RecordRefused) == place.said(RecordEquivocation) == []
        given_up = sum(gap.last_seq - gap.first_seq + 1 for gap in place.said(RecordGap))
        assert given_up <= len(lost)
        assert given_up or not place.said(RecordGap)
    finally:
        logging.disable(logging.NOTSET)


def settle(place: Place) -> None:
    """Step until nothing moves, let every hole outlive its bound, and step again."""
    for _ in range(2):
        for _ in range(60):
            place.ingest.step()
        place.clock.advance(31)
    place.ingest.step()


def sent_in_order(sent: list[Written], author: Author) -> list[Written]:
    mine = {one.event.seq: one for one in sent if one.event.session == author.session}
    return [mine[seq] for seq in sorted(mine)]
