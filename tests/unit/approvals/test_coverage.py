"""Rule 3: an approval counts only over what its reviewer was shown, for long enough, as a console measured it."""

from __future__ import annotations

import pytest
from tenuto.approvals import NotGranted
from tenuto.approvals.coverage import VIEW_MILLISECONDS_MAX
from tenuto.approvals.pieces import FLOOR, PIECES_MAX, list_digest

from tests.unit.approvals.histories import OTHER_DIGEST, PIECES, ROLE_PIECE, History


def only_vote(history: History) -> tuple[int, str]:
    [vote] = history.fold.standing("a1", history.now).votes
    return vote.rule, vote.sentence


def test_an_approval_by_a_direct_call_does_not_count_and_names_what_was_not_opened():
    history = History()
    asked = history.request()
    history.sign(looks=False)
    assert only_vote(history) == (3, "3 of 3 pieces were not opened, the first: aws_iam_role.x.")
    with pytest.raises(NotGranted):
        history.fold.verify_granted(asked, history.now)


def test_an_approval_without_a_coverage_in_it_does_not_count_whatever_was_looked_at():
    history = History()
    history.request()
    history.view()
    history.sign(looks=False, coverage="0" * 64)
    assert only_vote(history)[0] == 3


@pytest.mark.parametrize(
    ("seen", "sentence"),
    [
        (PIECES[1:], "1 of 3 pieces was not opened, the first: aws_iam_role.x."),
        (PIECES[:1], "2 of 3 pieces were not opened, the first: src/shop.py."),
        (PIECES[:3], ""),
        (PIECES, ""),
    ],
)
def test_every_piece_that_bears_risk_has_to_be_seen_and_no_other(seen, sentence):
    history = History()
    history.request()
    history.view(pieces=seen)
    assert history.fold.coverage("a1", "lena").sentence == sentence
    history.sign(looks=False)
    assert only_vote(history) == ((3, sentence) if sentence else (0, ""))


def test_the_least_time_of_a_piece_counts_and_a_millisecond_less_does_not():
    short, exact = History(), History()
    for history, missing in ((short, 1), (exact, 0)):
        history.request()
        history.view(pieces=PIECES[1:])
        history.view(pieces=[(*ROLE_PIECE[:3], ROLE_PIECE[3] - missing)])
        history.sign(looks=False)
    assert only_vote(short) == (3, "aws_iam_role.x was open for 3999 ms, 4000 ms are the least.")
    assert exact.state() == "granted"


def test_looking_again_adds_up_and_looking_long_at_one_piece_does_not_stand_for_another():
    history = History()
    history.request()
    history.view(times=0.5)
    history.view(pieces=PIECES[:1], times=20)
    assert "src/shop.py was open for 450 ms" in history.fold.coverage("a1", "lena").sentence
    history.view(times=0.5)
    assert history.fold.coverage("a1", "lena").sentence == ""


def test_the_time_for_all_of_it_may_be_more_than_the_sum_and_is_demanded():
    history = History()
    total = sum(piece[3] for piece in PIECES)
    history.request(review_milliseconds=total + 1)
    history.view()
    assert history.fold.coverage("a1", "lena").sentence == f"all of it was open for {total} ms, {total + 1} ms are the least."
    history.view(pieces=[("3" * 64, "summary", "plain", 1)])
    assert history.fold.coverage("a1", "lena").sentence == ""


def test_what_was_seen_of_an_older_digest_does_not_count():
    history = History()
    history.request()
    history.view(digest=OTHER_DIGEST)
    history.sign(looks=False)
    assert only_vote(history)[0] == 3


@pytest.mark.parametrize(
    "how", [{"reviewer": "otto"}, {"role": "reviewer", "console": "lena"}, {"role": "agent"}, {"owner": "lena"}]
)
def test_nobody_is_covered_by_another_ones_looking_or_by_his_own_word(how):
    history = History()
    history.request()
    history.view(**how)
    history.sign(looks=False)
    assert only_vote(history)[0] == 3


