"""The agents' end of a tool server: what was pinned is what is called, answers are data, and no answer is an unknown outcome."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import msgspec
import pytest
from mcp import types
from tenuto.errors import Busy, NotConfigured, Refused
from tenuto.events import ToolStarted, ToolUnknown
from tenuto.gate import Action, OutcomeUnknown
from tenuto.settings import Settings
from tenuto.verification import Verified
from tenuto_agents.task import StopRequest, Task
from tenuto_agents.tools.commands import SERVERS as COMMANDED
from tenuto_agents.tools.commands import open_toolbox
from tenuto_agents.tools.contract import Tool, list_digest
from tenuto_agents.tools.session import RefusedByTool, Started, ToolsChanged, ToolSession
from tenuto_agents.tools.toolset import SERVERS, Tools, pins, server_environment

from tests.doubles import START
from tests.unit.agents import foreign_server
from tests.unit.gate.road import FixedPolicy, Road, open_gate

PINNED = list_digest([types.Tool.model_validate(foreign_server.TOOL)])


class Note(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str


class Read(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    text: str


NOTE: Tool[Note, Read] = Tool("note.read", "Reads a note.", Note, Read, seconds=0.0)
ACTION = Action(tool="note.read", resource="note:x", digest="d" * 64)
BEGUN = ToolStarted(
    v=1, log_origin="x", author="infra", key_id="k", session=uuid4(), seq=1, prev="0" * 64, at=START, id=uuid4(), run="run-1",
    call="call-1", tool="note.read", resource="note:x", digest="d" * 64,
)  # fmt: skip
Open = Callable[..., ToolSession]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Open]:
    """Opens sessions with a foreign server; each is ended with the test."""
    opened: list[ToolSession] = []

    def open_session(mode: str, pinned: str = PINNED, grace: float = 60.0) -> ToolSession:
        argv = (sys.executable, "-I", foreign_server.__file__, mode, str(tmp_path / "notes"))
        session = ToolSession(Started("foreign", argv, {"PATH": os.defpath}, pinned, tmp_path / "log", grace))
        opened.append(session)
        return session

    yield open_session
    for session in opened:
        session.close()


def nothing(run: str) -> list[Verified]:
    """No event is on record."""
    return []


def calls(tmp_path: Path) -> int:
    notes = tmp_path / "notes"
    return len(notes.read_text().splitlines()) if notes.exists() else 0


def test_a_server_that_offers_what_was_pinned_is_called_once_and_kept(server: Open, tmp_path: Path) -> None:
    session = server("honest")
    assert [session.call(NOTE, Note("a"), BEGUN).text for _ in range(2)] == [foreign_server.HOSTILE] * 2
    assert calls(tmp_path) == 2


@pytest.mark.parametrize("mode", ["poisoned", "honest"])
def test_a_server_that_offers_something_else_than_was_pinned_is_never_called(server: Open, tmp_path: Path, mode: str) -> None:
    with pytest.raises(ToolsChanged, match="than were pinned"):
        server(mode, pinned=PINNED if mode == "poisoned" else "0" * 64).call(NOTE, Note("a"), BEGUN)
    assert calls(tmp_path) == 0


def test_a_server_that_changes_its_tools_after_it_was_looked_at_is_not_called(server: Open, tmp_path: Path) -> None:
    session = server("changes")
    session.open()
    with pytest.raises(ToolsChanged):
        session.call(NOTE, Note("a"), BEGUN)
    assert calls(tmp_path) == 0


def test_without_the_comparison_the_poisoned_server_would_be_called(
    server: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ToolSession, "_demand_pinned", lambda self: None)
    assert server("changes").call(NOTE, Note("a"), BEGUN).text == "fine"
    assert calls(tmp_path) == 1


@pytest.mark.parametrize("mode", ["silent", "dies", "large", "other", "nothing", "mumbles"])
def test_an_answer_that_does_not_come_or_cannot_be_read_is_an_unknown_outcome(server: Open, tmp_path: Path, mode: str) -> None:
    with pytest.raises(OutcomeUnknown, match="gave no answer that counts"):
        server(mode, grace=0.2 if mode == "silent" else 60.0).call(NOTE, Note("a"), BEGUN)
    # Whether the silent server came to note the call before it was dropped depends on the machine.
    assert calls(tmp_path) in ((0, 1) if mode == "silent" else (1,))


def test_hostile_text_of_a_server_is_shown_as_text_and_refuses(server: Open) -> None:
    with pytest.raises(RefusedByTool) as caught:
        server("refuses").call(NOTE, Note("a"), BEGUN)
    assert "\\u{1b}[2J\\u{202e}" in str(caught.value)
    assert "\x1b" not in str(caught.value)


def test_a_program_that_is_no_server_is_away_and_nothing_was_called(tmp_path: Path) -> None:
    session = ToolSession(Started("none", (sys.executable, "-I", "-c", "pass"), {}, PINNED, tmp_path / "log"))
    with pytest.raises(Busy, match="does not answer"):
        session.open()


def task_of(road: Road, session: ToolSession) -> Task:
    gate = open_gate(road, FixedPolicy())
    return Task(road, gate, "run-1", (), StopRequest(), tools=Tools({"notes": session}))  # type: ignore[arg-type]


def test_what_got_no_answer_is_on_record_as_unknown_and_the_gate_lets_nobody_try_again(server: Open, tmp_path: Path) -> None:
    road = Road()
    task = task_of(road, server("dies"))
    with pytest.raises(OutcomeUnknown):
        task.use("notes", NOTE, Note("a"), ACTION, lambda read: pytest.fail("there was no answer"))
    assert isinstance(road.last(ToolUnknown), ToolUnknown)
    with pytest.raises(Refused, match="tenuto reconcile"):
        task.use("notes", NOTE, Note("a"), ACTION, lambda read: pytest.fail("there was no answer"))
    assert calls(tmp_path) == 1


def test_nobody_is_asked_about_a_server_that_changed(server: Open) -> None:
    road = Road()
    with pytest.raises(ToolsChanged):
        task_of(road, server("poisoned")).use("notes", NOTE, Note("a"), ACTION, lambda read: pytest.fail("not called"))
    assert not road.recorded


def test_an_agent_has_the_servers_that_are_its_own_and_no_other() -> None:
    with pytest.raises(NotConfigured, match="no tool server 'deploy'"):
        Tools({}).session("deploy")
    with pytest.raises(NotConfigured, match="There is no tool server 'shell'"):
        open_toolbox(Settings(), "shell", "deployment", nothing)


def test_the_pins_are_those_of_the_servers_in_this_tree(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, sandbox="optional")
    offered = {
        name: list_digest([tool.definition() for tool in open_toolbox(settings, name, "deployment", nothing).tools.values()])
        for name in COMMANDED
    }
    assert pins() == offered, "what a server offers was changed; look at it, then write the new digests into tools/pins.json"
    assert set(offered) == {name for names in SERVERS.values() for name in names}


def test_the_schemas_of_all_tools_are_closed(tmp_path: Path) -> None:
    for name in COMMANDED:
        for tool in open_toolbox(Settings(home=tmp_path, sandbox="optional"), name, "deployment", nothing).tools.values():
            for schema in (tool.definition().inputSchema, tool.definition().outputSchema or {}):
                shapes = [schema, *schema.get("$defs", {}).values()]
                assert all(shape.get("additionalProperties") is False for shape in shapes if shape["type"] == "object"), tool.name


def test_a_server_is_given_nothing_of_its_agents_environment_but_what_is_named(tmp_path: Path) -> None:
    mine = {"PATH": "/bin", "AWS_SECRET_ACCESS_KEY": "secret", "OPENAI_API_KEY": "secret", "TENUTO_KAFKA": "x"}
    settings = Settings(home=tmp_path, kafka="broker:9092", secrets_token="file:/token", database_url="postgresql://h/x")
    given = server_environment(settings, "git", mine)
    assert "secret" not in given.values()
    assert not {"TENUTO_KAFKA", "TENUTO_SECRETS_TOKEN"} & set(given)
    assert given["TENUTO_HOME"] == str(tmp_path)


