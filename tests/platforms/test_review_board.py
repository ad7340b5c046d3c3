"""A real Review Board: what people publish there is reviewed as exactly that commit, and the verdict stands beside it."""

from __future__ import annotations

import subprocess
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from tenuto.errors import Busy, NotConfigured
from tenuto.events import DecisionMade
from tenuto_agents.change import initiator, read_change
from tenuto_agents.review_board import board
from tenuto_agents.review_board.board import ReviewBoard
from tenuto_agents.review_board.importing import Mirrored
from tenuto_agents.review_board.watching import Watch
from tenuto_agents.webhooks.answering import Answering
from tenuto_agents.webhooks.calling import PlatformRefused
from tenuto_agents.webhooks.memory import Memory

from tests.platforms.review_board import Person, ReviewBoardServer
from tests.unit.agents.doubles import World
from tests.unit.agents.repositories import Scratch

pytestmark = pytest.mark.timeout(900)  # once on a machine it is installed first
NUMBERS = count(1)


class Desk:
    """A repository that people work on, its mirror here, and a watch over the requests addressed to our account."""

    def __init__(self, server: ReviewBoardServer, author: Person, folder: Path) -> None:
        number = next(NUMBERS)
        self.author, self.ours, self.name = author, server.add_user(f"tenuto-{number}"), f"shop-{number}"
        self.work = Scratch(folder / "work")
        self.upstream = folder / "upstream" / f"{self.name}.git"
        self.mirror = folder / "mirrors" / f"{self.name}.git"
        self.work.git("clone", "-q", "--bare", str(self.work.path), str(self.upstream))
        self.work.git("clone", "-q", "--mirror", str(self.upstream), str(self.mirror))
        self.base = self.work.base
        server.add_repository(self.name, self.upstream)
        self.folder, self.address, self.token = folder, server.address, self.ours.token()
        self.submitted: list[tuple[Path, str, str, str]] = []
        self.away = False
        self.watch = self.open_again()

    def open_again(self) -> Watch:
        """The watch after a restart: all it knows is in its file."""
        self.memory = Memory(self.folder / "state" / "memory.sqlite")
        asked, mirrored = ReviewBoard(self.token, self.address), Mirrored(self.folder / "mirrors", protocols=("file",))
        self.watch = Watch(asked, self.memory, mirrored, self.submit)
        return self.watch

    def submit(self, *asked: Any) -> str:
        if self.away:
            raise Busy("no receipt came")
        self.submitted.append(asked)
        return f"pr-{self.name}-{len(self.submitted)}"

    def diff(self, files: dict[str, str], base: str | None = None) -> bytes:
        """What `rbt post` would send of these files changed on `base`."""
        self.work.git("checkout", "-q", "--detach", base or self.base)
        head = self.work.commit(files)
        command = ["git", "-C", str(self.work.path), "diff", "--full-index", "--binary", "--no-renames", base or self.base, head]
        return subprocess.run(command, capture_output=True, check=True).stdout

    def ask(self, diff: bytes, *, base: str | None = "", **more: str) -> int:
        return self.author.ask(self.name, self.ours.name, self.base if base == "" else base, diff, **more)

    def decide(self, verdict: str, **more: Any) -> None:
        """The review's verdict on the last submission is in the ledger."""
        world, run = World(), f"pr-{self.name}-{len(self.submitted)}"
        fields = {"verdict": verdict, "model": "m", "subject": "commit", "subject_digest": "c" * 64, "run": run}
        world.add(DecisionMade, "code-review", None, **(fields | more))
        Answering(self.memory, self.watch).take(world.entries)

    def approved(self, number: int) -> bool:
        """Whether Review Board itself says that the request may go in."""
        return bool(self.author.get(f"review-requests/{number}/")["review_request"]["approved"])


@pytest.fixture(scope="session")
def author(server: ReviewBoardServer) -> Person:
    return server.add_user("mallory")


@pytest.fixture
def desk(server: ReviewBoardServer, author: Person, tmp_path: Path) -> Desk:
    return Desk(server, author, tmp_path)


