"""Every file of ours, read once."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path

from tests.house.rules import SourceFile

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = ("core", "agents", "projections", "dashboard", "migrations", "benchmarks")
EVERYTHING = (*PRODUCT, "tests", "docs", "deploy")
TEXT = frozenset(
    {".py", ".md", ".toml", ".json", ".yml", ".yaml", ".css", ".js", ".svg", ".sh", ".mako", ".cedar", ".tf", ".txt"}
)
TOP_FILES = (
    "README.md",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "Makefile",
    "pyproject.toml",
    "requirements.lock",
    ".ci/run",
)


@cache
def python_files(folders: tuple[str, ...]) -> list[SourceFile]:
    """The Python files below these folders of the checkout, in order."""
    return [SourceFile(relative(path), path.read_text()) for path in walk(folders) if path.suffix == ".py"]


@cache
def text_files() -> list[tuple[str, str]]:
    """Path and text of everything a person wrote."""
    tops = [ROOT / name for name in TOP_FILES if (ROOT / name).is_file()]
    return [
        (relative(path), path.read_text()) for path in [*walk(EVERYTHING), *tops] if path.suffix in TEXT or path in tops
    ]


def walk(folders: Iterable[str]) -> list[Path]:
    """The files below these folders that are not made by a program."""
    return [
        path
        for folder in folders
        for path in sorted((ROOT / folder).rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    ]


def relative(path: Path) -> str:
    """The path from the root of the checkout, with slashes."""
    return path.relative_to(ROOT).as_posix()
