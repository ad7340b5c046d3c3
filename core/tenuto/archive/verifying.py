"""Is this archive what it claims to be? Answered from its own files and the log's public key alone.

    every file is the one in the manifest                                     and none is missing
    the checkpoint is signed by the log (7) and cosigned by the policy (8)
    all entries stand under its root, at these positions (6)                  so none was changed, added or left out
    each entry decodes within its limits (1), for this log
    kinds and index say what the entries say                                  ingest and readers look things up in them
    with the storage key: each payload opens and matches its commitment (5)   unless its key was purged

Keys and signatures (2, 3) and chains (4) need the events before these: `tenuto verify` walks them all, archives included.
"""

from __future__ import annotations

from contextlib import suppress
from uuid import UUID

from ..envelope import split_state
from ..errors import Refused
from ..events import Event
from ..header import decode
from ..keytree import KeyDestroyed, StorageKey
from ..ledger import StoredPayload
from ..log.checkpoint import parse_checkpoint
from ..log.merkle import leaf_hashes
from ..log.ranges import RangeTree
from ..log.tiles import TILE_WIDTH
from ..log.witnessing import parse_policy, verify_policy
from ..payload import Ciphertext, open_payload, unwrap_key
from ..trust import Trust
from . import layout
from .layout import ArchiveRefused
from .reading import Archive


def verify_archive(archive: Archive, trust: Trust, *, storage_key: StorageKey | None = None) -> None:
    """Raise ArchiveRefused, naming the file, unless the archive is whole and stands under the log's signed root."""
    manifest = archive.manifest
    if manifest.origin != trust.origin:
        raise ArchiveRefused(f"{archive.folder} is of the log {manifest.origin}, not of {trust.origin}.")
    _verify_listed(archive)
    note = archive.read_file(layout.CHECKPOINT_FILE)
    try:
        checkpoint = parse_checkpoint(note, trust.log_key, trust.origin)
        if trust.policy.strip():
            verify_policy(note, parse_policy(trust.policy), trust.origin)
        tree = RangeTree(manifest.first, manifest.last + 1, checkpoint.size, archive.read_file(layout.BESIDE_FILE))
    except Refused as refusal:
        raise ArchiveRefused(f"{archive.folder / layout.CHECKPOINT_FILE}: {refusal}") from refusal
    if checkpoint.size != manifest.size:
        raise ArchiveRefused(f"The checkpoint in {archive.folder} is not over the {manifest.size} events of its manifest.")
    places: list[tuple[UUID, int, int]] = []
    for number in archive.bundles:
        tree.take(leaf_hashes(archive.entries(number)))
        _verify_bundle(archive, number, trust, places, storage_key)
    if tree.root() != checkpoint.root:
        sentence = f"The entries in {archive.folder} do not stand at the positions {manifest.first} to {manifest.last} of"
        raise ArchiveRefused(f"{sentence} the log that was signed.")
    if layout.index_bytes(places) != archive.read_file(layout.INDEX_FILE):
        raise ArchiveRefused(f"{archive.folder / layout.INDEX_FILE} is not that of the entries.")


def _verify_listed(archive: Archive) -> None:
    """Every file that must be there is listed, and no other."""
    needed = {layout.KINDS_FILE, layout.INDEX_FILE, layout.CHECKPOINT_FILE, layout.BESIDE_FILE}
    needed |= {layout.entries_file(number) for number in archive.bundles}
    optional = {layout.payloads_file(number) for number in archive.bundles}
    names = archive.files.keys()
    if len(names) != len(archive.manifest.files) or not needed <= names <= needed | optional:
        raise ArchiveRefused(f"{archive.folder / layout.MANIFEST_FILE} does not list the files of an archive.")
    if len(archive.kinds) != len(archive.bundles) * TILE_WIDTH:
        raise ArchiveRefused(f"{archive.folder / layout.KINDS_FILE} is not that of the entries.")


def _verify_bundle(
    archive: Archive, number: int, trust: Trust, places: list[tuple[UUID, int, int]], storage_key: StorageKey | None
) -> None:
    start = number * TILE_WIDTH
    kinds, first = archive.manifest.kinds, archive.manifest.first
    for entry in archive.read(start, start + TILE_WIDTH, payloads=True):
        try:
            event = decode(split_state(entry.state)[0])
            if event.log_origin != trust.origin:
                raise Refused(f"it was written for the log {event.log_origin}.")
            if entry.payload is not None:
                _verify_payload(entry.payload, event, storage_key)
        except Refused as refusal:
            raise ArchiveRefused(f"Position {entry.position} in {archive.folder}: {refusal}") from refusal
        place = entry.position - first
        if archive.kinds[place] >= len(kinds) or kinds[archive.kinds[place]] != event.kind:
            raise ArchiveRefused(f"{archive.folder / layout.KINDS_FILE} is not that of the entries.")
        places.append((event.session, event.seq, place))


def _verify_payload(stored: StoredPayload, event: Event, storage_key: StorageKey | None) -> None:
    if event.payload_commit is None or event.payload_len is None:
        raise Refused("A payload lies beside an event that commits to none.", reason="payload")
    if storage_key is not None:
        with suppress(KeyDestroyed):  # whether a purge covers it, the walk over the log says
            key = unwrap_key(stored.wrapped_key, storage_key, bytes.fromhex(event.payload_commit))
            open_payload(Ciphertext(stored.nonce, stored.body), key, event.payload_commit, event.payload_len)
