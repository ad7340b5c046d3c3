"""Signed notes (C2SP signed-note): a text, an empty line, and signature lines by named keys.

The log signs its checkpoints with an Ed25519 key (type 0x01) and witnesses add theirs (type 0x04, a cosignature that
also says when). A verifier key names its type, so a signature of one kind can never be read as the other. Parsing has
one answer for each note: base64 that a second encoder would write differently is refused.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from nacl import bindings

from ..errors import Refused
from ..sheaf import SIGNATURE_BYTES
from ..signing import SEED_BYTES, KeyRefused, SignatureRefused, verify_public_key, verify_signature

ED25519 = 0x01
COSIGNATURE = 0x04
NOTE_BYTES_MAX = 131_072
SIGNATURES_MAX = 64
NAME_BYTES_MAX = 255
VKEY_CHARACTERS_MAX = 512
KEY_ID_BYTES = 4
_TIMESTAMP = struct.Struct(">Q")
_TIMESTAMP_MAX = (1 << 63) - 1
_VKEY = re.compile(r"([^+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/]+={0,2})")
_CONTROL = re.compile(rb"[\x00-\x09\x0b-\x1f]")
_DASH = "— ".encode()


class NoteRefused(Refused):
    """The note is malformed, too large, or not signed by whom it must be signed; or a key of a note is no key."""


@dataclass(frozen=True, slots=True)
class NoteSignature:
    """One signature line: the key's name, its 4-byte id, and the bytes that its algorithm defines."""

    name: str
    key_id: bytes
    signature: bytes

    @property
    def line(self) -> bytes:
        """The line as it stands in the note, with its newline."""
        return _DASH + f"{self.name} {encode_base64(self.key_id + self.signature)}\n".encode()

    @property
    def seconds(self) -> int:
        """When a cosignature was made, in seconds since 1970; only defined for signatures of type COSIGNATURE."""
        return int(_TIMESTAMP.unpack_from(self.signature)[0])


@dataclass(frozen=True, slots=True)
class NoteVerifier:
    """A public key of known name and signature type (ED25519 or COSIGNATURE); made by `parse_vkey`."""

    name: str
    algorithm: int
    public_key: bytes

    @property
    def key_id(self) -> bytes:
        """First four bytes of `SHA-256(name || 0x0A || type || public key)`; a hint which key it is, never a proof."""
        named = self.name.encode() + b"\n" + bytes([self.algorithm]) + self.public_key
        return hashlib.sha256(named).digest()[:KEY_ID_BYTES]

    @property
    def vkey(self) -> str:
        """The verifier key as text: `name+hex(key id)+base64(type || public key)`."""
        return f"{self.name}+{self.key_id.hex()}+{encode_base64(bytes([self.algorithm]) + self.public_key)}"

    def made(self, signature: NoteSignature) -> bool:
        """Tell whether the line claims to be by this key; `verify` says whether it is."""
        return signature.name == self.name and signature.key_id == self.key_id

    def verify(self, text: bytes, signature: NoteSignature) -> None:
        """Raise NoteRefused unless `signature` is this key's over exactly this note text."""
        made, message = signature.signature, text
        if self.algorithm == COSIGNATURE:
            made, message = made[_TIMESTAMP.size :], _cosigned(text, made)
        try:
            verify_signature(message, made, self.public_key)
        except SignatureRefused as error:
            raise NoteRefused(f"The note carries a signature in the name of {self.name} that does not hold.") from error


class NoteSigner:
    """Signs notes with an Ed25519 seed in memory (type ED25519): what a log does."""

    def __init__(self, name: str, seed: bytes) -> None:
        """`name` becomes the key name, for a log its origin; `seed` is the 32-byte private key of RFC 8032."""
        self._secret, self.verifier = _keypair(name, seed, ED25519)

    @property
    def name(self) -> str:
        """The key name."""
        return self.verifier.name

    @property
    def vkey(self) -> str:
        """The verifier key that others pin."""
        return self.verifier.vkey

    def sign(self, text: bytes) -> bytes:
        """Return the signature line over `text`, with its newline; append it to `text + newline` to get the note."""
        made = bindings.crypto_sign(text, self._secret)[:SIGNATURE_BYTES]
        return NoteSignature(self.name, self.verifier.key_id, made).line


