"""A flood of requests and three people who review them, on real parts: what `test_flood` and the soak test stand on.

The processes of `tenuto up` run on a database and a broker of their own, an agent asks at its gate, and three people open
what lies on their desks in a browser, look at it, and approve or deny by clicking. The hour over which a cap slides passes
because the clock of all these processes is set ahead (`set_clock`); no event is made up or moved.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import Any

from tenuto.approvals import Standing
from tenuto.approvals.desk import Desk
from tenuto.approvals.routing import Waits, moves
from tenuto.cli.up import own_people, start_road
from tenuto.documents import Reason, from_payload
from tenuto.embedded import EmbeddedBroker
from tenuto.embedded.child import Child, Plan, free_port
from tenuto.errors import Busy
from tenuto.events import ApprovalAssigned, Event
from tenuto.following import Follower
from tenuto.registering import Enrolment
from tenuto.settings import Settings
from tenuto.supervising import Platform, environment
from tenuto.verification import Verified
from tenuto.wiring import open_follower
from tenuto_dashboard.commands import command_line

from tests.conftest import Database
from tests.end_to_end.conftest import tenuto
from tests.end_to_end.flooding import AGENT, REVIEWERS
from tests.end_to_end.set_clock import SetClock

ROOT = Path(__file__).parents[2]
SCRIPT = Path(__file__).with_name("flood_app.py")
CONSOLE_PART, AGENT_PART, COOKIE = "console", "agent", "reviewer"
PEOPLE = (Enrolment(AGENT, "agent", "ada"), *(Enrolment(name, "reviewer", name) for name in REVIEWERS))
HOUR = timedelta(minutes=60)
DENIES_EVERY = 3
SECONDS_MAX = 300.0
LOOK_SECONDS = 0.5
PIECE_SECONDS = 1.0
"""So long a person looks at a piece before the next; the least time of each is less than half of that."""
FREES = re.compile(r"Waits: .*The next place frees at \d\d:\d\d:\d\d UTC")
CLICK_MS, LOST_MS = 30_000, 120_000
SETTLED = "Nothing is left to decide here"
"""What the console says of a request that somebody else decided while it was being read."""
YOURS = '[data-key="Mine"] a.row'
"""What lies on the reader's own desk, once that list is drawn."""


@dataclass
class Flood:
    """The road at work. `desk` is the fold of the test's own follower, which recomputes all that it looks at."""

    platform: Platform
    clock: SetClock
    follower: Follower
    stack: ExitStack
    desk: Desk = field(default_factory=Desk)
    events: list[Verified] = field(default_factory=list)
    reviewed: dict[str, list[str]] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    """Who clicked on the way back to the inbox, and had to click again."""
    told: bool = False
    """Whether somebody has read on a page, since the clock was last set, until when a request waits."""

    @property
    def over(self) -> bool:
        """Whether everything was decided, and what people cleared was executed."""
        approvals, now = self.desk.approvals, self.clock.now()
        return all(approvals.standing(name, now).state not in ("open", "granted") for name in approvals.requests())

    @property
    def settings(self) -> Settings:
        return self.platform.settings

    @property
    def executed(self) -> Path:
        return self.settings.home / "executed"

    def start(self, name: str, *command: str) -> None:
        """Start a process of the test's own beside the road, by the same clock."""
        given = {**environment(self.settings), **self.clock.environment, "STREAMLIT_SERVER_COOKIE_SECRET": "f" * 64}
        own = given | {"PYTHONPATH": os.pathsep.join([given["PYTHONPATH"], str(ROOT)])}
        log = self.settings.home / "logs" / f"{name}.log"
        self.stack.callback(Child(Plan((sys.executable, *command), log, environment=own)).stop)

    def look(self) -> None:
        """Take in what was signed since the last look."""
        self.platform.demand_running()
        try:
            for page in self.follower.pages():
                for verified in page:
                    self.desk.apply(verified)
                    self.events.append(verified)
        except Busy:
            return

    def assignments(self) -> list[ApprovalAssigned]:
        """What the router has recorded so far."""
        return [one.event for one in self.events if isinstance(one.event, ApprovalAssigned)]

    def reasons(self, events: Sequence[Event]) -> list[str]:
        """The sentences beside these events, opened with the storage key."""
        wanted = {event.id for event in events}
        found = [one for one in open_follower(self.settings, payloads=True).catch_up() if one.event.id in wanted]
        return [from_payload(one.payload, Reason).text for one in found if one.payload is not None]

    def undecided(self) -> list[Standing]:
        return list(self.desk.undecided(self.clock.now()))

    def waits(self) -> list[Waits]:
        """What waits although somebody should have it, as anybody can compute."""
        return [one for one in moves(self.desk, self.clock.now()) if isinstance(one, Waits)]

    def decisions(self) -> dict[str, list[datetime]]:
        """When each person made the decisions that count, oldest first."""
        approvals = self.desk.approvals
        found: dict[str, list[datetime]] = {name: [] for name in REVIEWERS}
        for name in approvals.requests():
            for vote in approvals.standing(name, self.clock.now()).votes:
                if vote.counts:
                    found[vote.owner].append(vote.recorded_at)
        return {name: sorted(moments) for name, moments in found.items()}

    def ask(self, *arguments: str) -> Any:
        """Run a command of the command line on what stands on record, by the same clock."""
        given = {name: value for name, value in environment(self.settings).items() if name.startswith("TENUTO_")}
        return tenuto(self.settings.home, *arguments, **given, **self.clock.environment)


