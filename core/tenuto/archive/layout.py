"""What an archive looks like: one folder for the events of one partition, named by its first and last position.

    manifest.json               what it is, and every file below (but `keys/`) with its length and SHA-256 (`Manifest`)
    checkpoint                  a cosigned checkpoint over these events (C2SP signed-note)
    beside                      the hashes that lead from these events to its root (`tenuto.log.ranges`)
    tile/entries/<N>            256 entries each, byte for byte as the log publishes them (C2SP tlog-tiles)
    payloads/<N>                what lies beside them, encrypted: SHA-256 of its wrapped key, nonce, ciphertext
    keys/<N>                    the wrapped keys of these payloads
    kinds                       a byte an event: its kind, by its place in the manifest's list
    index                       session, sequence number and place of every event, sorted: where to find one by its session

The keys are apart, and each is known by a hash that does not reveal it, because a purge must reach an archive too: it
takes a key away and leaves the manifest true. A key that is there must be the one that was archived; one that is gone
must be covered by a purge on record, as in the database (step 5).
"""

from __future__ import annotations

import hashlib
import struct
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import Annotated, Final, Literal
from uuid import UUID

import msgspec

from ..errors import Refused
from ..events.base import Hash, Moment
from ..ledger import StoredPayload
from ..log.tiles import ENTRIES, TILE_WIDTH, tile_path

FORMAT: Final = 1
MANIFEST_FILE, CHECKPOINT_FILE, BESIDE_FILE = "manifest.json", "checkpoint", "beside"
KINDS_FILE, INDEX_FILE = "kinds", "index"
KINDS_MAX = 255
MANIFEST_BYTES_MAX = 256 * 1024 * 1024
_PLACE = struct.Struct(">16sQI")
_LENGTH = struct.Struct(">I")
_KEY_LENGTH = struct.Struct(">H")
_DIGEST_BYTES = 32


class ArchiveRefused(Refused):
    """A file of an archive is not the one that was written, or contradicts another; names the file."""

    reason = "archive"


class ArchivedFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file: its name below the archive's folder, its length in bytes, its SHA-256."""

    name: str
    bytes: Annotated[int, msgspec.Meta(ge=0)]
    sha256: Hash


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`manifest.json`. size: events under `checkpoint`. began, ended: the ledger's time of the first and the last event."""

    format: Literal[1]
    origin: str
    first: Annotated[int, msgspec.Meta(ge=0)]
    last: Annotated[int, msgspec.Meta(ge=0)]
    size: Annotated[int, msgspec.Meta(ge=0)]
    began: Moment
    ended: Moment
    kinds: Annotated[tuple[str, ...], msgspec.Meta(max_length=KINDS_MAX)]
    files: tuple[ArchivedFile, ...]

    def to_bytes(self) -> bytes:
        """Return the file, in its one spelling."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n"


def parse_manifest(data: bytes) -> Manifest:
    """Return the manifest in these bytes; raises ArchiveRefused."""
    try:
        manifest = msgspec.json.decode(data, type=Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ArchiveRefused(f"{MANIFEST_FILE} is not that of an archive of format {FORMAT}: {error}.") from error
    if manifest.to_bytes() != data:
        raise ArchiveRefused(f"{MANIFEST_FILE} is not in the one spelling that an archive has.")
    first, end = manifest.first, manifest.last + 1
    if first >= end or first % TILE_WIDTH or end % TILE_WIDTH or end > manifest.size:
        raise ArchiveRefused(f"{MANIFEST_FILE} is about the positions {first} to {end - 1}, which are no whole bundles.")
    return manifest


def folder_name(first: int, last: int) -> str:
    """Return the name of the archive of these positions."""
    return f"{first:012d}-{last:012d}"


def entries_file(number: int) -> str:
    """Return where bundle `number` of the log's entries is."""
    return tile_path(ENTRIES, number)


def payloads_file(number: int) -> str:
    """Return where the payloads of bundle `number` are; a bundle without any has no such file."""
    return f"payloads/{number:09d}"


def keys_file(number: int) -> str:
    """Return where the wrapped keys of these payloads are."""
    return f"keys/{number:09d}"


