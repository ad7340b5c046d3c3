"""The console in a real browser: every page is there in words, a stranger's text stays text, a decision is signed once."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from tenuto.approvals.coverage import first_coverage, next_coverage
from tenuto.documents import Reason
from tenuto.events.approval import ApprovalOpened, ApprovalSigned, ApprovalViewed
from tenuto.events.spotcheck import SpotcheckSigned

from tests.console import hostile, story
from tests.console.planted import Planted, digest
from tests.console.running import Console

SECONDS_MAX = 120.0
WINDOW = {"width": 1440, "height": 900}
BROKEN = re.compile("Traceback|Error:|Exception|Uncaught|Page not found|This app has encountered an error")
WAITING = "worker-scale-1"


@dataclass
class Visit:
    """One reader's visit, and what went wrong or out of the house on the way."""

    page: Any
    console: Console
    defects: list[str] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)

    def goto(self, address: str) -> None:
        self.page.goto(self.console.url + address)

    def sees(self, *texts: str) -> None:
        from playwright.sync_api import expect

        for text in texts:
            expect(self.page.get_by_text(text).filter(visible=True).first).to_be_visible()

    def note_request(self, url: str) -> None:
        if not url.startswith((self.console.url, self.console.url.replace("http", "ws"), "data:", "blob:")):
            self.strangers.append(url)

    def demand_whole(self) -> None:
        assert not self.defects, self.defects
        assert not self.strangers, self.strangers
        assert not BROKEN.search(self.page.inner_text("body")), self.page.inner_text("body")
        assert "Traceback" not in self.console.log(), self.console.log()


@pytest.fixture(scope="module")
def context(browser: Any) -> Iterator[Any]:
    """One profile for all visits, so that the front end is loaded once."""
    from playwright.sync_api import expect

    expect.set_options(timeout=SECONDS_MAX * 1000)
    opened = browser.new_context(viewport=WINDOW, reduced_motion="reduce")
    opened.set_default_timeout(SECONDS_MAX * 1000)
    yield opened
    opened.close()


@pytest.fixture
def visit(context: Any, console: Console, tmp_path: Path) -> Iterator[Visit]:
    page = context.new_page()
    made = Visit(page, console)
    page.on("pageerror", lambda error: made.defects.append(str(error)))
    page.on("request", lambda request: made.note_request(request.url))
    yield made
    page.screenshot(path=tmp_path / "last.png")
    page.close()


def asked(told: Planted, name: str, risks: tuple[str, ...]) -> None:
    """One more request, now, which is over soon."""
    told.now = max(told.now, datetime.now(UTC))
    story.request(told, story.Ask(name, f"run-{name}", name, f"{name} is what changes.", risks=risks, minutes=2))


@pytest.mark.parametrize(
    ("address", "texts"),
    [
        ("/", ("What agents may only do when a person clears it", story.PARTNER.title)),
        ("/inbox", (story.PARTNER.title, "Remove the retired staging cluster", "INSECURE DEMO SIGNER")),
        (f"/review?approval={story.GRAVEST}", ("Your decision", story.PARTNER.sentence, "aws_db_instance.ledger_replica", "Deleted and made anew")),
        ("/spotchecks", ("Approvals that were drawn", "Let payments write its reports", "Overdue")),
        ("/reviewers", ("Load now", "second-reviewer", "too few to judge")),
        ("/policy", ("The rules below are this bundle's", "tells a permitted request from a stranger's", "infrastructure.deletes")),
        ("/runs", ("Each change on its way", "Limit requests per partner")),
        (f"/runs?run={story.SHIPPED}", ("Succeeded", "Pull request", "Timeline", "deployment.healthy")),
        ("/alerts", ("tool-without-review",)), ("/fleet", ("second-reviewer", "Answers for it")),
        ("/integrity", ("The log holds", "The signature holds over the stored bytes", "Witnesses cosigned it", "tenuto verify")),
    ],
)  # fmt: skip
def test_every_address_is_a_page_in_words(address: str, texts: tuple[str, ...], visit: Visit) -> None:
    visit.goto(address)
    visit.sees(*texts)
    visit.demand_whole()


def test_the_nine_steps_stand_numbered_on_the_integrity_page(visit: Visit) -> None:
    from playwright.sync_api import expect

    visit.goto("/integrity")
    expect(visit.page.locator(".tick .number")).to_have_text([str(step) for step in range(1, 10)])


def test_a_reader_who_walks_about_is_never_left_before_an_empty_page(visit: Visit) -> None:
    visit.goto("/inbox")
    for _ in range(2):
        visit.page.locator("a.row").filter(has_text=story.PARTNER.title).click()
        visit.sees("Your decision", "Deleted and made anew")
        visit.page.locator("a.crumb").click()
        visit.sees("Remove the retired staging cluster")
        visit.page.get_by_role("link", name="Fleet").click()
        visit.sees("second-reviewer")
        visit.page.go_back()
        visit.sees("Remove the retired staging cluster")
    visit.demand_whole()


