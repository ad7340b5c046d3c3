"""The rows that COPY is sent are those of PostgreSQL's documentation, byte for byte."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from tenuto.adapters import copying
from tenuto.ledger import StoredPayload

SESSION = UUID(int=7)


def test_a_timestamp_counts_microseconds_from_the_year_2000() -> None:
    assert copying.timestamp(datetime(2000, 1, 1, tzinfo=UTC)) == 0
    assert copying.timestamp(datetime(1999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)) == -1


def test_a_row_is_the_number_of_its_columns_and_each_value_behind_its_length() -> None:
    row = copying.entry_row(SESSION, 2, 3, -4, leaf=b"leaf", kind="run.started", state=b"state")
    assert row == (
        b"\0\x07"
        b"\0\0\0\x10" + SESSION.bytes + b"\0\0\0\x08" + bytes(7) + b"\x02"
        b"\0\0\0\x08" + bytes(7) + b"\x03" + b"\0\0\0\x08" + (-4).to_bytes(8, "big", signed=True)
        + b"\0\0\0\x04leaf" + b"\0\0\0\x0brun.started" + b"\0\0\0\x05state"
    )  # fmt: skip


def test_a_payload_of_any_length_keeps_its_length() -> None:
    row = copying.payload_row(1, StoredPayload(b"key", b"", b"b" * 300))
    assert row == (
        b"\0\x04\0\0\0\x08" + bytes(7) + b"\x01\0\0\0\x03key\0\0\0\0\0\0\x01\x2c" + b"b" * 300
    )


def test_a_copy_begins_with_the_signature_and_ends_with_the_trailer() -> None:
    assert copying.whole([b"row"]) == b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0row\xff\xff"
