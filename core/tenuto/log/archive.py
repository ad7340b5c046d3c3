"""Every checkpoint that a witness cosigned, kept for ever beside the log.

    checkpoints/<N>     the cosigned notes over 256 * N + 1 to 256 * (N + 1) entries, smallest first, an empty line after each

N is written as for tiles. The newest note lies in the file `checkpoint` as well, but that one is replaced with every step,
and a draw by lot needs an old one: the first that covers the event drawn for. So a note is in here, durably, before it is
published, and from then on it may gain signature lines and lose none.

There is at most one note for each step of the sealer, and none for a step without new events: under load this is far below
one percent of the entries, and where each event got a step of its own, about as much as the entries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..errors import Busy, Refused
from .checkpoint import Checkpoint, CheckpointRefused, parse_checkpoint, parse_checkpoint_text, parse_size
from .note import NOTE_BYTES_MAX, NoteRefused, NoteSignature, NoteVerifier, open_note, parse_note
from .proof import tree_root
from .tiles import TILE_WIDTH, TileFolder, numbered
from .witnessing import Policy, PolicyRefused

ARCHIVE_FOLDER = "checkpoints"
ARCHIVE_FILE_BYTES_MAX = TILE_WIDTH * NOTE_BYTES_MAX


class ArchiveRefused(Refused):
    """A kept note would lose or change a signature, or a file of the archive is malformed; names size or file."""


class NotCovered(Busy):
    """No cosigned checkpoint covers the position yet."""


class CheckpointArchive:
    """The notes in one folder: the log's own, or what a witness remembers. One process at a time writes."""

    def __init__(self, path: Path, fetch: Callable[[str], bytes | None] | None = None) -> None:
        """`path` is the folder that holds `checkpoints/`; `fetch` reads its files where they are not on this machine."""
        self.path, self._fetch = path, fetch

    def note_over(self, size: int) -> bytes | None:
        """Return the kept note over exactly this many entries, or None."""
        return self._read(archive_path(size)).get(size)

    def notes(self, start: int, stop: int) -> Iterator[tuple[int, bytes]]:
        """Yield size and note of each kept note over `start` to `stop` entries, both included, smallest first."""
        for number in range(max(0, start - 1) // TILE_WIDTH, (max(0, stop - 1)) // TILE_WIDTH + 1):
            for size, note in sorted(self._read(_path(number)).items()):
                if start <= size <= stop:
                    yield size, note

    def with_note(self, note: bytes) -> Mapping[str, bytes]:
        """Return path and content of the file that has this note too; empty when it is kept already. Nothing is written.

        Raises ArchiveRefused when another note over as many entries is kept of which this one is no continuation.
        """
        size = size_of(note)
        name = archive_path(size)
        kept = self._read(name)
        before = kept.get(size)
        if before is not None and not note.startswith(before):
            raise ArchiveRefused(f"Another note over {size} entries is kept in {self.path / name}; it is never replaced.")
        if before == note:
            return {}
        return {name: join_notes((kept | {size: note}).values())}

    def merged(self, note: bytes) -> bytes:
        """Return the kept note over as many entries, with those lines of `note` behind it whose keys it lacks; else `note`."""
        kept = self.note_over(size_of(note))
        if kept is None:
            return note
        present = {(line.name, line.key_id) for line in parse_note(kept)[1]}
        return kept + b"".join(line.line for line in parse_note(note)[1] if (line.name, line.key_id) not in present)

    def _read(self, name: str) -> dict[int, bytes]:
        data = (self._fetch or self._file)(name)
        return {} if data is None else split_notes(name, data)

    def _file(self, name: str) -> bytes | None:
        try:
            return (self.path / name).read_bytes()
        except FileNotFoundError:
            return None


@dataclass(frozen=True, slots=True)
class Covering:
    """The first checkpoint that covers a position, and the cosignature that the draw is made of."""

    checkpoint: Checkpoint
    cosignature: NoteSignature
    note: bytes


def first_covering(folder: Path, position: int, policy: Policy, origin: str) -> Covering:
    """Return the smallest checkpoint over entry `position` that the draw witness cosigned, verified against `policy`.

    `folder` is a log folder or a copy of one. The log's signature and the witness's hold, and the tiles of the folder lead
    to its root; whether those are the tiles of the log at large is for the caller's own walk to say. That no smaller one
    was cosigned and withheld is what the witness's own archive is for; see `withheld`.

    Raises NotCovered while there is none, ArchiveRefused, PolicyRefused or TilesRefused where something does not hold.
    """
    witness = draw_witness(policy)
    published = _published_size(folder, policy, origin)
    for size, note in CheckpointArchive(folder).notes(position + 1, published):
        checkpoint, cosignature = verified_note(note, policy, origin, witness)
        if cosignature is None:
            continue
        if tree_root(size, TileFolder(folder)) != checkpoint.root:
            raise ArchiveRefused(f"The kept checkpoint over {size} entries is not that of the tiles beside it.")
        return Covering(checkpoint, cosignature, note)
    raise NotCovered(f"No checkpoint over entry {position} carries a cosignature by {witness.name} yet.")


def draw_witness(policy: Policy) -> NoteVerifier:
    """Return the witness whose cosignatures draws are made of: the first that the policy names, and no other.

    One, because whoever could choose among several after seeing them could choose the outcome. Raises PolicyRefused when
    the policy names none.
    """
    for witness in policy.witnesses.values():
        return witness.verifier
    raise PolicyRefused("The policy names no witness, so there is no cosignature to draw by.")


def verified_note(
    note: bytes, policy: Policy, origin: str, witness: NoteVerifier
) -> tuple[Checkpoint, NoteSignature | None]:
    """Return the checkpoint of a kept note and the witness's cosignature, None if it carries none; raises ArchiveRefused.

    The log's signature, and every one by a witness that the policy names, must hold. Of several cosignatures of one key,
    which a witness that is not ours may have made, the one that was made first counts.
    """
    logs = [log.verifier for log in policy.logs if log.verifier.name == origin]
    try:
        opened = open_note(note, [*logs, *(known.verifier for known in policy.witnesses.values())])
        checkpoint = parse_checkpoint_text(opened.text)
    except (NoteRefused, CheckpointRefused) as refusal:
        raise ArchiveRefused(f"A kept checkpoint is refused: {refusal}") from refusal
    if checkpoint.origin != origin or not any(opened.signed_by(log) for log in logs):
        raise ArchiveRefused(f"A kept checkpoint over {checkpoint.size} entries is not signed by the log {origin}.")
    made = [signature for signature in opened.signatures if witness.made(signature)]
    return checkpoint, min(made, key=lambda signature: signature.seconds, default=None)


def withheld(log: CheckpointArchive, remembered: CheckpointArchive, policy: Policy, origin: str, size: int) -> list[int]:
    """Return the sizes up to `size` that the draw witness remembers to have cosigned and the log does not show so.

    A sealer that saw a cosignature, did not like the draw, and asked again with more entries is convicted by one such size,
    by its own signature and the witness's: an honest one fetches an answer that got lost before it asks for the next.
    Raises ArchiveRefused when what is said to be remembered is not signed by both.
    """
    witness, missing = draw_witness(policy), []
    for cosigned, note in remembered.notes(1, size):
        _, made = verified_note(note, policy, origin, witness)
        shown = log.note_over(cosigned)
        if made is not None and (shown is None or made not in parse_note(shown)[1]):
            missing.append(cosigned)
    return missing


def archive_path(size: int) -> str:
    """Return the path of the file that holds the note over `size` entries, which are at least one."""
    return _path((size - 1) // TILE_WIDTH)


def size_of(note: bytes) -> int:
    """Return how many entries a note covers; it is not verified here. Raises ArchiveRefused when it does not say."""
    lines = note.split(b"\n", 3)
    try:
        size = parse_size(lines[1]) if len(lines) > 1 else 0
    except CheckpointRefused as refusal:
        raise ArchiveRefused(str(refusal)) from refusal
    if size == 0:
        raise ArchiveRefused("A note over no entries is not kept.")
    return size


def join_notes(notes: Iterable[bytes]) -> bytes:
    """Return the file that holds these notes, smallest first."""
    return b"".join(note + b"\n" for note in sorted(notes, key=size_of))


def split_notes(name: str, data: bytes) -> dict[int, bytes]:
    """The inverse of `join_notes`: each note by its size; raises ArchiveRefused naming the file when it is not one."""
    if len(data) > ARCHIVE_FILE_BYTES_MAX:
        raise ArchiveRefused(f"{name} has {len(data):,} bytes; at most {ARCHIVE_FILE_BYTES_MAX:,} are read.")
    parts = data.split(b"\n\n")
    if len(parts) % 2 == 0 or parts[-1]:
        raise ArchiveRefused(f"{name} ends inside a note.")
    found: dict[int, bytes] = {}
    try:
        for text, lines in zip(parts[:-1:2], parts[1:-1:2], strict=True):
            note = text + b"\n\n" + lines + b"\n"
            size = size_of(note)
            if archive_path(size) != name or size <= max(found, default=0):
                raise ArchiveRefused(f"its note over {size} entries does not belong there")
            found[size] = note
    except ArchiveRefused as refusal:
        raise ArchiveRefused(f"{name} is refused: {refusal}") from refusal
    return found


def _path(number: int) -> str:
    return f"{ARCHIVE_FOLDER}/{numbered(number)}"


def _published_size(folder: Path, policy: Policy, origin: str) -> int:
    note = TileFolder(folder).published()
    if note is None:
        return 0
    for log in policy.logs:
        if log.verifier.name == origin:
            return parse_checkpoint(note, log.verifier.vkey, origin).size
    raise PolicyRefused(f"The policy knows no log called {origin!r:.120}.")
