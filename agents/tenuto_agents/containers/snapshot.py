"""The forensic snapshot: what a frozen container is, in one encrypted file that only the investigator can open (M22).

The file holds each process's memory, read from the outside while it is frozen, the file system, what differs from the
image, the log, what podman knows, and the connections that the kernel counted, with a list of the SHA-256 of each. It is
written as it is read and encrypted chunk by chunk under a key sealed to the investigator (X25519 sealed box, secretstream
of libsodium), so no plain copy of a memory that may hold secrets is ever on disk.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from nacl import bindings as sodium
from nacl.exceptions import CryptoError
from nacl.public import PrivateKey, PublicKey, SealedBox
from tenuto.errors import Refused

MAGIC = b"tenuto snapshot v1\n"
CHUNK_BYTES = 1 << 20
MEMORY_BYTES_MAX = 4 << 30
MEMORY_PIECE_BYTES = 16 << 20
_LINE = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (\S{4}) \S+ \S+ \S+\s*(.*)")
_NOT_MEMORY = ("[vvar", "[vsyscall")


class SnapshotRefused(Refused):
    """The file is no snapshot, is not whole, or was made for another investigator."""

    reason = "snapshot"


class SnapshotFile:
    """An encrypted tar archive being written. `close` makes it whole; leaving `with` before that deletes it."""

    def __init__(self, file: Path, investigator: bytes) -> None:
        """`investigator`: X25519 public key, 32 bytes."""
        self._file = file
        self._out: IO[bytes] = file.open("xb")
        os.fchmod(self._out.fileno(), 0o600)
        key = sodium.crypto_secretstream_xchacha20poly1305_keygen()
        self._state = sodium.crypto_secretstream_xchacha20poly1305_state()
        header = sodium.crypto_secretstream_xchacha20poly1305_init_push(self._state, key)
        self._hash, self._pending = hashlib.sha256(), bytearray()
        self._put(MAGIC + SealedBox(PublicKey(investigator)).encrypt(key) + header)
        self._tar = tarfile.open(fileobj=_Sink(self), mode="w|", format=tarfile.PAX_FORMAT)  # type: ignore[call-overload]  # noqa: SIM115
        self.entries: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        """Write in the block."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Leave no half of a snapshot."""
        if not self._out.closed:
            self._out.close()
            self._file.unlink(missing_ok=True)

    def add(self, name: str, content: bytes) -> None:
        """Add one file and enter its hash in the list."""
        member = tarfile.TarInfo(name)
        member.size = len(content)
        self._tar.addfile(member, io.BytesIO(content))
        self.entries.append({"name": name, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()})

    def add_file(self, name: str, file: Path) -> None:
        """Add a file that may be large, and enter its hash in the list."""
        with file.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
            member = tarfile.TarInfo(name)
            member.size = stream.seek(0, io.SEEK_END)
            stream.seek(0)
            self._tar.addfile(member, stream)
        self.entries.append({"name": name, "bytes": member.size, "sha256": digest})

    def close(self) -> str:
        """End the archive with the list, flush it to disk, and return the SHA-256 of the encrypted file in hex."""
        self.add("list.json", json.dumps(self.entries, indent=1).encode())
        self._tar.close()
        self._push(bytes(self._pending), last=True)
        self._out.flush()
        os.fsync(self._out.fileno())
        self._out.close()
        return self._hash.hexdigest()

    def write(self, content: bytes) -> None:
        """Take bytes of the archive."""
        self._pending += content
        while len(self._pending) > CHUNK_BYTES:
            self._push(bytes(self._pending[:CHUNK_BYTES]))
            del self._pending[:CHUNK_BYTES]

    def _push(self, chunk: bytes, *, last: bool = False) -> None:
        tag = sodium.crypto_secretstream_xchacha20poly1305_TAG_FINAL if last else sodium.crypto_secretstream_xchacha20poly1305_TAG_MESSAGE
        sealed = sodium.crypto_secretstream_xchacha20poly1305_push(self._state, chunk, tag=tag)
        self._put(len(sealed).to_bytes(4, "big") + sealed)

    def _put(self, content: bytes) -> None:
        self._hash.update(content)
        self._out.write(content)


class _Sink:
    """The end of the archive that tarfile writes to."""

    def __init__(self, file: SnapshotFile) -> None:
        self._file = file

    def write(self, content: bytes) -> int:
        self._file.write(content)
        return len(content)


def open_snapshot(file: Path, key: bytes, folder: Path) -> list[str]:
    """Decrypt a snapshot into `folder` and return the names in it; raises SnapshotRefused. `key`: X25519 private key."""
    content = io.BytesIO(b"".join(_chunks(file, key)))
    names = []
    with tarfile.open(fileobj=content, mode="r:") as tar:
        for member in tar:
            stream = tar.extractfile(member)
            if stream is None or "/" in member.name or member.name.startswith("."):
                raise SnapshotRefused(f"{file} holds {member.name!r:.80}, which is not a file of a snapshot.")
            (folder / member.name).write_bytes(stream.read())
            names.append(member.name)
    return names


def _chunks(file: Path, key: bytes) -> Iterator[bytes]:
    with file.open("rb") as stream:
        if stream.read(len(MAGIC)) != MAGIC:
            raise SnapshotRefused(f"{file} is not a snapshot.")
        state = sodium.crypto_secretstream_xchacha20poly1305_state()
        try:
            opened = SealedBox(PrivateKey(key)).decrypt(stream.read(32 + 48))
            header = stream.read(sodium.crypto_secretstream_xchacha20poly1305_HEADERBYTES)
            sodium.crypto_secretstream_xchacha20poly1305_init_pull(state, header, opened)
            tag = -1
            while size := stream.read(4):
                chunk, tag = sodium.crypto_secretstream_xchacha20poly1305_pull(state, stream.read(int.from_bytes(size, "big")))
                yield chunk
        except (CryptoError, ValueError, RuntimeError) as error:
            raise SnapshotRefused(f"{file} cannot be opened with this key, or was altered.") from error
    if tag != sodium.crypto_secretstream_xchacha20poly1305_TAG_FINAL:
        raise SnapshotRefused(f"{file} is not whole: its end is missing.")


def processes_below(pid: int) -> list[int]:
    """Return `pid` and all its descendants, as the kernel lists them (proc(5))."""
    found, at = [pid], 0
    while at < len(found):
        for task in sorted(Path(f"/proc/{found[at]}/task").glob("*/children")):
            found += [int(child) for child in task.read_text().split()]
        at += 1
    return found


def memory_of(pid: int) -> Iterator[tuple[str, bytes]]:
    """Yield each readable mapping of a process as (name, bytes), in pieces of at most MEMORY_PIECE_BYTES (16 MiB).

    The process should be frozen. A page that cannot be read is left out; over MEMORY_BYTES_MAX (4 GiB) it stops.
    """
    taken = 0
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text(encoding="utf-8", errors="replace").splitlines():
            found = _LINE.match(line)
            if found is None or found[3][0] != "r" or found[4].startswith(_NOT_MEMORY):
                continue
            at, end = int(found[1], 16), int(found[2], 16)
            while at < end and taken < MEMORY_BYTES_MAX:
                size = min(MEMORY_PIECE_BYTES, end - at)
                try:
                    memory.seek(at)
                    content = memory.read(size)
                except OSError:
                    content = b""
                if content:
                    yield f"memory-{pid}-{at:016x}", content
                at, taken = at + size, taken + len(content)
