"""A limit is looked at before anything else: what is too long is refused without a look at what is in it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tenuto import envelope as envelopes
from tenuto import header as headers
from tenuto.documents import DEPTH_MAX, Arguments, Result, from_payload, readable
from tenuto.enclosure import parse_enclosure
from tenuto.envelope import RECORD_BYTES_MAX, Envelope
from tenuto.errors import NotConfigured, Refused
from tenuto.events import HEADER_BYTES_MAX
from tenuto.intake.arrival import Arrival, decode
from tenuto.log.cosigning import WITNESSES_MAX, Cosigning
from tenuto.log.note import (
    NOTE_BYTES_MAX,
    VKEY_CHARACTERS_MAX,
    Cosigner,
    NoteRefused,
    NoteSigner,
    parse_note,
    parse_vkey,
)
from tenuto.log.proof import PROOF_TEXT_BYTES_MAX, parse_log_proof
from tenuto.log.witnessing import AddCheckpoint
from tenuto.trust import load_trust

from tests.fuzz import world
from tests.golden.world import ORIGIN
from tests.unit.log.naive import StoppedClock

LARGE = 10_000_000


class Untouchable(bytes):
    """Bytes of which nothing but the length may be asked."""

    def __getattribute__(self, name: str) -> Any:
        raise AssertionError(f"the input was looked at ({name}) before its length was judged")

    def __getitem__(self, place: Any) -> Any:
        raise AssertionError("the input was read before its length was judged")

    def __iter__(self) -> Any:
        raise AssertionError("the input was read before its length was judged")


@pytest.mark.parametrize(
    ("read", "limit"),
    [
        (envelopes.parse, RECORD_BYTES_MAX), (headers.decode, HEADER_BYTES_MAX), (parse_note, NOTE_BYTES_MAX),
        (parse_log_proof, PROOF_TEXT_BYTES_MAX), (parse_enclosure, RECORD_BYTES_MAX * 2),
    ],
)  # fmt: skip
def test_what_is_too_long_is_refused_unread(read: Callable[[bytes], object], limit: int) -> None:
    for length in (limit + 1, LARGE):
        with pytest.raises(Refused, match="at most"):
            read(Untouchable(length))


def test_the_bytes_that_may_not_be_touched_are_touched_by_whoever_reads_them() -> None:
    for read in (envelopes.parse, parse_note, parse_log_proof, parse_enclosure):
        with pytest.raises(AssertionError, match="before its length was judged"):
            read(Untouchable(b"x" * 100))


def test_a_verifier_key_is_bounded() -> None:
    longest = NoteSigner("x" * 255, bytes(32)).vkey
    assert len(longest) <= VKEY_CHARACTERS_MAX
    assert parse_vkey(longest).vkey == longest
    with pytest.raises(NoteRefused):
        parse_vkey(longest.ljust(VKEY_CHARACTERS_MAX + 1, "="))


NESTED = (
    b'{"v":1,"kind":[]}', b'{"v":1,"kind":{}}', b'{"v":[],"kind":"tool.started"}', b'{"kind":' + b"[" * 2_000 + b"]" * 2_000 + b"}",
    b'{"v":1,"kind":"tool.started","x":' + b"[" * 2_000 + b"]" * 2_000 + b"}", b"[" * 4_000, b'{"a":' * 800,
    b'{"v":1,"kind":' + b"[" * 900 + b"]" * 900 + b"}", b'{"author":' + b"[" * 1_500 + b"]" * 1_500 + b',"session":[]}',
)  # fmt: skip


@pytest.mark.parametrize("header", NESTED, ids=range(len(NESTED)))
def test_a_header_that_is_nested_or_of_another_shape_is_a_refusal_at_the_door(header: bytes) -> None:
    """Nobody has to sign it, so a defect here would be a way for anybody to stop ingest."""
    arrival = decode(Arrival(Envelope(header, bytes(64)).to_bytes(), "tenuto.events", 0, 0), ORIGIN)
    assert arrival.refusal is not None
    assert arrival.refusal.reason in ("malformed", "unknown_kind", "unknown_version")
    assert len(str(arrival.refusal)) < 400
    assert arrival.claims() == (None, None)


def nested(depth: int) -> bytes:
    """Arguments whose lists and objects are `depth` deep together."""
    return b'{"values":{"a":' + b"[" * (depth - 2) + b"]" * (depth - 2) + b"}}"


def test_a_document_may_be_so_deep_and_not_one_deeper() -> None:
    media = "application/vnd.tenuto.arguments+json"
    from_payload(nested(DEPTH_MAX), Arguments)
    assert isinstance(readable(media, nested(DEPTH_MAX)), dict)
    for payload in (nested(DEPTH_MAX + 1), nested(900), nested(100_000), b"[" * 500_000):
        with pytest.raises(Refused):
            from_payload(payload, Arguments)
        assert readable(media, payload) == payload.decode()


def test_a_document_may_have_many_lists_as_long_as_they_are_not_in_each_other() -> None:
    payload = b'{"values":{"a":[' + b"[]," * 10_000 + b"[]]}}"
    assert len(from_payload(payload, Result).values["a"]) == 10_001


def test_text_that_is_no_utf_8_is_shown_and_never_raises() -> None:
    assert readable("application/json", b'{"a":"\xff"}') == '{"a":"\ufffd"}'


@pytest.mark.parametrize("data", [b"\xff", b"[" * 5_000, b'{"origin":"\xff"}', b""])
def test_a_trust_file_that_cannot_be_read_is_named(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "trust.json").write_bytes(data)
    with pytest.raises(NotConfigured, match="cannot be read"):
        load_trust(tmp_path)


@pytest.mark.parametrize("key", ["", "zz" * 32, "ab" * 31, "AB" * 32, "\u0661" * 64, "ab" * 32 + "\n"])
def test_a_trust_file_without_the_roots_key_is_named_before_anything_is_read_with_it(tmp_path: Path, key: str) -> None:
    replace(world.TRUST, root_public_key=key).save(tmp_path)
    with pytest.raises(NotConfigured, match="not 64 hex digits"):
        load_trust(tmp_path)


def test_a_log_asks_as_many_witnesses_as_a_note_has_room_for() -> None:
    class Named:
        def __init__(self, number: int) -> None:
            self.verifier = Cosigner(f"w{number}.example", number.to_bytes(32, "big")).verifier
            self.line = Cosigner(f"w{number}.example", number.to_bytes(32, "big")).cosign(world.checkpoint().text(), 1)

        def add_checkpoint(self, request: AddCheckpoint) -> bytes:
            return self.line

    witnesses = [Named(number) for number in range(WITNESSES_MAX + 1)]
    asking = Cosigning(witnesses[1:], world.SOURCE, StoppedClock(), answer_seconds=60.0)
    assert len(asking.collect(world.note(), world.checkpoint()).names) == WITNESSES_MAX
    asking.close()
    with pytest.raises(NotConfigured, match="room for 63"):
        Cosigning(witnesses, world.SOURCE, StoppedClock())
