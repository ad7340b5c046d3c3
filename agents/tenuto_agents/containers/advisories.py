"""A vulnerability database for a site without internet: advisories as JSON become the file that trivy reads.

trivy keeps its database in bbolt, a B+ tree of pages. A database that is written once and only read needs no tree: each
bucket is one leaf page as long as it has to be, which every reader of the format accepts. Layout after bbolt's `page.go`
and `db.go`; the buckets and their JSON after schema 2 of trivy-db.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from tenuto.errors import UNREADABLE, NotConfigured

PAGE_BYTES = 4096
KEYS_MAX = 65_535  # the count of a page has 16 bits
SCHEMA = 2
_META, _LEAF, _FREELIST = 0x04, 0x02, 0x10
_MAGIC, _VERSION, _BUCKET = 0xED0CDAED, 2, 1
_SOURCE = "site advisories"
_LEVELS = {"UNKNOWN": 0, "LOW": 1, "MEDIUM": 2, "HIGH": 3, "CRITICAL": 4}

Ecosystem = Literal["pip", "npm", "go", "rubygems", "cargo", "maven"]
Tree = Mapping[str, "Tree | dict[str, Any]"]


class Advisory(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One vulnerability of one package: which versions have it (`<5.4`), which do not any more, and how bad it is."""

    id: Annotated[str, msgspec.Meta(pattern=r"^[A-Z]{2,8}-[A-Za-z0-9-]{4,40}$")]
    ecosystem: Ecosystem
    package: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    vulnerable: tuple[str, ...]
    severity: Literal["UNKNOWN", "LOW", "MEDIUM", "HIGH", "CRITICAL"]
    patched: tuple[str, ...] = ()
    title: str = ""


def read_advisories(file: Path) -> list[Advisory]:
    """Read a JSON list of advisories; raises NotConfigured naming the file."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=list[Advisory])
    except OSError as error:
        raise NotConfigured(f"The advisories {file} cannot be read ({error.strerror}).") from error
    except UNREADABLE as error:
        raise NotConfigured(f"The advisories {file} are not valid: {error}.") from error


def write_database(advisories: Sequence[Advisory], cache: Path, now: datetime) -> Path:
    """Write the database and its metadata below `cache`, as trivy looks for them; return the database.

    Raises NotConfigured without any advisory: a scanner that knows nothing would find every image well.
    """
    if not advisories:
        raise NotConfigured("There is no advisory to write; a database without any would let everything pass.")
    folder = cache / "db"
    folder.mkdir(parents=True, exist_ok=True)
    file, scratch = folder / "trivy.db", folder / ".trivy.db"
    scratch.write_bytes(_Pages().database(_tree(advisories)))
    scratch.replace(file)
    moments = {"UpdatedAt": now, "DownloadedAt": now, "NextUpdate": now + timedelta(days=1)}
    metadata = {"Version": SCHEMA, **{name: moment.isoformat().replace("+00:00", "Z") for name, moment in moments.items()}}
    (folder / "metadata.json").write_text(json.dumps(metadata), encoding="utf-8")
    return file


def _tree(advisories: Sequence[Advisory]) -> dict[str, Any]:
    packages: dict[str, dict[str, dict[str, Any]]] = {}
    details: dict[str, Any] = {}
    for one in advisories:
        bucket = packages.setdefault(f"{one.ecosystem}::{_SOURCE}", {}).setdefault(_normal(one), {})
        bucket[one.id] = _Value({"PatchedVersions": one.patched, "VulnerableVersions": one.vulnerable})
        level = {"ghsa": _LEVELS[one.severity]}
        details[one.id] = _Value({"Title": one.title, "Severity": one.severity, "VendorSeverity": level})
    sources = {name: _Value({"ID": "ghsa", "Name": _SOURCE, "URL": ""}) for name in packages}
    return {"data-source": sources, "vulnerability": details, **packages}


def _normal(advisory: Advisory) -> str:
    """The package as trivy looks for it; Python's names are compared in lower case with dashes (PEP 503)."""
    return advisory.package.lower().replace("_", "-").replace(".", "-") if advisory.ecosystem == "pip" else advisory.package


class _Value(dict[str, Any]):
    """A stored JSON value; every other dictionary is a bucket."""


class _Pages:
    """The pages of one file. 0 and 1 are the two metas, 2 is an empty freelist that nothing points to."""

    def __init__(self) -> None:
        self._next = 3
        self._written: list[tuple[int, bytes]] = []

    def database(self, tree: Mapping[str, Any]) -> bytes:
        root = self._bucket(tree)
        freelist, self._next = self._next, self._next + 1
        pages = [*self._written, (2, _page(2, _FREELIST, 0, b"")), (freelist, _page(freelist, _FREELIST, 0, b""))]
        pages += [(number, _page(number, _META, 0, _meta(root, freelist, self._next, number))) for number in (0, 1)]
        out = bytearray(self._next * PAGE_BYTES)
        for number, content in pages:
            out[number * PAGE_BYTES : number * PAGE_BYTES + len(content)] = content
        return bytes(out)

    def _bucket(self, tree: Mapping[str, Any]) -> int:
        """Write a bucket after the buckets in it; return its page."""
        items = []
        for name, value in tree.items():
            if isinstance(value, _Value):
                items.append((0, name.encode(), json.dumps(value, sort_keys=True).encode()))
            else:
                items.append((_BUCKET, name.encode(), struct.pack("<QQ", self._bucket(value), 0)))
        return self._leaf(sorted(items, key=lambda item: item[1]))

    def _leaf(self, items: Sequence[tuple[int, bytes, bytes]]) -> int:
        if len(items) > KEYS_MAX:
            raise NotConfigured(f"More than {KEYS_MAX:,} advisories of one kind do not fit into the database.")
        elements, data = b"", b""
        for index, (flags, key, value) in enumerate(items):
            # A position counts from its own element.
            position = (len(items) - index) * 16 + len(data)
            elements += struct.pack("<IIII", flags, position, len(key), len(value))
            data += key + value
        body = elements + data
        number, count = self._next, -(-(16 + len(body)) // PAGE_BYTES)
        self._next += count
        self._written.append((number, _page(number, _LEAF, len(items), body, overflow=count - 1)))
        return number


def _page(number: int, flags: int, count: int, body: bytes, *, overflow: int = 0) -> bytes:
    return struct.pack("<QHHI", number, flags, count, overflow) + body


def _meta(root: int, freelist: int, pages: int, transaction: int) -> bytes:
    body = struct.pack("<IIIIQQQQQ", _MAGIC, _VERSION, PAGE_BYTES, 0, root, 0, freelist, pages, transaction)
    return body + struct.pack("<Q", _fnv(body))


def _fnv(content: bytes) -> int:
    """FNV-1a, 64 bits (draft-eastlake-fnv)."""
    value = 0xCBF29CE484222325
    for byte in content:
        value = ((value ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return value
