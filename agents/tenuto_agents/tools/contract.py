"""What a tool is on the wire: its name, what goes in and out, how large and how slow; and the digest that pins a server.

Arguments and results are closed shapes with limits, and both sides decode them strictly: what is not described is refused.
Nothing of a description, a schema or an answer is ever read as an instruction, by either side.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, Literal, Protocol, TypeVar

import msgspec
from mcp import types
from tenuto.action import Action

A = TypeVar("A", bound=msgspec.Struct)
R = TypeVar("R", bound=msgspec.Struct)

RUN_META, START_META = "tenuto/run", "tenuto/start"
"""Where a call names the start that is on record: the run, and the id of its `tool.started`."""
ANSWER_BYTES_MAX = 1_000_000
SENTENCE_CHARACTERS_MAX = 1_000
SIGHTINGS_MAX = 4
_REF = "#/$defs/{name}"


@dataclass(frozen=True, slots=True)
class Tool(Generic[A, R]):
    """One tool. seconds: how long its server may take by its own limits. answer_bytes: how large its answer may be."""

    name: str
    description: str
    arguments: type[A]
    answer: type[R]
    seconds: float
    answer_bytes: int = ANSWER_BYTES_MAX

    def definition(self) -> types.Tool:
        """Return what `tools/list` says of it."""
        return types.Tool(
            name=self.name, description=self.description, inputSchema=schema_of(self.arguments), outputSchema=schema_of(self.answer)
        )


class Failure(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why there is no answer, as the structured content of an error.

    kind: refused: nothing happened. failed: it was tried and came to an end. unknown: nobody knows. sightings: what the
    sandbox of the tool had to deny, as system call and detail.
    """

    kind: Literal["refused", "failed", "unknown"]
    reason: str
    sentence: str
    sightings: tuple[tuple[str, str], ...] = ()


class Toolbox(Protocol):
    """The tools of one server."""

    @property
    def tools(self) -> Mapping[str, Tool[Any, Any]]:
        """Every tool by its name."""
        ...

    def action(self, tool: str, arguments: Any) -> Action:
        """Return what a call is in the words of policy, computed from its arguments alone; raises Refused."""
        ...

    def perform(self, tool: str, arguments: Any) -> msgspec.Struct:
        """Do it. Raises Refused (nothing happened), OutcomeUnknown, or another TenutoError (it failed)."""
        ...

    def close(self) -> None:
        """Let go of what it holds."""
        ...


def schema_of(kind: type[msgspec.Struct]) -> dict[str, Any]:
    """Return the JSON schema of a closed shape, an object at its top as MCP demands."""
    (_,), definitions = msgspec.json.schema_components([kind], ref_template=_REF)
    top: dict[str, Any] = definitions.pop(kind.__name__)
    return top | ({"$defs": definitions} if definitions else {})


def list_digest(tools: list[types.Tool]) -> str:
    """Return the SHA-256 of everything that a server says about its tools, in hex; their order does not matter."""
    said = sorted((tool.model_dump(mode="json", by_alias=True, exclude_none=True) for tool in tools), key=lambda one: str(one["name"]))
    return hashlib.sha256(msgspec.json.encode(said, order="deterministic")).hexdigest()
