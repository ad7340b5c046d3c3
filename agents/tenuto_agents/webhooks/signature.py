"""Whether a webhook comes from whoever holds the secret: HMAC-SHA256 over the exact body (GitHub's `X-Hub-Signature-256`)."""

from __future__ import annotations

import hashlib
import hmac

from tenuto.errors import NotConfigured, Refused

SECRET_BYTES_MIN = 16
SCHEME = "sha256="


class WebhookRefused(Refused):
    """The webhook is not taken; `status` is what its sender is told (RFC 9110)."""

    reason = "webhook"

    def __init__(self, sentence: str, status: int) -> None:
        """`sentence` says why, without repeating anything of the body."""
        super().__init__(sentence)
        self.status = status


def demand_strong(secret: bytes) -> None:
    """Raise NotConfigured for a secret that can be guessed."""
    if len(secret) < SECRET_BYTES_MIN:
        raise NotConfigured(f"The webhook's secret has {len(secret)} bytes; at least {SECRET_BYTES_MIN}. Make one: openssl rand -hex 32")


def verify_signature(secret: bytes, body: bytes, given: str | None) -> None:
    """Raise WebhookRefused (401) unless `given` is the signature of exactly these bytes; takes the same time for any other."""
    if not given or not given.startswith(SCHEME):
        # X-Hub-Signature alone is HMAC-SHA1, which is kept for senders of the last decade.
        raise WebhookRefused("The webhook has no X-Hub-Signature-256; a SHA-1 signature alone is not taken.", 401)
    wanted = hmac.new(secret, body, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(wanted.encode(), given.removeprefix(SCHEME).encode("utf-8", errors="replace")):
        raise WebhookRefused("The webhook's signature is not that of its body. Is the secret the same on both sides?", 401)
