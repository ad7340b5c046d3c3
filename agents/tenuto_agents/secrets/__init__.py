"""Secrets on their way out (T3): found in everything that an agent says, kept out of it, and made worthless once they leaked.

`scanning` finds them, `outgoing` is what every payload passes before it is signed (M8), `references` keeps them out of
configuration (M9), `watching` reads log streams and commits (M10), `response` rotates what leaked and asks for its purge
(M11, M21). An event holds a keyed fingerprint of a secret and never the secret.
"""

from __future__ import annotations

from .outgoing import Leak, OutputFilter
from .scanning import Hit, SecretScanner

__all__ = ["Hit", "Leak", "OutputFilter", "SecretScanner"]
