"""A repository that an attacker prepared is read, and nothing of it is executed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tenuto_agents import git
from tenuto_agents.change import read_change
from tenuto_agents.git import Repository, RepositoryRefused
from tenuto_agents.sandbox import Breach, Bubblewrap

from tests.unit.agents.repositories import Scratch


@pytest.fixture
def trap(tmp_path: Path) -> Path:
    """A program that leaves a file behind when anybody runs it."""
    program = tmp_path / "trap"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/sprung\ncat\n", encoding="utf-8")
    program.chmod(0o755)
    return program


def test_no_program_that_the_repository_names_is_run(tmp_path: Path, trap: Path) -> None:
    scratch = Scratch(tmp_path / "repo", {"a.py": "x = 1\n"})
    scratch.commit({"a.py": "x = 2\n", ".gitattributes": "*.py filter=evil diff=evil\n"})
    for hook in ("post-checkout", "pre-commit", "reference-transaction", "fsmonitor-watchman", "post-index-change"):
        file = scratch.path / ".git" / "hooks" / hook
        file.write_text(trap.read_text(encoding="utf-8"), encoding="utf-8")
        file.chmod(0o755)
    for name in ("filter.evil.clean", "filter.evil.smudge", "diff.evil.textconv", "diff.evil.command", "diff.external",
                 "core.fsmonitor", "core.pager", "gpg.program", "core.sshCommand", "uploadpack.packObjectsHook"):  # fmt: skip
        scratch.git("config", name, str(trap))
    scratch.git("config", "log.showSignature", "true")
    scratch.git("config", "alias.diff-tree", f"!{trap}")
    change = read_change(scratch.path, "main", "change")
    assert "+x = 2" in change.diff
    assert not (tmp_path / "sprung").exists()


def test_a_missing_object_is_not_fetched_through_a_program(tmp_path: Path, trap: Path) -> None:
    scratch = Scratch(tmp_path / "repo")
    head = scratch.commit({"secret.py": "x = 1\n"})
    blob = scratch.git("rev-parse", f"{head}:secret.py")
    (scratch.path / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    for name, value in (("core.repositoryFormatVersion", "1"), ("extensions.partialClone", "origin"),
                        ("remote.origin.url", str(scratch.path)), ("remote.origin.promisor", "true"),
                        ("remote.origin.uploadpack", str(trap)), ("protocol.allow", "always")):  # fmt: skip
        scratch.git("config", name, value)
    with pytest.raises(RepositoryRefused):
        read_change(scratch.path, "main", "change")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("revision", ["--upload-pack=/bin/sh", "-n1", "", "a b", "main\n", "x" * 300, "$(touch x)", "--help"])
def test_a_revision_that_could_be_an_option_is_refused(tmp_path: Path, revision: str) -> None:
    scratch = Scratch(tmp_path / "repo")
    scratch.commit({"a": "b"})
    with pytest.raises(RepositoryRefused, match="is not a revision"):
        read_change(scratch.path, "main", revision)


def test_attributes_cannot_hide_a_change_from_the_reviewer(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path / "repo", {"a.py": "x = 1\n"})
    scratch.commit({"a.py": "x = 2\n", ".gitattributes": "*.py -diff binary\n"})
    (scratch.path / ".git" / "info" / "attributes").write_text("*.py -diff\n", encoding="utf-8")
    assert "+x = 2" in read_change(scratch.path, "main", "change").diff


def test_a_replacement_object_does_not_change_what_an_id_means(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path / "repo", {"a.py": "x = 1\n"})
    scratch.commit({"a.py": "evil = 1\n"})
    evil = scratch.git("rev-parse", "HEAD:a.py")
    (scratch.path / "good").write_text("good = 1\n", encoding="utf-8")
    scratch.git("replace", evil, scratch.git("hash-object", "-w", "good"))
    assert "evil" in read_change(scratch.path, "main", "change").diff


def test_a_symbolic_link_is_not_followed(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path / "repo")
    os.symlink("/etc/passwd", scratch.path / "link.py")
    scratch.commit({})
    change = read_change(scratch.path, "main", "change")
    assert "root:" not in change.diff
    assert (change.files[0].after, change.files[0].regular) == (None, False)


def test_a_file_name_with_a_newline_stays_on_one_line(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path / "repo")
    scratch.commit({"a\n+++ b/other.py\n\x1b[2J\u202e.py": "x = 1\n"})
    change = read_change(scratch.path, "main", "change")
    assert change.files[0].shown == "a\\u{a}+++ b/other.py\\u{a}\\u{1b}[2J\\u{202e}.py"
    assert change.diff.count("\n+++ ") == 1
    assert "\x1b" not in change.diff


def test_a_file_name_that_is_not_utf8_can_be_read_and_recorded(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path / "repo")
    (Path(os.fsdecode(os.fsencode(scratch.path) + b"/\xff.py"))).write_text("x = 1\n", encoding="utf-8")
    scratch.commit({})
    change = read_change(scratch.path, "main", "change")
    change.diff.encode()
    assert change.files[0].shown == "\\u{dcff}.py"


def test_only_full_ids_name_an_object(tmp_path: Path) -> None:
    repository = Repository(Scratch(tmp_path / "repo").path)
    with pytest.raises(RepositoryRefused, match="is not a full object id"):
        repository.tree("main")


def test_a_linked_work_tree_and_a_bare_repository_are_repositories(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path / "repo")
    scratch.git("worktree", "add", "-q", str(tmp_path / "linked"), "main")
    scratch.git("clone", "-q", "--bare", ".", str(tmp_path / "bare.git"))
    assert Repository(tmp_path / "linked").resolve("main") == scratch.base
    assert Repository(tmp_path / "bare.git").resolve("main") == scratch.base


def test_in_the_sandbox_git_reads_the_same_and_sees_nothing_else(tmp_path: Path, sandbox: Bubblewrap) -> None:
    scratch = Scratch(tmp_path / "repo", {"a.py": "x = 1\n"})
    scratch.commit({"a.py": "x = 2\n", "b.bin": b"\0"})
    assert read_change(scratch.path, "main", "change", box=sandbox) == read_change(scratch.path, "main", "change")
    scratch.git("worktree", "add", "-q", str(tmp_path / "linked"), "main")
    assert read_change(tmp_path / "linked", "main", "change", box=sandbox).head == scratch.git("rev-parse", "change")
    stray = tmp_path / "stray"
    (scratch.path / ".git" / "objects").rename(stray)
    (scratch.path / ".git" / "objects" / "info").mkdir(parents=True)
    (scratch.path / ".git" / "objects" / "info" / "alternates").write_text(f"{stray}\n")
    assert read_change(scratch.path, "main", "change").files
    with pytest.raises(RepositoryRefused):
        read_change(scratch.path, "main", "change", box=sandbox)


def test_a_git_that_starts_another_program_in_the_sandbox_is_a_breach(
    tmp_path: Path, sandbox: Bubblewrap, trap: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = Scratch(tmp_path / "repo")
    scratch.commit({"a": "b"})
    obedient = scratch.path / ".git" / "git"  # a git that has been talked into running what the repository names
    obedient.write_bytes(trap.read_bytes())
    obedient.chmod(0o755)
    monkeypatch.setattr(git, "find_git", lambda: str(obedient))
    with pytest.raises(Breach):
        read_change(scratch.path, "main", "change", box=sandbox)
    assert not (tmp_path / "sprung").exists()
    with pytest.raises(RepositoryRefused):
        read_change(scratch.path, "main", "change")
    assert (tmp_path / "sprung").exists(), "outside of the sandbox it would have run"
