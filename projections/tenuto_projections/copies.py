"""What a read model copies out of a payload is sealed again, under a key that dies with the payload.

A row that is blanked after a purge is still in yesterday's dump and in the write-ahead log. So the text never gets there
in the clear: it is encrypted under a key from the same leaf of the storage key as the payload's own, and a purge that cuts
out that leaf reaches every copy of every table. Whoever shows the text opens it with the storage key; without it, or after
a purge, there is nothing to show. The same text of the same event always gives the same bytes, so that a rebuilt model
equals the live one; in memory, where a replay rebuilds its own, nothing is sealed.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from contextlib import suppress
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from nacl import bindings
from nacl.exceptions import CryptoError
from sqlalchemy import Connection
from tenuto.keytree import READ_MODEL, KeyDestroyed, StorageKey
from tenuto.verified import Verified

from .tables import shown

if TYPE_CHECKING:
    from tenuto.settings import Settings

OPTION = "tenuto_storage_key"
"""The execution option of an engine that carries its `StorageKey`."""
_NONCE_BYTES = 24


def options(settings: Settings) -> dict[str, Any]:
    """Return the execution options for an engine of this home; without the storage key its copies stay closed."""
    from tenuto.adapters.keytreefile import KeyTreeFile
    from tenuto.errors import NotConfigured

    try:
        return {OPTION: KeyTreeFile(settings.keys)}
    except NotConfigured:
        return {}


def sealed(connection: Connection, verified: Verified, text: str | None) -> str | None:
    """Return what a row keeps of a text from this event's payload; None where it cannot be sealed, also after a purge."""
    key, commit = _storage_key(connection), verified.event.payload_commit
    if text is None or (key is None and _in_memory(connection)):
        return text
    if key is None or commit is None:
        return None
    key.refresh(at_once=True)  # the payload may have been opened under a key that is newer than the one remembered here
    try:
        secret = key.key_for(bytes.fromhex(commit), READ_MODEL)
    except KeyDestroyed:
        return None
    plain = text.encode("utf-8", "surrogatepass")
    nonce = blake2b(plain, key=secret, digest_size=_NONCE_BYTES).digest()
    box = bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(plain, bytes.fromhex(commit), nonce, secret)
    return f"{commit}.{b64encode(nonce + box).decode()}"


def opened(connection: Connection, kept: str | None) -> str | None:
    """Return the text that `sealed` kept; None where it cannot be opened: no key here, purged, or somebody's own words."""
    key = _storage_key(connection)
    if kept is None or (key is None and _in_memory(connection)):
        return kept
    commit, _, box = kept.partition(".")
    if key is None:
        return None
    try:
        context, data = bytes.fromhex(commit), b64decode(box, validate=True)
        for secret in key.keys_for(context, READ_MODEL):
            with suppress(CryptoError):
                plain = bindings.crypto_aead_xchacha20poly1305_ietf_decrypt(
                    data[_NONCE_BYTES:], context, data[:_NONCE_BYTES], secret
                )
                return shown(bytes(plain).decode("utf-8", "surrogatepass"))
    except (KeyDestroyed, CryptoError, ValueError):
        return None
    return None


def _storage_key(connection: Connection) -> StorageKey | None:
    found: StorageKey | None = connection.get_execution_options().get(OPTION)
    return found


def _in_memory(connection: Connection) -> bool:
    return connection.dialect.name == "sqlite"
