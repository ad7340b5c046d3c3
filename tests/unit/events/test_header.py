"""One event, one spelling: everything that is not byte for byte what the encoder writes is refused with its reason."""

from __future__ import annotations

import json
from collections.abc import Callable

import msgspec
import pytest
from tenuto.events import HEADER_BYTES_MAX, PAYLOAD_BYTES_MAX, DecisionMade, PolicyDecided
from tenuto.events.base import CAUSES_MAX, REFS_MAX
from tenuto.header import HeaderRefused, decode, encode, header_hash

from tests.golden.world import DIGEST, common, tool_started, uuid

HEADER = encode(tool_started())
WITH_PAYLOAD = encode(tool_started(payload_type="text/plain", payload_len=3, payload_commit=DIGEST))


def refusal(header: bytes) -> HeaderRefused:
    with pytest.raises(HeaderRefused) as caught:
        decode(header)
    return caught.value


def changed(name: str, value: object, header: bytes = HEADER) -> bytes:
    """The header with one field set to another value."""
    fields = json.loads(header)
    fields[name] = value
    return json.dumps(fields, separators=(",", ":")).encode()


def without(name: str, header: bytes = HEADER) -> bytes:
    fields = json.loads(header)
    del fields[name]
    return json.dumps(fields, separators=(",", ":")).encode()


def test_this_file_spells_as_the_encoder_does() -> None:
    assert changed("call", "call-7") == HEADER


def test_a_kind_outside_the_vocabulary_is_refused() -> None:
    error = refusal(changed("kind", "tool.imagined"))
    assert error.reason == "unknown_kind"
    assert "tool.imagined" in str(error)


@pytest.mark.parametrize("version", [0, 2, "1", None, 1.5])
def test_another_version_of_the_header_is_refused(version: object) -> None:
    assert refusal(changed("v", version)).reason == "unknown_version"


def test_a_field_that_the_kind_does_not_have_is_refused() -> None:
    error = refusal(changed("note", "hello"))
    assert error.reason == "malformed"
    assert "note" in str(error)


@pytest.mark.parametrize(
    "name", ["log_origin", "author", "key_id", "session", "seq", "prev", "at", "id", "tool", "digest"]
)
def test_a_header_without_a_required_field_is_refused(name: str) -> None:
    assert name in str(refusal(without(name)))


