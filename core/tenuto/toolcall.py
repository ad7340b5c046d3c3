"""How a plain function call is put on record: what was asked of the tool, and what it gave back."""

from __future__ import annotations

import hashlib
import inspect
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar
from uuid import UUID

import msgspec

from .documents import Arguments, Document, Result
from .errors import Busy, Refused
from .events import Event, ToolFailed, ToolFinished, ToolRequested, ToolStarted, ToolUnknown

RESULT_CHARACTERS_MAX = 20_000

E = TypeVar("E", bound=Event)


class Recording(Protocol):
    """What a tool call needs of its author's recorder."""

    @property
    def mailbox(self) -> object | None:
        """Where receipts come back, or None when none do."""
        ...

    def new_call(self) -> str:
        """Return a name for a call that no other call has."""
        ...

    def record(self, kind: type[E], *, document: Document | None = None, cause: Sequence[UUID] = (), **fields: Any) -> E:
        """Put one event on record; see `Recorder.record`."""
        ...

    def wait(self, event: Event, seconds: float | None = None) -> object:
        """Return once the ledger has the event; raises Busy or Refused."""
        ...


@dataclass
class ToolCall:
    """A tool call under way. What `finish` is told goes on record when the block ends without an error.

    call: its name in the ledger.
    """

    call: str
    tool: str
    result: Result = field(default_factory=Result)

    def finish(self, text: str = "", **values: Any) -> None:
        """Say what the tool gave back; `text` is cut at RESULT_CHARACTERS_MAX, values must be JSON."""
        self.result = Result(text=text[:RESULT_CHARACTERS_MAX], values=values)


@contextmanager
def on_record(
    recorder: Recording, tool: str, resource: str, *, arguments: dict[str, Any] | None, run: str | None,
    cause: Sequence[UUID],
) -> Iterator[ToolCall]:  # fmt: skip
    """Put the block on record as one call; see `Recorder.tool`."""
    values = plain(arguments or {})
    call = ToolCall(recorder.new_call(), tool)
    common: dict[str, Any] = {"run": run, "call": call.call, "tool": tool}
    target: dict[str, Any] = {"resource": resource, "digest": call_digest(tool, resource, values)}
    asked = recorder.record(ToolRequested, document=Arguments(values=values), cause=cause, **common, **target)
    started = recorder.record(ToolStarted, cause=(asked.id,), **common, **target)
    common["cause"] = (started.id,)
    try:
        if recorder.mailbox is not None:
            recorder.wait(started)
    except (Busy, Refused) as error:
        recorder.record(ToolFailed, document=Result(text=str(error)), why="refused", **common)
        raise
    began = time.monotonic()
    try:
        yield call
    except Exception as error:
        # Not swallowed: put on record and passed on.
        why = "timeout" if isinstance(error, TimeoutError) else "error"
        recorder.record(ToolFailed, document=Result(text=repr(error)[:RESULT_CHARACTERS_MAX]), why=why, **common)
        raise
    except BaseException:
        recorder.record(ToolUnknown, **common)
        raise
    milliseconds = int((time.monotonic() - began) * 1000)
    recorder.record(ToolFinished, document=call.result, milliseconds=milliseconds, **common)


def call_digest(tool: str, resource: str, arguments: dict[str, Any]) -> str:
    """Return the SHA-256 that binds a call to what it acts on: tool, resource and arguments, keys sorted, as JSON."""
    return hashlib.sha256(msgspec.json.encode([tool, resource, arguments], order="deterministic")).hexdigest()


def named_arguments(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of a call by name, as JSON; what JSON cannot hold is shown as its `repr`."""
    bound = inspect.signature(function).bind(*args, **kwargs)
    bound.apply_defaults()
    return plain(dict(bound.arguments))


def plain(values: dict[str, Any]) -> dict[str, Any]:
    """Return the values as JSON can hold them."""
    built: dict[str, Any] = msgspec.to_builtins(values, str_keys=True, enc_hook=repr)
    return built


def tool_name(function: Callable[..., Any]) -> str:
    """Name a function as a tool: `module.name`, lower case."""
    return f"{function.__module__}.{function.__name__}".lower().lstrip("_")
