"""A second look by passkey: the finding is what was signed, once, and a vote's signature is no finding."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest
from tenuto.approvals.passkeys import challenge_of
from tenuto.events import PasskeyEnrolled, PasskeyOffered, SpotcheckSigned

from .authenticator import Authenticator
from .histories import CONSOLE, DIGEST
from .test_spotcheck import Checked

_NONCES = count(1)


class ByPasskey(Checked):
    """The approval was spent and drawn; vera has a passkey and no other key."""

    def __init__(self) -> None:
        super().__init__()
        self.draw()
        self.devices = {name: self.enrol(name) for name in ("vera", "lena")}

    def enrol(self, reviewer: str) -> Authenticator:
        device = Authenticator()
        self.console(PasskeyOffered, **device.offer(reviewer))
        self.add(PasskeyEnrolled, "ida", as_role="administrator", reviewer=reviewer, owner=reviewer, credential=device.credential)
        return device

    def console(self, kind: Any, **fields: Any) -> Any:
        return self.add(kind, CONSOLE, as_role="console", as_owner="operations", **fields)

    def find(self, finding: str = "disagree", reviewer: str = "vera", *, signed: dict[str, Any] | None = None, sent: Any = None) -> Any:
        nonce = f"{next(_NONCES):064x}"
        told = {"approval": "a1", "digest": DIGEST, "decision": finding, "coverage": None, "reviewer": reviewer}
        challenge = challenge_of("test/log", nonce=nonce, **told | (signed or {}))
        assertion = str(self.devices[reviewer].sign(challenge, nonce=nonce))
        fields = {"approval": "a1", "digest": DIGEST, "finding": finding, "reviewer": reviewer, "assertion": assertion}
        return self.console(SpotcheckSigned, **fields | (sent or {}))


@pytest.fixture
def looked() -> ByPasskey:
    return ByPasskey()


def test_a_finding_by_passkey_is_that_persons_finding(looked):
    looked.find()
    assert (looked.state(), looked.checks.find("a1").by) == ("disagreed", "vera")


@pytest.mark.parametrize("signed", [{"decision": "agree"}, {"decision": "deny"}, {"decision": "approve"}, {"digest": "f" * 64}], ids=str)
def test_a_console_cannot_turn_another_signature_into_a_finding(looked, signed):
    looked.find(signed=signed)
    assert looked.state() == "due"


@pytest.mark.parametrize("sent", [{"assertion": None}, {"assertion": None, "reviewer": None}, {"reviewer": "otto"}], ids=str)
def test_a_consoles_word_is_no_finding(looked, sent):
    looked.find(sent=sent)
    assert looked.state() == "due"


def test_who_approved_does_not_take_the_second_look_by_passkey_either(looked):
    looked.find(reviewer="lena")
    assert looked.state() == "due"


def test_an_assertion_that_found_something_is_used_up(looked):
    sent = looked.find()
    looked.spend("a2", "otto")
    looked.draw(approval="a2")
    looked.console(SpotcheckSigned, approval="a2", digest=DIGEST, finding="disagree", reviewer="vera", assertion=sent.assertion)
    assert looked.state("a2") == "due"
