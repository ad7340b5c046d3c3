"""Events of every kind, made from the types of their classes, so that a new kind is covered the day it is written."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta, timezone
from functools import cache
from typing import Any
from uuid import UUID

import msgspec.inspect as types
from hypothesis import strategies as st
from tenuto.events import Event
from tenuto.events.base import Hash

PAYLOAD_FIELDS = ("payload_type", "payload_len", "payload_commit")
HASH = types.type_info(Hash)
HASH_PATTERN = HASH.pattern  # type: ignore[attr-defined]
ZONES = st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30)), timezone(timedelta(hours=-8))])


def events(cls: type[Event]) -> st.SearchStrategy[Event]:
    """Any event of this kind that its types allow; its header may still be over the limit."""
    info = types.type_info(cls)
    assert isinstance(info, types.StructType)
    fields = {field.name: field for field in info.fields if field.name not in PAYLOAD_FIELDS}
    required = {name: values(field.type) for name, field in fields.items() if field.required}
    optional = {name: values(field.type) for name, field in fields.items() if not field.required}
    whole = {field.name: values(present(field.type)) for field in info.fields if field.name in PAYLOAD_FIELDS}
    payload = st.one_of(st.just({}), st.fixed_dictionaries(whole))
    own = st.fixed_dictionaries(required, optional=optional)
    return st.tuples(own, payload).map(lambda parts: cls(**parts[0], **parts[1]))


def values(kind: types.Type) -> st.SearchStrategy[Any]:
    """Any value of a msgspec type; an unknown type is an error that asks for its case here."""
    match kind:
        case types.StrType(pattern=str(pattern)) if pattern == HASH_PATTERN:
            return st.binary(min_size=32, max_size=32).map(bytes.hex)  # as the pattern says, many times faster
        case types.StrType(pattern=str(pattern)):
            return from_pattern(pattern)
        case types.IntType():
            return st.integers(*bounds(kind))
        case types.LiteralType():
            return st.sampled_from(kind.values)
        case types.BoolType():
            return st.booleans()
        case types.NoneType():
            return st.none()
        case types.UUIDType():
            return st.uuids()
        case types.DateTimeType(tz=True):
            return st.datetimes(min_value=datetime(1970, 1, 2), max_value=datetime(9999, 12, 30), timezones=ZONES)
        case types.VarTupleType():
            longest = kind.max_length
            assert longest is not None, "a tuple in a header needs a named limit"
            return st.lists(values(kind.item_type), min_size=kind.min_length or 0, max_size=longest).map(tuple)
        case types.UnionType():
            return st.one_of([values(one) for one in kind.types])
    raise NotImplementedError(f"Headers hold a new type, {kind}. Add its case to tests/unit/events/strategies.py.")


@cache
def from_pattern(pattern: str) -> st.SearchStrategy[str]:
    """Strings that a pattern allows; made once, since reading a pattern is slow."""
    return st.from_regex(pattern)


def bounds(kind: types.IntType) -> tuple[int, int]:
    """The least and the greatest integer of the type; both must be stated."""
    least = kind.ge if kind.ge is not None else kind.gt + 1 if kind.gt is not None else None
    most = kind.le if kind.le is not None else kind.lt - 1 if kind.lt is not None else None
    assert least is not None, "an integer in a header needs a lower bound"
    assert most is not None, "an integer in a header needs an upper bound"
    return least, most


def present(kind: types.Type) -> types.Type:
    """An optional type without its None."""
    if isinstance(kind, types.UnionType):
        return next(one for one in kind.types if not isinstance(one, types.NoneType))
    return kind


def example(kind: types.Type, name: str) -> Any:
    """One fixed value of the type, readable where the type allows it; `name` is the field it is for."""
    match present(kind):
        case types.StrType(pattern=str(pattern)) if pattern.startswith("^https"):
            return "https://console.example"
        case types.StrType(pattern=str(pattern)) if "){3}" in pattern:
            return ".".join((*(example(HASH, part) for part in ("credential", "nonce")), "AQID", "BAUG", "BwgJ"))
        case types.StrType(pattern=str(pattern)) if "A-Z" in pattern:
            return "AQID"
        case types.StrType(pattern=str(pattern)) if "{64}" in pattern:
            return name.encode().hex().ljust(64, "0")[:64]
        case types.StrType(pattern=str(pattern)) if "{40}" in pattern:
            return name.encode().hex().ljust(40, "0")[:40]
        case types.StrType(pattern=str(pattern)) if "TMRC" in pattern:
            return "M12"
        case types.StrType(pattern=str(pattern)) if pattern.startswith("^[a-z]+/"):
            return "text/plain"
        case types.StrType():
            return f"{name.replace('_', '-')}-1"
        case types.IntType() as number:
            least, most = bounds(number)
            return min(least + 7, most)
        case types.LiteralType() as literal:
            return min(literal.values)
        case types.BoolType():
            return True
        case types.UUIDType():
            return example_uuid(name)
        case types.DateTimeType():
            return datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
        case types.VarTupleType() as many:
            return (example(many.item_type, name),)
    raise NotImplementedError(f"Headers hold a new type, {kind}. Add its case to tests/unit/events/strategies.py.")


def example_uuid(name: str) -> Any:
    """A UUIDv7 that is the same in every run."""
    noise = int.from_bytes(hashlib.sha256(name.encode()).digest()[:10], "big")
    value = 1_795_521_600_000 << 80 | 0x7 << 76 | (noise >> 68 & 0xFFF) << 64 | 0b10 << 62 | noise & (1 << 62) - 1
    return UUID(int=value)
