"""Where payloads are on a real site: their keys in the storage key's file, their rows in Postgres, their copies elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import psycopg

from ..archive import Shelf
from ..envelope import split_state
from ..errors import Busy
from ..header import header_hash
from ..keytree import KeyDestroyed
from ..ledger import LedgerReader
from ..verification import open_stored
from ..verified import Verified
from .keyfiles import epochs
from .keytreefile import KeyTreeFile, puncture

_DELETE = "DELETE FROM ledger.payload WHERE notification_id = ANY(%s)"


class Shredder:
    """`tenuto.purging.Vessel` over a key folder and a database role that may delete payloads and nothing else."""

    def __init__(self, keys: Path, url: str, reader: LedgerReader, shelf: Shelf) -> None:
        """`url` is that of the role `tenuto_keeper`; `reader` may read payloads; `shelf` has what retention took out."""
        self._keys, self._url, self._reader, self._shelf = keys, url, reader, shelf

    def open(self, verified: Verified) -> bytes | None:
        """Return the payload of an event, verified against its commitment, or None when it is gone."""
        for entry in self._reader.read(verified.position, 1):
            if header_hash(split_state(entry.state)[0]) == verified.header_hash:
                try:
                    return open_stored(entry, verified.event, KeyTreeFile(self._keys))
                except KeyDestroyed:
                    return None
        return None

    def is_destroyed(self, commits: Sequence[bytes]) -> bool:
        """Whether the keys of all these payloads are gone already."""
        tree = KeyTreeFile(self._keys).tree
        return tree.punctured(commits).gone == tree.gone

    def destroy(self, commits: Sequence[bytes], positions: Sequence[int]) -> tuple[int, int]:
        """Destroy the keys, then delete the rows and what archives keep of them; return how many of the first two there were.

        Raises Busy without a database.
        """
        keys, rows = puncture(self._keys, commits), self._delete(positions)
        self._shelf.forget(list(positions))
        return keys, rows

    def _delete(self, positions: Sequence[int]) -> int:
        try:
            with psycopg.connect(self._url) as connection:
                return connection.execute(_DELETE, ([position + 1 for position in positions],)).rowcount
        except psycopg.OperationalError as error:
            raise Busy(f"The keys are destroyed; the database, which holds the rows, does not answer: {error}") from error

    def still_readable(self) -> Sequence[str]:
        """Say what else may hold the payloads, and what ends it."""
        known = ", ".join(map(str, epochs(self._keys)))
        segments = f"Old segments of the events topic open with the epoch keys that exist ({known}): run `tenuto key epoch rotate`,"
        return (
            f"{segments} and `tenuto key epoch destroy` for the older ones.",
            "Copies of the key folder from before hold the storage key as it was, for old dumps and archives: let go of them.",
            "Bundles and exports with payloads that were handed out before are beyond reach.",
        )
