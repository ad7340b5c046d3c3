"""The reception: one webhook in, one submission or one refusal out, in the order that leaves an attacker least to play with."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tenuto.errors import Busy, TenutoError

from ..git import RepositoryRefused
from ..text import visible_line
from .memory import Memory, Submitted
from .mirrors import Mirrors
from .payload import Asked, Ignored, read_payload
from .signature import WebhookRefused, demand_strong, verify_signature

BODY_BYTES_MAX = 25 * 1024**2  # GitHub sends no larger one
_DELIVERY = re.compile(r"[A-Za-z0-9-]{8,64}")
log = logging.getLogger(__name__)

Submit = Callable[[Path, Asked], str]
"""Puts the pull request of a mirror on the road and returns its run, once the ledger has it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the sender is told: an HTTP status and one sentence."""

    status: int
    sentence: str


class Reception:
    """Takes webhooks, from any thread."""

    def __init__(self, secret: bytes, memory: Memory, mirrors: Mirrors, submit: Submit) -> None:
        """Raises NotConfigured for a weak secret."""
        demand_strong(secret)
        self._secret, self._memory, self._mirrors, self._submit = secret, memory, mirrors, submit

    def take(self, headers: Mapping[str, str], body: bytes) -> Answer:
        """Deal with one webhook; never raises for what a stranger sent. `headers` have lower-case names.

        Busy answers 503: the sender may deliver the same webhook again.
        """
        try:
            return self._take(headers, body)
        except WebhookRefused as refusal:
            log.warning("A webhook was refused (%s): %s", refusal.status, refusal)
            return Answer(refusal.status, str(refusal))
        except Busy as busy:
            log.warning("A webhook could not be dealt with: %s", busy)
            return Answer(503, "A part is away; deliver it again later.")
        except TenutoError as error:
            log.warning("A webhook could not be dealt with: %s", error)
            return Answer(422, visible_line(str(error))[:500])

    def _take(self, headers: Mapping[str, str], body: bytes) -> Answer:
        if len(body) > BODY_BYTES_MAX:
            raise WebhookRefused(f"The webhook has more than {BODY_BYTES_MAX:,} bytes.", 413)
        verify_signature(self._secret, body, headers.get("x-hub-signature-256"))
        delivery = headers.get("x-github-delivery", "")
        if not _DELIVERY.fullmatch(delivery):
            raise WebhookRefused("The webhook has no delivery id (X-GitHub-Delivery).", 400)
        asked = read_payload(headers.get("x-github-event"), body)
        self._memory.claim(delivery, hashlib.sha256(body).hexdigest())
        if isinstance(asked, Ignored):
            self._memory.done(delivery)
            return Answer(200, f"{asked.why} is none of ours.")
        return self._review(delivery, asked)

    def _review(self, delivery: str, asked: Asked) -> Answer:
        try:
            run = self._submit(self._mirrors.bring(asked), asked)
        except (WebhookRefused, RepositoryRefused):
            self._memory.done(delivery)  # it will not become better by being delivered again
            raise
        self._memory.done(delivery, Submitted(run, asked.repository, asked.number, asked.head))
        return Answer(202, f"Under review as {run}.")
