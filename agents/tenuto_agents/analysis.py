"""Static analysis of the change in the sandbox, executing nothing of it and believing nothing of it (M3, M24, M25).

The files are written from git objects under neutral names into a folder of ours, so no configuration, plug-in, package
layout or file name of the pull request reaches the analysers; suppressions (`noqa`, `nosec`) are ignored, since they would
be written by the one who is judged. An analyser that is missing, crashes, hangs or says something unreadable is a refusal:
"no findings" is said only by an analyser that has looked.
"""

from __future__ import annotations

import io
import json
import sys
import tempfile
import tokenize
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tenuto.documents import Finding
from tenuto.errors import Refused

from .change import Change, ChangedFile
from .processes import Ended
from .sandbox import Box
from .text import visible_line

ANALYSIS_SECONDS_MAX = 60.0
FINDINGS_MAX = 500
MESSAGE_CHARACTERS_MAX = 300
PYTHON_SUFFIXES = (".py", ".pyi", ".pyw")

_RUFF = ("check", "--isolated", "--no-cache", "--ignore-noqa", "--no-respect-gitignore", "--select", "S",
         "--output-format", "json", "--exit-zero", "--no-fix", ".")  # fmt: skip
_BANDIT = ("-r", ".", "-f", "json", "--ignore-nosec", "-q", "--exit-zero")
_RUFF_HIGH = frozenset({"S102", "S201", "S202", "S307", "S324", "S501", "S502", "S507", "S602", "S604", "S605", "S609"})
_RUFF_LOW = frozenset({
    "S101", "S105", "S106", "S107", "S110", "S112", "S311", "S404", "S603", "S606", "S607",
    "S403", "S405", "S406", "S407", "S408", "S409", "S411", "S415",
})  # fmt: skip
_BETWEEN = (tokenize.NL, tokenize.COMMENT, tokenize.INDENT, tokenize.DEDENT, tokenize.ENCODING)
SYNTAX_RULE = "invalid-syntax"


class AnalysisRefused(Refused):
    """The analysis did not take place, so nothing can be concluded from it."""

    reason = "analysis"


@dataclass(frozen=True, slots=True)
class Analysis:
    """What the analysers found. `analysed` are the files they read; `skipped` those that no analyser here reads.

    sandbox: where they ran, `none` for nowhere.
    """

    findings: tuple[Finding, ...]
    analysed: tuple[str, ...]
    skipped: tuple[str, ...]
    sandbox: str

    @property
    def high(self) -> tuple[Finding, ...]:
        """The findings of high severity."""
        return tuple(finding for finding in self.findings if finding.severity == "high")


def analyse(change: Change, box: Box) -> Analysis:
    """Return the findings in the lines that `change` adds or alters, analysed in `box`.

    Raises AnalysisRefused if any analyser failed, Breach if one was made to do something else.
    """
    python = [file for file in change.files if file.path.endswith(PYTHON_SUFFIXES) and file.after is not None]
    skipped = tuple(file.shown for file in change.files if file not in python and file.after is not None)
    findings = [_not_plain(file) for file in change.files if not file.regular]
    if python:
        findings += _analyse_python(python, box)
    if len(findings) > FINDINGS_MAX:
        raise AnalysisRefused(f"There are {len(findings)} findings; more than {FINDINGS_MAX} are not reviewed. Split it.")
    ordered = sorted(findings, key=lambda one: (one.file, one.line, one.tool, one.rule))
    return Analysis(tuple(ordered), tuple(file.shown for file in python), skipped, box.name)


def with_more(analysis: Analysis, more: Sequence[Finding]) -> Analysis:
    """Return the analysis with findings of somebody else among its own; raises AnalysisRefused for more than FINDINGS_MAX (500)."""
    findings = sorted((*analysis.findings, *more), key=lambda one: (one.file, one.line, one.tool, one.rule))
    if len(findings) > FINDINGS_MAX:
        raise AnalysisRefused(f"There are {len(findings)} findings; more than {FINDINGS_MAX} are not reviewed. Split it.")
    return replace(analysis, findings=tuple(findings))


def _analyse_python(files: Sequence[ChangedFile], box: Box) -> list[Finding]:
    with tempfile.TemporaryDirectory(prefix="tenuto-analysis-") as name:
        folder = Path(name)
        by_name = {f"f{number:04}.py": file for number, file in enumerate(files)}
        for neutral, file in by_name.items():
            (folder / neutral).write_bytes(file.after or b"")
        ruff = _run(box, [_ruff_program(), *_RUFF], folder)
        # -I: neither the folder nor the environment can put a module in front of the analyser's own.
        bandit = _run(box, [sys.executable, "-I", "-m", "bandit", *_BANDIT], folder)
        try:
            return [*_ruff_findings(_json(ruff, "ruff"), by_name), *_bandit_findings(_json(bandit, "bandit"), by_name)]
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise AnalysisRefused(f"An analyser wrote something that cannot be read: {error!r}.") from error