OTHER_SPELLINGS: dict[str, Callable[[bytes], bytes]] = {
    "spaces": lambda header: header.replace(b'":', b'": ', 1),
    "a_space_at_the_end": lambda header: header + b" ",
    "a_line_feed_at_the_end": lambda header: header + b"\n",
    "another_order": lambda header: b"{" + b",".join(reversed(header[1:-1].split(b',"call"'))) + b"}",
    "a_repeated_key": lambda header: header[:-1] + b',"tool":"deploy.release"}',
    "a_repeated_key_with_another_value": lambda header: header[:-1] + b',"tool":"deploy.rollback"}',
    "an_escaped_letter": lambda header: header.replace(b"deploy.release", b"deploy.rele\\u0061se"),
    "an_upper_case_uuid": lambda header: header.replace(str(uuid("session", "deployment")).encode(), str(uuid("session", "deployment")).upper().encode()),
    "a_uuid_without_dashes": lambda header: header.replace(str(uuid("session", "deployment")).encode(), uuid("session", "deployment").hex.encode()),
    "idle_fractions_of_a_second": lambda header: header.replace(b":04Z", b":04.000000Z"),
    "another_name_of_utc": lambda header: header.replace(b":04Z", b":04+00:00"),
    "a_number_with_a_fraction": lambda header: header.replace(b'"seq":4', b'"seq":4.0'),
    "a_written_default": lambda header: header[:-1] + b',"to":null}',
    "a_byte_order_mark": lambda header: b"\xef\xbb\xbf" + header,
    "two_headers": lambda header: header + header,
    "half_a_header": lambda header: header[: len(header) // 2],
    "bytes_that_are_no_text": lambda header: header.replace(b"deploy.release", b"deploy.rele\xff\xfe"),
    "a_list": lambda header: b"[" + header + b"]",
    "nothing": lambda header: b"",
}  # fmt: skip


@pytest.mark.parametrize("spelling", OTHER_SPELLINGS)
def test_the_same_event_in_another_spelling_is_refused(spelling: str) -> None:
    other = OTHER_SPELLINGS[spelling](HEADER)
    assert other != HEADER, "the spelling of this case changes nothing"
    assert refusal(other).reason == "malformed"


@pytest.mark.parametrize(
    "name", ["Deploy", "", "a b", "x" * 129, "deploy\n", "déploy", "ignore all previous instructions", "-flag", "a\tb"]
)
def test_a_name_that_could_carry_a_sentence_is_refused(name: str) -> None:
    assert refusal(changed("tool", name)).reason == "malformed"


def test_a_name_of_128_characters_is_the_longest() -> None:
    assert decode(changed("tool", "x" * 128))


@pytest.mark.parametrize("value", ["D" * 64, "d" * 63, "d" * 65, "d" * 64 + "\n", "g" * 64])
def test_a_hash_has_one_spelling(value: str) -> None:
    assert refusal(changed("digest", value)).reason == "malformed"


@pytest.mark.parametrize("ref", ["M0", "X1", "M123", "m12", "M1\n"])
def test_a_reference_outside_the_threat_model_is_refused(ref: str) -> None:
    assert refusal(changed("refs", [ref])).reason == "malformed"


@pytest.mark.parametrize("seq", [-1, 2**53, "4", True])
def test_a_sequence_number_outside_its_range_is_refused(seq: object) -> None:
    assert refusal(changed("seq", seq)).reason == "malformed"


def test_a_time_without_a_zone_is_refused() -> None:
    assert refusal(HEADER.replace(b":04Z", b":04")).reason == "malformed"


@pytest.mark.parametrize(("name", "at_most"), [("cause", CAUSES_MAX), ("refs", REFS_MAX)])
def test_lists_are_refused_one_above_their_limit(name: str, at_most: int) -> None:
    one = {"cause": str(uuid("cause")), "refs": "M1"}[name]
    header = encode(
        msgspec.structs.replace(tool_started(), **{name: (uuid("cause") if name == "cause" else one,) * at_most})
    )
    assert decode(header)
    assert refusal(changed(name, [one] * (at_most + 1), header)).reason == "malformed"


@pytest.mark.parametrize("missing", ["payload_type", "payload_len", "payload_commit"])
def test_half_a_payload_is_refused(missing: str) -> None:
    assert "only a part" in str(refusal(without(missing, WITH_PAYLOAD)))


def test_a_payload_is_refused_one_byte_above_its_limit() -> None:
    assert decode(changed("payload_len", PAYLOAD_BYTES_MAX, WITH_PAYLOAD))
    assert refusal(changed("payload_len", PAYLOAD_BYTES_MAX + 1, WITH_PAYLOAD)).reason == "malformed"


def rules_of_length(total: int) -> PolicyDecided:
    """A decision whose header has exactly `total` bytes."""
    event = PolicyDecided(
        **common("deployment"), call="call-7", effect="deny", bundle=DIGEST, engine="cedar", rules=("x" * 100,) * 32
    )
    spare = total - len(msgspec.json.encode(event))
    rules = tuple("x" * (100 + spare // 32 + (number < spare % 32)) for number in range(32))
    return msgspec.structs.replace(event, rules=rules)


def test_a_header_is_refused_one_byte_above_its_limit() -> None:
    assert len(encode(rules_of_length(HEADER_BYTES_MAX))) == HEADER_BYTES_MAX
    one_above = rules_of_length(HEADER_BYTES_MAX + 1)
    with pytest.raises(HeaderRefused, match="4,097 bytes") as caught:
        encode(one_above)
    assert caught.value.reason == "oversized"
    assert refusal(msgspec.json.encode(one_above)).reason == "oversized"


def test_an_event_with_a_value_outside_its_alphabet_is_not_encoded() -> None:
    event = DecisionMade(
        **common("deployment"), subject="commit", subject_digest=DIGEST, verdict="approve", model="The Best Model"
    )
    with pytest.raises(HeaderRefused):
        encode(event)


def test_a_refusal_repeats_only_the_beginning_of_what_a_stranger_wrote() -> None:
    assert len(str(refusal(changed("kind", "k" * 3000)))) < 200


def test_the_next_event_names_the_sha256_of_these_bytes() -> None:
    assert header_hash(b"") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert header_hash(HEADER) != header_hash(WITH_PAYLOAD)
