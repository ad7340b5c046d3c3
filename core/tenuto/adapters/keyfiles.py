"""Private keys in files: one file a key, mode 0600, in a folder of mode 0700.

It serves a laptop and a single machine. A site keeps these keys in an HSM or a KMS behind the same `Signer`. What we can
demand of files we do: a key that others on the machine may read is not loaded.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
from pathlib import Path

from nacl import bindings

from ..errors import NotConfigured
from ..log.durable import flush_folder, in_turn
from ..log.note import NoteSigner
from ..signing import SEED_BYTES, SeedSigner

LOG_KEY, WITNESS_KEY, STORAGE_KEY = "log.key", "witness.key", "storage.key"
_EPOCH = re.compile(r"epoch-([1-9][0-9]*)\.key")
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def create_folder(folder: Path) -> None:
    """Make the key folder with mode 0700; harmless when it is there."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)


def create_key(folder: Path, name: str) -> bytes:
    """Make 32 random bytes, keep them as `name`, and return them; raises NotConfigured when the file is there.

    The file is there whole or not at all, wherever this is interrupted. Processes that make the same key take turns: the
    first one makes it, the others are told that it is there.
    """
    key = secrets.token_bytes(SEED_BYTES)
    staged = folder / f".{name}.new"
    with in_turn(folder):
        staged.unlink(missing_ok=True)  # what an interrupted attempt left; nobody was given it
        descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(key.hex() + "\n")
                file.flush()
                os.fsync(file.fileno())
            os.link(staged, folder / name)  # unlike a rename it never replaces another key
        except FileExistsError:
            raise NotConfigured(f"{folder / name} is there already; a key is never overwritten. Move it away first.") from None
        finally:
            staged.unlink()
        flush_folder(folder)
    return key


def load_key(folder: Path, name: str) -> bytes:
    """Return the 32 bytes of a key; raises NotConfigured, with the remedy, when it is missing, open to others or damaged."""
    path = folder / name
    try:
        mode, text = path.stat().st_mode, path.read_text("ascii").strip()
    except FileNotFoundError:
        raise NotConfigured(f"There is no key at {path}. `tenuto init` and `tenuto key add` make keys.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise NotConfigured(f"The key {path} cannot be read: {error}.") from error
    demand_private(path, mode)
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != SEED_BYTES:
        raise NotConfigured(f"The key {path} is damaged: it should hold {SEED_BYTES * 2} hex digits.")
    return key


def demand_private(path: Path, mode: int) -> None:
    """Raise NotConfigured, with the remedy, for a key file that others may read; `mode` are its permissions."""
    if mode & _OTHERS:
        raise NotConfigured(f"The key {path} is open to others on this machine. Run `chmod 600 {path}` or replace the key.")


def author_file(author: str) -> str:
    """The file name of an author's key; the alphabet of names has a slash, a file name has none."""
    return author.replace("/", "__") + ".seed"


def spool_file(author: str) -> str:
    """The file name of an author's spool."""
    return author.replace("/", "__") + ".db"


def password_file(account: str) -> str:
    """The file name of the password of a Kafka account."""
    return account.replace("/", "__") + ".kafka-password"


def certificate_files(account: str) -> tuple[str, str]:
    """The file names of certificate and key of a Kafka account."""
    name = account.replace("/", "__")
    return f"{name}.kafka.pem", f"{name}.kafka.key"


def load_signer(folder: Path, author: str) -> SeedSigner:
    """Return the signer of `author`."""
    return SeedSigner(author, load_key(folder, author_file(author)))


def epoch_file(epoch: int) -> str:
    """The file name of an epoch's secret key."""
    return f"epoch-{epoch}.key"


def epochs(folder: Path) -> list[int]:
    """Return the numbers of the epochs whose secret keys are in the folder, ascending."""
    found = (_EPOCH.fullmatch(path.name) for path in folder.glob("epoch-*.key"))
    return sorted(int(match[1]) for match in found if match)


def load_epoch_secret(folder: Path, epoch: int) -> bytes:
    """Return the X25519 secret key to which authors seal their payloads in this epoch."""
    return load_key(folder, epoch_file(epoch))


def epoch_public_key(secret: bytes) -> bytes:
    """Return the X25519 public key of an epoch's secret key (RFC 7748)."""
    return bytes(bindings.crypto_scalarmult_base(secret))


def load_log_signer(folder: Path, origin: str) -> NoteSigner:
    """Return the signer of the log's checkpoints; only the sealer needs it."""
    return NoteSigner(origin, load_key(folder, LOG_KEY))


def shred(path: Path) -> bool:
    """Overwrite and remove a key file; return whether there was one. The overwriting is a best effort, as everywhere.

    May be repeated after a crash at any point. The key loses its name first, so that nobody ever reads half of one, and what an
    earlier attempt left is removed as well.
    """
    dying = path.with_name(f"{path.name}.destroyed")
    there = path.exists()
    if there:
        path.replace(dying)  # onto what an earlier attempt left, if anything: that was overwritten or is of the same key
        flush_folder(path.parent)
    if dying.exists():
        with dying.open("r+b") as file:
            file.write(bytes(os.fstat(file.fileno()).st_size))
            file.flush()
            os.fsync(file.fileno())
        dying.unlink()
        flush_folder(path.parent)
    return there
