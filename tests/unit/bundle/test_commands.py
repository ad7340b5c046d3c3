"""`tenuto bundle` and `tenuto verify --bundle`: what they print, and with which exit code they end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer
from tenuto.bundle import layout
from tenuto_projections import bundle_commands, commands
from tenuto_projections.bundled import _lines
from tenuto_projections.bundling import Source
from typer.testing import CliRunner, Result

from tests.unit.bundle.world import World, manifest_of, tell_run
from tests.unit.projections.written import STORAGE_KEY


@pytest.fixture
def app(world: World, monkeypatch: pytest.MonkeyPatch) -> typer.Typer:
    """The commands over the world's log; its storage key and trust file lie in its folder."""
    keys = world.path / "keys"
    keys.mkdir(mode=0o700)
    (keys / "storage.key").write_text(STORAGE_KEY.to_text())
    (keys / "storage.key").chmod(0o600)
    world.trust.save(world.path)
    settings = SimpleNamespace(
        keys=keys, home=world.path, tiles=world.tiles.path, archives=world.path / "archive", verify_threads=1
    )

    @contextmanager
    def live(_: Any, files: Path | None) -> Iterator[Source]:
        if files is None:
            yield world.source()
            return
        with _source(settings, files) as source:  # type: ignore[arg-type]
            yield source

    _source = bundle_commands._source
    monkeypatch.setattr(bundle_commands, "_source", live)
    monkeypatch.setattr(commands, "_settings", lambda: settings)
    app = typer.Typer()
    commands.add_commands(app)
    return app


def run(app: typer.Typer, *arguments: object) -> Result:
    return CliRunner().invoke(app, [str(one) for one in arguments])


def verified(app: typer.Typer, *arguments: object) -> dict[str, Any]:
    result = run(app, "verify", "--bundle", *arguments)
    assert result.exit_code == 0, result.stderr
    return dict(json.loads(result.stdout))


def test_a_bundle_is_made_and_says_what_its_receiver_runs(app: typer.Typer, world: World) -> None:
    result = run(app, "bundle", "--run", "r1", "--to", world.path / "b")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "23 events (11 asked, 1 cause, 11 key)" in result.stderr
    shown = verified(app, world.path / "b", "--trust", world.path / "trust.json")
    assert (shown["verified"], shown["trust"], shown["not_done"]) == (True, "given", [4, 5, 9])
    assert [step["step"] for step in shown["steps"]] == list(range(1, 10))
    assert shown["trust_sha256"] in result.stderr
    assert [event["why"] for event in shown["events"]].count("asked") == 11


def test_payloads_and_the_last_checkpoint_seen_go_into_a_bundle(app: typer.Typer, world: World) -> None:
    seen = world.path / "seen"
    seen.write_bytes(world.tiles.published() or b"")
    tell_run(world.ledger, "r3")
    world.seal()
    arguments = ("--event", "20", "--to", world.path / "b", "--payloads", "--since", seen)
    assert run(app, "bundle", *arguments).exit_code == 0
    assert 9 not in verified(app, world.path / "b", "--since", seen)["not_done"]


def test_a_bundle_is_made_from_the_published_files_alone(app: typer.Typer, world: World) -> None:
    result = run(app, "bundle", "--run", "r2", "--to", world.path / "b", "--log", world.tiles.path)
    assert result.exit_code == 0, result.stderr
    assert verified(app, world.path / "b", "--trust", world.path / "trust.json")["verified"]


def test_a_bundle_that_was_touched_ends_with_3_and_names_event_and_step(app: typer.Typer, world: World) -> None:
    folder = world.bundle()
    place = next(listed.position for listed in manifest_of(folder).events if listed.why == "asked")
    file = folder / layout.entry_file(place)
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    result = run(app, "verify", "--bundle", folder)
    assert result.exit_code == 3
    assert result.stderr.startswith(f"Step 3 (the signature holds over the stored bytes) fails at position {place}: ")
    shown = json.loads(result.stdout)
    assert (shown["verified"], shown["step"], shown["position"]) == (False, 3, place)


def test_what_is_no_bundle_ends_with_3(app: typer.Typer, world: World) -> None:
    result = run(app, "verify", "--bundle", world.tiles.path)
    assert (result.exit_code, json.loads(result.stdout)["step"]) == (3, None)
    assert "bundle.json belongs to the bundle and is missing" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("bundle", "--to", "b"), 2, "about a run"),
        (("bundle", "--to", "b", "--run", "r1", "--event", "1"), 2, "about a run"),
        (("bundle", "--to", "b", "--from", "soon"), 2, "'soon'"),
        (("bundle", "--to", "b", "--run", "r1", "--since", "2h"), 2, "times are --from and --until"),
        (("bundle", "--to", "b", "--run", "r1", "--payloads", "--log", "x"), 2, "hold no payloads"),
        (("bundle", "--to", "b", "--run", "nonsense"), 1, "nothing to bundle"),
        (("verify", "--since", "x"), 2, "--since belongs to --bundle"),
        (("verify", "--bundle", "b", "--log", "x"), 2, "instead of --log"),
        (("verify", "--bundle", "nowhere"), 3, "There is no bundle"),
        (("verify", "--bundle", ".", "--trust", "nowhere"), 2, "no trust file"),
    ],
)
def test_a_wrong_question_is_answered_by_a_sentence(
    app: typer.Typer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], code: int, sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(app, *arguments)
    assert (result.exit_code, sentence in result.stderr) == (code, True), result.stderr
    assert not (tmp_path / "b").exists()


def test_on_a_terminal_the_events_the_ticks_and_everything_unproven_are_said(world: World) -> None:
    folder = world.bundle()
    (folder / "evil\x1b[2J").write_text("")
    text = "\n".join(line.plain for line in _lines(world.verify(folder, trusting=False)))
    for said in (
        "run.started", "  1 ✓ ", "  4 – ", "  9 – ", f"The bundle holds: 11 events asked about, among {len(world.ledger.entries)}",
        "Only the bundle itself says", "only the whole log shows it", "Not done here: step 4, 5, 9", "evil\\x1b[2J",
    ):  # fmt: skip
        assert said in text
    assert "\x1b" not in text


def test_a_stranger_needs_neither_a_home_nor_the_parts_of_a_site(world: World, tmp_path: Path) -> None:
    folder = world.bundle()
    heavy = "sqlalchemy psycopg kafka eventsourcing cedarpy sklearn streamlit".split()
    code = (
        "import sys; from pathlib import Path; from tenuto_projections.bundle_commands import verify_folder;"
        f"verify_folder(Path({str(folder)!r}), None, None);"
        f"print([name for name in {heavy} if name in sys.modules], file=sys.stderr)"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("TENUTO_", "KAFKA_"))}
    nowhere = {**environment, "HOME": str(tmp_path / "nowhere")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=nowhere, cwd=tmp_path, check=True)
    assert json.loads(done.stdout)["verified"] is True
    assert done.stderr.strip() == "[]"
