"""A reviewer's passkey at work in the browser: what it is asked, and what its answer becomes. No I/O, no Streamlit.

Nothing here decides whether a decision counts; the fold verifies every assertion again (`tenuto.approvals.passkeys`). What is
checked here spares a reviewer a signature that could not count.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from tenuto.approvals.passkeys import Assertion, challenge_of
from tenuto.errors import NotConfigured, Refused

CEREMONY_MILLISECONDS = 120_000
_SAID = {
    "NotAllowedError": "The browser did not sign: it was cancelled, timed out, or this device holds no such passkey.",
    "InvalidStateError": "This device holds a passkey of yours already.",
    "SecurityError": "This page may not use passkeys: its address is not the one that the console is known by.",
    "NotSupportedError": "This browser knows no passkeys, or the page was not opened over https (or on localhost).",
}


class NoAnswer(Refused):
    """The browser brought nothing that can be used; the sentence says why and what to do."""

    reason = "passkey"


@dataclass(frozen=True, slots=True)
class Page:
    """Where the console stands: the domain that passkeys belong to, and the origin that every assertion names."""

    relying_party: str
    web_origin: str


@dataclass(frozen=True, slots=True)
class Ballot:
    """One decision, as it is put to the authenticator. `nonce` is 64 hex digits, new for each time it is asked."""

    log_origin: str
    approval: str
    digest: str
    decision: str
    coverage: str | None
    reviewer: str
    nonce: str

    @property
    def challenge(self) -> bytes:
        """The 32 bytes that are signed."""
        return challenge_of(
            self.log_origin, approval=self.approval, digest=self.digest, decision=self.decision, coverage=self.coverage,
            reviewer=self.reviewer, nonce=self.nonce,
        )  # fmt: skip


def page_at(url: str) -> Page:
    """Return the page of a console at this address; raises NotConfigured for one that no passkey can belong to.

    A passkey belongs to a domain: not to an IP address, and not over plain http but on localhost (WebAuthn 5.1.2).
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    secure = parts.scheme == "https" or (parts.scheme == "http" and host == "localhost")
    if not secure or not host or host.replace(".", "").isdigit() or ":" in host or parts.path.strip("/") or parts.query:
        raise NotConfigured(f"{url!r:.200} is no address for passkeys. Name https and a domain, or http://localhost:PORT.")
    return Page(host, f"{parts.scheme}://{parts.netloc}")


def new_nonce() -> str:
    """Return a part of a challenge that was never used before."""
    return secrets.token_hex(32)


def making_options(page: Page, reviewer: str, held: Sequence[str], challenge: bytes) -> str:
    """Return the options of `navigator.credentials.create`, as JSON; `held` are the credential ids that exclude a device."""
    from webauthn import generate_registration_options, options_to_json
    from webauthn.helpers.cose import COSEAlgorithmIdentifier
    from webauthn.helpers.structs import (
        AuthenticatorSelectionCriteria,
        PublicKeyCredentialDescriptor,
        UserVerificationRequirement,
    )

    accepted = [COSEAlgorithmIdentifier.ECDSA_SHA_256, COSEAlgorithmIdentifier.EDDSA, COSEAlgorithmIdentifier.RSASSA_PKCS1_v1_5_SHA_256]
    options = generate_registration_options(
        rp_id=page.relying_party, rp_name="Tenuto", user_name=reviewer, user_id=hashlib.sha256(reviewer.encode()).digest(),
        challenge=challenge, timeout=CEREMONY_MILLISECONDS, supported_pub_key_algs=accepted,
        authenticator_selection=AuthenticatorSelectionCriteria(user_verification=UserVerificationRequirement.REQUIRED),
        exclude_credentials=[PublicKeyCredentialDescriptor(id=_bytes(one)) for one in held],
    )  # fmt: skip
    return options_to_json(options)


def offer_of(page: Page, reviewer: str, challenge: bytes, answer: str) -> dict[str, Any]:
    """Return the fields of `passkey.offered` for what the browser made; raises NoAnswer when it made nothing usable."""
    from webauthn import verify_registration_response
    from webauthn.helpers.exceptions import WebAuthnException

    made = _answer(answer)
    try:
        verified = verify_registration_response(
            credential=made, expected_challenge=challenge, expected_rp_id=page.relying_party,
            expected_origin=page.web_origin, require_user_verification=True,
        )  # fmt: skip
    except (WebAuthnException, ValueError, TypeError, LookupError, AttributeError) as error:
        raise NoAnswer(f"The passkey that the browser made cannot be used: {error}.") from error
    return {
        "reviewer": reviewer, "credential": hashlib.sha256(verified.credential_id).hexdigest(),
        "credential_id": _text(verified.credential_id), "public_key": _text(verified.credential_public_key),
        "relying_party": page.relying_party, "web_origin": page.web_origin, "sign_count": verified.sign_count,
    }  # fmt: skip


def signing_options(page: Page, held: Sequence[str], ballot: Ballot) -> str:
    """Return the options of `navigator.credentials.get`, as JSON; `held` are the credential ids that may sign."""
    from webauthn import generate_authentication_options, options_to_json
    from webauthn.helpers.structs import PublicKeyCredentialDescriptor, UserVerificationRequirement

    options = generate_authentication_options(
        rp_id=page.relying_party, challenge=ballot.challenge, timeout=CEREMONY_MILLISECONDS,
        allow_credentials=[PublicKeyCredentialDescriptor(id=_bytes(one)) for one in held],
        user_verification=UserVerificationRequirement.REQUIRED,
    )  # fmt: skip
    return options_to_json(options)


def assertion_of(ballot: Ballot, answer: str) -> Assertion:
    """Return what the browser answered, as an event carries it; raises NoAnswer when it did not sign."""
    signed = _answer(answer)
    try:
        response = signed["response"]
        parts = [response[name] for name in ("clientDataJSON", "authenticatorData", "signature")]
        credential = hashlib.sha256(_bytes(signed["rawId"])).hexdigest()
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise NoAnswer("The browser brought something that is no assertion. Reload the page and try again.") from error
    return Assertion(credential, ballot.nonce, *map(str, parts))


def challenge_in(answer: str) -> bytes:
    """Return the challenge that the browser says it answered, b"" when it says none; raises NoAnswer when it did not sign.

    It finds the ballot again and proves nothing: whether it was signed is for the fold to say.
    """
    try:
        said = json.loads(_bytes(str(_answer(answer)["response"]["clientDataJSON"])))
        return _bytes(str(said["challenge"]))
    except (LookupError, TypeError, ValueError):
        return b""


def _answer(answer: str) -> dict[str, Any]:
    try:
        found = json.loads(answer)
    except ValueError as error:
        raise NoAnswer("The browser brought something that is no answer. Reload the page and try again.") from error
    if not isinstance(found, dict):
        raise NoAnswer("The browser brought something that is no answer. Reload the page and try again.")
    if "error" in found:
        name = str(found["error"])
        raise NoAnswer(_SAID.get(name, f"The browser did not sign ({name:.40}). Nothing was recorded."))
    return found


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
