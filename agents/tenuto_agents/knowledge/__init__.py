"""Policies and runbooks for the reviewer's eyes: found by likeness, believed by signature (chain C3).

The table of vectors is trusted with nothing. Each chunk carries the signature of whoever is registered for it, over its
place and its text; one that is unsigned, altered, moved to another section, or signed by somebody else or by an ended key
is not retrieved for a decision, and raises an alert.
"""

from __future__ import annotations

from .chunks import Chunk, ChunkRefused, sign_chunk, split_document, verify_chunk
from .shelf import Found, Knowledge, KnowledgeShelf

__all__ = ["Chunk", "ChunkRefused", "Found", "Knowledge", "KnowledgeShelf", "sign_chunk", "split_document", "verify_chunk"]
