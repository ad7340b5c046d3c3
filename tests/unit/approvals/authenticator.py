"""An authenticator in software: it makes keys and signs as the WebAuthn specification (level 2, 5.2 and 6.1) says."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import struct

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from tenuto.approvals.passkeys import Assertion

RELYING_PARTY, PAGE = "console.example", "https://console.example"
PRESENT, VERIFIED = 0x01, 0x04


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Authenticator:
    """One passkey of one kind: es256, eddsa or rs256. `counts` says whether it keeps a counter."""

    def __init__(self, kind: str = "es256", *, counts: bool = True, bits: int = 2048) -> None:
        self.kind, self.counts, self.count = kind, counts, 0
        self.credential_id = os.urandom(16)
        if kind == "es256":
            self._key = ec.generate_private_key(ec.SECP256R1())
            numbers = self._key.public_key().public_numbers()
            cose = {1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")}
        elif kind == "eddsa":
            self._key = ed25519.Ed25519PrivateKey.generate()
            cose = {1: 1, 3: -8, -1: 6, -2: self._key.public_key().public_bytes_raw()}
        else:
            self._key = rsa.generate_private_key(65537, bits)
            numbers = self._key.public_key().public_numbers()
            cose = {1: 3, 3: -257, -1: numbers.n.to_bytes(bits // 8, "big"), -2: b"\x01\x00\x01"}
        self.public_key = cbor2.dumps(cose)

    @property
    def credential(self) -> str:
        return hashlib.sha256(self.credential_id).hexdigest()

    def offer(self, reviewer: str, **changes: object) -> dict[str, object]:
        """The fields of `passkey.offered`."""
        return {
            "reviewer": reviewer, "credential": self.credential, "credential_id": b64(self.credential_id),
            "public_key": b64(self.public_key), "relying_party": RELYING_PARTY, "web_origin": PAGE, "sign_count": 0,
        } | changes  # fmt: skip

    def sign(
        self, challenge: bytes, *, nonce: str = "0" * 64, page: str = PAGE, domain: str = RELYING_PARTY,
        flags: int = PRESENT | VERIFIED, kind: str = "webauthn.get", cross_origin: bool = False,
    ) -> Assertion:  # fmt: skip
        self.count += self.counts
        said = {"type": kind, "challenge": b64(challenge), "origin": page, "crossOrigin": cross_origin}
        client_data = json.dumps(said).encode()
        data = hashlib.sha256(domain.encode()).digest() + bytes([flags]) + struct.pack(">I", self.count)
        message = data + hashlib.sha256(client_data).digest()
        return Assertion(
            credential=self.credential, nonce=nonce, client_data=b64(client_data), authenticator_data=b64(data),
            signature=b64(self._signature(message)),
        )  # fmt: skip

    def _signature(self, message: bytes) -> bytes:
        if self.kind == "es256":
            return self._key.sign(message, ec.ECDSA(hashes.SHA256()))
        return self._key.sign(message) if self.kind == "eddsa" else self._key.sign(message, padding.PKCS1v15(), hashes.SHA256())
