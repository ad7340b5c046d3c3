"""Untrusted text made safe to show: what steers a terminal, hides a line or turns its direction becomes visible.

A right-to-left override makes a reviewer read other code than the machine runs ("Trojan Source"); a control character
moves the cursor. Neither is dropped, since a reviewer should see that somebody tried.
"""

from __future__ import annotations

import re
import unicodedata

_HIDDEN_CATEGORIES = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
_PLAIN = re.compile(r"[\t\n\x20-\x7e]*")
_NOT_IN_NAMES = re.compile(r"[^a-z0-9._@+-]+")
NAME_CHARACTERS_MAX = 64


def visible(text: str) -> str:
    """Return `text` with every invisible or steering character but tab and newline written as `\\u{202e}`."""
    if _PLAIN.fullmatch(text):
        return text
    return "".join(character if _shows(character) else f"\\u{{{ord(character):x}}}" for character in text)


def visible_line(text: str) -> str:
    """Like `visible`, and on one line: a newline or a tab in a file name is written out as well."""
    return visible(text).replace("\n", "\\u{a}").replace("\t", "\\u{9}")


def as_name(text: str) -> str:
    """Return `text` as an identifier of the ledger's alphabet (lower case, at most 64 characters); never empty."""
    name = _NOT_IN_NAMES.sub("-", text.lower()).strip("-._@+")
    return name[:NAME_CHARACTERS_MAX].rstrip("-._@+") or "unnamed"


def _shows(character: str) -> bool:
    return character in "\n\t" or unicodedata.category(character) not in _HIDDEN_CATEGORIES