def test_no_single_view_is_longer_than_a_measurement_can_be():
    history = History()
    history.request()
    history.view(pieces=[(*piece[:3], VIEW_MILLISECONDS_MAX + 1) for piece in PIECES])
    assert "were not opened" in history.fold.coverage("a1", "lena").sentence
    history.view(pieces=[(*piece[:3], VIEW_MILLISECONDS_MAX) for piece in PIECES])
    assert history.fold.coverage("a1", "lena").sentence == ""


def test_a_signature_names_what_was_seen_before_it_and_what_came_after_changes_nothing():
    history = History()
    history.request()
    history.view(pieces=PIECES[:1])
    early = history.fold.coverage("a1", "lena").digest
    history.view(pieces=PIECES[1:])
    whole = history.fold.coverage("a1", "lena").digest
    history.view(pieces=PIECES[:1])
    history.sign(looks=False, coverage=early)
    history.sign(looks=False, coverage=whole)
    assert history.broken_rules() == [3, 0], "the earlier coverage is too little, the later one is enough though more followed"


def test_a_coverage_is_good_for_one_reviewer_and_one_request():
    history = History()
    history.request()
    history.request("a2")
    history.view("lena")
    history.view("lena", "a2")
    lenas = history.fold.coverage("a1", "lena").digest
    history.view("otto")
    history.sign("otto", looks=False, coverage=lenas)
    history.sign("lena", approval="a2", looks=False, coverage=lenas)
    assert history.broken_rules() == [3]
    assert history.broken_rules("a2") == [3]


def test_a_denial_needs_no_looking():
    history = History()
    history.request()
    history.sign("lena", "deny")
    assert history.state() == "denied"


def test_a_request_without_a_list_of_pieces_is_never_granted():
    history = History()
    asked = history.request(pieces=(), commits_to=None, pieces_count=None, review_milliseconds=None, call=None)
    history.sign()
    assert only_vote(history)[0] == 3
    with pytest.raises(NotGranted, match="lists no pieces") as caught:
        history.fold.verify_granted(asked, history.now)
    assert caught.value.rule == 3


LOW = ("5" * 64, "low", "grave", FLOOR["grave"] - 1)
EXACT = ("5" * 64, "low", "grave", FLOOR["grave"])


@pytest.mark.parametrize(
    ("pieces", "changes", "fault"),
    [
        (PIECES, {"commits_to": list_digest(PIECES[1:])}, "not the one"),
        (PIECES, {"pieces_count": 3}, "not the one"),
        ((), {}, "lists no pieces"),
        (PIECES, {"review_milliseconds": 5199}, "less than the sum"),
        ((LOW,), {}, "may be shown for less than"),
        ((EXACT,), {}, ""),
        (PIECES[1:], {"risks": ("iam",)}, "no piece of it is grave"),
        (PIECES, {"risks": ("iam",)}, ""),
    ],
)
def test_a_list_that_does_not_fit_lets_nothing_be_approved(pieces, changes, fault):
    history = History()
    history.request(pieces=pieces, **changes)
    found = history.fold.request("a1").pieces.fault
    assert fault in found
    assert bool(fault) == bool(found)


def test_pieces_of_another_author_or_another_digest_are_not_the_list():
    history = History()
    history.list("a1", PIECES, digest=OTHER_DIGEST)
    history.request()
    assert "uneven" in history.fold.request("a1").pieces.fault


def test_a_list_of_the_most_pieces_is_taken_and_one_above_it_is_not():
    for count, fault in ((PIECES_MAX, ""), (PIECES_MAX + 1, f"more than {PIECES_MAX}")):
        history = History()
        history.request(pieces=[(f"{number:064x}", f"f{number}", "plain", 300) for number in range(count)])
        assert fault in history.fold.request("a1").pieces.fault
        assert bool(fault) == bool(history.fold.request("a1").pieces.fault)