@contextmanager
def flooded(home: Path, database: Database, count: int, per_hour: int) -> Iterator[Flood]:
    """Start the road, the console and the agent, who asks `count` times; each person decides `per_hour` times an hour."""
    clock = SetClock(home.parent / "ahead")
    with ExitStack() as stack:
        broker = stack.enter_context(EmbeddedBroker(home.parent / "broker"))
        settings = Settings(
            home=home, database_url=database.url(), kafka=broker.bootstrap, console_port=free_port(), receipt_seconds=SECONDS_MAX,
            seal_milliseconds=100,
        )  # fmt: skip
        platform = stack.enter_context(Platform(settings, lambda _: None, origin="tenuto.test/flood"))
        with clock.inherited():
            start_road(platform, [*own_people(), *PEOPLE])
        flood = Flood(platform, clock, open_follower(platform.settings, payloads=False), stack)
        limited = flood.ask("reviewer", "limit", "--per-hour", str(per_hour), "--escalate-seconds", "7200")
        assert limited.returncode == 0, limited.stderr
        flood.start(CONSOLE_PART, *command_line(platform.settings, SCRIPT)[1:])
        flood.start(AGENT_PART, "-m", "tests.end_to_end.flooding", str(count), str(flood.executed))
        yield flood


def review_everything(flood: Flood, browser: str, count: int) -> list[tuple[int, list[Waits]]]:
    """Let the three people review until nothing is left; return, for each hour, how many had decided and what waited."""
    return asyncio.run(_review_everything(flood, browser, count))


async def _review_everything(flood: Flood, browser: str, count: int) -> list[tuple[int, list[Waits]]]:
    from playwright.async_api import async_playwright

    from tests.console.running import FLAGS

    done = asyncio.Event()
    async with async_playwright() as playwright:
        program = await playwright.chromium.launch(executable_path=browser, args=list(FLAGS))
        people = [asyncio.create_task(_person(flood, program, name, done)) for name in REVIEWERS]
        hours = asyncio.create_task(_hours(flood, count))
        try:
            finished, _ = await asyncio.wait([hours, *people], return_when=asyncio.FIRST_COMPLETED)
            done.set()
            for task in finished:
                task.result()
            await asyncio.gather(*people)
        finally:
            for task in (hours, *people):
                task.cancel()
            await program.close()
        return hours.result()


