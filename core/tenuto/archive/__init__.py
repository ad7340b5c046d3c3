"""What retention took out of the database, as folders of files: whole, verifiable with the log's public key, readable for ever."""

from .layout import ArchiveRefused, Manifest
from .reading import Archive
from .shelf import ArchiveMissing, Shelf
from .verifying import verify_archive
from .writing import Exported, write_archive

__all__ = [
    "Archive",
    "ArchiveMissing",
    "ArchiveRefused",
    "Exported",
    "Manifest",
    "Shelf",
    "verify_archive",
    "write_archive",
]
