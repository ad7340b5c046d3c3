"""Checkpoints: three lines, one reading, nothing that another log or another key could pass off."""

from __future__ import annotations

import pytest
from tenuto.log.checkpoint import (
    SIZE_MAX,
    Checkpoint,
    CheckpointRefused,
    parse_checkpoint,
    parse_checkpoint_text,
    parse_size,
    sign_checkpoint,
)
from tenuto.log.merkle import EMPTY_ROOT
from tenuto.log.note import NoteSigner

from tests.unit.log.naive import flipped

ORIGIN = "log.example/a"
LOG = NoteSigner(ORIGIN, bytes(32))
ROOT = bytes(range(32))
CHECKPOINT = Checkpoint(ORIGIN, 20_852_163, ROOT)
NOTE = sign_checkpoint(CHECKPOINT, LOG)
EXAMPLE = b"example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"


def signed(text: bytes) -> bytes:
    return text + b"\n" + LOG.sign(text)


def test_the_text_is_that_of_the_specification() -> None:
    parsed = parse_checkpoint_text(EXAMPLE)
    assert (parsed.origin, parsed.size) == ("example.com/behind-the-sofa", 20_852_163)
    assert parsed.text() == EXAMPLE


@pytest.mark.parametrize("size", [1, 255, SIZE_MAX])
def test_a_signed_checkpoint_comes_back_as_it_was(size: int) -> None:
    checkpoint = Checkpoint(ORIGIN, size, ROOT)
    assert parse_checkpoint(sign_checkpoint(checkpoint, LOG), LOG.vkey, ORIGIN) == checkpoint


def test_no_byte_of_a_signed_checkpoint_can_change() -> None:
    for place in range(len(NOTE)):
        for bit in range(8):
            with pytest.raises(CheckpointRefused):
                parse_checkpoint(flipped(NOTE, place, 1 << bit), LOG.vkey, ORIGIN)


def test_a_checkpoint_of_another_log_is_refused() -> None:
    with pytest.raises(CheckpointRefused, match="not of"):
        parse_checkpoint(NOTE, LOG.vkey, "log.example/b")


def test_a_checkpoint_signed_by_another_key_of_the_same_name_is_refused() -> None:
    with pytest.raises(CheckpointRefused, match="not signed by any key"):
        parse_checkpoint(NOTE, NoteSigner(ORIGIN, bytes([1]) * 32).vkey, ORIGIN)


def test_the_empty_log_has_one_root_only() -> None:
    parse_checkpoint(sign_checkpoint(Checkpoint(ORIGIN, 0, EMPTY_ROOT), LOG), LOG.vkey, ORIGIN)
    with pytest.raises(CheckpointRefused, match="empty log"):
        parse_checkpoint(sign_checkpoint(Checkpoint(ORIGIN, 0, ROOT), LOG), LOG.vkey, ORIGIN)


GOOD = CHECKPOINT.text()
B64 = GOOD.split(b"\n")[2]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(GOOD + b"extension\n", id="an extension line"),
        pytest.param(GOOD.replace(b"\n20852163", b""), id="a line missing"),
        pytest.param(b"\n" + GOOD.split(b"\n", 1)[1], id="an empty origin"),
        pytest.param(GOOD.replace(ORIGIN.encode(), b"o" * 256), id="an origin of 256 bytes"),
        pytest.param(GOOD.replace(b"20852163", b"020852163"), id="a leading zero"),
        pytest.param(GOOD.replace(b"20852163", b"+20852163"), id="a sign"),
        pytest.param(GOOD.replace(b"20852163", b"-1"), id="a negative size"),
        pytest.param(GOOD.replace(b"20852163", b"2_0"), id="an underscore"),
        pytest.param(GOOD.replace(b"20852163", "٣".encode()), id="a digit of another script"),
        pytest.param(GOOD.replace(b"20852163", b"9223372036854775808"), id="a size of 2^63"),
        pytest.param(GOOD.replace(b"20852163", b"20852163 "), id="a space after the size"),
        pytest.param(GOOD.replace(B64, B64[:-2] + b"9="), id="base64 with stray bits"),
        pytest.param(GOOD.replace(B64, B64[:-1]), id="base64 without padding"),
        pytest.param(GOOD.replace(B64, b"AAAA" + B64), id="a root of 35 bytes"),
        pytest.param(GOOD.replace(B64, b""), id="no root"),
    ],
)
def test_a_malformed_checkpoint_is_refused_though_the_log_signed_it(text: bytes) -> None:
    assert text != GOOD
    with pytest.raises(CheckpointRefused):
        parse_checkpoint(signed(text), LOG.vkey, text.split(b"\n")[0].decode())


def test_an_origin_may_have_255_bytes() -> None:
    assert parse_checkpoint_text(GOOD.replace(ORIGIN.encode(), b"o" * 255)).origin == "o" * 255


def test_a_size_is_read_in_one_form_only() -> None:
    assert parse_size(b"0") == 0
    assert parse_size(b"9223372036854775807") == SIZE_MAX
    for digits in (b"", b"00", b"1.0", b"1e3", b"0x1", b" 1", b"99999999999999999999"):
        with pytest.raises(CheckpointRefused):
            parse_size(digits)
