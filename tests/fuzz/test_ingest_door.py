"""The one door in, whole, under a stream of spoiled records: each is refused as evidence, and all that is genuine enters."""

from __future__ import annotations

import random

import pytest
from tenuto.envelope import Envelope
from tenuto.events import RecordRefused
from tenuto.settings import EVENTS_TOPIC
from tenuto.signing import sign_header

from tests.fuzz.mutating import BYTES, JSON, json_members, spliced, spoiled
from tests.fuzz.test_limits import NESTED
from tests.unit.ingest.place import Place, opened
from tests.written import Author, Written

ROUNDS, SPOILED_EACH = 25, 6


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setattr("tenuto.ingest.IDLE_POLL_MS", 0)
    return Place(refusals_in_a_row=100_000)


def signed_nonsense(chance: random.Random, author: Author, header: bytes) -> bytes:
    """What a broken or hostile recorder with a good key could send."""
    bent = spoiled(chance, header, (json_members,), rounds=1)[:4096]
    return Envelope(bent, sign_header(author.signer, bent)).to_bytes()


@pytest.mark.parametrize("seed", range(3))
def test_no_record_stops_it_and_nothing_enters_that_its_author_did_not_sign(place: Place, seed: int) -> None:
    chance, author = random.Random(seed), opened(place)
    genuine: list[Written] = []
    for _ in range(ROUNDS):
        one = author.write(payload=chance.randbytes(40) if chance.randrange(2) else None)
        others = [spoiled(chance, one.record, (*BYTES, *JSON, *(spliced(old.record) for old in genuine[-2:]))) for _ in range(SPOILED_EACH)]
        nonsense = signed_nonsense(chance, author, one.envelope.header)
        place.bring(*(record for record in (*others, nonsense) if record != one.record), one)
        genuine.append(one)
    place.ingest.step()
    entered = {one.event.id: one.header for one in place.events() if one.event.author == author.name and one.event.seq}
    for one in genuine:
        assert entered.pop(one.event.id) == one.envelope.header
    assert not entered
    assert len(place.said(RecordRefused)) > ROUNDS


@pytest.mark.parametrize("header", NESTED, ids=range(len(NESTED)))
@pytest.mark.parametrize("by_whom", ["nobody", "the author"])
def test_a_header_beyond_any_sense_is_evidence_and_its_neighbours_enter(place: Place, header: bytes, by_whom: str) -> None:
    author = opened(place)
    signature = bytes(64) if by_whom == "nobody" else sign_header(author.signer, header)
    place.bring(author.write(), Envelope(header, signature).to_bytes(), author.write())
    assert len(place.said(RecordRefused)) == 1
    assert place.session(author) == [0, 1, 2]
    assert len(place.bus.records(EVENTS_TOPIC)) > 0
