"""The `tenuto` command itself: how it is put together, how it ends, and that it stays quick to ask for help."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tenuto import cli
from tenuto.cli import NOT_INTACT, USAGE, build, exit_code
from tenuto.errors import Busy, NotConfigured, Refused
from tenuto.trust import load_trust
from tenuto.verification import VerificationFailed
from typer.testing import CliRunner

HEAVY = ("sqlalchemy", "sklearn", "streamlit", "pydantic_ai", "psycopg", "kafka", "cedarpy", "alembic", "eventsourcing")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TENUTO_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_every_command_has_a_sentence_that_says_what_it_is_for() -> None:
    app = build()
    commands = [*app.registered_commands, *(one for group in app.registered_groups for one in
                                            (group.typer_instance.registered_commands if group.typer_instance else []))]  # fmt: skip
    assert len(commands) > 20
    for command in commands:
        assert command.callback is not None
        assert (command.callback.__doc__ or "").strip().endswith((".", "3."))


def test_no_two_commands_have_one_name() -> None:
    names = [command.name or (command.callback.__name__ if command.callback else "") for command in build().registered_commands]
    assert len(names) == len(set(names))


def test_help_loads_nothing_heavy() -> None:
    program = (
        "import sys; from tenuto.cli import build; build(); "
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
    assert ended.stdout.strip() == "[]"


def test_the_version_is_printed_without_any_command() -> None:
    ended = CliRunner().invoke(build(), ["--version"])
    assert ended.exit_code == 0
    assert ended.stdout.startswith("tenuto ")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NotConfigured("x"), USAGE), (Busy("x"), USAGE), (Refused("x"), USAGE), (VerificationFailed(3, "x", 4), NOT_INTACT),
    ],
)  # fmt: skip
def test_an_error_on_purpose_is_one_sentence_on_stderr(
    error: Exception, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def failing() -> None:
        raise error

    monkeypatch.setattr(cli, "build", lambda: failing)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == code == exit_code(error)  # type: ignore[arg-type]
    assert capsys.readouterr() == ("", f"tenuto: {error}\n")


def test_a_defect_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(cli, "build", lambda: failing)
    with pytest.raises(ZeroDivisionError):
        cli.main()


def test_init_founds_a_log_once(home: Path) -> None:
    ended = CliRunner().invoke(build(), ["init", "--origin", "example.com/payments"])
    assert ended.exit_code == 0
    assert load_trust(home).origin == "example.com/payments"
    again = CliRunner().invoke(build(), ["init"])
    assert isinstance(again.exception, NotConfigured)
    assert load_trust(home).origin == "example.com/payments"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("key", "add", "x", "--role", "king", "--owner", "ada"), "no role 'king'"),
        (("key", "revoke", "x", "--reason", "mood"), "'mood' is no reason"),
    ],
)
def test_a_word_that_nobody_knows_is_named_with_those_that_are_known(
    home: Path, arguments: tuple[str, ...], words: str
) -> None:
    ended = CliRunner().invoke(build(), list(arguments))
    assert isinstance(ended.exception, NotConfigured)
    assert words in str(ended.exception)
    assert not home.exists()
