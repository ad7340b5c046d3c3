"""The house rules, each a pure function from a file to what is wrong with it, with the remedy in the sentence.

`tests/house/test_tidy.py` runs them over the tree, `tests/house/test_rules.py` shows for each that it fires and that it
is silent. A rule that is worth writing down is written here and nowhere else.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath

FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 60
POSITIONAL_MAX = 6

VAGUE_MODULES = frozenset({
    "util", "utils", "helper", "helpers", "common", "misc", "manager", "handler", "handlers", "processor", "service",
    "services", "base",
})  # fmt: skip
VAGUE_CLASS = re.compile(r"(Manager|Handler|Processor|Service|Base|Helper|Helpers|Util|Utils)$")

BANNED_CALLS = {
    "time.time": "take a `Clock`",
    "time.time_ns": "take a `Clock`",
    "datetime.datetime.now": "take a `Clock`",
    "datetime.datetime.utcnow": "take a `Clock`; a time without a zone means nothing",
    "datetime.datetime.today": "take a `Clock`",
    "datetime.date.today": "take a `Clock`",
    "uuid.uuid1": "take a `NewId`",
    "uuid.uuid4": "take a `NewId`; our ids are UUIDv7",
    "uuid.uuid7": "take a `NewId`",
    "random.random": "use `secrets`, or take a seeded `random.Random`",
    "random.choice": "use `secrets`, or take a seeded `random.Random`",
    "random.randint": "use `secrets`, or take a seeded `random.Random`",
    "os.environ": "add a field to `Settings`",
    "os.getenv": "add a field to `Settings`",
}
BROAD = frozenset({"Exception", "BaseException"})
STORE_NAMES = frozenset({"store", "ledger", "ledger_store"})
LEFTOVER = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
MACHINE_PATH = re.compile(r"(?<![\w.~:/-])/(work|root|home/[a-z]+|Users/[a-z]+)(?=/|\b)")
# Written in two halves: a rule against naming a host does not name it either.
REGISTRY = re.compile("|".join(re.escape(f"{name}.{end}") for name, end in (("pypi", "org"), ("pythonhosted", "org"))))


@dataclass(frozen=True)
class Finding:
    """One place that breaks a rule. `key` names it in a list of exceptions, `size` is what a ratchet compares."""

    path: str
    line: int
    sentence: str
    key: str = ""
    size: int = 0

    def __str__(self) -> str:
        """As editors read it."""
        return f"{self.path}:{self.line}: {self.sentence}"


@dataclass(frozen=True)
class SourceFile:
    """A Python file: its path from the root of the checkout, with slashes, and its text."""

    path: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        """The syntax tree."""
        return ast.parse(self.text, self.path)

    @cached_property
    def module(self) -> str:
        """The dotted name under which it is imported, such as `tenuto.log.merkle`."""
        parts = PurePosixPath(self.path).with_suffix("").parts
        names = parts[1:] if parts[0] in ("core", "agents", "projections", "dashboard") else parts
        return ".".join(names[:-1] if names[-1] == "__init__" else names)

    @cached_property
    def package(self) -> str:
        """The dotted name that one leading dot of a relative import stands for."""
        return self.module if self.path.endswith("/__init__.py") else self.module.rpartition(".")[0]


def file_length(file: SourceFile) -> Iterator[Finding]:
    """A file has at most 400 lines."""
    lines = len(file.text.splitlines())
    if lines > FILE_LINES_MAX:
        yield Finding(file.path, 1, f"{lines} lines; at most {FILE_LINES_MAX}. Split it by subject.", file.path, lines)


def function_length(file: SourceFile) -> Iterator[Finding]:
    """A function has at most 60 lines, docstring included."""
    for node in functions(file):
        lines = (node.end_lineno or node.lineno) - node.lineno + 1
        if lines > FUNCTION_LINES_MAX:
            sentence = f"{node.name} has {lines} lines; at most {FUNCTION_LINES_MAX}. Give its parts names."
            yield Finding(file.path, node.lineno, sentence, f"{file.path}::{node.name}", lines)


def positional_parameters(file: SourceFile) -> Iterator[Finding]:
    """A function takes at most 6 parameters by position."""
    for node in functions(file):
        names = [argument.arg for argument in (*node.args.posonlyargs, *node.args.args)]
        count = len(names) - (names[:1] in (["self"], ["cls"]))
        if count > POSITIONAL_MAX and not is_command(file):
            sentence = f"{node.name} takes {count} positional parameters; at most {POSITIONAL_MAX}. Make the rest keyword-only."
            yield Finding(file.path, node.lineno, sentence, f"{file.path}::{node.name}", count)


def vague_names(file: SourceFile) -> Iterator[Finding]:
    """No module or class has a name that could be anybody's."""
    stem = PurePosixPath(file.path).stem
    folder = PurePosixPath(file.path).parent.name
    for name in (stem, folder):
        if name in VAGUE_MODULES:
            sentence = f"A module named {name} collects what has no home. Name it after what is in it."
            yield Finding(file.path, 1, sentence, file.path)
    for node in ast.walk(file.tree):
        if isinstance(node, ast.ClassDef) and VAGUE_CLASS.search(node.name):
            sentence = (
                f"The class {node.name} is named after a role that anything could have. Use the noun for what it is."
            )
            yield Finding(file.path, node.lineno, sentence, f"{file.path}::{node.name}")


