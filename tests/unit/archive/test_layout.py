"""The bytes of an archive: what is packed comes out again, and anything else is refused by name."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tenuto.archive import ArchiveRefused
from tenuto.archive.layout import Index, index_bytes, join_payloads, split_payloads, without_keys
from tenuto.ledger import StoredPayload

PAYLOADS = st.builds(
    StoredPayload, st.binary(min_size=1, max_size=80), st.binary(min_size=24, max_size=24), st.binary(max_size=50)
)
PLACES = st.dictionaries(st.tuples(st.uuids(), st.integers(0, 2**64 - 1)), st.integers(0, 2**32 - 1), max_size=30)


@settings(deadline=None)
@given(st.lists(st.none() | PAYLOADS, max_size=20))
def test_payloads_come_out_as_they_went_in(payloads: list[StoredPayload | None]) -> None:
    assert split_payloads("p", *join_payloads(payloads)) == payloads


@settings(deadline=None)
@given(st.lists(st.none() | PAYLOADS, min_size=1, max_size=12), st.data())
def test_a_key_that_is_taken_away_takes_its_payload_and_no_other(
    payloads: list[StoredPayload | None], data: st.DataObject
) -> None:
    gone = data.draw(st.sets(st.integers(0, len(payloads) - 1)))
    kept, keys = join_payloads(payloads)
    fewer = without_keys("k", keys, gone)
    assert split_payloads("p", kept, fewer) == [None if at in gone else one for at, one in enumerate(payloads)]
    assert without_keys("k", fewer, gone) == fewer


def test_a_key_that_is_not_the_archived_one_is_refused() -> None:
    kept, keys = join_payloads([StoredPayload(b"key one", b"n" * 24, b"body")])
    with pytest.raises(ArchiveRefused, match="place 0 of p is not the one"):
        split_payloads("p", kept, keys[:-1] + b"?")
    with pytest.raises(ArchiveRefused, match="place 0 of p is not the one"):
        split_payloads("p", join_payloads([None])[0], keys)


@pytest.mark.parametrize("cut", [1, 3, 4, 30])
def test_what_ends_too_early_is_refused(cut: int) -> None:
    kept, keys = join_payloads([StoredPayload(b"key one", b"n" * 24, b"body")])
    with pytest.raises(ArchiveRefused, match="ends inside its part 0"):
        split_payloads("p", kept[:-cut], keys)
    with pytest.raises(ArchiveRefused, match="ends inside its part 0"):
        split_payloads("p", kept, keys[: max(1, 9 - cut)])
    with pytest.raises(ArchiveRefused, match="about 1 events, the file of its keys about 2"):
        split_payloads("p", kept, keys + keys)


@settings(deadline=None)
@given(PLACES)
def test_every_event_is_found_in_the_index_and_no_other(places: dict[tuple[UUID, int], int]) -> None:
    index = Index(index_bytes((session, seq, place) for (session, seq), place in places.items()))
    assert len(index) == len(places)
    assert all(index.find(*key) == place for key, place in places.items())
    for session, seq in [*places, (UUID(int=0), 0), (UUID(int=2**128 - 1), 2**64 - 1)]:
        for other in (max(seq - 1, 0), min(seq + 1, 2**64 - 1)):
            assert index.find(session, other) == places.get((session, other))


def test_an_index_is_made_of_whole_places() -> None:
    with pytest.raises(ArchiveRefused, match="no whole number"):
        Index(bytes(27))
