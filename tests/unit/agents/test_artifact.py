"""One commit gives one archive, and nothing but plain files gets into it."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from tenuto_agents.artifact import ArtifactRefused, build_artifact, unpacked
from tenuto_agents.git import Entry, Repository
from tenuto_agents.sample import HONEST, create_sample

from tests.unit.agents.repositories import Scratch


def test_the_same_commit_gives_the_same_bytes_anywhere(tmp_path: Path) -> None:
    built = []
    for name in ("one", "two"):
        repository = Repository(create_sample(tmp_path / name).path)
        built.append(build_artifact(repository, repository.resolve(HONEST)))
    assert built[0] == built[1]
    assert built[0].service is not None
    assert (built[0].service.version, built[0].files) == ("1.4.0", 5)


def test_packing_and_unpacking_gives_the_files_of_the_commit(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path / "repo", {"a.py": "x = 1\n", "b/ü\n.txt": b"\x00\xff"})
    artifact = build_artifact(Repository(scratch.path), scratch.base)
    assert unpacked(artifact) == {"a.py": b"x = 1\n", "b/ü\n.txt": b"\x00\xff"}


def test_altered_bytes_are_not_unpacked(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path / "repo")
    artifact = build_artifact(Repository(scratch.path), scratch.base)
    with pytest.raises(ArtifactRefused, match="is not the one with the digest"):
        unpacked(replace(artifact, content=artifact.content.replace(b"repository", b"backdoored")))


def test_a_link_is_no_part_of_an_artifact(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path / "repo")
    os.symlink("/etc/passwd", scratch.path / "link")
    with pytest.raises(ArtifactRefused, match="symbolic link"):
        build_artifact(Repository(scratch.path), scratch.commit({}))


@pytest.mark.parametrize("path", ["../outside", "a/../../b", "/etc/passwd", ".git/hooks/x"])
def test_a_path_that_leaves_the_release_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    scratch = Scratch(tmp_path / "repo")
    repository = Repository(scratch.path)
    blob = scratch.git("rev-parse", "HEAD:README.md")
    monkeypatch.setattr(repository, "tree", lambda commit: (Entry("100644", blob, path),))
    with pytest.raises(ArtifactRefused, match="would leave"):
        build_artifact(repository, scratch.base)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "does not describe a service"), ('{"name": "a", "version": "1"}', "entry"),
        ('{"name": "a", "version": "1", "entry": "x.py"}', "not in the commit"),
        ('{"name": "a", "version": "1", "entry": "README.md", "run": "sh"}', "run"),
    ],
)  # fmt: skip
def test_a_service_that_is_not_described_well_is_refused(tmp_path: Path, text: str, sentence: str) -> None:
    scratch = Scratch(tmp_path / "repo")
    with pytest.raises(ArtifactRefused, match=sentence):
        build_artifact(Repository(scratch.path), scratch.commit({"deploy/service.json": text}))
