"""Signed notes and verifier keys: the example of the specification, and every malformed form refused by name."""

from __future__ import annotations

import base64

import pytest
from tenuto.log.note import (
    NOTE_BYTES_MAX,
    SIGNATURES_MAX,
    Cosigner,
    NoteRefused,
    NoteSigner,
    decode_base64,
    encode_base64,
    open_note,
    parse_note,
    parse_signature_lines,
    parse_vkey,
)

from tests.unit.log.naive import flipped

EXAMPLE_KEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
EXAMPLE = (
    "This is an example message.\n\n"
    "— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
).encode()
POEM = (
    "Ognuno sta solo sul cuor della terra\ntrafitto da un raggio di sole:\n\ned è subito sera.\n\n"
    "— quasimodo.example/salvatore "
    "NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITLlC+EhfLW9oJKONrMouFSQU0xMcXxj99ihAQwaqP3ZekRwNtIc=\n"
).encode()
TEXT = b"first\n\nthird\n"
LOG = NoteSigner("log.example/a", bytes(32))
OTHER = NoteSigner("log.example/b", bytes([1]) * 32)
WITNESS = Cosigner("witness.example/w", bytes([2]) * 32)
NOTE = TEXT + b"\n" + LOG.sign(TEXT)


def test_the_example_of_the_specification_verifies() -> None:
    opened = open_note(EXAMPLE, [parse_vkey(EXAMPLE_KEY)])
    assert opened.text == b"This is an example message.\n"
    assert opened.signatures[0].line in EXAMPLE


def test_the_text_goes_to_the_last_empty_line_as_in_the_poem_of_the_specification() -> None:
    text, signatures = parse_note(POEM)
    assert text.endswith("\n\ned è subito sera.\n".encode())
    assert [signature.name for signature in signatures] == ["quasimodo.example/salvatore"]


def test_a_verifier_key_comes_back_as_it_was() -> None:
    for vkey in (EXAMPLE_KEY, LOG.vkey, WITNESS.vkey):
        assert parse_vkey(vkey).vkey == vkey


def test_one_seed_has_another_key_id_as_log_and_as_witness() -> None:
    assert NoteSigner("a", bytes(32)).verifier.key_id != Cosigner("a", bytes(32)).verifier.key_id


def test_a_signed_note_opens_with_its_key_and_not_with_another() -> None:
    assert open_note(NOTE, [LOG.verifier]).text == TEXT
    with pytest.raises(NoteRefused, match="not signed by any key that counts"):
        open_note(NOTE, [OTHER.verifier])
    with pytest.raises(NoteRefused, match="nobody"):
        open_note(NOTE, [])


def test_signatures_by_unknown_keys_are_ignored() -> None:
    opened = open_note(NOTE + OTHER.sign(b"something else\n"), [LOG.verifier])
    assert [signature.name for signature in opened.signatures] == [LOG.name]


def test_a_bad_signature_by_a_known_key_refuses_the_whole_note() -> None:
    with pytest.raises(NoteRefused, match=r"log\.example/b that does not hold"):
        open_note(NOTE + OTHER.sign(b"something else\n"), [LOG.verifier, OTHER.verifier])


def test_a_cosignature_holds_over_text_and_time_and_says_when() -> None:
    note = NOTE + WITNESS.cosign(TEXT, 1_679_315_147)
    signature = open_note(note, [WITNESS.verifier]).signed_by(WITNESS.verifier)
    assert signature is not None
    assert signature.seconds == 1_679_315_147


def test_a_cosignature_signs_the_message_of_the_specification() -> None:
    seed = bytes([2]) * 32
    body = b"example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    line = WITNESS.cosign(body, 1_679_315_147)
    blob = base64.b64decode(line.split(b" ")[2])
    plain = base64.b64decode(NoteSigner("x", seed).sign(b"cosignature/v1\ntime 1679315147\n" + body).split(b" ")[2])
    assert blob[4:12] == (1_679_315_147).to_bytes(8, "big")
    assert blob[12:] == plain[4:]


def test_the_time_of_a_cosignature_cannot_be_changed() -> None:
    line = WITNESS.cosign(TEXT, 1_679_315_147)
    blob = base64.b64decode(line.split(b" ")[2])
    later = flipped(blob, 11)
    note = TEXT + b"\n" + line.replace(base64.b64encode(blob), base64.b64encode(later))
    with pytest.raises(NoteRefused, match="does not hold"):
        open_note(note, [WITNESS.verifier])


@pytest.mark.parametrize("blob", [bytes(8), bytes(7), b"\xff" * 72])
def test_a_cosignature_too_short_or_from_beyond_time_is_refused(blob: bytes) -> None:
    encoded = encode_base64(WITNESS.verifier.key_id + blob)
    note = TEXT + f"\n— {WITNESS.name} {encoded}\n".encode()
    with pytest.raises(NoteRefused):
        open_note(note, [WITNESS.verifier])


def test_no_byte_of_a_signed_note_can_change() -> None:
    for place in range(len(NOTE)):
        for bit in (0x01, 0x20, 0x80):
            with pytest.raises(NoteRefused):
                open_note(flipped(NOTE, place, bit), [LOG.verifier])


def test_no_prefix_of_a_signed_note_is_a_note() -> None:
    for end in range(len(NOTE)):
        with pytest.raises(NoteRefused):
            open_note(NOTE[:end], [LOG.verifier])


