"""What stands between a record and the ledger, by the very functions that ingest calls, for one record at a time."""

from __future__ import annotations

from tenuto.events import IN_SHEAF, Event
from tenuto.intake.arrival import Arrival, decode
from tenuto.intake.vault import Vault
from tenuto.keyring import Keyring
from tenuto.keytree import KeyTree
from tenuto.ledger import Recorded
from tenuto.signing import verify_header
from tenuto.verification import open_stored

from tests.golden.world import EPOCH, START

STORAGE_KEY = KeyTree.whole(b"s" * 32)


def admit(record: bytes, keyring: Keyring, epoch_secret: bytes, origin: str) -> tuple[Event, bytes | None]:
    """Return the event and its payload; raises what core raises. Only the place in the session is not judged here."""
    arrival = decode(Arrival(record, "golden", 0, 0), origin)  # step 1
    if arrival.refusal is not None:
        raise arrival.refusal
    event, envelope = arrival.said, arrival.signed
    key = keyring.verify_entitlement(event)  # step 2
    keyring.copy().apply(event, 99)
    verify_header(envelope.header, envelope.signature, key.public_key, type(event) in IN_SHEAF)  # step 3
    stored = Vault({EPOCH: epoch_secret}, STORAGE_KEY).rewrap(envelope, event)  # step 5, as ingest does it
    return event, open_stored(Recorded(99, START, envelope.state, stored), event, STORAGE_KEY)  # and as readers do
