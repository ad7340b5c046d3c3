"""Which passkeys sign for whom, and whether an assertion is this reviewer's over exactly this decision.

A console carries decisions and must not be able to make one. So the browser's authenticator signs a challenge that is the
hash of the decision itself: log, request, digest, what was decided, and what was looked at. Whoever holds the events checks
that again (WebAuthn level 2, section 7.2): the page's origin, the domain, that the person was verified, the counter, the
signature. Each challenge counts once, whoever sends it again and however it was spelt.

An enrolment takes two people: the offer stands in the ledger first, and neither who answers for the console that wrote it nor
the person who made the passkey can enrol it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Self

from cryptography.exceptions import UnsupportedAlgorithm

from ..errors import Refused
from ..events import ApprovalSigned, PasskeyEnrolled, PasskeyOffered, PasskeyRevoked, SpotcheckSigned
from ..keyring import Key
from ..signing import KeyRefused, verify_public_key

RSA_BITS_MIN = 2048
_ES256, _EDDSA, _RS256, _P256, _ED25519 = -7, -8, -257, 1, 6  # IANA COSE algorithms and curves
_UNREADABLE = (ValueError, TypeError, LookupError, AttributeError)
_DOMAIN = b"tenuto.example/approval-by-passkey/v1"


class PasskeyRefused(Refused):
    """The assertion is not this reviewer's over this decision."""

    reason = "passkey"