def digest(data: bytes) -> str:
    """Return the SHA-256 of a file, hex."""
    return hashlib.sha256(data).hexdigest()


def join_payloads(payloads: Sequence[StoredPayload | None]) -> tuple[bytes, bytes]:
    """Return the two files of a bundle's payloads: what is kept for ever, and the keys that a purge may take away."""
    kept, keys = bytearray(), bytearray()
    for one in payloads:
        if one is None:
            kept += _LENGTH.pack(0)
            keys += _KEY_LENGTH.pack(0)
            continue
        box = b"".join((hashlib.sha256(one.wrapped_key).digest(), bytes([len(one.nonce)]), one.nonce, one.body))
        kept += _LENGTH.pack(len(box)) + box
        keys += _KEY_LENGTH.pack(len(one.wrapped_key)) + one.wrapped_key
    return bytes(kept), bytes(keys)


def split_payloads(name: str, kept: bytes, keys: bytes) -> list[StoredPayload | None]:
    """The inverse of `join_payloads`; None where nothing lay or the key is gone. Raises ArchiveRefused naming the file."""
    boxes, wrapped = _split(name, kept, _LENGTH), _split(name, keys, _KEY_LENGTH)
    if len(boxes) != len(wrapped):
        raise ArchiveRefused(f"{name} is about {len(boxes)} events, the file of its keys about {len(wrapped)}.")
    return [_payload(name, place, box, key) for place, (box, key) in enumerate(zip(boxes, wrapped, strict=True))]


def without_keys(name: str, keys: bytes, places: Iterable[int]) -> bytes:
    """Return the file of keys without those at these places of the bundle; raises ArchiveRefused."""
    gone = frozenset(places)
    wrapped = [b"" if place in gone else key for place, key in enumerate(_split(name, keys, _KEY_LENGTH))]
    return b"".join(_KEY_LENGTH.pack(len(key)) + key for key in wrapped)


def _payload(name: str, place: int, box: bytes, key: bytes) -> StoredPayload | None:
    if not key:
        return None
    if len(box) <= _DIGEST_BYTES or hashlib.sha256(key).digest() != box[:_DIGEST_BYTES]:
        raise ArchiveRefused(f"The key at place {place} of {name} is not the one that was archived.")
    start = _DIGEST_BYTES + 1
    end = start + box[_DIGEST_BYTES]
    return StoredPayload(key, box[start:end], box[end:])


def _split(name: str, data: bytes, length: struct.Struct) -> list[bytes]:
    parts: list[bytes] = []
    at = 0
    while at < len(data):
        start = at + length.size
        end = start + length.unpack_from(data, at)[0] if start <= len(data) else start
        if end > len(data):
            raise ArchiveRefused(f"{name} ends inside its part {len(parts)}.")
        parts.append(data[start:end])
        at = end
    return parts


def index_bytes(places: Iterable[tuple[UUID, int, int]]) -> bytes:
    """Return the index over `(session, sequence number, place in the archive)`."""
    return b"".join(sorted(_PLACE.pack(session.bytes, seq, place) for session, seq, place in places))


class Index:
    """An archive's events by session and sequence number."""

    def __init__(self, data: bytes) -> None:
        """Raises ArchiveRefused when the bytes are no index."""
        if len(data) % _PLACE.size:
            raise ArchiveRefused(f"{INDEX_FILE} has {len(data):,} bytes, which is no whole number of places.")
        self._data = data

    def __len__(self) -> int:
        """How many events it knows."""
        return len(self._data) // _PLACE.size

    def __getitem__(self, number: int) -> bytes:
        """Return the raw record `number`, in sorted order."""
        if not 0 <= number < len(self):
            raise IndexError(number)
        return self._data[number * _PLACE.size : (number + 1) * _PLACE.size]

    def find(self, session: UUID, seq: int) -> int | None:
        """Return the place of an event in the archive, or None."""
        wanted = _PLACE.pack(session.bytes, seq, 0)
        number = bisect_left(self, wanted)
        if number == len(self):
            return None
        found, at, place = _PLACE.unpack(self[number])
        return int(place) if (found, at) == (session.bytes, seq) else None
