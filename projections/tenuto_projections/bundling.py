"""`tenuto bundle`: a run, a time range or one event as a folder that a stranger verifies; see `tenuto.bundle` for the format.

The whole log is walked first, verified like for any other reader, since what belongs into the bundle (causes, purges, the
key history) is known only at its end. The folder is written beside its place, verified as its receiver will do it, and then
moved there: it exists whole and sound, or not at all.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from tenuto.bundle import Asked, BundleFolder, Listed, Manifest, Report, layout, verify_bundle
from tenuto.bundle.claims import ANSWER, is_key_history
from tenuto.bundle.clearing import Chains
from tenuto.bundle.head import signed_by_log
from tenuto.envelope import split_state
from tenuto.errors import NotConfigured
from tenuto.events import Event, RecordGap, RecordPurged
from tenuto.following import Follower
from tenuto.header import decode
from tenuto.keyring import ROOT
from tenuto.keytree import StorageKey
from tenuto.ledger import LedgerReader, Recorded
from tenuto.log.checkpoint import Checkpoint, parse_checkpoint
from tenuto.log.proof import HashSource, LogProof, consistency_proof, inclusion_proof
from tenuto.payload import Ciphertext, open_salted, unwrap_key
from tenuto.trust import TRUST_FILE, Trust
from tenuto.verification import VerificationFailed, Verified

from .replay.links import NothingFound
from .replay.selection import Selection
from .runs import Runs
from .walked import verify_cosigned

COSIGNATURE_SECONDS_MAX = 6.0
COSIGNATURE_PAUSE_SECONDS = 0.1
READ_EVENTS_MAX = 50  # their payloads, of up to a mebibyte each, are in memory together


@dataclass(frozen=True, slots=True)
class Source:
    """Where a bundle is made from. hashes: the published tiles, of which proofs are made."""

    follower: Follower
    reader: LedgerReader
    hashes: HashSource
    trust: Trust


@dataclass(frozen=True, slots=True)
class Wish:
    """What the receiver wants. storage_key: payloads are opened with it and shown. since: the note it saw last."""

    asked: Asked
    storage_key: StorageKey | None = None
    since: bytes | None = None


@dataclass
class Chosen:
    """What one walk over the log finds out about which events belong into a bundle; a few hundred bytes an event."""

    asked: Asked
    answers: set[int] = field(default_factory=set)
    keys: set[int] = field(default_factory=set)
    _places: dict[UUID, int] = field(default_factory=dict)
    _causes: dict[int, tuple[UUID, ...]] = field(default_factory=dict)
    _purges: dict[int, RecordPurged] = field(default_factory=dict)
    _chains: Chains = field(default_factory=Chains)
    _gaps: dict[int, UUID] = field(default_factory=dict)
    _root_sessions: set[UUID] = field(default_factory=set)
    _runs: Runs = field(default_factory=Runs)

    def take(self, page: Iterable[Verified]) -> None:
        """Look at the next verified events."""
        selection = Selection(run=self.asked.run, since=self.asked.since, until=self.asked.until)
        for verified in page:
            event, position = verified.event, verified.position
            self._places[event.id] = position
            if event.cause:
                self._causes[position] = event.cause
            run = self._runs.take(event)
            named = self.asked.event in (None, str(event.id), str(position))
            if named and selection.takes(verified, run):
                self.answers.add(position)
            self._take_history(verified)

    def _take_history(self, verified: Verified) -> None:
        event, position = verified.event, verified.position
        if event.author == ROOT:
            self._root_sessions.add(event.session)
        if isinstance(event, RecordPurged):
            self._purges[position] = event
        self._chains.take(event, position)
        if isinstance(event, RecordGap):
            self._gaps[position] = event.gap_session
        elif is_key_history(verified):
            self.keys.add(position)

    def listed(self) -> dict[int, layout.Why]:
        """Return position -> reason of all events that belong into the bundle, in order; raises NothingFound."""
        if not self.answers:
            raise NothingFound("No event of the signed log answers that question, so there is nothing to bundle.")
        why: dict[int, layout.Why] = dict.fromkeys(self._edges(), "edge")
        causes = self._closure()
        told = self.answers | causes
        purges = [place for place, event in self._purges.items() if place in told or told.intersection(event.positions)]
        chain = self._chains.of((place, self._purges[place].approval) for place in purges)
        why |= dict.fromkeys(chain, "approval")
        why |= dict.fromkeys(self.keys, "key")
        why |= {place: "key" for place, session in self._gaps.items() if session in self._root_sessions}
        why |= dict.fromkeys(purges, "purge")
        why |= dict.fromkeys(causes, "cause")
        why |= dict.fromkeys(self.answers, "asked")
        return dict(sorted(why.items()))

    def _edges(self) -> set[int]:
        """Return the neighbours of a time range."""
        size, outermost = len(self._places), (min(self.answers) - 1, max(self.answers) + 1)
        return {place for place in outermost if self.asked.is_range and 0 <= place < size}

    def _closure(self) -> set[int]:
        """Return the positions of all events that led to the answers, however far back."""
        found, waiting = set(self.answers), list(self.answers)
        while waiting:
            for cause in self._causes.get(waiting.pop(), ()):
                place = self._places.get(cause)
                if place is not None and place not in found:
                    found.add(place)
                    waiting.append(place)
        return found - self.answers


def write_bundle(source: Source, wish: Wish, target: Path) -> Report:
    """Write the bundle and return what its receiver will find.

    Raises NotConfigured when `target` exists, and above EVENTS_MAX (100,000 events); NothingFound when nothing answers;
    VerificationFailed when the log is not sound, or does not extend the checkpoint in `wish.since`.
    """
    if target.exists() or target.is_symlink():
        raise NotConfigured(f"{target} is there already. Name a folder that does not exist yet.")
    chosen = Chosen(wish.asked)
    _walk(source, chosen)
    why = chosen.listed()
    if len(why) > layout.EVENTS_MAX:
        sentence = f"The bundle would hold {len(why):,} events; at most {layout.EVENTS_MAX:,} are allowed."
        raise NotConfigured(f"{sentence} Ask for less, or hand over the log folder, which holds everything.")
    staged = target.with_name(f".{target.name}.new")
    shutil.rmtree(staged, ignore_errors=True)  # what an interrupted attempt left
    try:
        _write(source, wish, staged, why)
        report = verify_bundle(BundleFolder(staged), trust=source.trust, since=wish.since)
        staged.rename(target)
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    return report


def _walk(source: Source, chosen: Chosen) -> None:
    """Walk the log up to a checkpoint that the witnesses cosigned; cosignatures follow it after a moment."""
    deadline = time.monotonic() + COSIGNATURE_SECONDS_MAX
    while True:
        for page in source.follower.pages():
            chosen.take(page)
        try:
            verify_cosigned(source.follower.note, source.trust)
        except VerificationFailed:
            if time.monotonic() >= deadline:
                raise
            time.sleep(COSIGNATURE_PAUSE_SECONDS)
        else:
            return


def _write(source: Source, wish: Wish, folder: Path, why: dict[int, layout.Why]) -> None:
    checkpoint, note = source.follower.checkpoint, source.follower.note
    assert checkpoint is not None
    assert note is not None
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=0o700)  # plaintexts may lie in it: its owner decides who else reads them
    for part in (layout.EVENTS_FOLDER, *([layout.PAYLOADS_FOLDER] if wish.storage_key else [])):
        (folder / part).mkdir()
    listed = []
    for entry in _entries(source.reader, list(why), payloads=wish.storage_key is not None):
        position, reason = entry.position, why[entry.position]
        proof = LogProof(position, inclusion_proof(position, checkpoint.size, source.hashes), note)
        (folder / layout.entry_file(position)).write_bytes(entry.entry)
        (folder / layout.proof_file(position)).write_bytes(proof.to_text())
        shown = wish.storage_key is not None and reason in ANSWER and _write_payload(folder, entry, wish.storage_key)
        listed.append(Listed(position=position, why=reason, payload=shown))
    manifest = Manifest(format=layout.FORMAT, origin=checkpoint.origin, asked=wish.asked, events=tuple(listed))
    files = {
        layout.MANIFEST_FILE: manifest.to_bytes(),
        TRUST_FILE: layout.spelled(source.trust),
        layout.POLICY_FILE: source.trust.policy.encode(),
        layout.CHECKPOINT_FILE: note,
        **dict(_extension(source, wish.since, checkpoint)),
    }
    for name, data in files.items():
        (folder / name).write_bytes(data)


def _entries(reader: LedgerReader, positions: Sequence[int], *, payloads: bool) -> Iterator[Recorded]:
    """Yield the stored events at these ascending positions; they are verified at the end, as part of the bundle."""
    start = 0
    while start < len(positions):
        first, count = positions[start], 1
        while count < READ_EVENTS_MAX and positions[start + count : start + count + 1] == [first + count]:
            count += 1
        found = reader.read(first, count, payloads=payloads)
        if [entry.position for entry in found] != list(range(first, first + count)):
            raise VerificationFailed(6, "the event was there a moment ago and is gone", first)
        yield from found
        start += count


def _write_payload(folder: Path, entry: Recorded, storage_key: StorageKey) -> bool:
    """Write the plaintext of an event that has one; False where it has none or it is gone."""
    event: Event = decode(split_state(entry.state)[0])
    stored = entry.payload
    if stored is None or event.payload_commit is None or event.payload_len is None:
        return False
    key = unwrap_key(stored.wrapped_key, storage_key, bytes.fromhex(event.payload_commit))
    opened = open_salted(Ciphertext(stored.nonce, stored.body), key, event.payload_commit, event.payload_len)
    (folder / layout.payload_file(entry.position)).write_bytes(layout.payload_bytes(*opened))
    return True


def _extension(source: Source, since: bytes | None, checkpoint: Checkpoint) -> Iterator[tuple[str, bytes]]:
    if since is None:
        return
    first = parse_checkpoint(since, source.trust.log_key, source.trust.origin)
    if first.size > checkpoint.size:
        raise VerificationFailed(9, f"the checkpoint given is over {first.size} events, the log has signed {checkpoint.size}")
    yield layout.FIRST_FILE, signed_by_log(since, source.trust)
    proof = consistency_proof(first.size, checkpoint.size, source.hashes)
    yield layout.CONSISTENCY_FILE, layout.consistency_bytes(proof)
