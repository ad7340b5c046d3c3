"""Diff, plan and paper: what is cut, grouped and written out, before a browser sees it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tenuto.documents import PlannedChange
from tenuto_dashboard.diff import Line, cut
from tenuto_dashboard.hands import Hand
from tenuto_dashboard.masthead import LAG_SECONDS_MAX, alarm, masthead
from tenuto_dashboard.plan import OTHERS, differences, group_of, plan_view
from tenuto_dashboard.session import Snapshot
from tenuto_dashboard.sheet import Node, box, link, visible
from tenuto_projections.integrity import Integrity
from tenuto_projections.walked import FAILED, Tick

from tests.console.story import CHANGES, DIFF

NOW = datetime(2026, 3, 1, 3, 0, tzinfo=UTC)


def words(node: Node | str) -> str:
    """All text of a tree, in order."""
    return node if isinstance(node, str) else "\n".join(words(child) for child in node.children)


def test_a_diff_is_cut_into_files_with_their_counts() -> None:
    network, limits = cut(DIFF)
    assert (network.path, network.added, network.removed) == ("infra/network.tf", 9, 2)
    assert (limits.path, limits.added, limits.removed) == ("services/payments/limits.py", 3, 1)


def test_lines_carry_their_numbers_on_both_sides() -> None:
    network, _ = cut(DIFF)
    assert network.lines[1] == Line(" ", 12, 12, '  name   = "payments-api"')
    assert Line("-", 16, None, '    description = "office network"') in network.lines
    assert Line("+", None, 16, '    description = "partner network, ticket PAY-1182"') in network.lines


def test_a_removed_line_that_looks_like_a_file_header_stays_a_line() -> None:
    [file] = cut("--- a/x.sql\n+++ b/x.sql\n@@ -1,2 +1,1 @@\n--- a comment\n keep\n")
    assert (file.path, file.removed) == ("x.sql", 1)
    assert Line("-", 1, None, "-- a comment") in file.lines


@given(st.text(alphabet="+-@ ab\\\n\tdiff gt/,0123456789", max_size=300))
def test_no_line_with_text_is_ever_lost(diff: str) -> None:
    shown = "\n".join(file.path + "\n" + "\n".join(line.text for line in file.lines) for file in cut(diff))
    for text in diff.split("\n"):
        rest = text.lstrip("+-@ \\").removeprefix("diff --git ").removeprefix("a/").removeprefix("b/").split("\t", 1)[0].strip()
        assert rest in shown or rest == "/dev/null", (text, shown)


@pytest.mark.parametrize("diff", ["", "not a diff at all", "@@ -1,900 +1,900 @@\n+x", "+++ b/only\n", "diff --git "])
def test_what_is_no_diff_is_shown_as_it_stands(diff: str) -> None:
    cut(diff)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\u202eb", "a\u27e8U+202E\u27e9b"), ("\u2066x\u2069", "\u27e8U+2066\u27e9x\u27e8U+2069\u27e9"), ("zero\u200bwidth", "zero\u27e8U+200B\u27e9width"),
        ("\x1b[31mred", "\u27e8U+001B\u27e9[31mred"), ("line\nnext\tcell", "line\nnext\tcell"), ("caf\u00e9 \u4e2d\u6587", "caf\u00e9 \u4e2d\u6587"),
    ],
)  # fmt: skip
def test_what_cannot_be_seen_is_written_out(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_every_text_of_a_tree_is_written_out_on_its_way_to_the_browser() -> None:
    plain = box("panel", "a\u202e", box("", "b\u200b"), title="c\u2066").plain()
    assert "\u202e" not in str(plain)
    assert "\u200b" not in str(plain)
    assert "\u2066" not in str(plain)


def test_a_link_carries_only_quoted_parameters() -> None:
    node = link("row", "x", page="review", approval='a"><script>&b=c')
    assert node.marks["href"] == "review?approval=a%22%3E%3Cscript%3E%26b%3Dc"


def test_the_gravest_change_comes_first() -> None:
    text = words(plan_view(CHANGES))
    order = [text.index(change.address) for change in CHANGES]
    assert order == sorted(order)


@pytest.mark.parametrize(
    ("actions", "risks", "group"),
    [
        (("delete",), (), "Deleted"), (("delete", "create"), (), "Deleted and made anew"), (("create",), (), OTHERS),
        (("update",), ("iam",), "Who may do what"), (("update",), ("iam", "security_group"), "Who can reach it"),
    ],
)  # fmt: skip
def test_a_change_stands_under_its_gravest_risk_named_or_not(actions: tuple[str, ...], risks: tuple[str, ...], group: str) -> None:
    assert group_of(PlannedChange(address="a", type="t", actions=actions, risks=risks)) == group


@pytest.mark.parametrize(
    ("before", "after", "rows"),
    [
        ({"a": 1, "b": 2}, {"a": 1, "b": 3}, [("b", "2", "3")]),
        (None, {"a": "x"}, [("a", None, "x")]),
        ({"a": "x"}, None, [("a", "x", None)]),
        ({"n": {"x": 1, "y": 2}}, {"n": {"x": 1, "y": 3}}, [("n.y", "2", "3")]),
        ({"o": {"x": 1}}, {"o": "(known after apply)"}, [("o", '{"x":1}', "(known after apply)")]),
        ({"a": None}, {}, [("a", "null", None)]),
        ({"a": ""}, {"a": " "}, [("a", '""', " ")]),
    ],
)
def test_each_attribute_that_differs_is_one_row(before: Any, after: Any, rows: Any) -> None:
    assert differences(before, after) == rows


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "live, verified"), ({"lag_seconds": LAG_SECONDS_MAX}, "live, verified"), ({"lag_seconds": LAG_SECONDS_MAX + 1}, "behind"),
        ({"checked_at": NOW - timedelta(seconds=LAG_SECONDS_MAX + 1)}, "not checked any more"),
        ({"ticks": (Tick(3, "t", FAILED, "s"),)}, "verification failed"),
    ],
)  # fmt: skip
def test_the_masthead_claims_no_more_than_was_checked(changes: dict[str, Any], said: str) -> None:
    whole: dict[str, Any] = {
        "size": 9, "head_size": 9, "checkpoint_size": 9, "root": "r", "note": "n", "checked_at": NOW, "lag_events": 0, "lag_seconds": 0.0,
        "ticks": (), "refused": 0, "equivocations": 0, "gaps": 0, "lost": 0, "purged": 0,
    }  # fmt: skip
    here = Integrity(**(whole | changes))
    assert said in words(masthead(Snapshot(here, 0, None, Hand("key")), "origin", NOW))
    assert (alarm(here, NOW) is None) == (said == "live, verified")
