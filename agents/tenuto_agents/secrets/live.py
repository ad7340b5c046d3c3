"""The list of secrets in use: keyed fingerprints in a file, so that one is recognised wherever it turns up.

Each entry says what kind of secret it is and how it is made worthless: the name of its role at the rotator, if it has one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from tenuto.adapters import keyfiles
from tenuto.errors import NotConfigured
from tenuto.log.durable import in_turn, write_durably

from .scanning import LIVE_CHARACTERS_MIN, SecretScanner

KEY, LIST = "secrets.key", "live-secrets.json"


@dataclass(frozen=True, slots=True)
class Live:
    """One secret in use. role: its name at the rotator, or empty where nobody can rotate it by himself."""

    kind: str
    role: str = ""


def fingerprint_key(keys: Path) -> bytes:
    """Return the key of all fingerprints of this home, made when it is not there yet."""
    if not (keys / KEY).exists():
        try:
            return keyfiles.create_key(keys, KEY)
        except NotConfigured:
            pass  # another process was first
    return keyfiles.load_key(keys, KEY)


def load_live(home: Path) -> dict[str, Live]:
    """Return the list, by fingerprint; empty where there is none. Raises NotConfigured for a damaged one."""
    path = home / LIST
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {str(fingerprint): Live(**entry) for fingerprint, entry in found.items()}
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, AttributeError) as error:
        raise NotConfigured(f"{path} is no list of live secrets: {error}.") from error


def add_live(home: Path, keys: Path, secret: bytes, live: Live) -> str:
    """Put a secret on the list and return its fingerprint; raises NotConfigured for one too short to be recognised."""
    if len(secret) < LIVE_CHARACTERS_MIN:
        raise NotConfigured(f"A secret of {len(secret)} characters would be found in every text; at least {LIVE_CHARACTERS_MIN}.")
    fingerprint = SecretScanner(fingerprint_key(keys)).fingerprint(secret)
    with in_turn(home):
        entries = load_live(home) | {fingerprint: live}
        write_durably({home / LIST: json.dumps({name: asdict(one) for name, one in entries.items()}, indent=1).encode()})
    return fingerprint


def open_scanner(home: Path, keys: Path, *, every_rule: bool = False) -> SecretScanner:
    """Return the scanner of this home, with its key and its list."""
    kinds: Mapping[str, str] = {fingerprint: live.kind for fingerprint, live in load_live(home).items()}
    return SecretScanner(fingerprint_key(keys), kinds, every_rule=every_rule)
