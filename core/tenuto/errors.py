"""The three outcomes of every step on the road, and nothing else.

A step either succeeds in silence, refuses (`Refused`: the input is at fault and the refusal itself is evidence), or is
busy (`Busy`: nothing is at fault, offer the same thing again). Any other exception is a defect and stops the process.
"""


from __future__ import annotations

from typing import Final

import msgspec

UNREADABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""All that decoding a stranger's JSON may raise: not JSON or of another shape, not UTF-8, or nested beyond any sense.

Whoever decodes bytes that somebody else wrote catches these three and refuses; one forgotten would be a way to stop us.
"""


class TenutoError(Exception):
    """Base of all errors that Tenuto raises on purpose; `str(error)` is a sentence a person can act on."""


class Refused(TenutoError):
    """The input was judged and refused. Raised by everything named `verify`; the sentence says what and why."""

    reason = "refused"

    def __init__(self, sentence: str, *, reason: str | None = None) -> None:
        """`reason` is an entry of `tenuto.events.record.RefusalReason` where the refusal becomes a ledger event."""
        super().__init__(sentence)
        if reason is not None:
            self.reason = reason


class Busy(TenutoError):
    """A part outside this process is away or full; nothing was changed and the same call may be repeated."""


class NotConfigured(TenutoError):
    """Something a person must provide is missing or contradicts itself; the sentence names it and the remedy."""