async def _hours(flood: Flood, count: int) -> list[tuple[int, list[Waits]]]:
    """Whenever nobody has room for more, note what waits and set the clock ahead to when the next place frees."""
    hours: list[tuple[int, list[Waits]]] = []
    moved = monotonic()
    while True:
        await asyncio.to_thread(flood.look)
        asked, left = len(flood.desk.approvals.requests()), flood.undecided()
        if asked == count and flood.over:
            hours.append((sum(map(len, flood.decisions().values())), []))
            return hours
        waits = flood.waits()
        if asked == count and waits and len(waits) == len(left) and all(one.until for one in waits) and flood.told:
            hours.append((sum(map(len, flood.decisions().values())), waits))
            until = max(moments[-1] for moments in flood.decisions().values() if moments) + HOUR
            await asyncio.to_thread(flood.clock.put, flood.clock.ahead + (until - flood.clock.now()) + timedelta(seconds=1))
            moved, flood.told = monotonic(), False
        assert monotonic() - moved < SECONDS_MAX * 10, "nothing moved for a long time"
        await asyncio.sleep(LOOK_SECONDS)


async def _person(flood: Flood, browser: Any, name: str, done: asyncio.Event) -> None:
    """One person in a browser context of their own: take what lies on the desk, oldest on top, until all is done."""
    context = await browser.new_context(viewport={"width": 1440, "height": 1000}, reduced_motion="reduce")
    context.set_default_timeout(SECONDS_MAX * 1000)
    page = await context.new_page()
    address = f"http://{flood.settings.console_address}:{flood.settings.console_port}"
    await context.add_cookies([{"name": COOKIE, "value": name, "url": address}])
    try:
        await _review(flood, page, name, address, done)
    except Exception as error:
        with suppress(Exception):  # the browser itself may be gone
            await page.screenshot(path=flood.settings.home / f"{name}.png")
        raise AssertionError(f"{name} did not get on after {flood.reviewed.get(name)}: {error}") from error


async def _review(flood: Flood, page: Any, name: str, address: str, done: asyncio.Event) -> None:
    mine = flood.reviewed[name] = []
    await _open(page, address)
    await _view(page, "Mine")
    while not done.is_set():
        title = await _next_title(page, mine)
        if title is None:
            if not flood.told:
                await _view(page, "Waiting")
                await asyncio.sleep(LOOK_SECONDS)
                flood.told = any(FREES.search(text) for text in await page.locator("a.row").all_inner_texts())
                await _view(page, "Mine")
            await asyncio.sleep(LOOK_SECONDS)
            continue
        await page.locator("a.row").filter(has_text=title).first.click()
        await _decide(page, "Deny" if len(mine) % DENIES_EVERY == DENIES_EVERY - 1 else "Approve")
        mine.append(title)
        await _back(flood, page, name)


async def _back(flood: Flood, page: Any, name: str) -> None:
    """Go back to the inbox. Whoever gets nowhere clicks again, as a person does; that it was needed is noted."""
    from playwright.async_api import TimeoutError as TooLong

    await page.locator("a.crumb").click()
    while True:
        try:
            await page.get_by_role("radio", name="Mine", checked=True).first.wait_for(timeout=LOST_MS)
        except TooLong:
            flood.lost.append(name)
            await page.screenshot(path=flood.settings.home / f"{name}-lost.png")
            if await page.locator("a.crumb").count():
                await page.locator("a.crumb").click()
        else:
            return


async def _open(page: Any, address: str) -> None:
    deadline = monotonic() + SECONDS_MAX
    while True:
        try:
            await page.goto(f"{address}/inbox")
        except Exception as error:
            if "ERR_CONNECTION_REFUSED" not in str(error) or monotonic() > deadline:
                raise
            await asyncio.sleep(LOOK_SECONDS)
        else:
            return


async def _view(page: Any, name: str) -> None:
    await page.get_by_role("radio", name=name).first.click()  # for a moment the page before may still be there
    await page.get_by_role("radio", name=name, checked=True).first.wait_for()


async def _next_title(page: Any, reviewed: Sequence[str]) -> str | None:
    titles = await page.locator(YOURS).locator(".title").all_inner_texts()
    return next((title for title in titles if title not in reviewed), None)


