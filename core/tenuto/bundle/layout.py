"""What a bundle looks like: the names of its files, and the bytes of those that no other specification defines.

    bundle.json                     what was asked, and each event with the reason why it is here (`Manifest`)
    trust.json                      the log's public facts (`tenuto.trust`); a receiver compares them with its own
    policy                          which witnesses must cosign (C2SP tlog-policy)
    checkpoint                      the cosigned checkpoint that every proof leads to (C2SP signed-note)
    checkpoint.first                the checkpoint that the receiver saw last, if it named one, with the log's signature alone
    consistency.proof               a base64 hash a line: what shows that `checkpoint` extends `checkpoint.first`
    events/<position>.entry         the leaf's bytes (`tenuto.ledger.entry_bytes`)
    events/<position>.tlog-proof    its proof of inclusion (C2SP tlog-proof)
    payloads/<position>             "TNP1", 16 bytes of salt, the plaintext

Each of our own JSON files has one spelling, so that not a byte of it can be changed unseen. No name in a file is ever
used as a path: paths are made of positions, which are numbers.
"""

from __future__ import annotations

import hmac
from itertools import pairwise
from typing import Annotated, Final, Literal

import msgspec

from ..errors import UNREADABLE, Refused
from ..events import HEADER_BYTES_MAX, PAYLOAD_BYTES_MAX, Event
from ..events.base import Moment
from ..log.note import NOTE_BYTES_MAX, encode_base64
from ..log.proof import PROOF_HASHES_MAX, PROOF_TEXT_BYTES_MAX, ProofRefused, parse_hash_lines
from ..log.witnessing import POLICY_BYTES_MAX
from ..payload import SALT_BYTES, PayloadRefused, commitment
from ..sheaf import MEMBER_BYTES_MAX
from ..trust import TRUST_FILE, Trust

FORMAT: Final = 1
MANIFEST_FILE, POLICY_FILE, CHECKPOINT_FILE = "bundle.json", "policy", "checkpoint"
FIRST_FILE, CONSISTENCY_FILE = "checkpoint.first", "consistency.proof"
EVENTS_FOLDER, PAYLOADS_FOLDER = "events", "payloads"

EVENTS_MAX = 100_000
POSITION_MAX = 2**53 - 1
MANIFEST_BYTES_MAX = 16 * 1024 * 1024
TRUST_BYTES_MAX = 2 * POLICY_BYTES_MAX
ENTRY_FILE_BYTES_MAX = 11 + HEADER_BYTES_MAX + MEMBER_BYTES_MAX
PAYLOAD_MAGIC = b"TNP1"
PAYLOAD_FILE_BYTES_MAX = len(PAYLOAD_MAGIC) + SALT_BYTES + PAYLOAD_BYTES_MAX
CONSISTENCY_BYTES_MAX = PROOF_HASHES_MAX * 45
FILE_BYTES_MAX = {
    MANIFEST_FILE: MANIFEST_BYTES_MAX,
    TRUST_FILE: TRUST_BYTES_MAX,
    POLICY_FILE: POLICY_BYTES_MAX,
    CHECKPOINT_FILE: NOTE_BYTES_MAX,
    FIRST_FILE: NOTE_BYTES_MAX,
    CONSISTENCY_FILE: CONSISTENCY_BYTES_MAX,
}
"""How long each file at the top may be."""

Why = Literal["asked", "cause", "purge", "approval", "key", "edge"]
"""asked: the question was about it. cause: it led to one that was asked about. purge: it made a payload of these unreadable.
approval: it decides whether people agreed to a purge that is here (`bundle/clearing.py`).
key: it decides which keys are valid. edge: the neighbour of a time range, which shows that the range is whole."""


class BundleRefused(Refused):
    """The folder is not one whole bundle, or says of itself what its events contradict; none of the nine steps has failed."""


class Asked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The question that the bundle answers: a run, or one event (id or position), or a time range of the ledger's clock."""

    run: str | None = None
    event: str | None = None
    since: Moment | None = None
    until: Moment | None = None

    def __post_init__(self) -> None:
        """Demand exactly one question."""
        if (self.run is not None) + (self.event is not None) + self.is_range != 1:
            raise ValueError("a bundle is about a run, or about one event, or about a time range")

    @property
    def is_range(self) -> bool:
        """Whether the question is about a time range."""
        return self.since is not None or self.until is not None


class Listed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One event of the bundle. payload: its plaintext is in the folder too."""

    position: Annotated[int, msgspec.Meta(ge=0, le=POSITION_MAX)]
    why: Why
    payload: bool = False


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`bundle.json`. events: in the order of their positions, each once, 1 to EVENTS_MAX (100,000)."""

    format: Literal[1]
    origin: str
    asked: Asked
    events: Annotated[tuple[Listed, ...], msgspec.Meta(min_length=1, max_length=EVENTS_MAX)]

    def to_bytes(self) -> bytes:
        """Return the file, in its one spelling."""
        return spelled(self)


