"""Which login is which reviewer: by issuer and subject, said by somebody else, one reviewer at a time, ended at once."""

from __future__ import annotations

from typing import Any

import pytest
from tenuto.approvals.identities import identity_of
from tenuto.events import ReviewerBound, ReviewerEnrolled, ReviewerUnbound

from .histories import History

ISSUER = "https://login.example"
LENA = identity_of(ISSUER, "lena")


class Bindings(History):
    def __init__(self) -> None:
        super().__init__()
        self.register("lena", "otto")

    def bind(self, reviewer: str = "lena", identity: str = LENA, *, owner: str = "ida", author: str = "ida") -> None:
        self.add(ReviewerBound, author, as_role="administrator", as_owner=owner, reviewer=reviewer, identity=identity)

    def unbind(self, reviewer: str = "lena", identity: str = LENA) -> None:
        self.add(ReviewerUnbound, "ida", as_role="administrator", as_owner="ida", reviewer=reviewer, identity=identity, reason="mistake")

    def who(self, identity: str = LENA) -> str | None:
        return self.fold.roster.identities.reviewer_of(identity)


@pytest.fixture
def bindings() -> Bindings:
    return Bindings()


def test_a_binding_says_who_logs_in_until_it_is_ended(bindings: Bindings) -> None:
    assert bindings.who() is None
    bindings.bind()
    assert bindings.who() == "lena"
    bindings.unbind()
    assert bindings.who() is None
    bindings.bind("otto")
    assert bindings.who() == "otto"
    assert [(one.reviewer, one.until) for one in bindings.fold.roster.identities.all()] == [("otto", None)]


def test_the_first_binding_of_a_login_stands_and_only_its_own_reviewer_is_unbound(bindings: Bindings) -> None:
    bindings.bind()
    bindings.bind("otto")
    assert bindings.who() == "lena"
    bindings.unbind("otto")
    assert bindings.who() == "lena"


@pytest.mark.parametrize("who", [{"owner": "lena"}, {"author": "lena"}], ids=str)
def test_nobody_binds_the_reviewer_whom_he_himself_is(bindings: Bindings, who: Any) -> None:
    bindings.bind(**who)
    assert bindings.who() is None


def test_somebody_without_any_key_yet_may_be_bound_so_that_a_passkey_can_be_made(bindings: Bindings) -> None:
    bindings.bind("pia")
    assert bindings.who() == "pia"
    assert bindings.fold.roster.find("pia") is None, "and is no reviewer by it"


@pytest.mark.parametrize(("issuer", "subject"), [("https://login.examplel", "ena"), ("https://login.example", "Lena"), ("https://LOGIN.example", "lena"), ("", "lena")])
def test_an_identity_is_issuer_and_subject_letter_for_letter(issuer: str, subject: str) -> None:
    assert identity_of(issuer, subject) != LENA
    assert len(identity_of(issuer, subject)) == 64


def test_who_decides_by_passkey_only_is_not_heard_by_a_key_of_his_own(bindings: Bindings) -> None:
    bindings.request()
    bindings.root(ReviewerEnrolled, reviewer="lena", roles=("security",), passkey_only=True)
    bindings.sign("lena")
    (vote,) = bindings.fold.standing("a1", bindings.now).votes
    assert (vote.counts, vote.rule) == (False, 2)
    assert "by passkey only" in vote.sentence
    bindings.root(ReviewerEnrolled, reviewer="lena", roles=("security",))
    bindings.sign("lena")
    assert bindings.fold.standing("a1", bindings.now).state == "granted"
