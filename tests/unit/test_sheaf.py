"""One signature for several headers: each stands by itself, and none of them can be another, elsewhere, or of another sheaf."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
from tenuto.log.merkle import leaf_hash, node_hash
from tenuto.log.proof import inclusion_proof, verify_inclusion
from tenuto.sheaf import MEMBER_BYTES_MAX, SHEAF_HEADERS_MAX, SheafRefused, bind, member_length, signed_by_member
from tenuto.signing import (
    SHEAVES_KEPT_MAX,
    SIGNATURE_BYTES,
    SeedSigner,
    SignatureRefused,
    _verify_sheaf,
    pae,
    sheaf_pae,
    sign_header,
    sign_headers,
    verify_header,
)

SIGNER, OTHER = SeedSigner("deployment", b"d" * 32), SeedSigner("code-review", b"c" * 32)
COUNTS = [2, 3, 4, 5, 7, 8, 9, 10, 31, 32, 33, 63, SHEAF_HEADERS_MAX]
HEADERS = [b'{"kind":"decision.made","seq":%d}' % number for number in range(10)]
MEMBERS = sign_headers(SIGNER, HEADERS)


@pytest.fixture(autouse=True)
def _nothing_remembered() -> Iterator[None]:
    _verify_sheaf.cache_clear()
    yield
    _verify_sheaf.cache_clear()


class Leaves:
    """`HashSource` over the leaf hashes of some headers."""

    def __init__(self, headers: Sequence[bytes]) -> None:
        self._leaves = [leaf_hash(header) for header in headers]

    def hash_at(self, level: int, index: int) -> bytes:
        if level == 0:
            return self._leaves[index]
        return node_hash(self.hash_at(level - 1, 2 * index), self.hash_at(level - 1, 2 * index + 1))


def refused(header: bytes, signature: bytes, key: bytes = SIGNER.public_key, *, in_sheaf: bool = True) -> str:
    with pytest.raises(SignatureRefused) as caught:
        verify_header(header, signature, key, in_sheaf)
    return str(caught.value)


def test_one_header_is_signed_as_it_always_was() -> None:
    assert sign_headers(SIGNER, HEADERS[:1]) == [sign_header(SIGNER, HEADERS[0])]


@pytest.mark.parametrize("count", COUNTS)
def test_every_member_of_a_sheaf_holds_by_itself(count: int) -> None:
    headers = [b"header %d" % number for number in range(count)]
    for header, member in zip(headers, sign_headers(SIGNER, headers), strict=True):
        verify_header(header, member, SIGNER.public_key, in_sheaf=True)
        assert member_length(header + member) == len(member) <= MEMBER_BYTES_MAX


@pytest.mark.parametrize("count", COUNTS)
def test_the_paths_are_inclusion_proofs_of_rfc_6962(count: int) -> None:
    headers = [b"header %d" % number for number in range(count)]
    body, tails = bind(headers)
    assert body[0] == count
    for index, (header, tail) in enumerate(zip(headers, tails, strict=True)):
        path = tuple(tail[start : start + 32] for start in range(0, len(tail) - 2, 32))
        assert path == inclusion_proof(index, count, Leaves(headers))
        verify_inclusion(leaf_hash(header), index, count, path, body[1:])
        assert tail[-2:] == bytes((index, 0x80 + count))


@pytest.mark.parametrize("count", [0, SHEAF_HEADERS_MAX + 1])
def test_a_sheaf_of_none_or_of_one_too_many_is_not_signed(count: int) -> None:
    with pytest.raises(SheafRefused, match="2 to 64"):
        sign_headers(SIGNER, [b"header"] * count)


@pytest.mark.parametrize(("index", "count"), [(0, 0), (0, 1), (2, 2), (10, 10), (0, SHEAF_HEADERS_MAX + 1), (255, 127)])
def test_a_place_that_no_sheaf_has_is_refused(index: int, count: int) -> None:
    member = MEMBERS[0][:-2] + bytes((index, 0x80 + count))
    with pytest.raises(SheafRefused):
        member_length(b"header" + member)
    refused(HEADERS[0], member)


def test_no_bit_of_a_member_can_change() -> None:
    for number in (0, 3, 9):
        for place in range(len(MEMBERS[number])):
            for mask in (0x01, 0x80):
                changed = bytearray(MEMBERS[number])
                changed[place] ^= mask
                refused(HEADERS[number], bytes(changed))


def test_no_member_is_good_for_another_header() -> None:
    for header in HEADERS:
        for other, member in zip(HEADERS, MEMBERS, strict=True):
            if other != header:
                refused(header, member)


def test_a_member_says_the_number_of_its_sheaf() -> None:
    """In a tree of 10 and in one of 9 the first leaf has as many siblings; the number is signed, not only the root."""
    for count in range(2, SHEAF_HEADERS_MAX + 1):
        if count != len(HEADERS):
            refused(HEADERS[0], MEMBERS[0][:-1] + bytes((0x80 + count,)))


def test_the_same_header_twice_in_a_sheaf_says_nothing_new() -> None:
    twice = sign_headers(SIGNER, [HEADERS[0], HEADERS[0]])
    for member in twice:
        verify_header(HEADERS[0], member, SIGNER.public_key, in_sheaf=True)
    refused(HEADERS[1], twice[1])


def test_hashes_more_or_less_than_the_place_has_are_refused() -> None:
    member = MEMBERS[9]
    for changed in (member[:64] + member[96:], member[:64] + bytes(32) + member[64:], member[:63] + member[64:]):
        refused(HEADERS[9], changed)


def test_two_siblings_cannot_pass_for_a_header() -> None:
    """A second preimage: the content of an inner node offered as an entry of a smaller tree with the same root."""
    headers = HEADERS[:4]
    body, _ = bind(headers)
    left, right = (node_hash(leaf_hash(one), leaf_hash(two)) for one, two in (headers[:2], headers[2:]))
    assert node_hash(left, right) == body[1:]
    signature = sign_headers(SIGNER, headers)[0][:SIGNATURE_BYTES]
    inner = leaf_hash(headers[0]) + leaf_hash(headers[1])
    for count in (2, 4):
        refused(inner, signature + right + bytes((0, 0x80 + count)))
    assert signed_by_member(inner, signature + right + bytes((0, 0x82)))[1:] != body[1:]


def test_a_signature_over_a_sheaf_is_none_over_a_header_and_the_other_way_round() -> None:
    body, tails = bind(HEADERS)
    over_header = sign_header(SIGNER, body)
    verify_header(body, over_header, SIGNER.public_key)
    refused(HEADERS[0], over_header + tails[0])
    over_sheaf = MEMBERS[0][:SIGNATURE_BYTES]
    for said in (body, body[1:], HEADERS[0]):
        refused(said, over_sheaf)
    refused(HEADERS[0], SIGNER.sign(body) + tails[0])
    assert pae(body) != sheaf_pae(body)


def test_a_kind_that_is_signed_alone_is_refused_in_a_sheaf() -> None:
    assert "signed alone" in refused(HEADERS[0], MEMBERS[0], in_sheaf=False)
    with pytest.raises(SignatureRefused, match="signed alone"):
        verify_header(HEADERS[0], MEMBERS[0], SIGNER.public_key)


def test_the_signature_of_a_sheaf_is_checked_once_and_each_path_every_time() -> None:
    for header, member in zip(HEADERS, MEMBERS, strict=True):
        verify_header(header, member, SIGNER.public_key, in_sheaf=True)
    assert _verify_sheaf.cache_info().misses == 1
    assert _verify_sheaf.cache_info().hits == len(HEADERS) - 1
    refused(HEADERS[1], MEMBERS[0])
    refused(b'{"kind":"decision.made","seq":99}', MEMBERS[0])


def test_what_was_refused_is_not_remembered_and_what_held_helps_nobody_else() -> None:
    header, member = HEADERS[0], MEMBERS[0]
    foreign = sign_headers(OTHER, HEADERS)[0]
    for _ in range(2):
        refused(header, foreign)
        refused(header, member, OTHER.public_key)
    verify_header(header, member, SIGNER.public_key, in_sheaf=True)
    assert _verify_sheaf.cache_info().currsize == 1
    refused(header, member, OTHER.public_key)
    refused(header, foreign)
    refused(header, foreign[:SIGNATURE_BYTES] + member[SIGNATURE_BYTES:])
    refused(header, member[:32] + foreign[32:SIGNATURE_BYTES] + member[SIGNATURE_BYTES:])
    verify_header(header, foreign, OTHER.public_key, in_sheaf=True)


def test_what_is_remembered_is_bounded() -> None:
    assert _verify_sheaf.cache_info().maxsize == SHEAVES_KEPT_MAX
