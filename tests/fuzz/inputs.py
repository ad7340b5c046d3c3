"""Everything that reads what a stranger may have written, with good input for it and the ways to spoil that.

Two claims are made. A format with *one spelling* returns what it read, spelled anew, which must be the very bytes it was
given. What is *signed* may only ever be read as one of the good inputs is. Beyond that there is `Refused`, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple

import msgspec
from tenuto import envelope as envelopes
from tenuto import header as headers
from tenuto.bundle.layout import (
    Asked,
    Listed,
    Manifest,
    consistency_bytes,
    opened_payload,
    parse_consistency,
    parse_manifest,
    parse_trust,
    payload_bytes,
    spelled,
)
from tenuto.documents import Arguments, from_payload
from tenuto.enclosure import parse_enclosure, verify_enclosure
from tenuto.errors import Refused
from tenuto.ledger import entry_bytes, parse_entry
from tenuto.log.checkpoint import parse_checkpoint, parse_checkpoint_text, parse_size
from tenuto.log.note import decode_base64, encode_base64, open_note, parse_note, parse_signature_lines, parse_vkey
from tenuto.log.proof import parse_log_proof
from tenuto.log.tiles import join_bundle, split_bundle
from tenuto.log.witnessing import parse_add_checkpoint, parse_policy, verify_policy
from tenuto.spool import InboxState

from tests.fuzz import mutating as ways
from tests.fuzz import world
from tests.golden.door import admit
from tests.golden.world import ORIGIN, digest, epoch_keys

Read = Callable[[bytes], Hashable]


class Target(NamedTuple):
    """One reader. read: raises Refused, or returns what the input is to it. signed: whether only good input may pass."""

    name: str
    good: Sequence[bytes]
    mutators: Sequence[ways.Mutator]
    read: Read
    signed: bool = False

    @property
    def ways(self) -> Sequence[ways.Mutator]:
        """How its input is spoiled: also with the end of its other good inputs."""
        return (*self.mutators, *(ways.spliced(other) for other in self.good))

    def demand(self, data: bytes) -> bool:
        """Return whether `data` was accepted; AssertionError when it was and may not be."""
        try:
            found = self.read(data)
        except Refused:
            return False
        if self.signed:
            assert found in [self.read(one) for one in self.good], f"{self.name} accepts other content: {data!r}"
        else:
            assert found == data, f"{self.name} has a second spelling: {data!r}"
        return True


def _note(data: bytes) -> bytes:
    text, signatures = parse_note(data)
    return text + b"\n" + b"".join(signature.line for signature in signatures)


def _opened(data: bytes) -> Hashable:
    """The text, and who signed it; by how many lines does not matter."""
    opened = open_note(data, [world.LOG.verifier, *(one.verifier for one in world.WITNESSES.values())])
    return opened.text


def _text(read: Callable[[str], str]) -> Read:
    def decoded(data: bytes) -> bytes:
        try:
            return read(data.decode("utf-8")).encode()
        except UnicodeDecodeError as error:
            raise Refused("these readers are given text") from error

    return decoded


def _bundle_policy(data: bytes) -> bytes:
    """Policies have many spellings; the claim is that reading one raises nothing but Refused."""
    try:
        parse_policy(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise Refused("a policy is text") from error
    return data


def _entry(data: bytes) -> bytes:
    try:
        return entry_bytes(*parse_entry(data))
    except ValueError as error:
        raise Refused("what this function says of a bad entry") from error


def _enclosed(data: bytes) -> Hashable:
    enclosure = parse_enclosure(data)
    event, _, state = verify_enclosure(enclosure, world.TRUST, world.ring(), InboxState())
    return enclosure.position, enclosure.recorded_at, event, state.tree_size, state.root


def _document(data: bytes) -> bytes:
    """Documents have many spellings, and unknown fields are ignored; nothing but Refused may come."""
    from_payload(data, Arguments)
    return data


PAYLOAD_EVENT = headers.decode(world.ENVELOPES[-3].header)
SALT = digest("salt", "one")[:16]
BUNDLE = join_bundle(world.ENTRIES)
MANIFESTS = [
    Manifest(
        format=1, origin=ORIGIN, asked=asked,
        events=tuple(Listed(position=place, why="asked", payload=bool(place % 2)) for place in range(count)),
    ).to_bytes()
    for asked, count in ((Asked(run="pr-12"), 3), (Asked(event=str(world.FIRST)), 1))
]  # fmt: skip
RECORDS = [one.to_bytes() for one in world.ENVELOPES[-4:]]
NOTES = [world.note(world.SIZE), world.note(world.SIZE, "w1", "w2"), world.note(5, "w3")]

TARGETS = [
    Target("envelope", RECORDS, ways.BYTES, lambda data: envelopes.parse(data).to_bytes()),
    Target("header", [one.header for one in world.ENVELOPES], ways.JSON, lambda data: headers.encode(headers.decode(data))),
    Target("door", RECORDS[1:], (*ways.BYTES, *ways.JSON), lambda data: admit(data, world.ring(), epoch_keys()[1], ORIGIN), signed=True),
    Target("enclosure", [world.enclosure(world.FIRST).to_bytes(), world.enclosure(3).to_bytes()], ways.BYTES,
           lambda data: parse_enclosure(data).to_bytes()),
    Target("delivered", [world.enclosure(world.FIRST).to_bytes(), world.enclosure(world.FIRST + 1).to_bytes()], (*ways.BYTES, *ways.TEXT), _enclosed, signed=True),
    Target("entry", world.ENTRIES[-3:], ways.BYTES, _entry),
    Target("entries", [BUNDLE, join_bundle(world.ENTRIES[:2])], ways.BYTES, lambda data: join_bundle(split_bundle("a bundle", data))),
    Target("note", NOTES, ways.TEXT, _note),
    Target("opened note", NOTES, ways.TEXT, _opened, signed=True),
    Target("signature lines", [world.LOG.sign(b"x"), world.note(5, "w1", "w3").rpartition(b"\n\n")[2]], ways.TEXT,
           lambda data: b"".join(one.line for one in parse_signature_lines(data))),
    Target("checkpoint text", [world.checkpoint(size).text() for size in (0, 1, world.SIZE)], ways.TEXT,
           lambda data: parse_checkpoint_text(data).text()),
    Target("checkpoint", NOTES, ways.TEXT, lambda data: parse_checkpoint(data, world.LOG.vkey, ORIGIN), signed=True),
    Target("quorum", [NOTES[1], world.note(5, "w1", "w3")], ways.TEXT,
           lambda data: verify_policy(data, parse_policy(world.QUORUM), ORIGIN), signed=True),
    Target("verifier key", [world.LOG.vkey.encode(), world.WITNESSES["w1"].vkey.encode()], ways.TEXT,
           _text(lambda text: parse_vkey(text).vkey)),
    Target("size", [b"0", b"17", b"9223372036854775807"], ways.TEXT, lambda data: b"%d" % parse_size(data)),
    Target("base64", [b"eA==", b"AAECAwQFBgcICQ==", b"////"], ways.TEXT, _text(lambda text: encode_base64(decode_base64(text)))),
    Target("offline proof", [world.PROOF, world.OTHER_PROOF], ways.TEXT, lambda data: parse_log_proof(data).to_text()),
    Target("witness request", [world.REQUEST, world.OTHER_REQUEST], ways.TEXT, lambda data: parse_add_checkpoint(data).to_bytes()),
    Target("policy", [world.QUORUM.encode(), f"{world.POLICY}group a any w1\ngroup b all a w2\nquorum b\n".encode()], ways.TEXT,
           _bundle_policy),
    Target("manifest", MANIFESTS, ways.JSON, lambda data: parse_manifest(data).to_bytes()),
    Target("trust file", [world.TRUST_FILE, world.OTHER_TRUST_FILE], ways.JSON, lambda data: spelled(parse_trust(data))),
    Target("consistency file", [world.CONSISTENCY, b""], ways.TEXT, lambda data: consistency_bytes(parse_consistency(data))),
    Target("payload file", [payload_bytes(SALT, world.PLAINTEXT)], ways.BYTES,
           lambda data: opened_payload(data, PAYLOAD_EVENT), signed=True),
    Target("document", [world.PLAINTEXT, msgspec.json.encode(Arguments(values={"a": [1, {"b": None}]}))], ways.JSON, _document),
]  # fmt: skip
