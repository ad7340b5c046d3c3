"""Takes comments and docstrings out of source, and only those: a program for the sandbox, run by its path.

Reads every file in its folder whose suffix names a grammar and writes one JSON object, file name to cleaned text. It stands
alone (tree-sitter and the standard library), since what it reads was written by a stranger and nothing of ours should be
beside it. Line numbers stay, and so does every string that is used for something.

Source that does not parse loses its strings as well, and each line from its first comment mark on: the static analysis
calls such a file a grave finding, and nobody should read instructions out of its ruins.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import tree_sitter_hcl
import tree_sitter_python
from tree_sitter import Language, Node, Parser, Tree

_PYTHON_TEXT = frozenset({"string", "concatenated_string", "parenthesized_expression", "tuple", "expression_list", "(", ")", ","})


def strip_python(source: str) -> str:
    """Return Python source without comments and without strings that stand alone as a statement, such as docstrings."""
    return _strip(source, Language(tree_sitter_python.language()), _is_text_of_python, ("#",))


def strip_hcl(source: str) -> str:
    """Return HCL (Terraform) source without comments; strings and heredocs stay."""
    return _strip(source, Language(tree_sitter_hcl.language()), lambda node: node.type == "comment", ("#", "//", "/*"))


GRAMMARS: dict[str, Callable[[str], str]] = {
    ".py": strip_python, ".pyi": strip_python, ".pyw": strip_python, ".tf": strip_hcl, ".tfvars": strip_hcl, ".hcl": strip_hcl,
}  # fmt: skip
"""By suffix. A file of another language is quoted to the model as it is, and marked as such."""


def _strip(source: str, language: Language, is_comment: Callable[[Node], bool], marks: tuple[str, ...]) -> str:
    encoded = source.encode("utf-8", errors="replace")
    tree = Parser(language).parse(encoded)
    if not tree.root_node.has_error:
        return _without(encoded, tree, is_comment)
    ruins = _without(encoded, tree, lambda node: is_comment(node) or "string" in node.type or node.type == "heredoc_template")
    lines = ruins.split("\n")
    for mark in marks:
        lines = [line.split(mark, 1)[0] for line in lines]
    return "\n".join(lines)


def _without(encoded: bytes, tree: Tree, is_comment: Callable[[Node], bool]) -> str:
    kept, at = bytearray(), 0
    for node in _outermost(tree, is_comment):
        kept += encoded[at : node.start_byte] + b"\n" * encoded.count(b"\n", node.start_byte, node.end_byte)
        at = node.end_byte
    return (kept + encoded[at:]).decode("utf-8", errors="replace")


def _outermost(tree: Tree, wanted: Callable[[Node], bool]) -> Iterator[Node]:
    """Every wanted node that lies in no other one, in the order of the text; without recursion, since depth is the stranger's."""
    waiting = [tree.root_node]
    while waiting:
        node = waiting.pop()
        if wanted(node):
            yield node
        else:
            waiting.extend(reversed(node.children))


def _is_text_of_python(node: Node) -> bool:
    return node.type == "comment" or (node.type == "expression_statement" and _is_only_text(node))


def _is_only_text(statement: Node) -> bool:
    """Whether nothing but string literals stands in the statement, in whatever brackets; an f-string that computes is code."""
    waiting, seen = list(statement.children), False
    while waiting:
        node = waiting.pop()
        if node.type == "string":
            if any(child.type == "interpolation" for child in node.children):
                return False
            seen = True
        elif node.type == "comment":
            continue
        elif node.type in _PYTHON_TEXT:
            waiting.extend(node.children)
        else:
            return False
    return seen


def main() -> None:
    """Clean the files of the working folder."""
    cleaned = {}
    for file in sorted(Path().iterdir()):
        strip = GRAMMARS.get(file.suffix)
        if strip is not None:
            cleaned[file.name] = strip(file.read_text(encoding="utf-8", errors="replace"))
    json.dump(cleaned, sys.stdout)


if __name__ == "__main__":
    main()
