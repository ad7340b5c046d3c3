"""Reference pages made from the code: `python -m tests.house.docs --write` writes them, without it they are compared.

The code is where an event, a setting or a command is described, once; these pages only lay it out.
"""

from __future__ import annotations

import inspect
import re
import sys
import typing
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import msgspec.inspect as types
import typer
from tenuto.cli import build
from tenuto.events import EVENT_CLASSES, IN_SHEAF, Event
from tenuto.events import base as alphabet
from tenuto.keyring import ENTITLED
from tenuto.settings import PREFIX, Settings
from tenuto.sheaf import SHEAF_HEADERS_MAX

from tests.house.tree import ROOT

MADE = "<!-- Made by `python -m tests.house.docs --write` from the code; change it there. -->"
ALPHABETS = {
    str(types.type_info(getattr(alphabet, name)).pattern): name  # type: ignore[attr-defined]
    for name in ("Name", "PieceName", "Hash", "GitRevision", "Ref", "MediaType", "Base64Url", "WebOrigin", "Assertion")
}

NO_LINE_FEED = r"(?!\n)"
DEFINITION = re.compile(r"^([a-z_0-9]+(?:, [a-z_0-9]+)*): ")


def events_page() -> str:
    """docs/events.md: the vocabulary."""
    return "\n".join([*_events_head(), *(line for cls in EVENT_CLASSES for line in _kind(cls))]).rstrip() + "\n"


def _events_head() -> Iterator[str]:
    yield from ("# Events", "", MADE, "")
    yield f"The whole vocabulary: {len(EVENT_CLASSES)} kinds. A header is JSON in exactly one spelling, at most {alphabet.HEADER_BYTES_MAX:,} bytes, signed as"
    yield "bytes and stored as bytes; a header in any other spelling is refused. It holds no free text: what a person or a model"
    yield "wrote is the payload, beside the event."
    yield ""
    together = sorted(f"`{cls.__struct_config__.tag}`" for cls in IN_SHEAF)
    yield f"An author may sign up to {SHEAF_HEADERS_MAX} events with one signature, each kept with the path that proves it by itself"
    yield f"(`tenuto.sheaf`): {', '.join(together)}. Every other kind is signed alone, and refused in a sheaf."
    yield from ("", "## What every header has", "")
    yield from _prose(Event)
    yield from _table(Event, ())
    yield from ("", "## Alphabets", "", "| name | pattern |", "| --- | --- |")
    for pattern, name in ALPHABETS.items():
        yield f"| {name} | `{pattern.removesuffix(NO_LINE_FEED)}` |"
    yield ""


def _kind(cls: type[Event]) -> Iterator[str]:
    kind = str(cls.__struct_config__.tag)
    subject = kind.split(".", maxsplit=1)[0]
    first = next(one for one in EVENT_CLASSES if str(one.__struct_config__.tag).split(".")[0] == subject)
    if cls is first:
        module = inspect.getdoc(sys.modules[cls.__module__]) or ""
        yield from (f"## {subject}", "", module, "")
    roles = ", ".join(f"`{role}`" for role, kinds in ENTITLED.items() if kind in kinds)
    yield from (f"### {kind}", "")
    yield from _prose(cls)
    yield from (f"Written by: {roles}.", "")
    common = tuple(field.name for field in _fields(Event))
    if any(field.name not in common for field in _fields(cls)):
        yield from _table(cls, common)
        yield ""


def _prose(cls: type) -> Iterator[str]:
    for line in (inspect.getdoc(cls) or "").splitlines():
        names = DEFINITION.match(line)
        terms = ", ".join(f"`{name}`" for name in names[1].split(", ")) if names else ""
        yield f"- {terms}: {line[names.end() :]}" if names else line
    yield ""


def _table(cls: type[Event], without: tuple[str, ...]) -> Iterator[str]:
    yield from ("| field | value |", "| --- | --- |")
    for field in _fields(cls):
        if field.name not in without:
            yield f"| `{field.name}` | {in_words(field.type)}{'' if field.required else '; may be left out'} |"


def _fields(cls: type[Event]) -> tuple[types.Field, ...]:
    info = types.type_info(cls)
    assert isinstance(info, types.StructType)
    return info.fields


