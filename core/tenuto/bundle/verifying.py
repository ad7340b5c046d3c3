"""The stranger's side: a bundle in, a report or a refusal out. No database, no network, and no word of the bundle is believed.

The steps are `verification.STEPS`, with the same numbers. First those about the log (7, 8, 9), since every proof leads to
the checkpoint; then 1 to 6 for each event, in the order of positions, so that a refusal names the first event that fails.

What a part of a log cannot show is said, not passed over: that no event was left out (unless every position is there),
that no key was revoked by an event that is not here, and who vouches for the trust file when only the bundle brought it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..log.checkpoint import Checkpoint
from ..log.proof import PROOF_TEXT_BYTES_MAX
from ..trust import TRUST_FILE, Trust
from ..verification import Verified
from .claims import is_whole_range, missing_causes, verify_claims
from .clearing import Cleared, verify_cleared
from .folder import BundleFolder
from .head import agreed_trust, pinned_keyring, verified_head, verify_extension, verify_witnessed
from .history import History, Shown
from .layout import (
    CHECKPOINT_FILE,
    CONSISTENCY_FILE,
    ENTRY_FILE_BYTES_MAX,
    FILE_BYTES_MAX,
    FIRST_FILE,
    MANIFEST_FILE,
    PAYLOAD_FILE_BYTES_MAX,
    POLICY_FILE,
    BundleRefused,
    Listed,
    Manifest,
    entry_file,
    files_of,
    parse_manifest,
    parse_trust,
    payload_file,
    proof_file,
)

REMARKS_OF_A_KIND_MAX = 10
Events = tuple[tuple[Listed, Verified], ...]


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of one of `verification.STEPS`. done: it was taken over all that it is about; the sentence says more."""

    step: int
    done: bool
    sentence: str


@dataclass(frozen=True, slots=True)
class Report:
    """A bundle that holds.

    events: each with the reason why it is in the bundle. trusted: whether the receiver brought a trust file of its own.
    fingerprint: SHA-256 of the bundle's trust.json, to compare by another way. unknown: files that do not belong to the
    bundle; nothing in them was looked at. remarks: what a reader should know and no step says.
    purges: each purge that is here, and whether people agreed to it.
    """

    manifest: Manifest
    checkpoint: Checkpoint
    events: Events
    steps: tuple[Taken, ...]
    trusted: bool
    fingerprint: str
    unknown: tuple[str, ...]
    remarks: tuple[str, ...]
    purges: tuple[Cleared, ...]


def verify_bundle(folder: BundleFolder, *, trust: Trust | None = None, since: bytes | None = None) -> Report:
    """Walk the nine steps over a bundle and return what was found.

    trust: the log's public facts, from somewhere else than the bundle. since: the note of the last checkpoint that the
    receiver saw. Raises VerificationFailed naming step and event, or BundleRefused when the folder is not a bundle.
    """
    manifest = parse_manifest(_read(folder, MANIFEST_FILE))
    brought = _read(folder, TRUST_FILE)
    pinned, remarks = agreed_trust(parse_trust(brought), _read(folder, POLICY_FILE), trust)
    if manifest.origin != pinned.origin:
        raise BundleRefused(f"The bundle is of the log {manifest.origin!r:.120}, not of {pinned.origin}.")
    note = _read(folder, CHECKPOINT_FILE)
    head = verified_head(note, pinned)  # (7)
    witnessed = verify_witnessed(note, pinned)  # (8)
    first = _first(folder)
    extension = verify_extension(head, pinned, first, since)  # (9)
    history = History(pinned_keyring(pinned), pinned.origin, head, note)
    verified = [history.take(_shown(folder, listed)) for listed in manifest.events]  # (1) to (6)
    verify_claims(manifest, verified)
    cleared = tuple(verify_cleared(verified))  # (5)
    verified = [replace(one, purged=one.position in history.purged) for one in verified]
    events = tuple(zip(manifest.events, verified, strict=True))
    signed = True, f"The checkpoint over {head.size:,} events is signed by {pinned.origin}."
    said = {**_said_of_events(history, events, cleared), 7: signed, 8: witnessed, 9: extension}
    return Report(
        manifest=manifest, checkpoint=head, events=events,
        steps=tuple(Taken(step, *said[step]) for step in sorted(said)), trusted=trust is not None,
        fingerprint=hashlib.sha256(brought).hexdigest(),
        unknown=folder.unknown(files_of(manifest, extends=first is not None)),
        remarks=(*remarks, *_remarks(manifest, history, events), *(one.sentence for one in cleared[:REMARKS_OF_A_KIND_MAX])),
        purges=cleared,
    )  # fmt: skip


def _read(folder: BundleFolder, name: str) -> bytes:
    return folder.read(name, FILE_BYTES_MAX[name])


