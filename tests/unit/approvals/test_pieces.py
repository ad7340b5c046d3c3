"""What is asked for, cut into pieces: nothing is left out, what is grave comes first and takes longest."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tenuto.approvals.diff import DiffRefused, parse_diff
from tenuto.approvals.pieces import (
    FLOOR,
    PIECE_LINES,
    PIECE_MILLISECONDS_MAX,
    PIECES_MAX,
    PiecesRefused,
    entries_of,
    list_digest,
    piece_name,
    pieces_of,
)
from tenuto.documents import ApprovalCard, Finding, ImageChange, PlannedChange
from tenuto.events.base import PIECE_NAME_CHARACTERS_MAX

DIFF = """diff --git a/infra/network.tf b/infra/network.tf
index 3f1c2aa..9b07e41 100644
--- a/infra/network.tf
+++ b/infra/network.tf
@@ -1,2 +1,2 @@
-a = 1
+a = 2
 b = 1
diff --git a/src/shop.py b/src/shop.py
--- a/src/shop.py
+++ b/src/shop.py
@@ -1 +1,2 @@ def shop
 x = 1
+y = 2
\\ No newline at end of file
"""


def change(address: str = "aws_s3_bucket.a", actions: tuple[str, ...] = ("update",), **more: object) -> PlannedChange:
    return PlannedChange(address=address, type=address.split(".", maxsplit=1)[0], actions=actions, **({"before": {"a": 1}, "after": {"a": 2}} | more))


def card(**fields: object) -> ApprovalCard:
    return ApprovalCard(title="T", sentence="S", **fields)


def told(made: ApprovalCard, risks: tuple[str, ...] = ()) -> list[tuple[str, str]]:
    return [(piece.name, piece.risk) for piece in pieces_of(made, risks)]


def test_resources_images_files_and_the_sentence_in_the_order_of_risk():
    made = card(
        changes=(change(), change("aws_iam_role.x", risks=("iam",)), change("aws_db.y", ("delete",)), change("aws_db.z", ("no-op",))),
        images=(ImageChange(name="shop", before="a", after="b"),), diff=DIFF, plan_text="Plan: 1 to add",
    )  # fmt: skip
    assert told(made) == [
        ("aws_iam_role.x", "grave"), ("aws_db.y", "grave"), ("image-shop", "elevated"), ("infra/network.tf", "elevated"),
        ("summary", "plain"), ("aws_s3_bucket.a", "plain"), ("src/shop.py", "plain"),
        ("aws_db.z", "none"), ("the-plan-as-the-tool-printed-it", "none"),
    ]  # fmt: skip


def test_no_request_is_without_a_piece_that_has_to_be_seen():
    assert told(card()) == [("summary", "plain")]
    assert all(piece.milliseconds >= FLOOR["plain"] for piece in pieces_of(card()))


def test_a_grave_risk_that_no_piece_shows_makes_the_summary_grave():
    assert told(card(), ("iam",)) == [("summary", "grave")]
    assert told(card(), ("production",)) == [("summary", "plain")]
    assert told(card(changes=(change("aws_iam_role.x", risks=("iam",)),)), ("iam",))[-1] == ("summary", "plain")


def test_a_printed_plan_without_its_resources_is_what_has_to_be_read():
    assert told(card(plan_text="Plan: 1 to destroy"))[0][1] == "grave"


@pytest.mark.parametrize(
    "other",
    [
        {"changes": (change(after={"a": 3}),)}, {"changes": (change(before={"a": 0}),)}, {"changes": (change("aws_s3_bucket.b"),)},
        {"changes": (change(actions=("create",)),)}, {"changes": ()},
    ],
)  # fmt: skip
def test_the_digest_of_a_piece_is_over_all_that_is_shown_of_it(other):
    one, another = pieces_of(card(changes=(change(),))), pieces_of(card(**other))
    assert list_digest(entries_of(one)) != list_digest(entries_of(another))


@pytest.mark.parametrize(
    "other", [{"verdict": "approve"}, {"verdict_reasoning": "x"}, {"findings": (Finding(tool="t", rule="r", severity="low", file="f", line=1, message="m"),)}]
)
def test_what_stands_above_the_pieces_is_in_the_summary(other):
    assert pieces_of(card())[0].digest != pieces_of(card(**other))[0].digest


def test_a_larger_and_a_graver_piece_takes_longer_up_to_a_limit():
    def least(attributes: int, **more: object) -> int:
        values = {f"a{number}": number for number in range(attributes)}
        made = pieces_of(card(changes=(change(before={}, after=values, **more),)))
        return next(piece.milliseconds for piece in made if piece.kind == "resource")

    small, large, grave, huge = least(1), least(20), least(20, risks=("iam",)), least(100_000, risks=("iam",))
    assert small < large < grave < huge == PIECE_MILLISECONDS_MAX


def test_a_long_file_is_cut_at_its_hunks_and_no_line_is_lost():
    hunks = [f"@@ -{n * 50 + 1},2 +{n * 50 + 1},22 @@\n a\n" + "".join(f"+{n}-{line}\n" for line in range(20)) + " b\n" for n in range(9)]
    diff = "--- a/x.py\n+++ b/x.py\n" + "".join(hunks)
    parts = [piece for piece in pieces_of(card(diff=diff)) if piece.kind == "file"]
    assert [piece.title for piece in parts] == [f"x.py ({number} of 5)" for number in range(1, 6)]
    assert "\n".join("\n".join(piece.lines) for piece in parts) + "\n" == diff
    assert all(len(piece.lines) <= PIECE_LINES for piece in parts)


def test_what_is_no_diff_is_one_grave_piece_of_all_of_it():
    text = "diff --git a/x b/x\n@@ -1 +1 @@\n-a\nsomething else\n"
    [piece] = [piece for piece in pieces_of(card(diff=text)) if piece.kind == "file"]
    assert (piece.risk, "\n".join(piece.lines)) == ("grave", text)


def test_the_most_pieces_are_cut_and_one_more_is_refused():
    many = tuple(change(f"aws_s3_bucket.b{number}") for number in range(PIECES_MAX))
    assert len(pieces_of(card(changes=many[:-1]))) == PIECES_MAX
    with pytest.raises(PiecesRefused, match="Split it"):
        pieces_of(card(changes=many))


@pytest.mark.parametrize(
    ("title", "name"),
    [('aws_iam_role.X["A"]', "aws_iam_role.x-a-"), ("../../etc/passwd", "etc/passwd"), ("\u202eevil", "evil"), ("", "piece"), ("x" * 200, "x" * 96)],
)
def test_a_name_fits_a_header_whatever_the_title(title, name):
    assert piece_name(title) == name
    assert len(name) <= PIECE_NAME_CHARACTERS_MAX


# --- the parser of diffs ------------------------------------------------------------------------------------------------------


def test_files_and_hunks_of_a_diff_as_git_writes_it():
    network, shop = parse_diff(DIFF)
    assert (network.path, len(network.hunks), network.heading[0]) == ("infra/network.tf", 1, "diff --git a/infra/network.tf b/infra/network.tf")
    assert (shop.path, shop.hunks[0][-1]) == ("src/shop.py", "\\ No newline at end of file")


@pytest.mark.parametrize(
    ("heading", "odd"),
    [("Binary file, 12 bytes at head, SHA-256 " + "a" * 64, True), ("Not a plain file: a symbolic link", True), ("new file mode 100755", True),
     ("new file mode 100644", False), ("rename from a.py", False)],
)  # fmt: skip
def test_notes_belong_to_their_file_and_say_when_it_is_more_than_text(heading, odd):
    [file] = parse_diff(f"diff --git a/a.py b/b.py\n{heading}\n")
    assert (file.odd, file.heading[1]) == (odd, heading)


@pytest.mark.parametrize(
    "text",
    [
        "hello", "@@ -1 +1 @@\n-a\n+b", "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a", "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n-b\n+c",
        "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n+c", "--- a/x\n+++ b/x\nlook here", "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n\\ a note\n+b",
        "--- a/x\n+++ b/x\n@@ -0,0 +1 @@\n+a\nindex 1234..5678", "--- a/x", "--- a/x\n+++ b/x\n@@ -99999999999 +1 @@\n+a",
    ],
)  # fmt: skip
def test_what_has_no_place_in_a_diff_is_refused_and_never_guessed(text):
    with pytest.raises(DiffRefused, match="line|Line"):
        parse_diff(text)


LINES = st.sampled_from(["diff --git a/x b/x", "--- a/x", "+++ b/x", "@@ -1 +1 @@", "@@ -1,2 +1 @@", "+a", "-a", " a", "", "\\ No newline at end of file"])


@settings(max_examples=200, deadline=None)
@given(st.lists(LINES, max_size=9))
def test_every_line_of_a_diff_is_in_exactly_one_piece_or_all_of_it_is_one(lines):
    text = "\n".join(lines) + "\n"
    pieces = [piece for piece in pieces_of(card(diff=text)) if piece.kind == "file"]
    shown = [line for piece in pieces for line in piece.lines]
    if text.strip():
        assert sorted(filter(None, shown)) == sorted(filter(None, lines)) or len(pieces) < len(parse_diff(text))


def test_the_change_of_the_sample_is_parsed_and_takes_seconds_not_minutes(tmp_path: Path):
    from tenuto_agents.change import read_change
    from tenuto_agents.sample import create_sample

    sample = create_sample(tmp_path / "shop")
    made = pieces_of(card(diff=read_change(sample.path, sample.base, sample.head).diff))
    assert all(piece.risk != "grave" for piece in made), "git's own output is a diff"
    assert sum(piece.milliseconds for piece in made) < 15_000