SIGNATURE = LOG.sign(TEXT)
B64 = SIGNATURE.split(b" ")[2].strip()


@pytest.mark.parametrize(
    "note",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\n\n" + SIGNATURE, id="no text"),
        pytest.param(TEXT + SIGNATURE, id="no empty line"),
        pytest.param(TEXT + b"\n", id="no signature"),
        pytest.param(NOTE[:-1], id="no final newline"),
        pytest.param(NOTE + b"\n", id="an empty signature line"),
        pytest.param(NOTE.replace(b"\n", b"\r\n"), id="carriage returns"),
        pytest.param(NOTE.replace(b"third", b"thi\trd"), id="a tab in the text"),
        pytest.param(NOTE.replace(b"third", b"thi\x00rd"), id="a zero byte in the text"),
        pytest.param(NOTE.replace(b"third", b"thi\xffrd"), id="not UTF-8"),
        pytest.param(NOTE.replace("— ".encode(), b"- "), id="a hyphen instead of the em dash"),
        pytest.param(NOTE.replace("— ".encode(), "—".encode()), id="no space after the dash"),
        pytest.param(NOTE.replace(b"/a ", b"/a  "), id="two spaces"),
        pytest.param(NOTE.replace(b"example/a", b"example+a"), id="a plus in the name"),
        pytest.param(NOTE.replace(b"example/a", "example\u00a0a".encode()), id="a no-break space in the name"),
        pytest.param(NOTE.replace(b"log.example/a ", b" "), id="no name"),
        pytest.param(NOTE.replace(b"example/a", b"a" * 256), id="a name of more than 255 bytes"),
        pytest.param(NOTE.replace(b"=\n", b"\n"), id="base64 without padding"),
        pytest.param(NOTE.replace(B64, B64[:8] + b"*" + B64[9:]), id="base64 with a foreign letter"),
        pytest.param(NOTE.replace(B64, base64.b64encode(LOG.verifier.key_id)), id="a key id and nothing else"),
        pytest.param(NOTE[:-1] + b" more\n", id="a fourth word"),
    ],
)
def test_a_malformed_note_is_refused(note: bytes) -> None:
    assert note != NOTE
    with pytest.raises(NoteRefused):
        open_note(note, [LOG.verifier])


def test_signature_lines_alone_as_a_witness_sends_them_are_refused_when_they_are_not_utf_8() -> None:
    """Within a note its UTF-8 was judged already; an answer over HTTP is any bytes."""
    with pytest.raises(NoteRefused, match="not UTF-8"):
        parse_signature_lines(SIGNATURE.replace(b"example", b"ex\x80mple"))


def test_base64_has_one_form_only() -> None:
    assert decode_base64("eA==") == b"x"
    for text in ("eB==", "eA=", "eA", "eA===", "e A==", "eA==\n", "", "=", "\u00e9A=="):
        with pytest.raises(NoteRefused):
            decode_base64(text)


def test_a_note_is_bounded_in_bytes_and_in_signatures() -> None:
    text = b"x" * (NOTE_BYTES_MAX - len(SIGNATURE) - 2) + b"\n"
    note = text + b"\n" + LOG.sign(text)
    assert len(note) == NOTE_BYTES_MAX
    open_note(note, [LOG.verifier])
    with pytest.raises(NoteRefused, match="at most 131,072"):
        open_note(b"x" + note, [LOG.verifier])
    open_note(TEXT + b"\n" + SIGNATURE * SIGNATURES_MAX, [LOG.verifier])
    with pytest.raises(NoteRefused, match="at most 64"):
        open_note(TEXT + b"\n" + SIGNATURE * (SIGNATURES_MAX + 1), [LOG.verifier])


def vkey(name: str, material: bytes, key_id: str | None = None) -> str:
    verifier = type(LOG.verifier)(name, material[0], material[1:])
    return f"{name}+{key_id or verifier.key_id.hex()}+{encode_base64(material)}"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("name", id="only a name"),
        pytest.param(EXAMPLE_KEY.replace("530d903a", "530D903A"), id="key id in upper case"),
        pytest.param(EXAMPLE_KEY.replace("530d903a", "530d903b"), id="another key id"),
        pytest.param(EXAMPLE_KEY.replace("foo", "bar"), id="another name"),
        pytest.param(EXAMPLE_KEY + "\n", id="a newline behind it"),
        pytest.param(" " + EXAMPLE_KEY, id="a space before it"),
        pytest.param(vkey("a", b"\x01" + bytes([1]) + bytes(31)), id="a degenerate key"),
        pytest.param(vkey("a", b"\x01" + bytes(31)), id="a short key"),
        pytest.param(vkey("a", b"\x02" + LOG.verifier.public_key), id="an unknown type"),
        pytest.param(vkey("a", b"\x01"), id="no key"),
    ],
)
def test_a_bad_verifier_key_is_refused(text: str) -> None:
    with pytest.raises(NoteRefused):
        parse_vkey(text)


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\nb", "a\u2003b", "x" * 256])
def test_no_signer_can_have_a_name_that_a_note_cannot_hold(name: str) -> None:
    with pytest.raises(NoteRefused):
        NoteSigner(name, bytes(32))


def test_a_seed_of_another_length_is_refused() -> None:
    for length in (0, 31, 33, 64):
        with pytest.raises(NoteRefused, match="32 bytes"):
            Cosigner("a", bytes(length))