def _run(box: Box, argv: Sequence[str], folder: Path) -> Ended:
    ended = box.run(argv, folder=folder, seconds=ANALYSIS_SECONDS_MAX)
    if ended.code != 0:
        tool = "bandit" if "bandit" in argv else "ruff"
        remedy = " Is the extra `agents` installed?" if b"No module named" in ended.stderr else ""
        raise AnalysisRefused(f"{tool} failed with code {ended.code}, so nothing was analysed: {ended.complaint()}{remedy}")
    return ended


def _ruff_program() -> str:
    """The program itself: `python -m ruff` would start it as a second one, which the sandbox does not let through."""
    try:
        from ruff import find_ruff_bin

        return str(find_ruff_bin())
    except (ImportError, FileNotFoundError) as error:
        raise AnalysisRefused("ruff is not here, so nothing was analysed. Is the extra `agents` installed?") from error


def _json(ended: Ended, tool: str) -> Any:
    try:
        return json.loads(ended.stdout)
    except ValueError as error:
        raise AnalysisRefused(f"{tool} wrote no JSON, so nothing was analysed: {error}.") from error


def _ruff_findings(report: list[dict[str, Any]], files: Mapping[str, ChangedFile]) -> Iterable[Finding]:
    for one in report:
        rule = str(one["code"] or SYNTAX_RULE)
        first, last = one["location"]["row"], one["end_location"]["row"]
        file = files[Path(one["filename"]).name]
        if rule == SYNTAX_RULE:
            yield _unparsed(file, "ruff", one["message"])
        elif _in_change(file, first, last):
            yield _finding(file, "ruff", rule, _ruff_severity(rule), line=first, message=one["message"])


def _bandit_findings(report: dict[str, Any], files: Mapping[str, ChangedFile]) -> Iterable[Finding]:
    for one in report["errors"]:
        yield _unparsed(files[Path(one["filename"]).name], "bandit", one["reason"])
    for one in report["results"]:
        file, lines = files[Path(one["filename"]).name], one["line_range"] or [one["line_number"]]
        if _in_change(file, min(lines), max(lines)):
            severity = one["issue_severity"].lower()
            yield _finding(file, "bandit", one["test_id"], severity, line=one["line_number"], message=one["issue_text"])


def _ruff_severity(rule: str) -> str:
    # ruff's S rules carry no severity; these are bandit's for the same checks.
    return "high" if rule in _RUFF_HIGH else "low" if rule in _RUFF_LOW else "medium"


def _in_change(file: ChangedFile, first: int, last: int) -> bool:
    # An analyser points at the name of a call; the argument that makes it dangerous may stand some lines below.
    for start, end in logical_lines((file.after or b"").decode("utf-8", errors="replace")):
        if start <= last and first <= end:
            first, last = min(first, start), max(last, end)
    return any(first <= line <= last for line in file.lines)


def logical_lines(source: str) -> list[tuple[int, int]]:
    """Return first and last line of each Python statement that stands on one logical line; all in one if it is no Python."""
    found, start = [], 0
    try:
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type == tokenize.NEWLINE:
                found.append((start, token.end[0]))
                start = 0
            elif start == 0 and token.type not in _BETWEEN:
                start = token.start[0]
    except (tokenize.TokenError, SyntaxError, ValueError):
        return [(1, source.count("\n") + 1)]
    return found


def _unparsed(file: ChangedFile, tool: str, message: str) -> Finding:
    sentence = f"The file cannot be parsed, so it could not be analysed: {message}"
    return _finding(file, tool, SYNTAX_RULE, "high", line=0, message=sentence)


def _not_plain(file: ChangedFile) -> Finding:
    sentence = "A symbolic link or a submodule; it is not followed and was not analysed."
    return _finding(file, "tenuto", "not-a-plain-file", "high", line=0, message=sentence)


def _finding(file: ChangedFile, tool: str, rule: str, severity: str, *, line: int, message: str) -> Finding:
    if severity not in ("low", "medium", "high"):
        severity = "high"  # a word we do not know is not a reason to look away
    text = visible_line(message)[:MESSAGE_CHARACTERS_MAX]
    return Finding(tool=tool, rule=rule, severity=severity, file=file.shown, line=line, message=text)