@dataclass(frozen=True, slots=True)
class Assertion:
    """The five parts of an assertion as it stands in an event: the last three are base64url, the first two 64 hex digits."""

    credential: str
    nonce: str
    client_data: str
    authenticator_data: str
    signature: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what the header holds; raises PasskeyRefused for another number of parts."""
        parts = text.split(".")
        if len(parts) != 5:
            raise PasskeyRefused(f"an assertion has five parts, not {len(parts)}.")
        return cls(*parts)

    def __str__(self) -> str:
        """Write it as the header holds it."""
        return f"{self.credential}.{self.nonce}.{self.client_data}.{self.authenticator_data}.{self.signature}"


@dataclass(frozen=True, slots=True)
class Passkey:
    """One enrolled passkey. `sign_count` is the last counter seen, 0 where the authenticator keeps none."""

    offer: PasskeyOffered
    owner: str
    since: int
    sign_count: int
    until: int | None = None


def challenge_of(
    log_origin: str, *, approval: str, digest: str, decision: str, coverage: str | None, reviewer: str, nonce: str
) -> bytes:
    """Return the 32 bytes that the authenticator signs: SHA-256 over each part with its length before it."""
    parts = (log_origin, approval, digest, decision, coverage or "", reviewer, nonce)
    said = b"".join(len(part).to_bytes(4, "big") + part for part in (_DOMAIN, *(part.encode() for part in parts)))
    return hashlib.sha256(said).digest()


class Passkeys:
    """The fold over offers, enrolments, revocations and uses. Everything but `apply_*` and `use` only reads."""

    def __init__(self) -> None:
        """Start before the first event."""
        self._offers: dict[str, tuple[PasskeyOffered, str]] = {}
        self._passkeys: dict[str, Passkey] = {}
        self._used: set[bytes] = set()

    def of(self, reviewer: str) -> tuple[Passkey, ...]:
        """Return the passkeys that count for `reviewer` now, oldest first."""
        return tuple(key for key in self._passkeys.values() if key.offer.reviewer == reviewer and key.until is None)

    def all(self) -> tuple[Passkey, ...]:
        """Return every passkey that was ever enrolled, oldest first."""
        return tuple(self._passkeys.values())

    def offers(self) -> tuple[PasskeyOffered, ...]:
        """Return the offers that nobody has enrolled, oldest first."""
        return tuple(offer for name, (offer, _) in self._offers.items() if name not in self._passkeys)

    def apply(self, event: PasskeyOffered | PasskeyEnrolled | PasskeyRevoked, key: Key, position: int) -> bool:
        """Take the next event about passkeys; return whether it changed who may sign. What may not be said changes nothing."""
        if isinstance(event, PasskeyOffered):
            with suppress(PasskeyRefused):
                verify_offer(event)
                self._offers.setdefault(event.credential, (event, key.owner))
            return False
        if isinstance(event, PasskeyEnrolled):
            return self._enrol(event, key, position)
        held = self._passkeys.get(event.credential)
        if held is None or held.until is not None or held.offer.reviewer != event.reviewer:
            return False
        self._passkeys[event.credential] = replace(held, until=position)
        return True

    def _enrol(self, event: PasskeyEnrolled, key: Key, position: int) -> bool:
        offer, offered_by = self._offers.get(event.credential, (None, ""))
        own = key.owner in (event.owner, offered_by) or event.author == event.reviewer
        others = {held.owner for held in self._passkeys.values() if held.offer.reviewer == event.reviewer}
        if offer is None or offer.reviewer != event.reviewer or own or event.credential in self._passkeys:
            return False
        if others - {event.owner}:
            return False
        self._passkeys[event.credential] = Passkey(offer, event.owner, position, offer.sign_count)
        return True

    def use(self, event: ApprovalSigned | SpotcheckSigned, reviewer: str) -> None:
        """Raise PasskeyRefused unless the event's assertion is `reviewer`'s over this decision; then it is used up.

        What was decided tells a vote from a finding: no word is said in both.
        """
        assertion = Assertion.parse(event.assertion or "")
        held = self._passkeys.get(assertion.credential)
        if held is None or held.offer.reviewer != reviewer:
            raise PasskeyRefused(f"{reviewer} has no such passkey.")
        if held.until is not None:
            raise PasskeyRefused(f"the passkey of {reviewer} was revoked at position {held.until}.")
        said = (event.finding, None) if isinstance(event, SpotcheckSigned) else (event.decision, event.coverage)
        challenge = challenge_of(
            event.log_origin, approval=event.approval, digest=event.digest, decision=said[0], coverage=said[1],
            reviewer=reviewer, nonce=assertion.nonce,
        )  # fmt: skip
        if challenge in self._used:
            raise PasskeyRefused(f"this signature of {reviewer} was used before.")
        count = verify_assertion(assertion, held, challenge)
        self._used.add(challenge)
        self._passkeys[assertion.credential] = replace(held, sign_count=count)


def verify_offer(offer: PasskeyOffered) -> None:
    """Raise PasskeyRefused unless the credential is named by its hash and its key is one under which a signature proves
    something: ES256 (P-256), EdDSA (Ed25519, not degenerate) or RS256 of at least 2,048 bits.
    """
    from webauthn.helpers import decode_credential_public_key, decoded_public_key_to_cryptography
    from webauthn.helpers.decode_credential_public_key import (
        DecodedEC2PublicKey,
        DecodedOKPPublicKey,
        DecodedRSAPublicKey,
    )
    from webauthn.helpers.exceptions import WebAuthnException

    if hashlib.sha256(_bytes(offer.credential_id)).hexdigest() != offer.credential:
        raise PasskeyRefused("the passkey is not named by the hash of its credential.")
    try:
        decoded = decode_credential_public_key(_bytes(offer.public_key))
        decoded_public_key_to_cryptography(decoded)
    except (WebAuthnException, UnsupportedAlgorithm, *_UNREADABLE) as error:
        raise PasskeyRefused(f"the key of the passkey cannot be read: {error}.") from error
    fits = (
        (isinstance(decoded, DecodedEC2PublicKey) and (decoded.alg, decoded.crv) == (_ES256, _P256))
        or (isinstance(decoded, DecodedRSAPublicKey) and decoded.alg == _RS256 and len(decoded.n) * 8 >= RSA_BITS_MIN)
        or (isinstance(decoded, DecodedOKPPublicKey) and (decoded.alg, decoded.crv) == (_EDDSA, _ED25519))
    )
    if not fits:
        raise PasskeyRefused("the key of the passkey is of no kind that is accepted: ES256, EdDSA or RS256.")
    if isinstance(decoded, DecodedOKPPublicKey):
        try:
            verify_public_key(decoded.x)
        except KeyRefused as refusal:
            raise PasskeyRefused(str(refusal)) from refusal


def verify_assertion(assertion: Assertion, passkey: Passkey, challenge: bytes) -> int:
    """Return the authenticator's counter; raises PasskeyRefused unless it signed this challenge, on the enrolled page, for
    a person whom it verified (WebAuthn level 2, section 7.2).
    """
    from webauthn import verify_authentication_response
    from webauthn.helpers.exceptions import WebAuthnException
    from webauthn.helpers.structs import AuthenticationCredential, AuthenticatorAssertionResponse

    offer, client_data = passkey.offer, _bytes(assertion.client_data)
    credential_id = _bytes(offer.credential_id)
    response = AuthenticatorAssertionResponse(
        client_data_json=client_data, authenticator_data=_bytes(assertion.authenticator_data),
        signature=_bytes(assertion.signature),
    )  # fmt: skip
    credential = AuthenticationCredential(id=offer.credential_id, raw_id=credential_id, response=response)
    try:
        if json.loads(client_data).get("crossOrigin", False) is not False:
            raise PasskeyRefused(f"the page on which {offer.reviewer} signed stood inside another one.")
        verified = verify_authentication_response(
            credential=credential, expected_challenge=challenge, expected_rp_id=offer.relying_party,
            expected_origin=offer.web_origin, credential_public_key=_bytes(offer.public_key),
            credential_current_sign_count=passkey.sign_count, require_user_verification=True,
        )  # fmt: skip
    except (WebAuthnException, UnsupportedAlgorithm, *_UNREADABLE) as error:
        # The library reads strangers' JSON and CBOR; whatever it trips over, the assertion proves nothing.
        raise PasskeyRefused(f"the passkey of {offer.reviewer} did not sign this: {error}.") from error
    return int(verified.new_sign_count)


def _bytes(text: str) -> bytes:
    """Decode base64url; raises PasskeyRefused for a spelling that no encoder writes."""
    try:
        decoded = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise PasskeyRefused("a part of the passkey is no base64url.") from error
    if base64.urlsafe_b64encode(decoded).rstrip(b"=").decode() != text:
        raise PasskeyRefused("a part of the passkey is not spelt as base64url spells it.")
    return decoded
