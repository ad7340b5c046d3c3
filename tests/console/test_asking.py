"""No press is lost over what the page asks by itself, also where the browser is slow to send what was asked.

Streamlit gathers what is asked until the browser's next turn, and then asks in the name of one part only. On a busy machine
that turn comes late. Here it always does: each timer of no delay, as Streamlit's is, fires a third of a second after it is set.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.console import story
from tests.console.running import Console
from tests.console.test_browser import SECONDS_MAX

SLOW = """
const soon = window.setTimeout;
window.setTimeout = (work, ms, ...rest) => soon(work, ms > 0 ? ms : 300, ...rest);
"""
GATHERED = "Multiple different fragmentIds"
"""What Streamlit's front end says where it asks for one part in place of two."""
UNSENT = "window.tenutoReader?.unsent === true"


@pytest.fixture
def slow(browser: Any, console: Console) -> Iterator[tuple[Any, list[str]]]:
    """The inbox in a slow browser, and what Streamlit's front end complains of."""
    context = browser.new_context(viewport={"width": 1440, "height": 900}, reduced_motion="reduce")
    context.set_default_timeout(SECONDS_MAX * 1000)
    context.add_init_script(SLOW)
    page, said = context.new_page(), list[str]()
    page.on("console", lambda message: said.append(message.text))
    page.goto(f"{console.url}/inbox")
    page.get_by_text(story.PARTNER.title).first.wait_for()
    yield page, said
    context.close()


def asking(page: Any) -> None:
    """Wait until the page has asked for a part of itself, and what it asked is not sent yet."""
    page.wait_for_function(UNSENT, polling=10)


def test_the_parts_of_a_page_ask_one_after_the_other(slow: tuple[Any, list[str]]) -> None:
    page, said = slow
    for _ in range(3):
        asking(page)
        page.wait_for_function(f"!({UNSENT})", polling=10)
    assert not [one for one in said if GATHERED in one], said


def test_what_is_pressed_while_the_page_asks_is_done(slow: tuple[Any, list[str]]) -> None:
    page, said = slow
    asking(page)
    page.get_by_role("radio", name="All").first.click()
    page.get_by_role("radio", name="All", checked=True).first.wait_for()
    asking(page)
    page.locator("a.row").filter(has_text=story.PARTNER.title).click()
    page.get_by_text("1 of 8 is open").first.wait_for()
    page.get_by_text("Facts").first.wait_for()
    asking(page)
    page.get_by_role("button", name="Next piece").click()
    page.get_by_text("2 of 8 is open").first.wait_for()
    asking(page)
    page.keyboard.press("n")
    page.get_by_text("3 of 8 is open").first.wait_for()
    asking(page)
    page.keyboard.press("Control+Enter")
    page.get_by_text("A denial needs a reason").first.wait_for()
    asking(page)
    page.locator("a.crumb").click()
    page.get_by_role("radio", name="All", checked=True).first.wait_for()
    assert not [one for one in said if GATHERED in one], said
