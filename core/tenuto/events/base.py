"""What every event has in common: the signed header.

A header says what happened and holds no free text: names are short and closed in their alphabet, everything a person or
a model wrote is a payload, kept beside the event and committed to by hash. So a header can stay for ever while a payload
can be forgotten.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec

HEADER_VERSION = 1
HEADER_BYTES_MAX = 4096
PAYLOAD_BYTES_MAX = 1024 * 1024
CAUSES_MAX = 16
REFS_MAX = 16

# Every pattern ends in `$(?!\n)`: a bare `$` also matches before a final line feed, and a name must have one spelling.
Name = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9._:/@+-]{0,127}$(?!\n)")]
"""An identifier of ours: lower case, no spaces, at most 128 characters; it cannot carry a sentence or a secret."""

PIECE_NAME_CHARACTERS_MAX = 96
PieceName = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9._:/@+-]{0,95}$(?!\n)")]
"""What a piece of a change is called: the alphabet of a name, at most 96 characters, so that a dozen fit into a header."""

Hash = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$(?!\n)")]
"""A SHA-256 digest or Ed25519 public key as 64 lower-case hex digits."""

GitRevision = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{40}([0-9a-f]{24})?$(?!\n)")]
"""A full git object id (SHA-1 or SHA-256), never a branch name."""

Ref = Annotated[str, msgspec.Meta(pattern=r"^[TMRC][1-9][0-9]?$(?!\n)")]
"""An id of the threat model: T1-T8, M1-M32, R1-R5, C1-C3."""

MediaType = Annotated[str, msgspec.Meta(pattern=r"^[a-z]+/[a-z0-9][a-z0-9.+-]{0,95}$(?!\n)")]
"""What a payload is, as an Internet media type (RFC 6838)."""

Base64Url = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{2,1368}$(?!\n)")]
"""Bytes in base64url without padding (RFC 4648, section 5), as WebAuthn writes them; at most 1,026 bytes."""

WebOrigin = Annotated[str, msgspec.Meta(pattern=r"^https?://[a-z0-9.-]{1,100}(:[0-9]{1,5})?$(?!\n)")]
"""Scheme, host and port of a web page, such as `https://tenuto.example`."""


Assertion = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\.[0-9a-f]{64}(\.[A-Za-z0-9_-]{2,1368}){3}$(?!\n)", max_length=2400)]
"""What an authenticator answered to a challenge, verbatim, in five parts joined by dots: SHA-256 of the credential's id, the
nonce in the challenge, then client data, authenticator data and signature (WebAuthn 5.2.2) in base64url.
"""

Count = Annotated[int, msgspec.Meta(ge=0, lt=2**53)]
Moment = Annotated[datetime, msgspec.Meta(tz=True)]

FIRST_PREV = "0" * 64
"""`prev` of the first event of a session: there is nothing before it."""


# gc=False: nothing in an event can lead back to it, so the garbage collector need not look at any.
class Event(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", forbid_unknown_fields=True, omit_defaults=True, gc=False
):
    """The header fields that every kind shares.

    v: layout of the header, 1.
    log_origin: the log this event was written for; an event replayed into another log is refused.
    author, key_id: who signs, with which registered key.
    session, seq, prev: the author's own hash chain. `seq` counts from 0; `prev` is the SHA-256 of the previous header.
    at: the author's claim of the time (UTC). The ledger stamps its own beside it.
    id: UUIDv7 of this event.
    run: the workflow this belongs to, if any.
    cause: ids of the events that led to this one.
    to: the author this is addressed to, if any; delivery hands it over after verification.
    refs: threats, mitigations and rules this is evidence for.
    payload_type, payload_len, payload_commit: what lies beside the event, its length in bytes, and the salted
        commitment `SHA-256(0x02 || salt || plaintext)`. All three or none.
    """

    v: Literal[1]
    log_origin: Name
    author: Name
    key_id: Name
    session: UUID
    seq: Count
    prev: Hash
    at: Moment
    id: UUID
    run: Name | None = None
    cause: Annotated[tuple[UUID, ...], msgspec.Meta(max_length=CAUSES_MAX)] = ()
    to: Name | None = None
    refs: Annotated[tuple[Ref, ...], msgspec.Meta(max_length=REFS_MAX)] = ()
    payload_type: MediaType | None = None
    payload_len: Annotated[int, msgspec.Meta(ge=0, le=PAYLOAD_BYTES_MAX)] | None = None
    payload_commit: Hash | None = None

    @property
    def kind(self) -> str:
        """The kind as it stands on the wire, such as `tool.started`."""
        return str(self.__struct_config__.tag)

    @property
    def has_payload(self) -> bool:
        """Whether something lies beside this event."""
        return self.payload_commit is not None
