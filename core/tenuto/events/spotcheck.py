"""The second look at approved actions (M14): 15 % of them, by a draw that nobody can steer and anybody can repeat."""

from __future__ import annotations

from typing import Literal

from .base import Assertion, Count, Event, Hash, Name


class SpotcheckDrawn(Event, frozen=True, kw_only=True, tag="spotcheck.drawn"):
    """The draw for one approval that was spent. `tenuto spotcheck verify` repeats it from the published log alone.

    position: where the approval was consumed. size: entries under the first checkpoint over it that the draw witness
    cosigned. ticket: SHA-256 over that cosignature and the name of the approval; it decides.
    """

    approval: Name
    position: Count
    size: Count
    ticket: Hash
    drawn: bool


class SpotcheckSigned(Event, frozen=True, kw_only=True, tag="spotcheck.signed"):
    """A second reviewer's finding about what was approved under this digest; the payload says why.

    reviewer, assertion: whose finding a console carries, and the passkey's signature over it; both or neither.
    """

    approval: Name
    digest: Hash
    finding: Literal["agree", "disagree"]
    reviewer: Name | None = None
    assertion: Assertion | None = None