async def _decide(page: Any, button: str) -> None:
    """Look at each piece until the console says that it was long enough, then decide with a reason, unless somebody was quicker."""
    from playwright.async_api import TimeoutError as TooLong

    named = re.compile(rf"^{button}\b")  # its key stands behind the word
    decide, settled = page.get_by_role("button", name=named), page.get_by_text(SETTLED)
    await decide.or_(settled).first.wait_for()
    deadline = monotonic() + SECONDS_MAX
    while not await settled.count() and not await page.get_by_role("button", name=named, disabled=False).count():
        assert monotonic() < deadline, await page.inner_text("body")
        if await page.get_by_text("not been on screen long enough").count():
            await page.get_by_role("button", name="Next piece").click()
        await asyncio.sleep(PIECE_SECONDS)
    try:
        await page.get_by_label("Reason").fill("Looked at the plan; it is what the ticket says.", timeout=CLICK_MS)
        await decide.click(timeout=CLICK_MS)
    except TooLong:
        assert await settled.count(), "the form is gone, and nothing says why"
    await page.get_by_text("to the ledger").or_(page.get_by_text("is in the ledger")).or_(settled).first.wait_for()


def verify(flood: Flood, hours: Sequence[tuple[int, Sequence[Waits]]], count: int, per_hour: int) -> None:
    """Hold what happened against what was promised; everything is read from the ledger, not from what was clicked."""
    approvals, decided = flood.desk.approvals, flood.decisions()
    states = [approvals.standing(name, flood.clock.now()).state for name in approvals.requests()]
    assert len(states) == count
    assert not flood.lost, f"clicks that led nowhere: {', '.join(flood.lost)}"
    assert set(states) <= {"consumed", "denied"}, "nothing starves, nothing expires, and what people cleared is executed"
    for name, moments in decided.items():
        most = max(sum(moment - HOUR < other <= moment for other in moments) for moment in moments)
        assert most == per_hour, f"{name} decided {most} times in an hour"
    for made, waits in hours[:-1]:
        assert made % (per_hour * len(REVIEWERS)) == 0, "an hour ended with a place left"
        assert all(one.until is not None and "The next place frees at" in one.sentence for one in waits)
    overflows = [event for event in flood.assignments() if event.why == "overflow"]
    assert overflows, "nobody was passed over although places ran out"
    assert all("has no place left" in text for text in flood.reasons(overflows))
    verify_order(flood)
    executed = flood.executed.read_text("utf-8").splitlines()
    assert len(executed) == len(set(executed)) == states.count("consumed")
    denied = {name for name in approvals.requests() if approvals.standing(name, flood.clock.now()).state == "denied"}
    assert denied, "nothing was denied"


def verify_order(flood: Flood) -> None:
    """Nobody is overtaken: whoever could have had both got the older one first."""
    first: dict[str, int] = {}
    for one in flood.events:
        if isinstance(one.event, ApprovalAssigned) and flood.desk.took(one.event.approval, one.position):
            first.setdefault(one.event.approval, one.position)
    free = [name for name in flood.desk.approvals.requests() if flood.desk.approvals.request(name).event.initiator == "mara"]
    places = [first[name] for name in free]
    assert places == sorted(places)


def verify_by_command(flood: Flood) -> None:
    """`tenuto verify` takes its steps over the whole log, and `tenuto replay` of each run finds what the fold says."""
    verified = flood.ask("verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    approvals, runs = flood.desk.approvals, dict[str, dict[str, str]]()
    for name in approvals.requests():
        asked = approvals.request(name).event
        runs.setdefault(asked.run or "", {})[name] = approvals.standing(name, flood.clock.now()).state
    for run, states in runs.items():
        replayed = flood.ask("replay", run)
        assert replayed.returncode == 0, replayed.stdout[-2000:] + replayed.stderr
        rows = [json.loads(line) for line in replayed.stdout.splitlines()]
        assert rows[-1] == {"type": "comparison", "agrees": True, "differs_in": []}
        assert {one["approval"]: one["state"] for one in rows[-2]["approvals"]} == states