def test_what_a_hostile_agent_writes_is_shown_and_does_nothing(visit: Visit) -> None:
    visit.goto(f"/review?approval={hostile.NAME}")
    visit.sees("Your decision", hostile.SCRIPT)
    visit.page.get_by_role("tab", name="Code diff").click()
    visit.sees("hidden characters, written out")
    assert visit.page.evaluate("window.pwned") is None
    assert visit.page.evaluate("document.querySelectorAll('img[src*=x], a[href*=evil]').length") == 0
    assert visit.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), "long text widens the page"
    visit.demand_whole()


def test_a_click_opens_the_request_although_the_list_was_redrawn_under_the_finger(visit: Visit, told: Planted) -> None:
    from playwright.sync_api import expect

    visit.goto("/inbox")
    row = visit.page.locator("a.row").filter(has_text="Let the CI role read")
    row.hover()
    visit.page.mouse.down()
    waiting = visit.page.locator(".figure .value").first
    before = waiting.inner_text()
    asked(told, "slow-finger-1", ())
    expect(waiting).not_to_have_text(before)
    visit.page.wait_for_timeout(300)  # the list comes right after the figures, and waits for the finger
    visit.page.mouse.up()
    visit.sees("Your decision", "The role ci-runner gains s3:GetObject")
    visit.demand_whole()


def test_the_keyboard_stays_on_its_request_when_a_graver_one_comes_in_above_it(visit: Visit, told: Planted) -> None:
    from playwright.sync_api import expect

    visit.goto("/inbox")
    row = visit.page.locator("a.row").filter(has_text="Shorten the TTL")
    row.focus()
    asked(told, "graver-1", ("deletion",))
    visit.sees("graver-1 is what changes")
    expect(row).to_be_focused()
    visit.demand_whole()


def test_the_view_that_was_chosen_is_still_chosen_after_a_review(visit: Visit) -> None:
    visit.goto("/inbox")
    visit.page.get_by_role("radio", name="Waiting").first.click()
    visit.page.locator("a.row").filter(has_text=story.PARTNER.title).click()
    visit.sees("Your decision")
    visit.page.locator("a.crumb").click()
    visit.page.get_by_role("radio", name="Waiting", checked=True).first.wait_for()


def test_whoever_is_forestalled_is_told_so_and_led_on_by_two_keys(visit: Visit, told: Planted) -> None:
    asked(told, "both-look-1", ())
    visit.goto("/review?approval=both-look-1")
    visit.sees("Your decision", "Nobody has decided yet.")
    told.write("second-reviewer", ApprovalSigned, Reason(text="No."), approval="both-look-1", digest=digest("both-look-1"), decision="deny")
    visit.sees("Nothing is left to decide here", "It was denied.", "Nothing more lies on your desk")
    visit.page.keyboard.press("j")
    visit.page.keyboard.press("Enter")
    visit.sees("What agents may only do when a person clears it")
    visit.demand_whole()


def looked_at(visit: Visit, approval: str) -> list[ApprovalViewed]:
    """What the console has measured of a request, once it has recorded something."""
    deadline = monotonic() + SECONDS_MAX
    while monotonic() < deadline:
        found = [one for one, _ in visit.console.signed() if isinstance(one, ApprovalViewed) and one.approval == approval]
        if found:
            return found
        visit.page.wait_for_timeout(100)
    raise AssertionError("the console recorded no view")


def coverage_of(views: list[ApprovalViewed]) -> str:
    coverage = first_coverage(views[0].approval, views[0].digest, story.REVIEWER)
    for view in views:
        coverage = next_coverage(coverage, view.piece, view.milliseconds)
    return coverage


def test_the_pieces_are_opened_one_by_one_gravest_first(visit: Visit) -> None:
    visit.goto(f"/review?approval={story.GRAVEST}")
    visit.sees("Deleted and made anew", "aws_db_instance.ledger_replica")
    visit.page.get_by_role("button", name="Next piece").click()
    visit.sees("Who can reach it", "aws_security_group.payments_api")
    views = looked_at(visit, story.GRAVEST)
    assert views[0].reviewer == story.REVIEWER
    assert views[0].milliseconds > 0
    visit.demand_whole()