def banned_calls(file: SourceFile) -> Iterator[Finding]:
    """Time, identity, chance and the environment are handed in."""
    known = imported_names(file)
    for node in ast.walk(file.tree):
        if isinstance(node, ast.Attribute | ast.Name):
            dotted = dotted_name(node, known)
            if dotted in BANNED_CALLS:
                sentence = f"`{dotted}` is banned here: {BANNED_CALLS[dotted]}."
                yield Finding(file.path, node.lineno, sentence, f"{file.path}::{dotted}")


def broad_excepts(file: SourceFile) -> Iterator[Finding]:
    """Nobody catches everything and goes on but the outermost loop of a process; tidying up and raising it again is fine."""
    for node in ast.walk(file.tree):
        if not isinstance(node, ast.ExceptHandler) or raises_again(node):
            continue
        caught = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
        if any(one is None or (isinstance(one, ast.Name) and one.id in BROAD) for one in caught):
            sentence = "This catches defects too. There are three outcomes: catch `Refused` or `Busy`, let the rest stop the process."
            yield Finding(file.path, node.lineno, sentence, file.path)


def module_docstring(file: SourceFile) -> Iterator[Finding]:
    """Every module says what it is for."""
    docstring = ast.get_docstring(file.tree)
    if not docstring:
        yield Finding(file.path, 1, "The module has no docstring. Say in a sentence what it is for.", file.path)
    elif not docstring.split("\n\n")[0].rstrip().endswith((".", ":", "?")):
        yield Finding(file.path, 1, "The module's docstring does not begin with a whole sentence.", file.path)


def ledger_appends(file: SourceFile) -> Iterator[Finding]:
    """Only ingest writes to the ledger: there is one door in."""
    for node in ast.walk(file.tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "append"):
            continue
        receiver = node.func.value
        name = getattr(receiver, "attr", getattr(receiver, "id", ""))
        if name.strip("_") in STORE_NAMES:
            sentence = (
                f"`{name}.append` writes to the ledger; only ingest does. Record an event, it comes in by the one door."
            )
            yield Finding(file.path, node.lineno, sentence, file.path)


def verify_returns(file: SourceFile) -> Iterator[Finding]:
    """What is named verify refuses by exception and succeeds in silence."""
    for node in functions(file):
        verdict = isinstance(node.returns, ast.Name) and node.returns.id == "bool"
        if verdict and node.name.lstrip("_").startswith("verify"):
            sentence = f"{node.name} returns a bool that a caller can forget to look at. Raise `Refused` instead."
            yield Finding(file.path, node.lineno, sentence, f"{file.path}::{node.name}")


def mangled_names(file: SourceFile) -> Iterator[Finding]:
    """Nothing is hidden by two underscores."""
    for node in ast.walk(file.tree):
        if isinstance(node, ast.Attribute) and node.attr.startswith("__") and not node.attr.endswith("__"):
            yield Finding(
                file.path, node.lineno, f"`{node.attr}` hides by a name trick. One underscore is enough.", file.path
            )


def leftovers(path: str, text: str) -> Iterator[Finding]:
    """Nothing is left for later in a file; it is done, or it is an issue."""
    for number, line in enumerate(text.splitlines(), start=1):
        found = LEFTOVER.search(line)
        if found:
            yield Finding(path, number, f"{found[0]} is left over. Do it now, or write an issue.", path)


def machine_paths(path: str, text: str) -> Iterator[Finding]:
    """No file knows the machine on which it was written, nor the registry it was installed from."""
    for number, line in enumerate(text.splitlines(), start=1):
        found = MACHINE_PATH.search(line) or REGISTRY.search(line)
        if found:
            yield Finding(
                path,
                number,
                f"`{found[0]}` is true on one machine only. Derive it, or take it from the settings.",
                path,
            )


def functions(file: SourceFile) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function of a file, methods and inner ones too."""
    for node in ast.walk(file.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def raises_again(handler: ast.ExceptHandler) -> bool:
    """Whether every way through an except block ends in its last statement, a bare `raise`."""
    last = handler.body[-1]
    leaves = any(
        isinstance(node, ast.Return | ast.Break | ast.Continue) for one in handler.body for node in ast.walk(one)
    )
    return isinstance(last, ast.Raise) and last.exc is None and not leaves


def is_command(file: SourceFile) -> bool:
    """Whether the file holds commands, whose parameters are options of the command line."""
    return file.path.endswith("/commands.py") or "/cli/" in file.path


def imported_names(file: SourceFile) -> dict[str, str]:
    """What each imported name of a file stands for: `{"now": "datetime.datetime"}` for `import datetime as now`."""
    known: dict[str, str] = {}
    for node in ast.walk(file.tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.partition(".")[0]
                known[alias.asname or top] = alias.name if alias.asname else top
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            known.update({alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names})
    return known


def dotted_name(node: ast.expr, known: dict[str, str]) -> str:
    """The full name that an expression such as `datetime.now` stands for, or an empty string."""
    if isinstance(node, ast.Name):
        return known.get(node.id, "")
    if isinstance(node, ast.Attribute):
        inner = dotted_name(node.value, known)
        return f"{inner}.{node.attr}" if inner else ""
    return ""
