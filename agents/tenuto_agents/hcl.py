"""Terraform source without its comments, by a pattern: for searching it, where a word too many costs a rewording."""

from __future__ import annotations

import re

_HCL_TOKEN = re.compile(
    r"""(?P<string>"(?:\\.|[^"\\\n])*"?)"""
    r"""|(?P<heredoc><<[-~]?(?P<tag>[A-Za-z_]\w*)\n.*?(?:\n[ \t]*(?P=tag)(?=\n|\Z)|\Z))"""
    r"""|(?P<comment>(?:\#|//)[^\n]*|/\*.*?(?:\*/|\Z))""",
    re.DOTALL | re.VERBOSE,
)


def strip_hcl(source: str) -> str:
    """Return HCL (Terraform) source with comments blanked; strings, heredocs and line numbers stay as they are."""
    return _HCL_TOKEN.sub(lambda found: _newlines(found[0]) if found["comment"] is not None else found[0], source)


def _newlines(text: str) -> str:
    return "\n" * text.count("\n")
