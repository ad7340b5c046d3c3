"""Step 3: the payload opens and is what the header commits to; then its key is wrapped for storage.

The author sealed the key to an epoch key of the ledger. Epoch secrets are destroyed once the bus has forgotten what was
sealed to them, so what lies in the bus or in its backups cannot be opened for ever; from here on the key exists only
under the storage key.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..envelope import Envelope
from ..events import Event
from ..keytree import StorageKey
from ..ledger import StoredPayload
from ..payload import PayloadRefused, SealOpener, open_payload, wrap_key


class Vault:
    """Opens what was sealed to the ledger's epochs and wraps it for storage."""

    def __init__(self, epoch_secrets: Mapping[int, bytes], storage_key: StorageKey) -> None:
        """`epoch_secrets`: the X25519 secrets (32 bytes) by epoch number, the present one and those not yet destroyed."""
        self._epochs = {epoch: SealOpener(secret) for epoch, secret in epoch_secrets.items()}
        self._storage_key = storage_key

    def rewrap(self, envelope: Envelope, event: Event) -> StoredPayload | None:
        """Return the payload as the ledger keeps it; raises PayloadRefused unless it is the one that was signed for."""
        sealed, commit, length = envelope.sealed, event.payload_commit, event.payload_len
        if commit is None or length is None:
            if sealed is not None:
                raise PayloadRefused("A payload travels beside an event that commits to none.")
            return None
        if sealed is None:
            raise PayloadRefused("The header commits to a payload, and none travels with it.")
        if envelope.epoch not in self._epochs:
            known = ", ".join(str(epoch) for epoch in self._epochs)
            raise PayloadRefused(f"The payload is sealed to epoch {envelope.epoch}; this ledger opens {known}.")
        key = self._epochs[envelope.epoch].open(sealed)
        open_payload(sealed.ciphertext, key, commit, length)
        wrapped = wrap_key(key, self._storage_key, bytes.fromhex(commit))
        return StoredPayload(wrapped, sealed.ciphertext.nonce, sealed.ciphertext.body)
