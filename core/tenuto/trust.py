"""The few facts that must come from outside the log: its name, the root key, the log key, the witnesses that must cosign.

Everything else (every other key, every role) is derived from signed events. A verifier on another machine needs this one
small file and nothing more.
"""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from .errors import UNREADABLE, NotConfigured
from .log.durable import write_durably

TRUST_FILE = "trust.json"
_KEY = re.compile(r"[0-9a-f]{64}")


class Trust(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a verifier pins.

    origin: the log's name in checkpoints (C2SP tlog-checkpoint). root_public_key: Ed25519, 64 hex digits.
    log_key: the log's verifier key (C2SP signed-note `vkey`). policy: a C2SP tlog-policy; which witnesses must cosign.
    epoch, epoch_public_key: to which X25519 key authors seal their payloads now.
    """

    origin: str
    root_public_key: str
    log_key: str
    policy: str
    epoch: int
    epoch_public_key: str

    @property
    def root(self) -> bytes:
        """The root's public key, 32 bytes."""
        return bytes.fromhex(self.root_public_key)

    def save(self, folder: Path) -> None:
        """Write `trust.json`, whole or not at all; it is public."""
        write_durably({folder / TRUST_FILE: msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"})


def load_trust(path: Path) -> Trust:
    """Read a trust file, or the one in a folder; raises NotConfigured that names it and the remedy."""
    file = path / TRUST_FILE if path.is_dir() else path
    try:
        trust = msgspec.json.decode(file.read_bytes(), type=Trust)
    except FileNotFoundError:
        raise NotConfigured(f"There is no trust file at {file}. Run `tenuto init` once, or name the file with --trust.") from None
    except UNREADABLE as error:
        raise NotConfigured(f"The trust file {file} cannot be read: {error}.") from error
    if _KEY.fullmatch(trust.root_public_key) is None:
        raise NotConfigured(f"The trust file {file} cannot be used: its root_public_key is not 64 hex digits.")
    return trust
