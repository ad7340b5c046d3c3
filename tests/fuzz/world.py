"""One small signed log of the golden authors, with everything in it that a stranger may be sent."""

from __future__ import annotations

from datetime import timedelta

import msgspec
from tenuto.bundle.layout import consistency_bytes, spelled
from tenuto.clock import micros
from tenuto.enclosure import Enclosure
from tenuto.envelope import Envelope
from tenuto.keyring import Keyring
from tenuto.ledger import entry_bytes
from tenuto.log.checkpoint import Checkpoint, sign_checkpoint
from tenuto.log.merkle import leaf_hash
from tenuto.log.note import Cosigner, NoteSigner
from tenuto.log.proof import LogProof, consistency_proof, inclusion_proof, tree_root
from tenuto.log.witnessing import AddCheckpoint
from tenuto.payload import Sealed, reseal
from tenuto.trust import Trust

from tests.golden.world import (
    EPOCH,
    ORIGIN,
    START,
    digest,
    epoch_keys,
    key_events,
    sealed,
    signed,
    signer,
    tool_started,
    with_payload,
)
from tests.unit.log.naive import Leaves

PLAINTEXT, SECOND = b'{"values":{"artifact":"checkout"}}', b'{"values":{"artifact":"payments"}}'
LOG = NoteSigner(ORIGIN, digest("log"))
WITNESSES = {name: Cosigner(f"{name}.example", digest("witness", name)) for name in ("w1", "w2", "w3")}
STRANGER = NoteSigner("stranger.example", digest("stranger"))
SECONDS = 1_790_000_000
POLICY = f"log {LOG.vkey}\n" + "".join(f"witness {name} {one.vkey}\n" for name, one in WITNESSES.items())
QUORUM = POLICY + "group two 2 w1 w2 w3\nquorum two\n"


def started(plaintext: bytes, word: str) -> Envelope:
    """A tool that was started with this payload, as its author sent it."""
    payload, commit = sealed(plaintext, word=word)
    return signed(tool_started(**with_payload(plaintext, commit), call=f"call-{word}"), payload)


FIRST = len(key_events())
"""Where the two events with payloads begin; before them stand the keys."""
ENVELOPES = [*(signed(event) for event in key_events()), started(PLAINTEXT, "one"), started(SECOND, "two"), signed(tool_started())]
MOMENTS = [START + timedelta(seconds=place) for place in range(len(ENVELOPES))]
ENTRIES = [entry_bytes(micros(moment), one.state) for moment, one in zip(MOMENTS, ENVELOPES, strict=True)]
SIZE = len(ENTRIES)
SOURCE = Leaves([leaf_hash(entry) for entry in ENTRIES])
TRUST = Trust(
    origin=ORIGIN, root_public_key=signer("root").public_key.hex(), log_key=LOG.vkey, policy=QUORUM, epoch=EPOCH,
    epoch_public_key=epoch_keys()[0].hex(),
)  # fmt: skip


def checkpoint(size: int = SIZE) -> Checkpoint:
    """The checkpoint over the first `size` events."""
    return Checkpoint(ORIGIN, size, tree_root(size, SOURCE))


def note(size: int = SIZE, *names: str) -> bytes:
    """The same, signed by the log and cosigned by these."""
    one = checkpoint(size)
    return sign_checkpoint(one, LOG) + b"".join(WITNESSES[name].cosign(one.text(), SECONDS) for name in names)


def enclosure(position: int) -> Enclosure:
    """What delivery would hand over to the author `infrastructure`, with the payload's key sealed to it."""
    envelope = ENVELOPES[position]
    if envelope.sealed is not None:
        key = reseal(b"k" * 32, signer("infrastructure").public_key)
        envelope = Envelope(envelope.header, envelope.signature, 0, Sealed(key, envelope.sealed.ciphertext))
    proof = inclusion_proof(position, SIZE, SOURCE)
    return Enclosure(position, position, MOMENTS[position], note(SIZE, "w1"), proof, envelope)


def ring() -> Keyring:
    """The keys before the last three events."""
    keyring = Keyring(signer("root").public_key)
    for position, event in enumerate(key_events()):
        keyring.apply(event, position)
    return keyring


PROOF = LogProof(FIRST, inclusion_proof(FIRST, SIZE, SOURCE), note(SIZE, "w1", "w2"), b"an aside").to_text()
OTHER_PROOF = LogProof(3, inclusion_proof(3, SIZE, SOURCE), note(SIZE)).to_text()
REQUEST = AddCheckpoint(5, consistency_proof(5, SIZE, SOURCE), note(SIZE)).to_bytes()
OTHER_REQUEST = AddCheckpoint(0, (), note(5)).to_bytes()
CONSISTENCY = consistency_bytes(consistency_proof(5, SIZE, SOURCE))
TRUST_FILE = spelled(TRUST)
OTHER_TRUST_FILE = spelled(msgspec.structs.replace(TRUST, policy=""))
