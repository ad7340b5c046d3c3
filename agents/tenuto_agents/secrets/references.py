"""References in the place of secrets: configuration names where a secret is, and is refused when it holds one (M9).

`file:/run/secrets/webhook` is a file that nobody else may read; the value is its text without the final newline. Whatever
an agent can read as configuration may end in a prompt, a log or a dump, and a reference gives nothing away there.
"""

from __future__ import annotations

import stat
from collections.abc import Mapping
from pathlib import Path

from tenuto.errors import NotConfigured

from .scanning import SecretScanner

FILE = "file:"
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def resolve(reference: str) -> bytes:
    """Return the secret that `reference` names; raises NotConfigured for a literal, a missing or an open file."""
    if not reference.startswith(FILE):
        raise NotConfigured(f"A secret is given by reference, such as {FILE}/run/secrets/name, and never itself.")
    path = Path(reference.removeprefix(FILE))
    try:
        mode, value = path.stat().st_mode, path.read_bytes().rstrip(b"\r\n")
    except OSError as error:
        raise NotConfigured(f"The secret {reference} cannot be read: {error.strerror}.") from error
    if mode & _OTHERS:
        raise NotConfigured(f"Others on this machine may read {path}. Run: chmod 600 {path}")
    if not value:
        raise NotConfigured(f"The secret {reference} is empty.")
    return value


def demand_references(values: Mapping[str, object], scanner: SecretScanner) -> None:
    """Raise NotConfigured naming the first of `values` that holds a secret itself."""
    for name, value in values.items():
        # The name is read with the value, since `password` beside it is what makes a word a secret.
        hits = scanner.find(f'{name} = "{value}"'.encode()) if value is not None else []
        if hits:
            raise NotConfigured(f"{name} holds a literal secret ({hits[0].kind}). Put it into a file and give a reference to it.")
