"""One section of a policy or runbook, signed; and the cutting of a document into such sections."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from tenuto.errors import Refused
from tenuto.keyring import Keyring
from tenuto.signing import Signer, verify_signature

SIGNING_ROLES = ("root", "administrator")
"""Whose word is policy. An agent's is not: what it writes may have been dictated to it."""

CHUNK_TYPE = b"application/vnd.tenuto.knowledge.v1+json"
BODY_CHARACTERS_MAX = 4_000
SECTIONS_MAX = 500
_HEADING = re.compile(r"^#{1,6} +(.*)$", re.MULTILINE)


class ChunkRefused(Refused):
    """The chunk is not what somebody with the right to do so has signed."""

    reason = "knowledge"


@dataclass(frozen=True, slots=True)
class Chunk:
    """A section of `source`; `signature` is the signer's over source, section and body."""

    source: str
    section: str
    body: str
    signer: str
    key_id: str
    signature: bytes

    @property
    def digest(self) -> str:
        """SHA-256 of what is signed, hex: the version that a decision leaned on."""
        return hashlib.sha256(_signed(self.source, self.section, self.body)).hexdigest()


def split_document(text: str) -> Iterator[tuple[str, str]]:
    """Yield section and body of each Markdown heading, numbered so that equal headings stay apart.

    Raises ChunkRefused for a document without headings or with a section over BODY_CHARACTERS_MAX (4,000).
    """
    parts = _HEADING.split(text)
    pairs = [(title.strip(), body.strip()) for title, body in zip(parts[1::2], parts[2::2], strict=True) if body.strip()]
    if not 0 < len(pairs) <= SECTIONS_MAX:
        raise ChunkRefused(f"The document has {len(pairs)} sections with text; between 1 and {SECTIONS_MAX} are taken. Use # headings.")
    for number, (title, body) in enumerate(pairs, 1):
        if len(body) > BODY_CHARACTERS_MAX:
            raise ChunkRefused(f"The section {title!r:.80} has {len(body):,} characters; at most {BODY_CHARACTERS_MAX:,}. Split it.")
        yield f"{number} {title}"[:200], body


def sign_chunk(signer: Signer, source: str, section: str, body: str) -> Chunk:
    """Return the section, signed."""
    return Chunk(source, section, body, signer.author, signer.key_id, signer.sign(_signed(source, section, body)))


def verify_chunk(chunk: Chunk, keyring: Keyring) -> None:
    """Raise Refused unless a registered key that has not ended, of one of SIGNING_ROLES, signed exactly this chunk."""
    key = keyring.find(chunk.signer, chunk.key_id)
    if key.role not in SIGNING_ROLES:
        raise ChunkRefused(f"{chunk.signer} has the role {key.role}, whose word is no policy.")
    verify_signature(_signed(chunk.source, chunk.section, chunk.body), chunk.signature, key.public_key)


def _signed(source: str, section: str, body: str) -> bytes:
    """DSSE pre-authentication encoding under a type of its own, so that no event's signature passes for a chunk's."""
    content = json.dumps([source, section, body], ensure_ascii=False).encode("utf-8", errors="replace")
    return b"DSSEv1 %d %s %d %s" % (len(CHUNK_TYPE), CHUNK_TYPE, len(content), content)
