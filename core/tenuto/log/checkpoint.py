"""Checkpoints (C2SP tlog-checkpoint): the three lines by which a log binds itself to everything recorded so far.

Origin, number of entries, root hash; signed as a note. A log that signs two checkpoints of which neither extends the
other has convicted itself with its own signature.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..errors import Refused
from .merkle import EMPTY_ROOT, HASH_BYTES
from .note import NAME_BYTES_MAX, NoteRefused, NoteSigner, decode_base64, encode_base64, open_note, parse_vkey

SIZE_MAX = (1 << 63) - 1
_SIZE = re.compile(rb"0|[1-9][0-9]{0,18}")


class CheckpointRefused(Refused):
    """The checkpoint is malformed, of another log, or not signed by the log's key."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The state of a log: `size` entries whose Merkle root is `root` (32 bytes), in the log named `origin`."""

    origin: str
    size: int
    root: bytes

    def text(self) -> bytes:
        """Return the note text, which is what gets signed."""
        return f"{self.origin}\n{self.size}\n{encode_base64(self.root)}\n".encode()


def parse_checkpoint(note: bytes, log_key: str, origin: str) -> Checkpoint:
    """Return the checkpoint in a note signed by `log_key` (a C2SP verifier key); raises CheckpointRefused otherwise.

    Signatures by other keys, such as witnesses', are ignored here; see `witnessing.verify_policy`.
    """
    try:
        checkpoint = parse_checkpoint_text(open_note(note, [parse_vkey(log_key)]).text)
    except NoteRefused as refusal:
        raise CheckpointRefused(f"The checkpoint is refused: {refusal}") from refusal
    if checkpoint.origin != origin:
        raise CheckpointRefused(f"The checkpoint is of the log {checkpoint.origin!r:.120}, not of {origin}.")
    if checkpoint.size == 0 and checkpoint.root != EMPTY_ROOT:
        raise CheckpointRefused("The checkpoint gives the empty log a root that the empty log does not have.")
    return checkpoint


def parse_checkpoint_text(text: bytes) -> Checkpoint:
    """Return the checkpoint in a note text that was verified already; raises CheckpointRefused.

    Extension lines are refused: nobody could audit them.
    """
    lines = text.split(b"\n")
    if len(lines) != 4 or lines[3]:
        raise CheckpointRefused("A checkpoint has exactly three lines: origin, size and root hash.")
    origin, size, root = lines[:3]
    if not origin or len(origin) > NAME_BYTES_MAX:
        raise CheckpointRefused(f"The origin has {len(origin)} bytes; it must have 1 to {NAME_BYTES_MAX}.")
    try:
        checkpoint = Checkpoint(origin.decode("utf-8"), parse_size(size), decode_base64(root.decode("ascii")))
    except (NoteRefused, UnicodeDecodeError) as error:
        raise CheckpointRefused(f"The checkpoint is refused: {error}") from error
    if len(checkpoint.root) != HASH_BYTES:
        raise CheckpointRefused(f"The root hash has {len(checkpoint.root)} bytes, not {HASH_BYTES}.")
    return checkpoint


def parse_size(digits: bytes) -> int:
    """Return a tree size written in decimal; raises CheckpointRefused for leading zeroes, signs, and above SIZE_MAX."""
    if _SIZE.fullmatch(digits) is None or int(digits) > SIZE_MAX:
        raise CheckpointRefused(f"{digits[:40]!r} is not a tree size from 0 to 2^63 - 1 without leading zeroes.")
    return int(digits)


def sign_checkpoint(checkpoint: Checkpoint, signer: NoteSigner) -> bytes:
    """Return the signed note. Only the sealer calls this; the note leaves it only after its durable state has moved."""
    text = checkpoint.text()
    return text + b"\n" + signer.sign(text)
