"""`tenuto verify --archive`: one folder that retention made, by its own files and the log's public facts alone."""

from __future__ import annotations

from pathlib import Path

from rich.text import Text
from tenuto.adapters import keyfiles
from tenuto.adapters.keytreefile import KeyTreeFile
from tenuto.archive import Archive, ArchiveRefused, verify_archive
from tenuto.settings import Settings
from tenuto.trust import load_trust
from tenuto.verification import VerificationFailed

from .replay.records import Output


def verify_archived(folder: Path, trust_file: Path | None, settings: Settings) -> None:
    """Verify an archive and say what was found; payloads are opened where this home has the storage key.

    Raises VerificationFailed (step 6) naming the file that is missing or changed.
    """
    trust = load_trust(settings.home if trust_file is None else trust_file)
    has_key = (settings.keys / keyfiles.STORAGE_KEY).exists()
    archive = Archive(folder)
    try:
        manifest = archive.manifest
        verify_archive(archive, trust, storage_key=KeyTreeFile(settings.keys) if has_key else None)
    except ArchiveRefused as refusal:
        raise VerificationFailed(6, str(refusal)) from refusal
    positions = f"{manifest.first:,} to {manifest.last:,}"
    root = f"under the root that was signed over {manifest.size:,} events"
    lines = [
        f"The archive holds: the positions {positions} of {manifest.origin}, {root}.",
        "Its payloads open and match." if has_key else "Its payloads were not opened: the storage key is not here.",
        "Keys, signatures and chains need the events before it: `tenuto verify` walks them all, archives included.",
    ]
    record = {
        "verified": True, "origin": manifest.origin, "first": manifest.first, "last": manifest.last,
        "size": manifest.size, "archive": archive.digest, "payloads_opened": has_key,
    }  # fmt: skip
    Output().emit(record, [Text(line) for line in lines])
