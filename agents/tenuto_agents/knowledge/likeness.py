"""A vector for a text, without a model: hashed pieces of its words, so that it works on any machine and always the same.

Pieces of three to five letters find `subprocess.run(shell=True)` beside "subprocesses are started without a shell". It is
coarser than a language model's embedding; what is retrieved is shown with its source and is never the ground of a permission.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from hashlib import blake2b

DIMENSIONS = 1024
TEXT_CHARACTERS_MAX = 20_000
_WORD = re.compile(r"[^\W_]+")
_LETTERS = (3, 4, 5)


def embed(text: str) -> list[float]:
    """Return DIMENSIONS numbers of length 1 together (or all 0 for a text without words)."""
    pieces = Counter(
        f" {word} "[at : at + length]
        for word in _WORD.findall(text[:TEXT_CHARACTERS_MAX].lower())
        for length in _LETTERS
        for at in range(max(1, len(word) + 3 - length))
    )
    vector = [0.0] * DIMENSIONS
    for piece, count in pieces.items():
        digest = int.from_bytes(blake2b(piece.encode("utf-8", errors="replace"), digest_size=8).digest())
        # The sign makes two pieces that share a place cancel as often as they add up.
        vector[digest % DIMENSIONS] += (1 + math.log(count)) * (1 if digest >> 63 else -1)
    norm = math.sqrt(sum(value * value for value in vector))
    return [value / norm for value in vector] if norm else vector
