"""What every `LedgerStore` must do. The first seven tests are the invariants of `tenuto/ledger.py`, by number."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise
from typing import Any, Protocol

import pytest
from tenuto.envelope import split_state
from tenuto.header import header_hash
from tenuto.ledger import (
    BATCH_EVENTS_MAX,
    AlreadyAppended,
    HeadsMoved,
    LedgerStore,
    NotOwner,
    Parked,
    SessionHead,
    StoredPayload,
)
from tenuto.log.merkle import Frontier, leaf_hash
from tenuto.payload import SealOpener, wrap_key

from tests.check_ledger import check_ledger
from tests.doubles import START
from tests.written import (
    EPOCH_SECRET,
    STORAGE_KEY,
    TRUST,
    Author,
    Written,
    batch_of,
    genesis,
    new_id,
    register,
)

NAME = "kafka:cluster:topic:0"


class Stores(Protocol):
    """One ledger and as many sessions on it as a test wants."""

    def open(self) -> Any: ...

    def lose(self, store: Any) -> None:
        """End the database session of `store` without its doing."""
        ...


class LedgerContract:
    """Run by test_ledger_memory.py and test_ledger_postgres.py."""

    @pytest.fixture
    def stores(self) -> Iterator[Stores]:
        raise NotImplementedError

    @pytest.fixture
    def store(self, stores: Stores) -> Iterator[Any]:
        """A ledger that was founded: root and four keys, positions 0 to 4. Checked as a whole at the end."""
        store = stores.open()
        store.append(batch_of(genesis(Author("root"))))
        yield store
        check_ledger(store, TRUST, storage_key=STORAGE_KEY)

    # The invariants.

    def test_1_positions_have_no_gaps_and_follow_commit_order(self, store: Any) -> None:
        author = Author("deployment")
        assert store.append(batch_of(author.session_of(3), folded=5)) == range(5, 8)
        moved = batch_of([author.write(seq=9)], folded=8)
        with pytest.raises(HeadsMoved):
            store.append(moved)
        author.seq, author.prev = 2, header_hash(split_state(store.read(7, 1)[0].state)[0])
        assert store.append(batch_of([author.write()], folded=8)) == range(8, 9)
        assert [entry.position for entry in store.read(0, 100)] == list(range(9))

    def test_2_the_position_is_the_leaf_index(self, store: Any) -> None:
        for size in (1, 2, 5):
            store.append(batch_of(Author("deployment").session_of(size), folded=5))
        frontier = Frontier()
        for position, entry in enumerate(store.read(0, 100)):
            assert entry.position == position == frontier.size
            frontier = frontier.extend([leaf_hash(entry.entry)])
        assert frontier.to_bytes() == store.head().frontier

    def test_3_a_stored_byte_never_changes(self, store: Any) -> None:
        before = store.read(0, 100)
        author = Author("deployment")
        store.append(batch_of(author.session_of(2), folded=5))
        author.session = new_id()
        with pytest.raises(HeadsMoved):
            store.append(batch_of([author.write()], folded=5))
        assert store.read(0, 5) == before

    def test_4_the_head_is_always_that_of_exactly_the_events_stored(self, store: Any) -> None:
        for count in (1, 7, 64):
            store.append(batch_of(Author("deployment").session_of(count), folded=5))
            check_ledger(store, TRUST)
        size = store.head().size
        with pytest.raises(HeadsMoved):
            store.append(batch_of([Author("deployment").write(seq=3)], folded=5))
        assert store.head().size == size

    def test_5_what_an_offset_brought_in_is_never_brought_in_again(self, store: Any) -> None:
        assert store.claim(NAME) == 0
        batch = batch_of(Author("deployment").session_of(2), folded=5, tracking=(NAME, 2))
        store.append(batch)
        for again in (batch, batch_of(Author("deployment").session_of(1), folded=5, tracking=(NAME, 1))):
            with pytest.raises(AlreadyAppended):
                store.append(again)
        assert store.head().size == 7
        assert store.claim(NAME) == 2

    def test_6_each_session_is_one_chain_and_its_head_is_its_last_event(self, store: Any) -> None:
        one, other = Author("deployment"), Author("infrastructure")
        written = [one.open(), other.open(), one.write(), other.write(), one.write()]
        store.append(batch_of(written, folded=5))
        assert store.session_heads([one.session, other.session, new_id()]) == {
            one.session: SessionHead(2, one.prev, "deployment"),
            other.session: SessionHead(1, other.prev, "infrastructure"),
        }

    @pytest.mark.parametrize(
        "wrong",
        [SessionHead(), SessionHead(0, "a" * 64, "deployment"), SessionHead(1, "b" * 64, "deployment")],
        ids=["is new", "has another hash", "is further on"],
    )
    def test_6_a_batch_that_built_on_another_head_is_turned_away(self, store: Any, wrong: SessionHead) -> None:
        author = Author("deployment")
        store.append(batch_of([author.open()], folded=5))
        with pytest.raises(HeadsMoved):
            store.append(batch_of([author.write()], folded=6, heads_before={author.session: wrong}))
        with pytest.raises(HeadsMoved):  # also of a session that was only consulted
            store.append(batch_of(Author("deployment").session_of(1), folded=6, heads_before={author.session: wrong}))
        assert store.head().size == 6

    def test_7_recorded_at_does_not_run_back(self, store: Any) -> None:
        for seconds in (10, -3600, 20):
            moment = START + timedelta(seconds=seconds)
            store.append(batch_of(Author("deployment").session_of(1), folded=5, recorded_at=moment))
        moments = [entry.recorded_at for entry in store.read(0, 100)]
        assert all(earlier <= later for earlier, later in pairwise(moments))
        assert moments[5:] == [START + timedelta(seconds=seconds) for seconds in (10, 10, 20)]

    # Append, read, claim, park.

    def test_a_batch_with_another_writers_key_event_is_turned_away(self, store: Any) -> None:
        root = Author("root")
        store.append(batch_of([root.open(), register(root, "late", "agent")], folded=5))
        batch = batch_of(Author("deployment").session_of(1), folded=5)
        with pytest.raises(HeadsMoved, match="Keys changed"):
            store.append(batch)
        assert store.append(batch_of(Author("late").session_of(1), folded=7)) == range(7, 8)

    def test_reading_pages_through_everything_in_order(self, store: Any) -> None:
        store.append(batch_of(Author("deployment").session_of(20), folded=5))
        pages = [store.read(start, 7) for start in range(0, 28, 7)]
        assert [len(page) for page in pages] == [7, 7, 7, 4]
        assert [entry.position for page in pages for entry in page] == list(range(25))
        assert store.read(25, 10) == []
        kinds = store.read_kinds(("key.registered", "tool.started"), 3, 100)
        assert [entry.position for entry in kinds] == [3, 4, *range(6, 25)]

    def test_payloads_stand_beside_their_events_and_nowhere_else(self, store: Any) -> None:
        author = Author("deployment")
        opened, told = author.open(), author.write(payload=b"what was told")
        store.append(
            batch_of(
                [],
                folded=5,
                entries=[opened.entry(), told.entry(stored(told))],
                heads_before={author.session: SessionHead()},
            )
        )
        assert [entry.payload is None for entry in store.read(5, 2)] == [True, False]
        assert store.read(5, 2)[1].payload == stored(told, store.read(6, 1)[0].payload.wrapped_key)
        assert [entry.payload for entry in store.read(5, 2, payloads=False)] == [None, None]
        assert check_ledger(store, TRUST, storage_key=STORAGE_KEY)[-1].payload == b"what was told"

    def test_states_are_found_at_their_places(self, store: Any) -> None:
        author = Author("deployment")
        written = author.session_of(3)
        store.append(batch_of(written, folded=5))
        places = [(author.session, 0), (author.session, 2), (author.session, 3), (new_id(), 0)]
        assert store.states_at(places) == {
            (author.session, 0): written[0].envelope.state,
            (author.session, 2): written[2].envelope.state,
        }
        assert store.states_at([]) == {}

    def test_a_position_is_owned_by_one_session_at_a_time(self, stores: Stores, store: Any) -> None:
        other = stores.open()
        assert store.claim(NAME) == store.claim(NAME) == 0
        with pytest.raises(NotOwner):
            other.claim(NAME)
        assert other.claim(NAME + "0") == 0
        with pytest.raises(NotOwner):
            other.append(batch_of(Author("deployment").session_of(1), folded=5, tracking=(NAME, 1)))
        assert store.head().size == 5

    def test_without_a_claim_nothing_can_be_committed_for_a_position(self, store: Any) -> None:
        with pytest.raises(NotOwner):
            store.append(batch_of(Author("deployment").session_of(1), folded=5, tracking=(NAME, 1)))
        assert store.head().size == 5

    def test_who_lost_its_session_cannot_commit_even_when_nobody_else_took_over(
        self, stores: Stores, store: Any
    ) -> None:
        loser = stores.open()
        loser.claim(NAME)
        loser.append(batch_of(Author("deployment").session_of(1), folded=5, tracking=(NAME, 1)))
        stores.lose(loser)
        batch = batch_of(Author("deployment").session_of(1), folded=5, tracking=(NAME, 2))
        until(NotOwner, lambda: loser.append(batch))
        assert store.head().size == 6
        assert loser.claim(NAME) == 1
        assert loser.append(batch) == range(6, 7)

    def test_a_successor_takes_over_where_the_lost_session_ended(self, stores: Stores, store: Any) -> None:
        loser, successor = stores.open(), stores.open()
        loser.claim(NAME)
        loser.append(batch_of(Author("deployment").session_of(1), folded=5, tracking=(NAME, 7)))
        stores.lose(loser)
        assert eventually_claims(successor) == 7
        until(
            NotOwner, lambda: loser.append(batch_of(Author("deployment").session_of(1), folded=5, tracking=(NAME, 9)))
        )
        until(NotOwner, lambda: loser.claim(NAME))
        successor.append(batch_of(Author("deployment").session_of(1), folded=5, tracking=(NAME, 8)))
        assert store.head().size == 7

    def test_waiting_records_are_kept_in_order_until_they_are_taken_up(self, stores: Stores, store: Any) -> None:
        author = Author("deployment")
        early = [parked(author, seq, seconds=5 - seq) for seq in (2, 3)]
        store.claim(NAME)
        assert store.append(batch_of([], folded=5, tracking=(NAME, 1), park=early)) == range(0)
        assert store.parked() == stores.open().parked() == list(reversed(early))
        unpark = [(author.session, 2)]
        store.append(batch_of(author.session_of(1), folded=5, unpark=unpark))
        assert store.parked() == [early[1]]
        with pytest.raises(HeadsMoved):
            store.append(batch_of([author.write()], folded=6, unpark=unpark))
        assert (store.head().size, store.claim(NAME)) == (6, 1)

    def test_a_second_record_for_a_waiting_place_changes_nothing(self, store: Any) -> None:
        author = Author("deployment")
        first = parked(author, 2)
        for kept in (first, parked(author, 2)):
            store.append(batch_of([], folded=5, park=[kept]))
        assert store.parked() == [first]

    def test_a_batch_at_the_limit_enters_and_one_above_is_a_defect(self, store: Any) -> None:
        author = Author("deployment")
        written = author.session_of(BATCH_EVENTS_MAX + 1)
        with pytest.raises(ValueError, match="at most 2,000"):
            batch_of(written, folded=5)
        assert store.append(batch_of(written[:-1], folded=5)) == range(5, 5 + BATCH_EVENTS_MAX)

    def test_competing_writers_lose_nothing_and_leave_no_gap(self, stores: Stores, store: Any) -> None:
        """Three writers with batches of different sizes; one reader that tails meanwhile and may never be passed over."""
        batches, seen, done = 12, list[int](), threading.Event()
        sessions = [
            [Author("deployment").session_of(size) for size in (1, 3, 40, 1) * (batches // 4)] for _ in range(3)
        ]
        returned: list[range] = []

        def write(mine: list[list[Written]]) -> None:
            writer = stores.open()
            for written in mine:
                returned.append(writer.append(batch_of(written, folded=5)))

        def tail() -> None:
            reader = stores.open()
            while not (done.is_set() and len(seen) == reader.head().size):
                seen.extend(entry.position for entry in reader.read(len(seen), 500, payloads=False))

        writers = [threading.Thread(target=write, args=(mine,)) for mine in sessions]
        tailing = threading.Thread(target=tail)
        for thread in (tailing, *writers):
            thread.start()
        for thread in writers:
            thread.join()
        done.set()
        tailing.join()
        total = 5 + 3 * sum(len(one) for one in sessions[0])
        assert seen == list(range(total))
        assert sorted(position for given in returned for position in given) == list(range(5, total))

    def test_two_writers_of_one_session_cannot_both_append(self, stores: Stores, store: Any) -> None:
        """Both judged the session as new; exactly one batch for its first place gets in."""
        outcomes, start = list[str](), threading.Barrier(2)
        session = new_id()

        def write() -> None:
            author, writer = Author("deployment"), stores.open()
            author.session = session
            batch = batch_of([author.open(), author.write()], folded=5)
            start.wait()
            try:
                writer.append(batch)
                outcomes.append("entered")
            except HeadsMoved:
                outcomes.append("moved")

        threads = [threading.Thread(target=write) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(outcomes) == ["entered", "moved"]
        assert store.head().size == 7


def stored(written: Written, wrapped_key: bytes | None = None) -> StoredPayload:
    sealed = written.envelope.sealed
    assert sealed is not None
    assert written.event.payload_commit is not None
    if wrapped_key is None:
        key = SealOpener(EPOCH_SECRET).open(sealed)
        wrapped_key = wrap_key(key, STORAGE_KEY, bytes.fromhex(written.event.payload_commit))
    return StoredPayload(wrapped_key, sealed.ciphertext.nonce, sealed.ciphertext.body)


def parked(author: Author, seq: int, seconds: float = 0) -> Parked:
    """A record of the author's session out of its order; the author's chain stays where it is."""
    twin = Author(author.name)
    twin.session = author.session
    written = twin.write(seq=seq)
    return Parked(author.session, seq, written.record, "tenuto.events", 0, 10 + seq, START + timedelta(seconds=seconds))


def until(expected: type[Exception], attempt: Any) -> None:
    """Repeat what is busy for as long as a lost connection takes to be noticed; then `expected` must be raised."""
    from tenuto.errors import Busy

    for _ in range(900):
        try:
            attempt()
        except expected:
            return
        except Busy:
            threading.Event().wait(0.1)
        else:
            raise AssertionError("the attempt succeeded")
    raise AssertionError("busy for too long")


def eventually_claims(store: LedgerStore) -> int:
    for _ in range(900):
        try:
            return store.claim(NAME)
        except NotOwner:
            threading.Event().wait(0.1)
    raise AssertionError("the lost session still owns")
