"""The analysers look, and nothing that they look at has a say in it."""

from __future__ import annotations

import fcntl
import os
import sys
from pathlib import Path

import pytest
from tenuto_agents import analysis
from tenuto_agents.analysis import AnalysisRefused, analyse
from tenuto_agents.change import read_change
from tenuto_agents.processes import Ended, ToolTimedOut, run_tool
from tenuto_agents.sandbox import open_box

from tests.unit.agents.repositories import Scratch

BOX = open_box(required=False)
SHELL = "import subprocess\n\n\ndef run(x):\n    subprocess.run(x, shell=True)\n"


def analysed(tmp_path: Path, files: dict[str, str | bytes], base: dict[str, str | bytes] | None = None) -> analysis.Analysis:
    scratch = Scratch(tmp_path / "repo", base)
    scratch.commit(files)
    return analyse(read_change(scratch.path, "main", "change"), BOX)


def test_a_shell_is_found_by_both_analysers(tmp_path: Path) -> None:
    found = {(one.tool, one.rule, one.severity, one.file, one.line) for one in analysed(tmp_path, {"a.py": SHELL}).high}
    assert found == {("ruff", "S602", "high", "a.py", 5), ("bandit", "B602", "high", "a.py", 5)}


def test_only_changed_lines_are_held_against_a_change(tmp_path: Path) -> None:
    assert analysed(tmp_path, {"a.py": SHELL + "y = 1\n"}, {"a.py": SHELL}).findings == ()


def test_a_statement_that_is_changed_in_one_of_its_lines_counts(tmp_path: Path) -> None:
    before = "import subprocess\nsubprocess.run(\n    x,\n    shell=False,\n)\n"
    found = analysed(tmp_path, {"a.py": before.replace("False", "True")}, {"a.py": before})
    assert {one.tool for one in found.high} == {"ruff", "bandit"}


def test_configuration_and_suppressions_of_the_pull_request_are_ignored(tmp_path: Path) -> None:
    silenced = "# ruff: noqa\n" + SHELL.replace("shell=True)", "shell=True)  # noqa  # nosec")
    files: dict[str, str | bytes] = {
        "pkg/a.py": silenced, "ruff.toml": 'exclude = ["*"]\n', ".ruff.toml": "lint.select = []\n", "pkg/ruff.toml": "broken [",
        "pyproject.toml": '[tool.ruff]\nexclude = ["*"]\n[tool.bandit]\nskips = ["B602"]\n',
        ".bandit": "[bandit]\nexclude = /\nskips = B602\n", "bandit.yaml": "skips: [B602]\n", ".gitignore": "*\n",
        "setup.py": "open('/tmp/never', 'w')\n", "bandit.py": "raise SystemExit(0)\n", "ruff/__main__.py": "raise SystemExit(0)\n",
    }  # fmt: skip
    scratch = Scratch(tmp_path / "repo")
    for name, content in files.items():
        (scratch.path / name).parent.mkdir(exist_ok=True)
        (scratch.path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    scratch.git("add", "-A", "--force")
    scratch.git("commit", "-q", "-m", "m")
    found = analyse(read_change(scratch.path, "main", "change"), BOX)
    assert {one.tool for one in found.high if one.file == "pkg/a.py"} == {"ruff", "bandit"}


def test_nothing_of_the_pull_request_is_imported_or_run(tmp_path: Path) -> None:
    sprung = tmp_path / "sprung"
    evil = f"open({str(sprung)!r}, 'w').close()\n"
    analysed(tmp_path, {"setup.py": evil, "conftest.py": evil, "sitecustomize.py": evil, "a/__init__.py": evil})
    assert not sprung.exists()


def test_a_file_that_cannot_be_parsed_is_a_grave_finding(tmp_path: Path) -> None:
    found = analysed(tmp_path, {"a.py": "def (:\n"})
    assert {(one.rule, one.severity, one.line) for one in found.findings} == {("invalid-syntax", "high", 0)}


def test_a_link_is_a_grave_finding_and_its_target_is_not_read(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path / "repo")
    os.symlink("/etc/passwd", scratch.path / "a.py")
    scratch.commit({})
    found = analyse(read_change(scratch.path, "main", "change"), BOX)
    assert [one.rule for one in found.high] == ["not-a-plain-file"]
    assert found.analysed == ()


def test_what_no_analyser_reads_is_said(tmp_path: Path) -> None:
    found = analysed(tmp_path, {"a.sh": "rm -rf /\n", "b.py": "x = 1\n"})
    assert (found.analysed, found.skipped) == (("b.py",), ("a.sh",))


def test_an_odd_file_name_never_becomes_a_path(tmp_path: Path) -> None:
    found = analysed(tmp_path, {"-o\n\x1b\u202e;touch x.py": SHELL})
    assert {one.file for one in found.high} == {"-o\\u{a}\\u{1b}\\u{202e};touch x.py"}


@pytest.mark.parametrize(
    ("ended", "sentence"),
    [
        (Ended(1, b"[]", b"No module named ruff"), "extra `agents`"), (Ended(0, b"", b""), "wrote no JSON"),
        (Ended(0, b'{"a": 1}', b""), "cannot be read"), (Ended(-9, b"[]", b""), "failed with code -9"),
        (Ended(0, b"null", b""), "cannot be read"),
    ],
)  # fmt: skip
def test_an_analyser_that_fails_is_a_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ended: Ended, sentence: str
) -> None:
    monkeypatch.setattr(type(BOX), "run", lambda *_, **__: ended)
    with pytest.raises(AnalysisRefused, match=sentence):
        analysed(tmp_path, {"a.py": "x = 1\n"})


def test_an_analyser_that_hangs_is_killed_with_its_children(tmp_path: Path) -> None:
    held, started = tmp_path / "held", tmp_path / "started"
    child = f"import fcntl, time; fcntl.flock(open({str(held)!r}, 'w'), 2); open({str(started)!r}, 'w'); time.sleep(3600)"
    program = f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {child!r}]); time.sleep(3600)"
    for seconds in (0.5, 5, 50):
        with pytest.raises(ToolTimedOut):
            run_tool([sys.executable, "-c", program], folder=tmp_path, seconds=seconds)
        if started.exists():
            break
    assert started.exists(), "the child ran"
    with held.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # a child that lives holds it for an hour, and the test's time is up


def test_a_tool_sees_no_environment_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "x")
    shown = run_tool([sys.executable, "-c", "import os; print(sorted(os.environ))"], folder=tmp_path, seconds=60)
    assert b"SECRET" not in shown.stdout