def spelled(struct: msgspec.Struct) -> bytes:
    """Return the one spelling of a JSON file in a bundle: the fields in their order, two spaces, a final newline."""
    return msgspec.json.format(msgspec.json.encode(struct), indent=2) + b"\n"


def parse_manifest(data: bytes) -> Manifest:
    """Return the manifest in these bytes; raises BundleRefused."""
    try:
        manifest = msgspec.json.decode(data, type=Manifest)
    except UNREADABLE as error:
        raise BundleRefused(f"{MANIFEST_FILE} is not that of a bundle of format {FORMAT}: {error}.") from error
    if manifest.to_bytes() != data:
        raise BundleRefused(f"{MANIFEST_FILE} is not in the one spelling that a bundle has.")
    positions = [listed.position for listed in manifest.events]
    if any(one >= other for one, other in pairwise(positions)):
        raise BundleRefused(f"{MANIFEST_FILE} does not list its events in the order of their positions, each once.")
    if all(listed.why != "asked" for listed in manifest.events):
        raise BundleRefused(f"{MANIFEST_FILE} lists no event that was asked about.")
    return manifest


def parse_trust(data: bytes) -> Trust:
    """Return the bundle's own copy of the trust file; raises BundleRefused."""
    try:
        trust = msgspec.json.decode(data, type=Trust)
    except UNREADABLE as error:
        raise BundleRefused(f"{TRUST_FILE} of the bundle cannot be read: {error}.") from error
    if spelled(trust) != data:
        raise BundleRefused(f"{TRUST_FILE} of the bundle is not in the one spelling that it has.")
    return trust


def entry_file(position: int) -> str:
    """Return where the leaf's bytes are."""
    return f"{EVENTS_FOLDER}/{position}.entry"


def proof_file(position: int) -> str:
    """Return where the proof of inclusion is."""
    return f"{EVENTS_FOLDER}/{position}.tlog-proof"


def payload_file(position: int) -> str:
    """Return where the plaintext is."""
    return f"{PAYLOADS_FOLDER}/{position}"


def files_of(manifest: Manifest, *, extends: bool) -> dict[str, int]:
    """Return every file that the bundle should have with the length that it may have; `extends` tells of a first checkpoint."""
    files = {name: limit for name, limit in FILE_BYTES_MAX.items() if extends or name not in (FIRST_FILE, CONSISTENCY_FILE)}
    for listed in manifest.events:
        files[entry_file(listed.position)] = ENTRY_FILE_BYTES_MAX
        files[proof_file(listed.position)] = PROOF_TEXT_BYTES_MAX
        if listed.payload:
            files[payload_file(listed.position)] = PAYLOAD_FILE_BYTES_MAX
    return files


def payload_bytes(salt: bytes, plaintext: bytes) -> bytes:
    """Return the file of a payload."""
    return PAYLOAD_MAGIC + salt + plaintext


def opened_payload(data: bytes, event: Event) -> bytes:
    """Return the plaintext in a payload's file; raises PayloadRefused unless it is what the signed header commits to."""
    if event.payload_commit is None:
        raise PayloadRefused("a payload is shown, and the event commits to none")
    start = len(PAYLOAD_MAGIC) + SALT_BYTES
    if len(data) < start or not data.startswith(PAYLOAD_MAGIC):
        raise PayloadRefused("the payload's file does not begin with TNP1 and a salt")
    salt, plaintext = data[len(PAYLOAD_MAGIC) : start], data[start:]
    if not hmac.compare_digest(commitment(salt, plaintext).hex(), event.payload_commit):
        raise PayloadRefused("the payload shown is not the one that the signed header commits to")
    if len(plaintext) != event.payload_len:
        raise PayloadRefused(f"the header says {event.payload_len} payload bytes, {len(plaintext)} are shown")
    return plaintext


def consistency_bytes(proof: tuple[bytes, ...]) -> bytes:
    """Return the file of a consistency proof; empty where nothing needs showing."""
    return "".join(f"{encode_base64(proof_hash)}\n" for proof_hash in proof).encode()


def parse_consistency(data: bytes) -> tuple[bytes, ...]:
    """Return the hashes in a file of `consistency_bytes`; raises ProofRefused."""
    hashes = parse_hash_lines(data.split(b"\n")[:-1])
    if consistency_bytes(hashes) != data:
        raise ProofRefused("The proof of consistency is not a hash on each line and nothing else.")
    return hashes
