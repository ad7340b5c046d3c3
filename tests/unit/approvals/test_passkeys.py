"""Passkeys: who enrols one, and that an assertion counts only for its reviewer, its decision, its page, and once."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from uuid import UUID

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tenuto.approvals.passkeys import PasskeyRefused, Passkeys, challenge_of
from tenuto.events import ApprovalSigned, PasskeyEnrolled, PasskeyOffered, PasskeyRevoked
from tenuto.keyring import Key

from tests.doubles import START

from .authenticator import PRESENT, Authenticator, b64

ORIGIN, NONCE = "tenuto.test/log", "0" * 64
CONSOLE = Key("console", "k", b"", "console", "platform-team", insecure_demo=False, since=0)
ADMIN = Key("ada-admin", "k", b"", "administrator", "ada", insecure_demo=False, since=0)


def event(kind, author="console", **fields):
    return kind(
        v=1, log_origin=ORIGIN, author=author, key_id="k", session=UUID(int=1), seq=0, prev="0" * 64, at=START,
        id=UUID(int=2), **fields,
    )  # fmt: skip


def vote(assertion=None, **changes):
    fields = {"approval": "a-1", "digest": "d" * 64, "decision": "approve", "coverage": "c" * 64, "reviewer": "lena"}
    return event(ApprovalSigned, **fields | changes, assertion=assertion and str(assertion))


def challenge(**changes):
    fields = {"approval": "a-1", "digest": "d" * 64, "decision": "approve", "coverage": "c" * 64, "reviewer": "lena", "nonce": NONCE}
    return challenge_of(ORIGIN, **fields | changes)


def offered(device, reviewer="lena", key=CONSOLE, **changes):
    passkeys = Passkeys()
    passkeys.apply(event(PasskeyOffered, **device.offer(reviewer, **changes)), key, 3)
    return passkeys


def enrol(passkeys, device, reviewer="lena", key=ADMIN, author="ada-admin"):
    passkeys.apply(event(PasskeyEnrolled, author, reviewer=reviewer, owner=reviewer, credential=device.credential), key, 4)
    return passkeys


def enrolled(device):
    passkeys = enrol(offered(device), device)
    assert [one.offer.credential for one in passkeys.of("lena")] == [device.credential]
    return passkeys


def refusal(passkeys, cast, reviewer="lena"):
    with pytest.raises(PasskeyRefused) as caught:
        passkeys.use(cast, reviewer)
    return str(caught.value)


@pytest.mark.parametrize("kind", ["es256", "eddsa", "rs256"])
def test_a_decision_signed_by_the_reviewers_passkey_counts_once(kind):
    device = Authenticator(kind)
    passkeys = enrolled(device)
    cast = vote(device.sign(challenge()))
    passkeys.use(cast, "lena")
    assert "used before" in refusal(passkeys, cast)
    again = vote(device.sign(challenge(nonce="1" * 64), nonce="1" * 64))
    passkeys.use(again, "lena")


def test_the_same_challenge_signed_anew_is_used_up_all_the_same():
    device = Authenticator(counts=False)
    passkeys = enrolled(device)
    passkeys.use(vote(device.sign(challenge())), "lena")
    assert "used before" in refusal(passkeys, vote(device.sign(challenge())))


@pytest.mark.parametrize(
    "changes",
    [{"digest": "e" * 64}, {"approval": "a-2"}, {"decision": "deny"}, {"decision": "withdraw"}, {"coverage": "f" * 64},
     {"coverage": None}],
)  # fmt: skip
def test_an_assertion_for_another_decision_is_refused(changes):
    device = Authenticator()
    assert "did not sign this" in refusal(enrolled(device), vote(device.sign(challenge()), **changes))


def test_an_assertion_written_for_another_log_or_under_another_nonce_is_refused():
    device = Authenticator()
    other = challenge_of("other/log", approval="a-1", digest="d" * 64, decision="approve", coverage="c" * 64, reviewer="lena", nonce=NONCE)
    for assertion in (device.sign(other), device.sign(challenge(nonce="1" * 64))):
        assert "did not sign this" in refusal(enrolled(device), vote(assertion))


def test_parts_of_a_challenge_cannot_be_moved_into_each_other():
    assert challenge(approval="a-1d", digest="d" * 63) != challenge()
    assert challenge(coverage=None, reviewer="lena") != challenge(coverage="", reviewer="lena1")


@pytest.mark.parametrize(
    "how",
    [{"page": "https://console.example.evil"}, {"page": "http://console.example"}, {"page": "https://console.example:8443"},
     {"domain": "evil.example"}, {"flags": PRESENT}, {"flags": 0}, {"kind": "webauthn.create"}],
    ids=str,
)  # fmt: skip
def test_an_assertion_of_another_page_or_an_unverified_person_is_refused(how):
    device = Authenticator()
    assert "did not sign this" in refusal(enrolled(device), vote(device.sign(challenge(), **how)))


def test_an_assertion_from_a_page_inside_another_is_refused():
    device = Authenticator()
    assert "inside another" in refusal(enrolled(device), vote(device.sign(challenge(), cross_origin=True)))


def test_a_counter_that_does_not_rise_is_refused():
    device = Authenticator()
    passkeys = enrolled(device)
    device.count = 8
    first = vote(device.sign(challenge()))
    passkeys.use(first, "lena")
    device.count = 8
    assert "sign count" in refusal(passkeys, vote(device.sign(challenge(nonce="1" * 64), nonce="1" * 64)))


def test_anothers_passkey_does_not_sign_for_this_reviewer():
    device = Authenticator()
    passkeys = enrolled(device)
    cast = vote(device.sign(challenge(reviewer="otto")), reviewer="otto")
    assert "no such passkey" in refusal(passkeys, cast, "otto")


def test_a_revoked_passkey_signs_nothing_any_more():
    device = Authenticator()
    passkeys = enrolled(device)
    gone = event(PasskeyRevoked, "ada-admin", reviewer="lena", credential=device.credential, reason="lost")
    passkeys.apply(gone, ADMIN, 9)
    assert "revoked at position 9" in refusal(passkeys, vote(device.sign(challenge())))
    assert passkeys.of("lena") == ()
    enrol(passkeys, device)
    assert passkeys.of("lena") == ()


def test_an_offer_alone_signs_nothing():
    device = Authenticator()
    passkeys = offered(device)
    assert len(passkeys.offers()) == 1
    assert "no such passkey" in refusal(passkeys, vote(device.sign(challenge())))


@pytest.mark.parametrize(
    ("key", "author"),
    [(Key("lena-admin", "k", b"", "administrator", "lena", insecure_demo=False, since=0), "lena-admin"),
     (Key("lena", "k", b"", "administrator", "somebody", insecure_demo=False, since=0), "lena"),
     (Key("ops", "k", b"", "administrator", "platform-team", insecure_demo=False, since=0), "ops")],
    ids=["the reviewer's own second role", "the reviewer by name", "whoever runs the console"],
)  # fmt: skip
def test_nobody_enrols_a_passkey_of_his_own_nor_one_that_his_console_offered(key, author):
    device = Authenticator()
    assert enrol(offered(device), device, key=key, author=author).of("lena") == ()


def test_an_enrolment_for_another_reviewer_than_the_offers_changes_nothing():
    device = Authenticator()
    passkeys = enrol(offered(device), device, reviewer="otto")
    assert passkeys.of("otto") == passkeys.of("lena") == ()


def test_a_second_offer_under_the_same_credential_does_not_replace_the_key():
    device, thief = Authenticator(), Authenticator()
    passkeys = offered(device)
    stolen = thief.offer("lena", credential=device.credential, credential_id=b64(device.credential_id))
    passkeys.apply(event(PasskeyOffered, **stolen), CONSOLE, 4)
    enrol(passkeys, device)
    assert passkeys.of("lena")[0].offer.public_key == b64(device.public_key)


SMALL_ORDER = cbor2.dumps({1: 1, 3: -8, -1: 6, -2: bytes(31) + b"\x80"})
NO_POINT = cbor2.dumps({1: 2, 3: -7, -1: 1, -2: bytes(32), -3: b"\x01" * 32})
OTHER_CURVE = cbor2.dumps({1: 2, 3: -35, -1: 2, -2: b"\x01" * 48, -3: b"\x01" * 48})


@pytest.mark.parametrize(
    "public_key",
    [SMALL_ORDER, NO_POINT, OTHER_CURVE, b"", b"\xff", cbor2.dumps([]), cbor2.dumps({}), cbor2.dumps({1: 1, 3: -8}),
     Authenticator("rs256", bits=1024).public_key],
    ids=["small order", "no point", "other curve", "empty", "no cbor", "list", "empty map", "half a key", "short rsa"],
)  # fmt: skip
def test_an_offer_with_a_key_under_which_a_signature_proves_nothing_is_no_offer(public_key):
    device = Authenticator()
    assert offered(device, public_key=b64(public_key) or "AA").offers() == ()


def test_an_offer_that_is_not_named_by_its_credential_is_no_offer():
    device = Authenticator()
    assert offered(device, credential=hashlib.sha256(b"other").hexdigest()).offers() == ()
    assert offered(device, credential_id="AB").offers() == ()


def test_a_second_spelling_of_the_same_bytes_is_refused():
    device = Authenticator()
    good = device.sign(challenge())
    # 37 bytes leave four bits over in the last letter. An encoder writes them as zero, a decoder may not look.
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    last = letters[letters.index(good.authenticator_data[-1]) + 1]
    other = replace(good, authenticator_data=good.authenticator_data[:-1] + last)
    assert "spelt" in refusal(enrolled(device), vote(other))


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(["client_data", "authenticator_data", "signature"]), st.binary(min_size=2, max_size=120))
def test_whatever_an_assertion_is_made_of_it_is_refused_and_nothing_else_happens(part, garbage):
    device = DEVICE
    assertion = replace(device.sign(challenge()), **{part: b64(garbage)})
    refusal(enrolled(device), vote(assertion))


DEVICE = Authenticator(counts=False)