def test_a_published_diff_is_submitted_as_one_commit_on_its_base_by_whoever_uploaded_it(desk: Desk) -> None:
    number = desk.ask(desk.diff({"shop/cart.py": "total = 1\n", "README.md": "a shop\n"}), summary="Count\u202e the cart")
    assert desk.watch.look() == 1
    ((path, base, head, title),) = desk.submitted
    assert (path, base) == (desk.mirror, desk.base)
    change = read_change(path, base, head, title=title)
    assert {file.path: file.after for file in change.files} == {"shop/cart.py": b"total = 1\n", "README.md": b"a shop\n"}
    assert initiator(change) == "mallory", "who asks may not approve, whatever a commit says"
    assert desk.memory.unanswered(f"pr-{desk.name}-1").number == number  # type: ignore[union-attr]
    desk.open_again()
    assert desk.watch.look() == 0, "and once, also after a restart"


@pytest.mark.parametrize(
    ("verdict", "more", "ship"),
    [("approve", {}, True), ("reject", {}, False), ("comment", {}, False), ("approve", {"diverges": True, "findings": 2}, False)],
)
def test_the_verdict_stands_beside_the_diff_and_only_an_undisputed_approval_ships_it(
    desk: Desk, verdict: str, more: dict[str, Any], ship: bool
) -> None:
    number = desk.ask(desk.diff({"a.py": "x = 1\n"}))
    desk.watch.look()
    desk.decide(verdict, **more)
    desk.decide(verdict, **more)
    ((name, shipped, text),) = desk.author.reviews(number)
    assert (name, shipped, desk.approved(number)) == (desk.ours.name, ship, ship)
    assert f"`tenuto replay pr-{desk.name}-1` shows it" in text
    if not ship and verdict != "comment":
        desk.author.post(f"review-requests/{number}/reviews/", body_top="fine by me", ship_it=1, public=1)
        assert not desk.approved(number), "the open issue stands in the way of somebody else's approval"


def test_an_approval_of_a_diff_that_was_replaced_is_not_posted_and_the_new_one_is_reviewed(desk: Desk) -> None:
    number = desk.ask(desk.diff({"a.py": "x = 1\n"}))
    desk.watch.look()
    desk.author.publish(number, desk.base, desk.diff({"a.py": "import os; os.system('id')\n"}))
    desk.decide("approve")
    assert desk.author.reviews(number) == []
    assert desk.watch.look() == 1
    assert desk.submitted[0][2] != desk.submitted[1][2]
    desk.decide("approve")
    assert [shipped for _, shipped, _ in desk.author.reviews(number)] == [True]


