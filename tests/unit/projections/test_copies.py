"""What read models keep of payloads: sealed, the same each time, and closed for ever once the leaf is cut out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from sqlalchemy import Connection, create_engine
from tenuto.events import MessageSent
from tenuto.keytree import KeyTree
from tenuto.verified import Verified
from tenuto_projections.copies import OPTION, opened, sealed

from .written import STORAGE_KEY, WrittenLedger

TEXT = "a password: sesame \ud800 é"


@pytest.fixture
def event() -> Verified:
    ledger = WrittenLedger()
    ledger.register("infra", "agent")
    ledger.write("infra", MessageSent, b"a secret", to="infra", topic="plan")
    return ledger.verified()[-1]


@pytest.fixture
def connection() -> Iterator[Connection]:
    yield from connected(STORAGE_KEY)


def connected(key: KeyTree | None) -> Iterator[Connection]:
    engine = create_engine("sqlite://", execution_options={} if key is None else {OPTION: key})
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def punctured(event: Verified) -> Iterator[Connection]:
    return connected(STORAGE_KEY.punctured([bytes.fromhex(str(event.event.payload_commit))]))


def test_a_copy_is_sealed_and_opens_with_the_storage_key(connection: Connection, event: Verified) -> None:
    kept = sealed(connection, event, TEXT)
    assert kept is not None
    assert "sesame" not in kept
    assert opened(connection, kept) == TEXT
    assert sealed(connection, event, TEXT) == kept, "a rebuilt model must equal the live one"
    assert sealed(connection, event, TEXT + "!") != kept


def test_nothing_opens_it_after_a_purge_and_nothing_is_sealed_anew(connection: Connection, event: Verified) -> None:
    kept = sealed(connection, event, TEXT)
    (after,) = punctured(event)
    assert opened(after, kept) is None
    assert sealed(after, event, TEXT) is None


def test_another_key_opens_nothing(connection: Connection, event: Verified) -> None:
    kept = sealed(connection, event, TEXT)
    (other,) = connected(KeyTree.whole(bytes(32)))
    assert opened(other, kept) is None


@pytest.mark.parametrize("kept", ["", "words", "zz.AAAA", "ab" * 32 + ".", "ab" * 32 + ".!!", "ab" * 32 + ".AAAA", "ab.AAAA"])
def test_what_was_not_sealed_is_not_shown(connection: Connection, kept: str) -> None:
    assert opened(connection, kept) is None


def test_an_event_without_a_payload_has_nothing_to_copy(connection: Connection, event: Verified) -> None:
    bare = replace(event, event=type(event.event)(**{
        name: getattr(event.event, name) for name in event.event.__struct_fields__ if not name.startswith("payload")
    }))  # fmt: skip
    assert sealed(connection, bare, TEXT) is None
    assert sealed(connection, event, None) is None
    assert opened(connection, None) is None


def test_a_model_in_memory_without_a_key_keeps_the_text(event: Verified) -> None:
    (memory,) = connected(None)
    assert opened(memory, sealed(memory, event, TEXT)) == TEXT
