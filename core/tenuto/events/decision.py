"""What an agent concluded, with what it was asked and what it was told."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from .base import Count, Event, Hash, Name

EVIDENCE_MAX = 16
Permille = Annotated[int, msgspec.Meta(ge=0, le=1000)]


class DecisionMade(Event, frozen=True, kw_only=True, tag="decision.made"):
    """An agent's verdict. The payload holds prompt, response and reasoning; the header commits to the two apart.

    subject, subject_digest: what was judged, such as `commit` and its SHA-256 digest.
    prompt_sha256, response_sha256: salted inside the payload, so they cannot be guessed from outside.
    confidence: parts in a thousand, as the model states it.
    findings: how many findings static analysis had; `diverges`: the model approved what the analysis would not.
    evidence: digests of the tool outputs the decision leaned on.
    """

    subject: Name
    subject_digest: Hash
    verdict: Literal["approve", "reject", "comment"]
    model: Name
    prompt_sha256: Hash | None = None
    response_sha256: Hash | None = None
    confidence: Permille | None = None
    findings: Count = 0
    diverges: bool = False
    evidence: Annotated[tuple[Hash, ...], msgspec.Meta(max_length=EVIDENCE_MAX)] = ()