def in_words(kind: types.Type) -> str:
    """What a field of this type may hold."""
    match kind:
        case types.StrType(pattern=str(pattern)):
            return ALPHABETS[pattern]
        case types.IntType():
            least, most = kind.ge, kind.le if kind.le is not None else (kind.lt or 0) - 1
            return f"integer from {least} to {'2^53 - 1' if most == 2**53 - 1 else most}"
        case types.LiteralType():
            return ", ".join(f"`{value}`" for value in kind.values)
        case types.BoolType():
            return "true or false"
        case types.UUIDType():
            return "UUID"
        case types.DateTimeType():
            return "time with zone (RFC 3339)"
        case types.VarTupleType():
            least, item = kind.min_length or 0, in_words(kind.item_type)
            return f"list of {least} to {kind.max_length}: {item}"
        case types.UnionType():
            return " or ".join("null" if isinstance(one, types.NoneType) else in_words(one) for one in kind.types)
    raise NotImplementedError(f"Say in words what {kind} is, in tests/house/docs.py.")


def settings_page() -> str:
    """docs/settings.md: every variable."""
    lines = ["# Settings", "", MADE, ""]
    lines.append(
        "Read from the environment once, when a process starts. A variable that begins with `TENUTO_` and is not listed"
    )
    lines += [
        "here is an error, because a misspelt setting that passes silently is how a control gets switched off.",
        "",
    ]
    lines += ["| variable | default | what it does |", "| --- | --- | --- |"]
    for name, field in Settings.model_fields.items():
        default = "" if field.default is None else f"`{field.default}`"
        bounds = ", ".join(_bound(one) for one in field.metadata if _bound(one))
        allowed = ", ".join(f"`{one}`" for one in typing.get_args(field.annotation) if isinstance(one, str))
        limits = f" One of {allowed}." if allowed else f" {bounds.capitalize()}." if bounds else ""
        lines.append(f"| `{PREFIX}{name.upper()}` | {default} | {field.description}{limits} |")
    lines += ["", "Inside the home folder:", "", "| folder | what is in it |", "| --- | --- |"]
    for name, folder in inspect.getmembers(Settings, lambda one: isinstance(one, property)):
        if folder.fget.__module__ == Settings.__module__:
            lines.append(f"| `{name}` | {inspect.getdoc(folder)} |")
    return "\n".join(lines) + "\n"


def _bound(limit: Any) -> str:
    signs = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}
    return next((f"{words} {getattr(limit, sign)}" for sign, words in signs.items() if hasattr(limit, sign)), "")


def commands_page() -> str:
    """docs/commands.md: the command line."""
    lines = ["# Commands", "", MADE, ""]
    lines.append(
        "Exit codes: 0 done, 1 nothing found or not as hoped, 2 wrong usage or a part that is away, 3 the log is not"
    )
    lines += ["what it claims to be.", ""]
    for name, command in all_commands().items():
        lines += [f"## tenuto {name}", "", inspect.cleandoc(command.help or ""), ""]
        rows = [f"| `{_spelled(one)}` | {_meaning(one)} |" for one in command.params if one.name != "help"]
        if rows:
            lines += ["| argument | meaning |", "| --- | --- |", *rows, ""]
    return "\n".join(lines).rstrip() + "\n"


@cache
def all_commands() -> dict[str, Any]:
    """Every command by its words, such as `keys add`, sorted; hidden ones are left out."""
    found: dict[str, Any] = {}

    def gather(group: Any, words: tuple[str, ...]) -> None:
        for name, command in group.commands.items():
            if hasattr(command, "commands"):
                gather(command, (*words, name))
            elif not command.hidden:
                found[" ".join((*words, name))] = command

    gather(typer.main.get_command(build()), ())
    return dict(sorted(found.items()))


def _spelled(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return str(parameter.name).upper()
    return ", ".join([*parameter.opts, *parameter.secondary_opts])


def _meaning(parameter: Any) -> str:
    return (getattr(parameter, "help", None) or "").replace("|", "\\|")


PAGES: dict[str, Callable[[], str]] = {
    "docs/events.md": events_page,
    "docs/settings.md": settings_page,
    "docs/commands.md": commands_page,
}


@cache
def stale() -> list[str]:
    """The pages that are not as they would be written now."""
    return [name for name, page in PAGES.items() if not (ROOT / name).is_file() or (ROOT / name).read_text() != page()]


def main(arguments: list[str]) -> int:
    """Write the pages, or compare them and end with 1 when one differs."""
    if arguments == ["--write"]:
        for name in stale():
            (ROOT / name).write_text(PAGES[name]())
            print(f"Wrote {name}.")
        return 0
    for name in stale():
        print(f"{name} is not as the code says; run `python -m tests.house.docs --write`.")
    return 1 if stale() else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
