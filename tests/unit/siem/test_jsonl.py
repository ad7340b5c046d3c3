"""JSON lines: what a receiver can check without us, and what must not be in them."""

from __future__ import annotations

import json
from base64 import b64decode
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nacl import bindings
from tenuto.clock import micros
from tenuto.ledger import entry_bytes
from tenuto.log.merkle import Frontier, leaf_hash
from tenuto.signing import EVENT_TYPE
from tenuto.verification import Verified
from tenuto_projections.siem import jsonl, ocsf
from tenuto_projections.siem.formats import JSONL, OCSF, line_format
from tenuto_projections.siem.jsonl import Mark, NotALine, ascii_json

from .chronicle import HOSTILE, chronicle

LEDGER = chronicle()


@pytest.fixture(scope="module")
def verified() -> list[Verified]:
    return LEDGER.verified()


def lines(verified: list[Verified], name: str = JSONL, *, payload: bool = False) -> list[bytes]:
    return [ascii_json(line_format(name, "1").record(one, len(verified), payload)) for one in verified]


def test_a_receiver_checks_signature_and_leaf_and_root_from_the_lines_alone(verified: list[Verified]) -> None:
    keys = {(key.author, key.key_id): key.public_key for key in LEDGER.walk_keys()}
    leaves = []
    for line in lines(verified):
        said = json.loads(line)
        header, signature = b64decode(said["header_b64"]), b64decode(said["signature"])
        assert json.loads(header) == said["header"]
        signed = b"DSSEv1 %d %s %d %s" % (len(EVENT_TYPE), EVENT_TYPE, len(header), header)
        bindings.crypto_sign_open(signature + signed, keys[said["header"]["author"], said["header"]["key_id"]])
        moment = micros(datetime.fromisoformat(said["recorded_at"]))
        leaves.append(leaf_hash(entry_bytes(moment, header + signature)))
        assert leaves[-1].hex() == said["leaf"]
    walk = LEDGER.walk()
    walk.take(LEDGER.entries)
    assert Frontier().extend(leaves).root() == walk.frontier.root()


def test_an_ocsf_line_holds_the_signed_bytes_too(verified: list[Verified]) -> None:
    for line, one in zip(lines(verified, OCSF), verified, strict=True):
        said = json.loads(line)
        assert said["raw_data"].encode() == one.header
        assert b64decode(said["unmapped"]["tenuto"]["signature"]) == one.signature


@pytest.mark.parametrize("name", [JSONL, OCSF])
def test_no_payload_is_in_a_line_unless_asked_for(name: str, verified: list[Verified]) -> None:
    assert not [line for line in lines(verified, name) if b"forged" in line]
    assert [line for line in lines(verified, name, payload=True) if b"forged" in line]


def test_a_payload_says_whether_it_is_text_bytes_or_gone(verified: list[Verified]) -> None:
    told = [jsonl.payload_record(one, payload=True) for one in verified]
    assert {"state": "available", "encoding": "utf-8", "data": HOSTILE} in told
    assert None in told
    bytes_only = replace(next(one for one in verified if one.payload is not None), payload=b"\xff\x00")
    said = {"state": "available", "encoding": "base64", "data": "/wA="}
    assert jsonl.payload_record(bytes_only, payload=True) == said
    purged = replace(bytes_only, payload=None, purged=True)
    assert [jsonl.payload_record(purged, payload=asked) for asked in (True, False)] == [{"state": "purged"}] * 2
    unopened = replace(bytes_only, payload=None)
    assert jsonl.payload_record(unopened, payload=True) == {"state": "closed"}


@pytest.mark.parametrize("name", [JSONL, OCSF])
def test_hostile_text_cannot_end_or_turn_a_line(name: str, verified: list[Verified]) -> None:
    for line in lines(verified, name, payload=True):
        assert line.isascii()
        assert not set(line) & {*range(0x20), 0x7F}
        assert line.decode().splitlines() == [line.decode()]


@settings(max_examples=100, deadline=None, database=None)
@given(st.text())
def test_any_text_stays_one_line_and_comes_back_whole(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        return
    line = ascii_json({text: text})
    assert line.decode().splitlines() == [line.decode()]
    assert json.loads(line) == {text: text}


def test_a_mark_is_read_back_from_every_line(verified: list[Verified]) -> None:
    marks = [Mark(one.event.log_origin, one.position, one.leaf.hex()) for one in verified]
    assert [jsonl.mark(line) for line in lines(verified)] == marks
    assert [ocsf.mark(line) for line in lines(verified, OCSF)] == marks


@pytest.mark.parametrize("line", [
    b"", b"{", b"[]", b"1", b"null", b"{}", b"\xff", b"[" * 100_000, b'{"schema":"tenuto.event/1"}',
    b'{"schema":"tenuto.event/1","origin":"o","position":true,"leaf":"l"}',
    b'{"metadata":{"log_name":"o","sequence":1}}',
    b'{"metadata":{"log_name":"o","sequence":1},"unmapped":{"tenuto":{}}}',
])  # fmt: skip
def test_what_is_no_line_of_ours_has_no_mark(line: bytes) -> None:
    for mark in (jsonl.mark, ocsf.mark):
        with pytest.raises(NotALine):
            mark(line)


@pytest.mark.parametrize("name", [JSONL, OCSF])
def test_every_line_begins_as_its_format_says(name: str, verified: list[Verified]) -> None:
    opening = line_format(name, "1").reader.opening
    assert all(line.startswith(opening) for line in lines(verified, name))


def test_a_record_has_exactly_the_fields_that_are_documented(verified: list[Verified]) -> None:
    documented: Any = jsonl.__doc__
    for name in jsonl.record(verified[0], 1, payload=False):
        assert f"`{name}`" in documented
