"""A payload is purged on the real road: asked for, approved, destroyed, told; and after a crash anywhere the same again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from tenuto.cli import build
from tenuto.documents import Handover, PullRequest
from tenuto.errors import Busy, TenutoError
from tenuto.events import (
    HoldLifted,
    HoldPlaced,
    MessageSent,
    RecordPurged,
    ToolFinished,
    ToolStarted,
)
from tenuto.gate import ActionRefused
from tenuto.holding import Held
from tenuto.purging import Asked, Purging
from tenuto.registering import Enrolment
from tenuto.verification import VerificationFailed, Verified
from tenuto.wiring import open_purging
from typer.testing import CliRunner

from tests.conftest import Database
from tests.road import Road, answer

PEOPLE = (
    Enrolment("code-review", "agent", "team"), Enrolment("infrastructure", "agent", "team"),
    Enrolment("keeper", "keeper", "kay"), Enrolment("bob", "reviewer", "bob"), Enrolment("eve", "reviewer", "eve"),
    Enrolment("console", "console", "operations"),
)  # fmt: skip
SECRET, OTHER = "hunter2-is-the-password", "nothing to hide"


class Crash(BaseException):
    """The process ends here."""


@pytest.fixture
def road(tmp_path: Path, database: Database) -> Iterator[Road]:
    """The road at work, with a leaked secret in one message and none in the next."""
    with Road(tmp_path, database) as road, road.working():
        road.register(*PEOPLE)
        with road.recorder("code-review") as author:
            for text in (SECRET, OTHER):
                change = PullRequest(repository="r", title=text, author="a", base="main", head="h")
                sent = author.send("infrastructure", "review", Handover(pull_request=change), run="run-1")
            author.wait(sent)
        yield road


def positions(road: Road) -> list[int]:
    return [one.position for one in road.read() if isinstance(one.event, MessageSent)]


@contextmanager
def keeper(road: Road) -> Iterator[Purging]:
    with open_purging(road.settings, "keeper") as purging:
        yield purging


def ask(road: Road, place: int) -> Asked:
    with keeper(road) as purging:
        return purging.request([str(place)], "secret", "A password was pasted.", "kay")


def approve(road: Road, asked: Asked, *reviewers: str) -> None:
    for name in reviewers or ("bob", "eve"):
        with road.recorder("console") as console, road.recorder(name) as reviewer:
            for event in answer(road, console, reviewer, asked.request):
                reviewer.wait(event)


def verify(road: Road) -> list[Verified]:
    """Walk everything with the storage key, steps 1 to 7, step 5 to its end."""
    follower = road.follower(payloads=True)
    found = follower.catch_up()
    follower.walk.verify_no_payload_missing()
    return found


def rows(road: Road, place: int) -> int:
    with psycopg.connect(str(road.settings.database_url)) as connection:
        found = connection.execute("SELECT count(*) FROM ledger.payload WHERE notification_id = %s", (place + 1,)).fetchone()
    assert found is not None
    return int(found[0])


def test_a_purge_takes_one_payload_and_leaves_every_proof(road: Road) -> None:
    place, neighbour = positions(road)
    backup = (road.settings.keys / "storage.key").read_bytes()
    asked = ask(road, place)
    approve(road, asked)
    with keeper(road) as purging:
        done = purging.apply(asked.request.approval)
    assert (done.keys, done.rows, done.before) == (1, 1, False)
    assert any("infrastructure received it" in sentence for sentence in done.still_readable)
    found = verify(road)
    assert found[place].payload is None
    assert OTHER.encode() in (found[neighbour].payload or b"")
    kinds = [one.event.kind for one in found if one.event.run == asked.request.run]
    assert kinds[-4:] == ["approval.consumed", "tool.started", "record.purged", "tool.finished"]
    follower = road.follower()
    follower.catch_up()
    purge = follower.walk.purges.covering(place)
    assert purge is not None
    assert purge.sentence == f"purged by keeper on {purge.recorded_at:%Y-%m-%d} under {asked.request.approval} (secret)"
    with keeper(road) as purging:
        again = purging.apply(asked.request.approval)
        assert (again.keys, again.rows, again.before) == (0, 0, True)
        (road.settings.keys / "storage.key").write_bytes(backup)  # a restore brings the key back
        assert purging.apply(asked.request.approval).keys == 1
        with pytest.raises(TenutoError, match="was purged by keeper"):
            purging.request([str(place)], "secret", "", "kay")
    assert len(road.events("keeper", RecordPurged)) == 1
    a_stranger_sees_that_it_was_approved(road, place, asked.request.approval)


def a_stranger_sees_that_it_was_approved(road: Road, place: int, approval: str) -> None:
    folder, settings = road.home / "bundle", road.settings
    names = {"TENUTO_HOME": str(settings.home), "TENUTO_DATABASE_URL": str(settings.database_url)}
    made = CliRunner().invoke(build(), ["bundle", "--event", str(place), "--to", str(folder)], env=names)
    assert made.exit_code == 0, made.output
    trust = ["--trust", str(settings.home / "trust.json")]
    said = CliRunner().invoke(build(), ["verify", "--bundle", str(folder), *trust], env={"TENUTO_HOME": str(road.home / "nowhere")})
    assert said.exit_code == 0, said.output
    assert [(one["approval"], one["approved_by"], one["missing"]) for one in json.loads(said.stdout)["purges"]] == [
        (approval, ["bob", "eve"], []),
    ]  # fmt: skip


STOPS = ("before it is consumed", "before it starts", "before the key", "before the row", "before it is told", "before it ends")


def test_a_crash_anywhere_is_finished_by_the_same_command(road: Road) -> None:
    """Each attempt comes one step further than the one before, and begins where that one left the ledger."""
    place, _ = positions(road)
    asked = ask(road, place)
    approve(road, asked)
    for stop in STOPS:
        with pytest.MonkeyPatch.context() as patch, keeper(road) as purging, pytest.raises(Crash):
            crash_at(stop, purging, patch)
            purging.apply(asked.request.approval)
        assert rows(road, place) == (stop in STOPS[:4])
        if stop in ("before the row", "before it is told"):
            with pytest.raises(VerificationFailed, match=rf"started and is not recorded: {asked.request.approval}.*purge apply"):
                verify(road)
        else:
            verify(road)
    with keeper(road) as purging:
        purging.apply(asked.request.approval)
    assert verify(road)[place].payload is None
    assert len(road.events("keeper", RecordPurged)) == 1
    assert len(road.events("keeper", ToolFinished)) == 1


def crash_at(stop: str, purging: Purging, patch: pytest.MonkeyPatch) -> None:
    def crash(*_: object, **__: object) -> None:
        raise Crash

    if stop == "before it is consumed":
        patch.setattr(purging._gate, "_consume", crash)
    elif stop == "before it starts":
        patch.setattr(purging._gate, "_start", crash)
    elif stop == "before the key":
        patch.setattr(purging._vessel, "destroy", crash)
    elif stop == "before the row":
        patch.setattr(purging._vessel, "_delete", crash)
    elif stop == "before it is told":
        patch.setattr(purging, "_tell", crash)
    else:
        tell = purging._tell
        patch.setattr(purging, "_tell", lambda asked: (tell(asked), crash()))


def test_nothing_is_purged_that_people_or_a_hold_did_not_clear(road: Road) -> None:
    place, neighbour = positions(road)
    asked = ask(road, place)
    approve(road, asked, "bob")
    with keeper(road) as purging:
        with pytest.raises(Busy, match="1 of 2"):
            purging.apply(asked.request.approval)
        approve(road, asked, "eve")
        with road.recorder("root") as root:
            root.wait(root.record(HoldPlaced, hold="case-7", run="run-1"))
        with pytest.raises(Held, match="case-7"):
            purging.request([str(neighbour)], "secret", "", "kay")
        with pytest.raises(Held, match="case-7"):
            purging.apply(asked.request.approval)
        with road.recorder("root") as root:
            root.wait(root.record(HoldLifted, hold="case-7"))
        denied = purging.request([str(neighbour)], "mistake", "", "kay")
        with road.recorder("console") as console, road.recorder("eve") as eve:
            for event in answer(road, console, eve, denied.request, "deny"):
                eve.wait(event)
        with pytest.raises(ActionRefused, match="denied by eve"):
            purging.apply(denied.request.approval)
    assert (rows(road, place), rows(road, neighbour)) == (1, 1)
    assert not road.events("keeper", ToolStarted)
    verify(road)

