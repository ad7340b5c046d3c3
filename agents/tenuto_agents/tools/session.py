"""The agent's end of one tool server: a process that is started once, whose tools are pinned, and whose answers are data.

A server is used only while `tools/list` is, byte for byte, what was pinned: a description is text that a model may read and
a schema is what an approval was given for, so neither changes without somebody saying so. Whatever comes back is decoded
into the shape of the answer or not at all. An answer that does not come, or cannot be read, leaves the outcome unknown:
the process is dropped, and nothing is tried again.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import anyio
import anyio.from_thread
import msgspec
from mcp import ClientSession, McpError, StdioServerParameters, types
from mcp.client.stdio import stdio_client
from tenuto.errors import Busy, Refused, TenutoError
from tenuto.events import ToolStarted
from tenuto.gate import OutcomeUnknown

from ..sandbox import Breach, Sighting
from ..text import visible_line
from .contract import RUN_META, SENTENCE_CHARACTERS_MAX, SIGHTINGS_MAX, START_META, Failure, Tool, list_digest

OPEN_SECONDS_MAX = 120.0
GRACE_SECONDS = 30.0
"""How much longer than the tool's own limit an answer is waited for: an end on time is told, not guessed."""
TOOLS_MAX = 64
log = logging.getLogger(__name__)
A = TypeVar("A", bound=msgspec.Struct)
R = TypeVar("R", bound=msgspec.Struct)


class _Unreadable(TenutoError):
    """What came back is not what the tool answers with."""


_LOST = (_Unreadable, McpError, OSError, RuntimeError, anyio.ClosedResourceError, anyio.BrokenResourceError, anyio.EndOfStream)


class ToolsChanged(Refused):
    """The server does not offer what was pinned; it is not called (tool poisoning, rug pull)."""

    reason = "tools_changed"


class RefusedByTool(Refused):
    """The server refused, in its own words; the tool was not touched, or changed nothing."""

    def __init__(self, failure: Failure) -> None:
        """Takes over the server's reason and sentence."""
        super().__init__(failure.sentence, reason=failure.reason)


class FailedAtTool(TenutoError):
    """The tool was touched and failed; the sentence holds the server's words."""


@dataclass(frozen=True, slots=True)
class Started:
    """How a server is started. argv: its command. pinned: the digest that its tools must have. log: where its stderr goes."""

    name: str
    argv: Sequence[str]
    environment: Mapping[str, str]
    pinned: str
    log: Path
    grace_seconds: float = GRACE_SECONDS


class ToolSession:
    """One server, started at the first call or by `open`; used by one thread. Close it."""

    def __init__(self, started: Started) -> None:
        """Nothing is started yet."""
        self._started = started
        self._stack: ExitStack | None = None
        self._lock = threading.Lock()

    def open(self) -> None:
        """Start the server unless it runs, and compare its tools; raises ToolsChanged, or Busy when it does not answer."""
        with self._lock:
            if self._stack is None:
                self._start()
        self._demand_pinned()

    def call(self, tool: Tool[A, R], arguments: A, start: ToolStarted) -> R:
        """Return the tool's answer. `start` is on record; the server looks for itself.

        Raises like `open` and RefusedByTool or Breach: the tool changed nothing; FailedAtTool; OutcomeUnknown when no answer
        came that could be read.
        """
        meta = {RUN_META: start.run or "", START_META: str(start.id)}
        seconds = tool.seconds + self._started.grace_seconds
        self.open()
        try:
            result = self._portal.call(
                lambda: self._session.call_tool(
                    tool.name, msgspec.to_builtins(arguments), timedelta(seconds=seconds), meta=meta
                )
            )
            return _answer(tool, result)
        except _LOST as error:
            self.close()
            raise OutcomeUnknown(f"{tool.name} of the server {self._started.name} gave no answer that counts: {visible_line(str(error))[:200]}") from error

    def close(self) -> None:
        """End the server: its input is closed, and it is killed if it does not go. Harmless when none runs."""
        with self._lock:
            stack, self._stack = self._stack, None
        if stack is not None:
            stack.close()

    def _start(self) -> None:
        started = self._started
        started.log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        command = StdioServerParameters(command=started.argv[0], args=list(started.argv[1:]), env=dict(started.environment))
        lost: BaseException | None = None
        with ExitStack() as stack:
            errors = stack.enter_context(started.log.open("a", encoding="utf-8"))
            self._portal = stack.enter_context(anyio.from_thread.start_blocking_portal())
            try:
                streams = stack.enter_context(self._entered(stdio_client(command, errors)))
                self._session = stack.enter_context(self._entered(ClientSession(*streams)))
                self._timed(self._session.initialize)
                self._stack = stack.pop_all()
            except _LOST as error:
                lost = error  # raised out of the block, its task groups would wrap it
        if lost is not None:
            raise Busy(f"The tool server {started.name} does not answer ({visible_line(str(lost))[:200]}); see {started.log}.") from lost

    def _entered(self, manager: Any) -> AbstractContextManager[Any]:
        return self._portal.wrap_async_context_manager(manager)

    def _timed(self, ask: Any) -> Any:
        async def within() -> Any:
            with anyio.fail_after(OPEN_SECONDS_MAX):
                return await ask()

        return self._portal.call(within)

    def _demand_pinned(self) -> None:
        started = self._started
        try:
            listed: types.ListToolsResult = self._timed(self._session.list_tools)
        except _LOST as error:
            self.close()
            raise Busy(f"The tool server {started.name} does not say what it offers; see {started.log}.") from error
        digest = "more than one page" if listed.nextCursor or len(listed.tools) > TOOLS_MAX else list_digest(listed.tools)
        if digest != started.pinned:
            self.close()
            raise ToolsChanged(
                f"The tool server {started.name} offers other tools than were pinned ({digest[:12]}, not {started.pinned[:12]}). "
                "It is not called. Look at `tenuto tool-server --describe`, and pin anew what is meant."
            )


def _answer(tool: Tool[A, R], result: types.CallToolResult) -> R:
    content = result.structuredContent
    if result.isError:
        raise _failed(content)
    size = len(msgspec.json.encode(content))
    if size > tool.answer_bytes:
        raise _Unreadable(f"the answer has {size:,} bytes, at most {tool.answer_bytes:,} are taken")
    try:
        return msgspec.convert(content, tool.answer)
    except msgspec.ValidationError as error:
        raise _Unreadable(f"the answer is not what the schema says: {error}") from error


def _failed(content: Any) -> TenutoError:
    try:
        failure = msgspec.convert(content, Failure)
    except msgspec.ValidationError as error:
        raise _Unreadable("an error without a reason that can be read") from error
    sentence = visible_line(failure.sentence)[:SENTENCE_CHARACTERS_MAX]
    failure = Failure(failure.kind, visible_line(failure.reason)[:80], sentence, failure.sightings[:SIGHTINGS_MAX])
    if failure.sightings:
        return Breach(sentence, [Sighting(visible_line(call)[:40], visible_line(detail)[:200]) for call, detail in failure.sightings])
    if failure.kind == "unknown":
        return OutcomeUnknown(sentence)
    return RefusedByTool(failure) if failure.kind == "refused" else FailedAtTool(sentence)


