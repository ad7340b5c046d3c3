"""Who may import whom: between the packages, and inside core from the road's top to its bottom.

A lazy import inside a function and an import for types only count as well: what a file knows of, it depends on.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping

from tests.house.rules import Finding, SourceFile

# Package -> what of ours it may import, besides itself.
PACKAGES: Mapping[str, frozenset[str]] = {
    "tenuto": frozenset(),
    "tenuto_agents": frozenset({"tenuto"}),
    "tenuto_projections": frozenset({"tenuto"}),
    "tenuto_dashboard": frozenset({"tenuto", "tenuto_projections"}),
    "migrations": frozenset(),
    "benchmarks": frozenset({"tenuto", "tenuto_agents", "tenuto_projections", "tenuto_dashboard", "tests"}),
}

# Inside core, bottom first. A module imports its own layer and those before it. `ledger` is low because it is the port
# and the records; what writes to it is high. `bus` is a port too, and knows how large an envelope may be.
LAYERS: tuple[tuple[str, frozenset[str]], ...] = (
    ("words", frozenset({"errors", "clock", "events", "settings", "threats"})),
    ("bytes", frozenset({
        "signing", "sheaf", "sodium", "payload", "keystock", "keytree", "envelope", "header", "log", "bus", "documents", "trust", "ledger", "archive",
    })),
    ("judgement", frozenset({
        "keyring", "verified", "purges", "verification", "following", "approvals", "holding", "policy", "bundle",
        "outcomes",
    })),
    ("road", frozenset({
        "ingest", "intake", "recorder", "spool", "drain", "mailbox", "enclosure", "delivery", "action", "admission", "gate", "toolcall", "seeing",
        "sealing", "waiting", "salvage", "spoolfile", "accounting", "rebuilding", "router", "writing", "purging", "retention",
    })),
    ("parts", frozenset({"adapters", "embedded", "migrating", "telemetry"})),
    ("wiring", frozenset({
        "wiring", "addresses", "epochs", "renewing", "founding", "registering", "supervising", "running", "cli", "__main__",
    })),
)  # fmt: skip
RANKS = {module: rank for rank, (_, modules) in enumerate(LAYERS) for module in modules}


def package_direction(file: SourceFile) -> Iterator[Finding]:
    """dashboard -> projections -> core <- agents; core imports none of them."""
    package = file.module.split(".")[0]
    allowed = PACKAGES[package] | {package}
    for line, module in imports(file):
        target = module.split(".")[0]
        if target in PACKAGES.keys() | {"tests"} and target not in allowed:
            sentence = f"{package} may not import {target}. Turn the dependency round, or move the shared thing down."
            yield Finding(file.path, line, sentence, f"{file.path} -> {target}")


def layer_direction(file: SourceFile) -> Iterator[Finding]:
    """Inside core, nothing imports what stands above it."""
    parts = file.module.split(".")
    if parts[0] != "tenuto" or len(parts) == 1:
        return
    if parts[1] not in RANKS:
        yield Finding(file.path, 1, f"tenuto.{parts[1]} has no layer. Give it one in tests/house/layers.py.", file.path)
        return
    rank = RANKS[parts[1]]
    for line, module in imports(file):
        target = (module.split(".") + [""])[1] if module.startswith("tenuto.") else ""
        if RANKS.get(target, -1) > rank:
            here, there = LAYERS[rank][0], LAYERS[RANKS[target]][0]
            sentence = f"tenuto.{parts[1]} ({here}) may not import tenuto.{target} ({there}), which stands above it."
            yield Finding(file.path, line, sentence, f"{file.path} -> {target}")


def cycles(files: list[SourceFile]) -> list[tuple[str, ...]]:
    """Circles of modules that import one another when they are loaded; each circle once, sorted."""
    modules = {file.module for file in files}
    edges = {file.module: {known_as(name, modules) for _, name in loaded(file)} - {"", file.module} for file in files}
    reached = {module: reachable(module, edges) for module in edges}
    circles = {
        tuple(sorted(other for other in reached[module] if module in reached[other]))
        for module in edges
        if module in reached[module]
    }
    return sorted(circles)


def reachable(start: str, edges: Mapping[str, set[str]]) -> set[str]:
    """Every module that loading `start` loads."""
    reached, waiting = set[str](), set(edges[start])
    while waiting:
        one = waiting.pop()
        reached.add(one)
        waiting |= edges[one] - reached
    return reached


def known_as(name: str, modules: set[str]) -> str:
    """The module of ours that `name` is, or is a member of."""
    while name and name not in modules:
        name = name.rpartition(".")[0]
    return name


def imports(file: SourceFile) -> Iterator[tuple[int, str]]:
    """Line and full name of everything a file imports, wherever it does."""
    for node in ast.walk(file.tree):
        yield from names_of(node, file)


def loaded(file: SourceFile) -> Iterator[tuple[int, str]]:
    """Only what is imported when the module itself is loaded."""
    for node in file.tree.body:
        yield from names_of(node, file)


def names_of(node: ast.AST, file: SourceFile) -> Iterator[tuple[int, str]]:
    """The full names that one import statement brings in; a relative one is resolved."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield node.lineno, alias.name
    elif isinstance(node, ast.ImportFrom):
        package = file.package.split(".")
        above = package[: len(package) - node.level + 1] if node.level else []
        origin = ".".join([*above, *([node.module] if node.module else [])])
        for alias in node.names:
            yield node.lineno, f"{origin}.{alias.name}"
