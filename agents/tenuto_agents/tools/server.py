"""A tool server: one toolbox over standard input and output, each call admitted by the ledger before the tool is touched.

Calls are taken one after another. What a caller gets to see of a defect is that the outcome is unknown, and nothing else.
"""

from __future__ import annotations

import logging
from typing import Any
from uuid import UUID

import anyio
import anyio.to_thread
import msgspec
from mcp import types
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from tenuto.admission import Admission
from tenuto.errors import Busy, Refused, TenutoError
from tenuto.gate import OutcomeUnknown

from ..sandbox import Breach
from ..text import visible_line
from .contract import RUN_META, SENTENCE_CHARACTERS_MAX, SIGHTINGS_MAX, START_META, Failure, Tool, Toolbox

log = logging.getLogger(__name__)


class ToolRefused(Refused):
    """The call itself is at fault; the sentence says what and the remedy."""

    reason = "tool"


def serve(name: str, toolbox: Toolbox, admission: Admission) -> None:
    """Serve until standard input ends. Standard output belongs to the protocol, so nothing else may be written there."""
    anyio.run(_serve, name, toolbox, admission)


async def _serve(name: str, toolbox: Toolbox, admission: Admission) -> None:
    server: Server[Any, Any] = Server(f"tenuto-{name}")
    one_at_a_time = anyio.Lock()

    @server.list_tools()  # type: ignore[no-untyped-call, untyped-decorator]
    async def list_tools() -> list[types.Tool]:
        return [tool.definition() for tool in toolbox.tools.values()]

    @server.call_tool()  # type: ignore[untyped-decorator]
    async def call_tool(tool: str, arguments: dict[str, Any]) -> types.CallToolResult:
        meta = server.request_context.meta
        given = meta.model_dump() if meta is not None else {}
        async with one_at_a_time:
            return await anyio.to_thread.run_sync(answer, toolbox, admission, tool, arguments, given)

    async with stdio_server() as (reading, writing):
        await server.run(reading, writing, server.create_initialization_options())


def answer(
    toolbox: Toolbox, admission: Admission, name: str, arguments: dict[str, Any], meta: dict[str, Any]
) -> types.CallToolResult:
    """Take one call: read it, have it admitted, do it. Whatever is wrong before the tool is touched is a refusal."""
    try:
        tool, read = _read(toolbox, name, arguments)
        run, start = _named(meta)
        action = toolbox.action(name, read)
        admission.admit(action, run=run, start=start)
    except (Refused, Busy) as error:
        return _failure("refused", error)
    try:
        done = toolbox.perform(name, read)
    except Refused as refusal:
        return _failure("refused", refusal)
    except OutcomeUnknown as unknown:
        return _failure("unknown", unknown)
    except TenutoError as error:
        return _failure("failed", error)
    packed = msgspec.json.encode(done)
    if len(packed) > tool.answer_bytes:
        return _failure("failed", ToolRefused(f"The answer has {len(packed):,} bytes; {name} gives at most {tool.answer_bytes:,}."))
    said = types.TextContent(type="text", text=f"{name} is done.")
    return types.CallToolResult(content=[said], structuredContent=msgspec.json.decode(packed))


def _read(toolbox: Toolbox, name: str, arguments: dict[str, Any]) -> tuple[Tool[Any, Any], Any]:
    tool = toolbox.tools.get(name)
    if tool is None:
        raise ToolRefused(f"There is no tool {visible_line(name)[:80]} here; there are {', '.join(toolbox.tools)}.")
    try:
        return tool, msgspec.convert(arguments, tool.arguments)
    except msgspec.ValidationError as error:
        raise ToolRefused(f"The arguments of {name} are not those that its schema asks for: {error}.") from error


def _named(meta: dict[str, Any]) -> tuple[str, UUID]:
    run, start = meta.get(RUN_META), meta.get(START_META)
    if not isinstance(run, str) or not isinstance(start, str):
        raise ToolRefused(f"The call names no start: {RUN_META} and {START_META} are missing in _meta. Call through the gate.")
    try:
        return run, UUID(start)
    except ValueError as error:
        raise ToolRefused(f"{START_META} is no id of an event.") from error


def _failure(kind: Any, error: TenutoError) -> types.CallToolResult:
    sightings: tuple[tuple[str, str], ...] = ()
    if isinstance(error, Breach):
        sightings = tuple((one.call, one.detail) for one in error.sightings[:SIGHTINGS_MAX])
    sentence = visible_line(str(error))[:SENTENCE_CHARACTERS_MAX]
    log.warning("%s: %s", kind, sentence)
    failure = Failure(kind, str(getattr(error, "reason", type(error).__name__)), sentence, sightings)
    said = types.TextContent(type="text", text=sentence)
    return types.CallToolResult(content=[said], structuredContent=msgspec.to_builtins(failure), isError=True)
