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
        """`epoch_secrets`: the X25519 secrets (32 bytes) by epoch number, the present one and those not yet destroyed.

        It is asked each time, so that an epoch may come and go while this runs.
        """
        self._secrets, self._storage_key = epoch_secrets, storage_key
        self._openers: dict[int, tuple[bytes, SealOpener]] = {}

    def rewrap(self, envelope: Envelope, event: Event) -> StoredPayload | None:
        """Return the payload as the ledger keeps it; raises PayloadRefused unless it is the one that was signed for."""
        sealed, commit, length = envelope.sealed, event.payload_commit, event.payload_len
        if commit is None or length is None:
            if sealed is not None:
                raise PayloadRefused("A payload travels beside an event that commits to none.")
            return None
        if sealed is None:
            raise PayloadRefused("The header commits to a payload, and none travels with it.")
        key = self._opener(envelope.epoch).open(sealed)
        open_payload(sealed.ciphertext, key, commit, length)
        wrapped = wrap_key(key, self._storage_key, bytes.fromhex(commit))
        return StoredPayload(wrapped, sealed.ciphertext.nonce, sealed.ciphertext.body)

    def _opener(self, epoch: int) -> SealOpener:
        secret = self._secrets.get(epoch)
        if secret is None:
            self._openers.pop(epoch, None)
            known = ", ".join(str(number) for number in self._secrets)
            raise PayloadRefused(f"The payload is sealed to epoch {epoch}; this ledger opens {known}.")
        found = self._openers.get(epoch)
        if found is None or found[0] != secret:
            found = self._openers[epoch] = secret, SealOpener(secret)
        return found[1]
