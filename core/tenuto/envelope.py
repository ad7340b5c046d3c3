"""One record on the bus: the signed header, and the sealed payload beside it.

    "TNT1" | u16 header length | header | 64-byte signature
           [ u32 epoch | 80-byte sealed key | 24-byte nonce | u32 body length | body ]

All integers are big-endian; the part in brackets is there exactly when the header commits to a payload. What the ledger
stores of it verbatim is `header || signature`. A header that was signed in a sheaf has a longer signature
(`tenuto.sheaf`), and its length is on the wire:

    "TNS1" | u16 header length | u16 signature length | header | signature [ as above ]
"""

from __future__ import annotations

import struct

import msgspec

from .errors import Refused
from .events import HEADER_BYTES_MAX, PAYLOAD_BYTES_MAX
from .payload import NONCE_BYTES, SALT_BYTES, SEALED_KEY_BYTES, TAG_BYTES, Ciphertext, Sealed
from .sheaf import MEMBER_BYTES_MAX, SIGNATURE_BYTES, SheafRefused, member_length

MAGIC, SHEAF_MAGIC = b"TNT1", b"TNS1"
BODY_BYTES_MAX = PAYLOAD_BYTES_MAX + SALT_BYTES + TAG_BYTES
RECORD_BYTES_MAX = 4 + 4 + HEADER_BYTES_MAX + MEMBER_BYTES_MAX + 4 + SEALED_KEY_BYTES + NONCE_BYTES + 4 + BODY_BYTES_MAX
_LENGTH = struct.Struct(">H")
_LENGTHS = struct.Struct(">HH")
_PAYLOAD_HEAD = struct.Struct(f">I{SEALED_KEY_BYTES}s{NONCE_BYTES}sI")


class EnvelopeRefused(Refused):
    """The bytes are not one whole envelope."""

    reason = "malformed"


class Envelope(msgspec.Struct, frozen=True, gc=False):
    """Header bytes, the author's signature over them, and the payload sealed to the ledger's epoch key, if any."""

    header: bytes
    signature: bytes
    epoch: int = 0
    sealed: Sealed | None = None

    @property
    def state(self) -> bytes:
        """What the ledger keeps for ever: `header || signature`."""
        return self.header + self.signature

    def to_bytes(self) -> bytes:
        """Return the record as it travels on the bus."""
        if len(self.signature) == SIGNATURE_BYTES:
            lengths = MAGIC + _LENGTH.pack(len(self.header))
        else:
            lengths = SHEAF_MAGIC + _LENGTHS.pack(len(self.header), len(self.signature))
        head = lengths + self.header + self.signature
        if self.sealed is None:
            return head
        box = self.sealed.ciphertext
        return head + _PAYLOAD_HEAD.pack(self.epoch, self.sealed.sealed_key, box.nonce, len(box.body)) + box.body


def parse(record: bytes) -> Envelope:
    """Return the envelope in `record`; raises EnvelopeRefused for anything but exactly one whole envelope."""
    if len(record) > RECORD_BYTES_MAX:
        sentence = f"The record has {len(record):,} bytes; at most {RECORD_BYTES_MAX:,} are allowed."
        raise EnvelopeRefused(sentence, reason="oversized")
    start, length, signature_length = _lengths(record)
    if length > HEADER_BYTES_MAX:
        raise EnvelopeRefused(f"The header would have {length:,} bytes; at most {HEADER_BYTES_MAX:,}.", reason="oversized")
    header_end = start + length
    end = header_end + signature_length
    if len(record) < end:
        raise EnvelopeRefused(f"The record ends after {len(record):,} bytes, inside its header or signature.")
    header, signature = record[start:header_end], record[header_end:end]
    if signature_length != SIGNATURE_BYTES:
        _demand_member(signature)
    if len(record) == end:
        return Envelope(header, signature)
    return _with_payload(record, end, header, signature)


def _lengths(record: bytes) -> tuple[int, int, int]:
    """Return where the header begins, its length and that of the signature."""
    if record[:4] == MAGIC and len(record) >= 6:
        return 6, _LENGTH.unpack_from(record, 4)[0], SIGNATURE_BYTES
    if record[:4] != SHEAF_MAGIC or len(record) < 8:
        raise EnvelopeRefused("The record does not begin as an envelope of version 1.")
    length, signature_length = _LENGTHS.unpack_from(record, 4)
    if not SIGNATURE_BYTES < signature_length <= MEMBER_BYTES_MAX:
        raise EnvelopeRefused(f"No member of a sheaf has {signature_length:,} bytes.")
    return 8, length, signature_length


def _demand_member(signature: bytes) -> None:
    try:
        length = member_length(signature)
    except SheafRefused as refusal:
        raise EnvelopeRefused(str(refusal)) from refusal
    if length != len(signature):
        raise EnvelopeRefused(f"What should be a member of a sheaf has {len(signature)} bytes; {length} would be one.")


def _with_payload(record: bytes, start: int, header: bytes, signature: bytes) -> Envelope:
    body_start = start + _PAYLOAD_HEAD.size
    if len(record) < body_start:
        raise EnvelopeRefused(f"The record ends after {len(record):,} bytes, inside the head of its payload.")
    epoch, sealed_key, nonce, body_length = _PAYLOAD_HEAD.unpack_from(record, start)
    if len(record) != body_start + body_length:
        found = len(record) - body_start
        raise EnvelopeRefused(f"The payload should have {body_length:,} bytes; {found:,} follow.")
    return Envelope(header, signature, epoch, Sealed(sealed_key, Ciphertext(nonce, record[body_start:])))


def split_state(state: bytes) -> tuple[bytes, bytes]:
    """Split what the ledger stores into header and signature; raises EnvelopeRefused where there are not both."""
    try:
        length = member_length(state)
    except SheafRefused as refusal:
        raise EnvelopeRefused(str(refusal)) from refusal
    if len(state) <= length:
        raise EnvelopeRefused(f"A stored event has {len(state)} bytes, which is not even a signature.")
    return state[:-length], state[-length:]