def test_without_looking_at_the_newest_diff_the_replaced_one_would_ship(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    number = desk.ask(desk.diff({"a.py": "x = 1\n"}))
    desk.watch.look()
    head = desk.submitted[0][2]
    desk.author.publish(number, desk.base, desk.diff({"a.py": "import os; os.system('id')\n"}))
    monkeypatch.setattr(desk.watch, "head", lambda *_: head)
    desk.decide("approve")
    assert [shipped for _, shipped, _ in desk.author.reviews(number)] == [True]


def test_a_base_that_was_pushed_since_is_fetched(desk: Desk) -> None:
    newer = desk.work.commit({"later.py": "y = 2\n"})
    desk.work.git("push", "-q", str(desk.upstream), f"{newer}:refs/heads/main")
    desk.ask(desk.diff({"a.py": "x = 1\n"}, newer), base=newer)
    assert desk.watch.look() == 1
    assert desk.submitted[0][1] == newer


def test_a_mirror_that_cannot_be_brought_up_to_date_holds_up_nothing_else_and_is_tried_again(desk: Desk) -> None:
    newer = desk.work.commit({"later.py": "y = 2\n"})
    desk.work.git("push", "-q", str(desk.upstream), f"{newer}:refs/heads/main")
    desk.ask(desk.diff({"a.py": "x = 1\n"}))
    desk.ask(desk.diff({"b.py": "x = 1\n"}, newer), base=newer)
    mirror = f"--git-dir={desk.mirror}"
    desk.work.git(mirror, "config", "remote.origin.url", str(desk.folder / "nowhere.git"))
    assert desk.watch.look() == 1
    assert desk.submitted[0][1] == desk.base
    desk.work.git(mirror, "config", "remote.origin.url", str(desk.upstream))
    assert desk.watch.look() == 1
    assert desk.submitted[1][1] == newer


def test_the_newest_of_more_diffs_than_a_page_holds_is_the_one_that_counts(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(board, "PAGE", 2)
    number = desk.ask(desk.diff({"a.py": "x = 0\n"}))
    for value in (1, 2, 3):
        desk.author.publish(number, desk.base, desk.diff({"a.py": f"x = {value}\n"}))
    assert desk.watch.look() == 1
    change = read_change(desk.mirror, desk.base, desk.submitted[0][2])
    assert [file.after for file in change.files] == [b"x = 3\n"]
    monkeypatch.setattr(board, "REVISIONS_MAX", 4)
    with pytest.raises(PlatformRefused, match="4 diffs or more"):
        desk.watch.head(desk.name, number)


def test_what_cannot_be_reviewed_is_said_once_and_blocks(desk: Desk) -> None:
    unborn = "1" * 40
    for base, diff, sentence in (
        (None, desk.diff({"a.py": "x = 1\n"}), "does not say which commit it was made from"),
        (unborn, desk.diff({"a.py": "x = 2\n"}), f"has no commit {unborn}"),
    ):
        number = desk.ask(diff, base=base)
        for _ in range(2):
            assert desk.watch.look() == 0
            desk.open_again()
        ((name, shipped, text),) = desk.author.reviews(number)
        assert (name, shipped) == (desk.ours.name, False)
        assert sentence in text
    assert desk.submitted == []


def test_a_diff_reaches_nothing_but_the_tree_of_its_repository(desk: Desk, tmp_path: Path) -> None:
    """The platform takes these from anybody; git refuses them when they are applied."""
    for path in ("../../outside.py", ".git/hooks/post-update", "a/../../outside.py", str(tmp_path / "outside.py").lstrip("/") + "/../../../x"):
        diff = f"diff --git a/{path} b/{path}\nnew file mode 100755\nindex {'0' * 40}..{'1' * 40}\n--- /dev/null\n+++ b/{path}\n@@ -0,0 +1 @@\n+x\n"
        number = desk.ask(diff.encode())
        assert desk.watch.look() == 0
        assert "does not fit" in desk.author.reviews(number)[0][2]
    assert not list(tmp_path.rglob("outside.py"))
    assert not (desk.mirror / "hooks" / "post-update").exists()


def test_a_repository_without_a_mirror_is_not_fetched_from_anywhere(desk: Desk) -> None:
    desk.mirror.rename(desk.folder / "elsewhere.git")
    number = desk.ask(desk.diff({"a.py": "x = 1\n"}))
    assert desk.watch.look() == 0
    assert "no mirror of this repository" in desk.author.reviews(number)[0][2]


def test_a_look_that_was_cut_off_is_taken_up_again(desk: Desk) -> None:
    desk.ask(desk.diff({"a.py": "x = 1\n"}))
    desk.away = True
    with pytest.raises(Busy):
        desk.watch.look()
    desk.open_again()
    desk.away = False
    assert desk.watch.look() == 1


def test_a_review_that_was_cut_off_before_it_was_published_gives_way_to_the_next(desk: Desk) -> None:
    number = desk.ask(desk.diff({"a.py": "x = 1\n"}))
    desk.watch.look()
    half = desk.ours.post(f"review-requests/{number}/reviews/", body_top="half", ship_it=0)["review"]["id"]
    desk.ours.post(f"review-requests/{number}/reviews/{half}/general-comments/", text="changes", issue_opened=1)
    desk.decide("approve")
    assert [(shipped, "tenuto replay" in text) for _, shipped, text in desk.author.reviews(number)] == [(True, True)]
    assert desk.approved(number), "nothing of what was cut off is left"


def test_a_request_for_somebody_else_and_a_token_of_nobody_are_none_of_ours(desk: Desk) -> None:
    desk.author.ask(desk.name, "admin", desk.base, desk.diff({"a.py": "x = 1\n"}))
    assert desk.watch.look() == 0
    with pytest.raises(PlatformRefused):
        list(ReviewBoard(b"rbp_" + b"x" * 40, desk.address).waiting())
    with pytest.raises(NotConfigured, match="https"):
        ReviewBoard(b"t", "http://reviews.example")