def test_the_keyboard_alone_opens_walks_the_pieces_and_decides(visit: Visit) -> None:
    from playwright.sync_api import expect

    visit.goto("/inbox")
    visit.sees(story.PARTNER.title)
    visit.page.keyboard.press("j")
    visit.page.keyboard.press("Enter")
    visit.sees("1 of 8 is open", "Facts")  # the facts are drawn last: whatever keys press is there before them
    visit.page.keyboard.press("n")  # the open piece lies below the edge of the window: it is shown before the next one is
    expect(visit.page.get_by_text("storage_encrypted").filter(visible=True).first).to_be_in_viewport()
    visit.sees("1 of 8 is open")
    visit.page.keyboard.press("n")
    visit.sees("2 of 8 is open", "aws_security_group.payments_api")
    expect(visit.page.get_by_text("partner network, ticket PAY-1182").filter(visible=True).first).to_be_in_viewport()
    visit.page.keyboard.press("p")
    visit.sees("1 of 8 is open")
    visit.page.keyboard.press("r")
    expect(visit.page.get_by_label("Reason")).to_be_focused()
    expect(visit.page.get_by_label("Reason")).to_be_in_viewport()
    visit.page.keyboard.press("Escape")
    expect(visit.page.get_by_label("Reason")).not_to_be_focused()
    visit.page.keyboard.press("Control+Enter")
    visit.sees("A denial needs a reason")
    visit.demand_whole()


def test_a_second_look_is_measured_signed_once_and_stands_in_the_ledger(visit: Visit, told: Planted) -> None:
    from playwright.sync_api import expect

    visit.goto(f"/spotchecks?approval={story.OVERDUE}")
    visit.sees("Your second look", "tenuto spotcheck verify reports-1", "the 24 hours for it ended")
    expect(visit.page.get_by_role("button", name=re.compile("^Agree"))).to_be_disabled()
    for view in looked_at(visit, story.OVERDUE):
        told.take(view)
    visit.sees("On record.")
    visit.page.get_by_label("Reason").fill("Only the reports bucket, as lena says.")
    visit.page.get_by_role("button", name=re.compile("^Agree")).click()
    visit.sees("Your agreement is signed and on its way to the ledger")
    [(signed, reason)] = [one for one in visit.console.signed() if isinstance(one[0], SpotcheckSigned)]
    assert (signed.author, signed.approval, signed.digest, signed.finding) == (story.REVIEWER, story.OVERDUE, digest(story.OVERDUE), "agree")
    told.take(signed, reason)
    visit.sees("demo agrees", "Only the reports bucket, as lena says.")
    visit.goto("/reviewers")
    visit.sees("1 of 1", "agreed")
    visit.demand_whole()


def test_a_denial_without_a_reason_is_answered_in_words_that_stay(visit: Visit) -> None:
    visit.goto("/review?approval=cleanup-1")
    visit.page.get_by_role("button", name="Deny").click()
    visit.sees("A denial needs a reason")
    visit.page.wait_for_function("before => Date.now() - before > 2800", arg=visit.page.evaluate("Date.now()"))
    visit.sees("A denial needs a reason", "Your decision")
    assert not any(isinstance(event, ApprovalSigned) and event.approval == "cleanup-1" for event, _ in visit.console.signed())


def test_an_approval_is_signed_once_and_stands_as_on_its_way_until_the_ledger_has_it(visit: Visit, told: Planted) -> None:
    from playwright.sync_api import expect

    visit.goto(f"/review?approval={WAITING}")
    visit.sees("What you have seen")
    expect(visit.page.get_by_role("button", name="Approve")).to_be_disabled()
    views = looked_at(visit, WAITING)
    for view in views:
        told.take(view)
    visit.sees("On record.")
    expect(visit.page.get_by_role("button", name="Approve")).to_be_enabled()
    visit.page.get_by_label("Reason").fill("Six replicas fit the quota; I checked it.")
    visit.page.get_by_role("button", name="Approve").click()
    visit.sees("Your approval is signed and on its way to the ledger")
    visit.goto(f"/review?approval={WAITING}")  # neither a reload nor another tab may ask again
    visit.sees("on its way to the ledger")
    expect(visit.page.get_by_role("button", name="Approve")).to_have_count(0)

    about = [(event, reason) for event, reason in visit.console.signed() if getattr(event, "approval", "") == WAITING]
    assert isinstance(about[0][0], ApprovalOpened)
    assert (about[0][0].author, about[0][0].reviewer) == ("console", story.REVIEWER)
    [(signed, reason)] = [(event, reason) for event, reason in about if isinstance(event, ApprovalSigned)]
    assert (signed.author, signed.decision, signed.digest) == (story.REVIEWER, "approve", digest(WAITING))
    assert signed.coverage == coverage_of(views)
    told.take(signed, reason)
    visit.sees("Your approval is in the ledger", "Six replicas fit the quota; I checked it.", "1 of 1", "Back to the inbox")
    visit.demand_whole()
