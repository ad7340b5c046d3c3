"""Ways to spoil good input. All take a `random.Random`, so that a seed, or hypothesis behind it, decides.

None of them knows what it spoils beyond bytes, lines, numbers, base64 or JSON; which of them fit an input is said where the
input is made.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence

Mutator = Callable[[random.Random, bytes], bytes]

NUMBERS = (
    b"-1", b"+1", b"00", b"01", b"1_0", b" 1", b"1 ", b"1e3", b"1.0", b"0x1", b"", b"\xd9\xa3", b"\xef\xbc\x91",
    b"9007199254740993", b"9223372036854775807", b"9223372036854775808", b"18446744073709551615", b"18446744073709551616",
    b"9" * 40, b"0" * 40, b"9" * 5000, b"1e400", b"-0", b"NaN", b"Infinity",
)  # fmt: skip
WORDS = (b"\0", b"\r", b"\r\n", b"\n", b"\n\n", b"\t", b" ", b"\x7f", b"\xff", b"\xed\xa0\x80", b"\xc0\x80", b"\xef\xbb\xbf",
         b"\xe2\x80\x94 ", b"+", b"/", b"=", b"\\", b'"', b"\xc2\xa0", b"\xe2\x80\x8b", b"\xe2\x80\xa8", b"#")  # fmt: skip
LOOK_ALIKES = {
    b"a": "\u0430", b"e": "\u0435", b"o": "\u043e", b"c": "\u0441", b"/": "\u2044", b".": "\u2024", b"-": "\u2010",
    b" ": "\u00a0", b"1": "\uff11", b"w": "w\u200b", b"x": "\u0445", b"i": "\u0131",
}  # fmt: skip
VALUES = (
    b"null", b"true", b"[]", b"{}", b"[[]]", b'""', b'"\\ud800"', b'"\\u0000"', b"1e400", b"-1", b"1.5", b"9" * 400,
    b"[" * 600 + b"]" * 600, b"[" * 2000 + b"]" * 2000, b'{"a":' * 300 + b"1" + b"}" * 300, b'"\xff"', b"NaN",
)  # fmt: skip
_LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_BASE64 = re.compile(rb"[A-Za-z0-9+/]{8,}={0,2}")
_NUMBER = re.compile(rb"(?<![A-Za-z0-9+/])[0-9]+(?![A-Za-z0-9+/=])")
_MEMBER = re.compile(rb'"(\w+)": ?("[^"]*"|[^,}\]\[{"]+)')


def spoiled(chance: random.Random, data: bytes, mutators: Sequence[Mutator], rounds: int = 3) -> bytes:
    """`data` after one to `rounds` of these changes; it may come back as it was."""
    for _ in range(chance.randint(1, rounds)):
        data = chance.choice(mutators)(chance, data)
    return data


def flip(chance: random.Random, data: bytes) -> bytes:
    place = _place(chance, data)
    return data[:place] + bytes([data[place] ^ 1 << chance.randrange(8)]) + data[place + 1 :] if data else b"\0"


def cut(chance: random.Random, data: bytes) -> bytes:
    return data[: _place(chance, data)]


def drop(chance: random.Random, data: bytes) -> bytes:
    place = _place(chance, data)
    return data[:place] + data[place + chance.randint(1, 40) :]


def insert(chance: random.Random, data: bytes) -> bytes:
    place = _place(chance, data)
    return data[:place] + chance.choice((*WORDS, *NUMBERS, bytes([chance.randrange(256)]))) + data[place:]


def repeat(chance: random.Random, data: bytes) -> bytes:
    place = _place(chance, data)
    end = place + chance.randint(1, 80)
    return data[:end] + data[place:]


def swap(chance: random.Random, data: bytes) -> bytes:
    """Exchange two stretches of the same length, so that every length field stays true."""
    length = chance.randint(1, 32)
    one, other = sorted((_place(chance, data), _place(chance, data)))
    if other + length > len(data) or one + length > other:
        return data
    return data[:one] + data[other : other + length] + data[one + length : other] + data[one : one + length] + data[other + length :]


def lie(chance: random.Random, data: bytes) -> bytes:
    """Write another number over one to eight bytes, as a length field would have it."""
    width = chance.choice((1, 2, 4, 8))
    place = _place(chance, data)
    value = chance.choice((0, 1, len(data), len(data) + 1, (1 << 8 * width) - 1, 1 << 8 * width - 1, chance.getrandbits(8 * width)))
    return data[:place] + (value % (1 << 8 * width)).to_bytes(width, "big") + data[place + width :]


def spliced(other: bytes) -> Mutator:
    """The beginning of one and the end of another valid input."""

    def splice(chance: random.Random, data: bytes) -> bytes:
        if chance.randrange(2):
            place = _place(chance, data)
            return data[:place] + other[place:]
        return data[: _place(chance, data)] + other[_place(chance, other) :]

    return splice


def lines(chance: random.Random, data: bytes) -> bytes:
    """A line more, less, twice, elsewhere, joined, indented, or with another ending."""
    parts = data.split(b"\n")
    place, other = chance.randrange(len(parts)), chance.randrange(len(parts))
    match chance.randrange(9):
        case 0:
            parts.insert(other, parts[place])
        case 1:
            del parts[place]
        case 2:
            parts[place], parts[other] = parts[other], parts[place]
        case 3:
            parts.insert(place, b"")
        case 4:
            parts[place] += b"\r"
        case 5:
            parts[place] = chance.choice((b" ", b"\t", b"\xc2\xa0")) + parts[place]
        case 6:
            parts[place] += chance.choice((b" ", b"\t", b" more", b"\0"))
        case 7:
            parts[place : place + 2] = [b"".join(parts[place : place + 2])]
        case _:
            parts[place:place] = [parts[place]] * chance.choice((2, 63, 64, 65, 1_000))
    return b"\n".join(parts)


def numbers(chance: random.Random, data: bytes) -> bytes:
    """One number, spelled in another way or out of all bounds."""
    return _replaced(chance, data, _NUMBER, lambda found: chance.choice((*NUMBERS, b"0" + found, b"+" + found, found + b"0")))


def base64_forms(chance: random.Random, data: bytes) -> bytes:
    """One base64 text in a second form, or damaged."""

    def changed(found: bytes) -> bytes:
        body = found.rstrip(b"=")
        last = _LETTERS.find(body[-1:])
        return chance.choice((
            body, found + b"=", found + b"==", body[:-1] + _LETTERS[last ^ 1 : (last ^ 1) + 1] + found[len(body) :],
            found[:4] + b"\r" + found[4:], found[:4] + b" " + found[4:], found[:4] + b"\n" + found[4:],
            found.replace(b"+", b"-").replace(b"/", b"_"), found[:-4], found + found, b"=" + found, b"A" * 70_000,
        ))  # fmt: skip

    return _replaced(chance, data, _BASE64, changed)


def look_alikes(chance: random.Random, data: bytes) -> bytes:
    """A letter that looks like another, or like nothing at all."""
    letter, other = chance.choice(tuple(LOOK_ALIKES.items()))
    return data.replace(letter, other.encode(), chance.choice((1, -1)))


def json_members(chance: random.Random, data: bytes) -> bytes:
    """A name twice, a value of another kind, spaces, escapes, or nesting without end."""
    found = list(_MEMBER.finditer(data))
    if not found:
        return data
    member = chance.choice(found)
    name, value = member.groups()
    other = chance.choice(VALUES)
    new = chance.choice((
        b'"%s":%s,"%s":%s' % (name, value, name, other), b'"%s":%s,"%s":%s' % (name, other, name, value),
        b'"%s":%s' % (name, other), b'"%s" : %s' % (name, value), b'"%s":%s,' % (name, value), b'"another":%s' % other,
        b'"\\u%04x%s":%s' % (name[0], name[1:], value), b'"%s":[%s]' % (name, value), b'"%s":%s,"x":%s' % (name, value, other),
    ))  # fmt: skip
    return data[: member.start()] + new + data[member.end() :]


BYTES: tuple[Mutator, ...] = (flip, cut, drop, insert, repeat, swap, lie)
TEXT: tuple[Mutator, ...] = (*BYTES, lines, lines, numbers, numbers, base64_forms, base64_forms, look_alikes)
JSON: tuple[Mutator, ...] = (*BYTES, json_members, json_members, json_members, numbers, look_alikes)


def _place(chance: random.Random, data: bytes) -> int:
    return chance.randrange(len(data)) if data else 0


def _replaced(chance: random.Random, data: bytes, pattern: re.Pattern[bytes], new: Callable[[bytes], bytes]) -> bytes:
    found = list(pattern.finditer(data))
    if not found:
        return data
    one = chance.choice(found)
    return data[: one.start()] + new(one[0]) + data[one.end() :]