class Cosigner:
    """Cosigns checkpoints with an Ed25519 seed in memory (type COSIGNATURE): what a witness does."""

    def __init__(self, name: str, seed: bytes) -> None:
        """`name` becomes the key name of the witness. Never give a witness the seed of a log or of another witness."""
        self._secret, self.verifier = _keypair(name, seed, COSIGNATURE)

    @property
    def name(self) -> str:
        """The key name."""
        return self.verifier.name

    @property
    def vkey(self) -> str:
        """The verifier key that others pin."""
        return self.verifier.vkey

    def cosign(self, text: bytes, seconds: int) -> bytes:
        """Return the cosignature line over the checkpoint `text`, made at `seconds` since 1970, with its newline."""
        stamp = _TIMESTAMP.pack(seconds)
        made = bindings.crypto_sign(_cosigned(text, stamp), self._secret)[:SIGNATURE_BYTES]
        return NoteSignature(self.name, self.verifier.key_id, stamp + made).line


@dataclass(frozen=True, slots=True)
class OpenedNote:
    """A note whose signatures by known keys all hold. `signatures` are those, in order; all others were ignored."""

    text: bytes
    signatures: tuple[NoteSignature, ...]

    def signed_by(self, verifier: NoteVerifier) -> NoteSignature | None:
        """Return the first signature of this key, or None."""
        return next((signature for signature in self.signatures if verifier.made(signature)), None)


def parse_vkey(vkey: str) -> NoteVerifier:
    """Return the verifier in a C2SP verifier key; raises NoteRefused when it is malformed, unknown or degenerate."""
    match = _VKEY.fullmatch(vkey) if len(vkey) <= VKEY_CHARACTERS_MAX else None
    if match is None:
        raise NoteRefused(f"{vkey!r:.120} is not a verifier key of the form name+keyid+base64.")
    name, key_id, encoded = match.groups()
    _demand_name(name)
    material = decode_base64(encoded)
    verifier = NoteVerifier(name, material[0], material[1:])
    if verifier.algorithm not in (ED25519, COSIGNATURE):
        kind = f"{verifier.algorithm:#04x}"
        raise NoteRefused(f"The key of {name} has the signature type {kind}; only 0x01 and 0x04 are known.")
    try:
        verify_public_key(verifier.public_key)
    except KeyRefused as refusal:
        raise NoteRefused(f"The key of {name} is refused: {refusal}") from refusal
    if verifier.key_id.hex() != key_id:
        right = verifier.key_id.hex()
        raise NoteRefused(f"The key id of {name} should be {right}, not {key_id}; the key was copied wrongly.")
    return verifier


def parse_note(note: bytes) -> tuple[bytes, tuple[NoteSignature, ...]]:
    """Split a note into its text (with the final newline) and its signature lines; nothing is verified yet.

    Raises NoteRefused above NOTE_BYTES_MAX (131,072) bytes or SIGNATURES_MAX (64) lines, or when malformed.
    """
    if len(note) > NOTE_BYTES_MAX:
        raise NoteRefused(f"The note has {len(note):,} bytes; at most {NOTE_BYTES_MAX:,} are allowed.")
    if _CONTROL.search(note):
        raise NoteRefused("The note contains a control character other than newline.")
    try:
        note.decode("utf-8")
    except UnicodeDecodeError as error:
        raise NoteRefused("The note is not UTF-8.") from error
    head, gap, tail = note.rpartition(b"\n\n")
    if not gap or not head:
        raise NoteRefused("The note has no text, followed by an empty line, before its signatures.")
    return head + b"\n", parse_signature_lines(tail)


