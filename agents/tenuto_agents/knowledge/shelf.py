"""The table of chunks in Postgres with pgvector, and what is taken from it: verified chunks, nearest first."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import psycopg
from tenuto.errors import Busy, NotConfigured, Refused
from tenuto.keyring import Keyring

from .chunks import Chunk, verify_chunk
from .likeness import embed

CHUNKS_MAX = 4
CANDIDATES = 16
_IS_THERE = "SELECT to_regclass('knowledge.chunk')"
_PUT = (
    "INSERT INTO knowledge.chunk (source, section, body, signer, key_id, signature, embedding) VALUES (%s, %s, %s, %s, %s, %s, %s::vector)"
    " ON CONFLICT (source, section) DO UPDATE SET body = excluded.body, signer = excluded.signer, key_id = excluded.key_id,"
    " signature = excluded.signature, embedding = excluded.embedding"
)
_NEAREST = "SELECT source, section, body, signer, key_id, signature FROM knowledge.chunk ORDER BY embedding <=> %s::vector LIMIT %s"


@dataclass(frozen=True, slots=True)
class Found:
    """What a search gave: verified chunks, nearest first, and the chunks that were not believed, each with why."""

    chunks: tuple[Chunk, ...] = ()
    refused: tuple[tuple[Chunk, str], ...] = ()


class Knowledge(Protocol):
    """Where a reviewer looks policies up."""

    def search(self, question: str) -> Found:
        """Return at most CHUNKS_MAX (4) chunks for a text. Raises Busy when the place is away."""
        ...


class KnowledgeShelf:
    """The shelf of one database. Opens a connection for each call: it is asked once a review."""

    def __init__(self, url: Callable[[], str], keyring: Callable[[], Keyring]) -> None:
        """`url` names the database for a role that may read (or write) the table; `keyring` is the log's, as of now."""
        self._url, self._keyring = url, keyring

    def put(self, chunks: Iterable[Chunk]) -> None:
        """Keep these chunks, in the place of older ones of the same section. Raises NotConfigured without pgvector."""
        with self._connect() as connection:
            if connection.execute(_IS_THERE).fetchone() == (None,):
                raise NotConfigured("The database has no pgvector, so nothing can be retrieved from it. Install it and migrate.")
            for chunk in chunks:
                row = (chunk.source, chunk.section, chunk.body, chunk.signer, chunk.key_id, chunk.signature)
                connection.execute(_PUT, (*row, _written(f"{chunk.section} {chunk.body}")))

    def search(self, question: str) -> Found:
        """Return the nearest chunks that verify; nothing where the database has no pgvector."""
        with self._connect() as connection:
            if connection.execute(_IS_THERE).fetchone() == (None,):
                return Found()
            rows = connection.execute(_NEAREST, (_written(question), CANDIDATES)).fetchall()
        if not rows:
            return Found()  # the keyring is a walk over the log; nobody pays for it who keeps no policies here
        keyring, good, bad = self._keyring(), list[Chunk](), list[tuple[Chunk, str]]()
        for source, section, body, signer, key_id, signature in rows:
            chunk = Chunk(source, section, body, signer, key_id, bytes(signature))
            try:
                verify_chunk(chunk, keyring)
            except Refused as refusal:
                bad.append((chunk, str(refusal)))
            else:
                good.append(chunk)
        return Found(tuple(good[:CHUNKS_MAX]), tuple(bad))

    def _connect(self) -> psycopg.Connection[tuple[Any, ...]]:
        try:
            return psycopg.connect(self._url(), connect_timeout=10)
        except psycopg.OperationalError as error:
            raise Busy(f"The knowledge cannot be reached: {error}".strip()) from error


def _written(text: str) -> str:
    return "[" + ",".join(f"{value:.6g}" for value in embed(text)) + "]"
