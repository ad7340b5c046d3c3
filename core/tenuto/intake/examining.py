"""What a record's bytes alone decide: it decodes, its signature holds under a key, its payload is what was signed for.

None of it depends on where the ledger stands, so it is worked out ahead: the threads are busy with the next records while
the present ones are judged and written. What is found says under which key it was found, and judging takes it for that key
only; whether the author may use the key at that place is asked there, of the ring as it is then.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass

from ..bus import BusRecord
from ..errors import Refused
from ..events import IN_SHEAF
from ..keyring import Keyring
from ..signing import verify_header
from .arrival import Arrival, Findings, arrived
from .vault import Vault

EXAMINE_CHUNK = 128
"""Records that a thread takes at once: enough to make its start worth it, few enough to spread a batch evenly."""


@dataclass(frozen=True, slots=True)
class Coming:
    """Records that were read and are being examined. `next_offset` is where to read on after them."""

    count: int
    next_offset: int
    chunks: Sequence[Future[list[Arrival]]]

    def arrivals(self) -> list[Arrival]:
        """Wait until all are examined and return them, in their order."""
        return [arrival for chunk in self.chunks for arrival in chunk.result()]


@dataclass(frozen=True, slots=True)
class Examiner:
    """Steps 1 and 3, and the arithmetic of step 2, on all threads of `pool` (libsodium releases the GIL)."""

    origin: str
    vault: Vault
    pool: Executor | None = None

    def begin(self, records: Sequence[BusRecord], keyring: Keyring) -> Coming:
        """Start to decode and examine these records, under the keys that the ring has now."""
        ring = keyring.copy()
        chunks = [records[start : start + EXAMINE_CHUNK] for start in range(0, len(records), EXAMINE_CHUNK)]
        if self.pool is not None:
            futures = [self.pool.submit(self._first_look, chunk, ring) for chunk in chunks]
        else:
            futures = [_done(self._first_look(chunk, ring)) for chunk in chunks]
        return Coming(len(records), records[-1].offset + 1, futures)

    def finish(self, arrivals: Sequence[Arrival]) -> None:
        """Examine what has no findings under its `key` yet: it waited in the ledger, or its key has changed since."""
        owed = [one for one in arrivals if one.findings is None or one.findings.public_key != one.valid_key.public_key]
        chunks = [owed[start : start + EXAMINE_CHUNK] for start in range(0, len(owed), EXAMINE_CHUNK)]
        run = map if self.pool is None or len(chunks) < 2 else self.pool.map
        for _ in run(self._examine, chunks):
            pass

    def _first_look(self, records: Sequence[BusRecord], keyring: Keyring) -> list[Arrival]:
        arrivals = [arrived(record, self.origin) for record in records]
        for arrival in arrivals:
            if arrival.refusal is None:
                try:
                    key = keyring.find(arrival.said.author, arrival.said.key_id)
                except Refused:
                    continue  # the ring may know it by the time this is judged
                arrival.findings = self._findings(arrival, key.public_key)
        return arrivals

    def _examine(self, arrivals: Sequence[Arrival]) -> None:
        for arrival in arrivals:
            arrival.findings = self._findings(arrival, arrival.valid_key.public_key)

    def _findings(self, arrival: Arrival, public_key: bytes) -> Findings:
        envelope = arrival.signed
        try:
            verify_header(envelope.header, envelope.signature, public_key, type(arrival.said) in IN_SHEAF)
            return Findings(public_key, payload=self.vault.rewrap(envelope, arrival.said))
        except Refused as refusal:
            return Findings(public_key, refusal=refusal)


def _done(arrivals: list[Arrival]) -> Future[list[Arrival]]:
    future: Future[list[Arrival]] = Future()
    future.set_result(arrivals)
    return future