def parse_signature_lines(lines: bytes) -> tuple[NoteSignature, ...]:
    """Parse one or more signature lines, each with its newline; raises NoteRefused."""
    if not lines.endswith(b"\n"):
        raise NoteRefused("The last signature line does not end in a newline, or there is none.")
    parts = lines[:-1].split(b"\n")
    if len(parts) > SIGNATURES_MAX:
        raise NoteRefused(f"The note has {len(parts)} signature lines; at most {SIGNATURES_MAX} are allowed.")
    return tuple(_parse_signature_line(part) for part in parts)


def open_note(note: bytes, verifiers: Sequence[NoteVerifier]) -> OpenedNote:
    """Return the note's text and the signatures by these keys; all others are ignored, as the specification demands.

    Raises NoteRefused when it is malformed, when a signature in the name of one of these keys does not hold (then the
    whole note is suspect), or when none of them signed.
    """
    text, signatures = parse_note(note)
    held = []
    for signature in signatures:
        for verifier in verifiers:
            if verifier.made(signature):
                verifier.verify(text, signature)
                held.append(signature)
    if not held:
        wanted = ", ".join(verifier.name for verifier in verifiers) or "nobody"
        raise NoteRefused(f"The note is not signed by any key that counts here ({wanted}).")
    return OpenedNote(text, tuple(held))


def encode_base64(data: bytes) -> str:
    """Return standard base64 with padding (RFC 4648 section 4)."""
    return base64.b64encode(data).decode("ascii")


def decode_base64(text: str) -> bytes:
    """The strict inverse: raises NoteRefused for anything that `encode_base64` would not write, stray bits included."""
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise NoteRefused(f"{text!r:.80} is not base64.") from error
    if not data or encode_base64(data) != text:
        raise NoteRefused(f"{text!r:.80} is not base64 in its one canonical form.")
    return data


def _parse_signature_line(line: bytes) -> NoteSignature:
    try:
        parts = line.decode("utf-8").split(" ") if line.startswith(_DASH) else []
    except UnicodeDecodeError as error:
        raise NoteRefused("A signature line is not UTF-8.") from error
    if len(parts) != 3:
        raise NoteRefused(f"{line[:80]!r} is not a signature line of the form `— name base64`.")
    _, name, encoded = parts
    _demand_name(name)
    blob = decode_base64(encoded)
    if len(blob) <= KEY_ID_BYTES:
        raise NoteRefused(f"The signature of {name} has no bytes after its key id.")
    return NoteSignature(name, blob[:KEY_ID_BYTES], blob[KEY_ID_BYTES:])


def _demand_name(name: str) -> None:
    if not name or "+" in name or any(letter.isspace() for letter in name) or _CONTROL.search(name.encode()):
        raise NoteRefused(f"{name!r:.80} is not a key name: it must have letters, and no spaces, controls or plus.")
    if len(name.encode()) > NAME_BYTES_MAX:
        raise NoteRefused(f"A key name has {len(name.encode())} bytes; at most {NAME_BYTES_MAX} are allowed.")


def _keypair(name: str, seed: bytes, algorithm: int) -> tuple[bytes, NoteVerifier]:
    _demand_name(name)
    if len(seed) != SEED_BYTES:
        raise NoteRefused(f"An Ed25519 seed has {SEED_BYTES} bytes, not {len(seed)}.")
    public_key, secret = bindings.crypto_sign_seed_keypair(seed)
    return secret, NoteVerifier(name, algorithm, public_key)


def _cosigned(text: bytes, stamped: bytes) -> bytes:
    """Return what a cosignature signs (C2SP tlog-cosignature, `cosignature/v1`); `stamped` begins with the time."""
    if len(stamped) < _TIMESTAMP.size:
        raise NoteRefused("A cosignature is too short to hold its timestamp.")
    (seconds,) = _TIMESTAMP.unpack_from(stamped)
    if seconds > _TIMESTAMP_MAX:
        raise NoteRefused("A cosignature bears a timestamp beyond 2^63 - 1.")
    return b"cosignature/v1\ntime %d\n" % seconds + text