def _first(folder: BundleFolder) -> tuple[bytes, bytes] | None:
    """Return the earlier checkpoint and what leads from it to the present one; both files belong together."""
    if not folder.has(FIRST_FILE) and not folder.has(CONSISTENCY_FILE):
        return None
    return _read(folder, FIRST_FILE), _read(folder, CONSISTENCY_FILE)


def _shown(folder: BundleFolder, listed: Listed) -> Shown:
    place = listed.position
    entry = folder.read(entry_file(place), ENTRY_FILE_BYTES_MAX)
    proof = folder.read(proof_file(place), PROOF_TEXT_BYTES_MAX)
    payload = folder.read(payload_file(place), PAYLOAD_FILE_BYTES_MAX) if listed.payload else None
    return Shown(place, entry, proof, payload)


def _said_of_events(history: History, events: Events, cleared: Sequence[Cleared]) -> dict[int, tuple[bool, str]]:
    count, chained = len(events), history.linked
    keys = {verified.key.key_id for _, verified in events}
    folded = sum(verified.event.kind.startswith("key.") for _, verified in events)
    known = "no key event can be missing" if _is_gapless(events) else "whether there are others, only the whole log shows"
    chain = f"All {count:,} events continue their sessions."
    if history.unlinked:
        chain = f"{chained:,} of {count:,} events continue their sessions; what comes before {history.unlinked:,} is not here."
    return {
        1: (True, f"All {count:,} envelopes decode within their limits."),
        2: (True, f"{len(keys):,} keys signed, each valid at its position by the {folded:,} key events here; {known}."),
        3: (True, f"All {count:,} signatures hold over the stored bytes."),
        4: (not history.unlinked, chain),
        5: _said_of_payloads(events, cleared),
        6: (True, f"All {count:,} leaves are in the tree of the checkpoint."),
    }


def _said_of_payloads(events: Events, cleared: Sequence[Cleared]) -> tuple[bool, str]:
    having = [verified for _, verified in events if verified.event.has_payload]
    shown = sum(verified.payload is not None for verified in having)
    purged = sum(verified.payload is None and verified.purged for verified in having)
    withheld = len(having) - shown - purged
    sentence = f"{shown:,} payloads match their commitments; {purged:,} are gone under a purge on record"
    open_ones = sum(bool(one.missing) for one in cleared)
    if open_ones:
        sentence += f"; the approval of {open_ones:,} of {len(cleared):,} purges is not all here"
    elif cleared:
        sentence += " that people approved, by what is here; that nothing spoke against it, only the whole log shows"
    return not withheld and not open_ones, sentence + (f"; {withheld:,} are not shown." if withheld else ".")


def _is_gapless(events: Events) -> bool:
    """Whether every position up to the last is in the bundle."""
    return events[-1][0].position == len(events) - 1


def _remarks(manifest: Manifest, history: History, events: Events) -> list[str]:
    size, last = history.checkpoint.size, events[-1][0].position
    if len(events) == size:
        remarks = [f"All {size:,} events under the checkpoint are here: nothing was left out."]
    elif _is_gapless(events):
        remarks = [f"All events up to position {last} are here; {size - len(events):,} later ones are not."]
    elif is_whole_range(manifest, events, size):
        part = f"No event of the time range, up to the checkpoint, was left out. {len(events):,} of {size:,} events are here; that no other one ends a key"
        remarks = [f"{part} is what the exporter says, and only the whole log shows it."]
    else:
        part = f"{len(events):,} of {size:,} events are here. That no other one belongs to the answer, or ends a key,"
        remarks = [f"{part} is what the exporter says; only the whole log shows it."]
    insecure = sum(verified.key.insecure_demo for _, verified in events)
    if insecure:
        remarks.append(f"{insecure:,} of them signed with an insecure demo key, which proves nothing about the author.")
    causes = sum(1 for _ in missing_causes(events))
    if causes:
        remarks.append(f"Of the events that are named as causes, {causes:,} are not here.")
    return [*remarks, *_ended_keys(history, events), *_purges(history, events)]


def _ended_keys(history: History, events: Events) -> list[str]:
    used = {(verified.key.author, verified.key.key_id) for listed, verified in events if listed.why != "key"}
    return [
        f"The key {key.key_id} of {key.author} ended at position {key.until}, after it had signed."
        for key in history.keyring.keys()
        if key.until is not None and (key.author, key.key_id) in used
    ][:REMARKS_OF_A_KIND_MAX]


def _purges(history: History, events: Events) -> list[str]:
    by_position = {verified.position: verified for _, verified in events}
    remarks = []
    for position, verified in by_position.items():
        if position in history.purged and verified.event.has_payload:
            purge = by_position[history.purged[position]]
            said = f"The payload of position {position} was purged by {purge.event.author} on {purge.recorded_at:%Y-%m-%d}"
            shown = "" if verified.payload is None else ", and yet it is shown here"
            remarks.append(f"{said} (position {purge.position}){shown}.")
    return remarks[:REMARKS_OF_A_KIND_MAX]
