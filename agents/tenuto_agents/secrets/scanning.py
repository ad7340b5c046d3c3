"""Finding secrets in text: by the format that their issuers gave them, and by the list of those that are in use here.

The formats are ours (`rules.yml`), the engine is kingfisher's; its validators, which would call the issuer, are never
used. The list of live secrets holds keyed fingerprints only, so whoever reads it learns none of them, and a secret
without any format (a database password) is found all the same.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from base64 import b64decode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote_to_bytes

from tenuto.errors import NotConfigured

RULES = Path(__file__).with_name("rules.yml")
PREFIX = "tenuto."
LIVE_CHARACTERS_MIN = 8
URL_LAYERS_MAX = 3
_WORD = re.compile(rb"[^\s\"'`,;()<>{}\[\]|\\]+")
_PART = re.compile(rb"[^=:@/&?]+")
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{12,}={0,2}")


@dataclass(frozen=True, slots=True)
class Hit:
    """One secret in a text: where it stands (bytes), what kind it is, and the keyed fingerprint of its value."""

    start: int
    end: int
    kind: str
    fingerprint: str


class SecretScanner:
    """Finds secrets. One per process: making it compiles the rules (a tenth of a second)."""

    def __init__(self, key: bytes, live: Mapping[str, str] | None = None, *, every_rule: bool = False) -> None:
        """`key` makes the fingerprints; `live` maps fingerprints of secrets in use to their kinds.

        every_rule: add the engine's own several hundred formats, which takes seconds; for commits, not for messages. Raises
        NotConfigured without the extra `agents`.
        """
        try:
            from kingfisher_sdk import Rules, Scanner
        except ImportError as error:
            raise NotConfigured("Scanning for secrets needs the extra `agents`: pip install 'tenuto[agents]'.") from error
        self._key, self._live = key, dict(live or {})
        self._scanner = Scanner(Rules([RULES], builtins=every_rule, confidence="high"))

    def fingerprint(self, secret: bytes) -> str:
        """HMAC-SHA256 of a secret, hex: the same secret has the same one, and nobody without the key can try guesses."""
        return hmac.digest(self._key, secret, hashlib.sha256).hex()

    def find(self, text: bytes) -> list[Hit]:
        """Return what is found in `text` as it stands and in its base64 and URL encoded parts, by place."""
        hits = [*self._by_format(text), *self._by_list(text)]
        if b"%" in text:
            hits += self._url_encoded(text)
        return sorted({(hit.start, hit.end): hit for hit in hits}.values(), key=lambda hit: (hit.start, hit.end))

    def _by_format(self, text: bytes) -> Iterator[Hit]:
        for found in self._scanner.scan(text):
            place = found.location
            start, end = int(place["start_offset"]), int(place["end_offset"])
            kind = str(found.rule_id).lower().removeprefix(PREFIX)
            yield Hit(start, end, kind, self.fingerprint(found.secret.encode()))

    def _by_list(self, text: bytes) -> Iterator[Hit]:
        if not self._live:
            return
        for word in _WORD.finditer(text):
            for start, end in {word.span(), *((word.start() + a, word.start() + b) for a, b in _spans(_PART, word[0]))}:
                for value in (text[start:end], _decoded(text[start:end])):
                    if len(value) < LIVE_CHARACTERS_MIN:
                        continue
                    fingerprint = self.fingerprint(value)
                    if fingerprint in self._live:
                        yield Hit(start, end, self._live[fingerprint], fingerprint)

    def _url_encoded(self, text: bytes) -> Iterator[Hit]:
        """The whole encoded word counts as the place, since a part of it cannot be cut out without decoding the rest."""
        for word in _WORD.finditer(text):
            plain = word[0]
            for _ in range(URL_LAYERS_MAX if b"%" in plain else 0):
                plain = unquote_to_bytes(plain)
                for hit in [*self._by_format(plain), *self._by_list(plain)]:
                    yield Hit(word.start(), word.end(), hit.kind, hit.fingerprint)


def _spans(pattern: re.Pattern[bytes], text: bytes) -> list[tuple[int, int]]:
    return [found.span() for found in pattern.finditer(text)]


def _decoded(word: bytes) -> bytes:
    if not _BASE64.fullmatch(word):
        return b""
    try:
        return b64decode(word.rstrip(b"=") + b"=" * (-len(word.rstrip(b"=")) % 4), altchars=b"-_" if b"-" in word or b"_" in word else None)
    except ValueError:
        return b""
