"""How the console is told of a login: whole or not at all, and in files that nobody else may read."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from tenuto.errors import NotConfigured
from tenuto.settings import Settings
from tenuto_dashboard.commands import command_line
from tenuto_dashboard.login import cookie_secret, prepare, secrets_file, verify_login
from tenuto_dashboard.way_back import target_of

METADATA = "https://login.example/.well-known/openid-configuration"


def settings(home: Path, **changes: Any) -> Settings:
    secret = home / "client.secret"
    if not secret.exists():
        secret.touch(mode=0o600)
        secret.write_text('se"cret\\\n')
    login = {"console_url": "https://console.example", "login_metadata_url": METADATA, "login_client_id": "tenuto", "login_client_secret_file": secret}
    return Settings(home=home, **{name: value for name, value in (login | changes).items() if value is not None})


def test_streamlit_gets_the_login_in_a_file_that_only_the_console_may_read(tmp_path: Path) -> None:
    here = settings(tmp_path)
    verify_login(here)
    cookie = prepare(here)
    file = secrets_file(here)
    assert tomllib.loads(file.read_text())["auth"] == {
        "redirect_uri": "https://console.example/oauth2callback", "cookie_secret": cookie, "client_id": "tenuto",
        "client_secret": 'se"cret\\', "server_metadata_url": METADATA, "client_kwargs": {"scope": "openid"},
    }  # fmt: skip
    assert {path.name: path.stat().st_mode & 0o777 for path in (file, *file.parent.iterdir())} == {"login.toml": 0o600, "cookie.key": 0o600}
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert str(file) in command_line(here)
    assert not any(cookie in part or "se" + '"cret' in part for part in command_line(here)), "`ps` shows neither"


def test_a_restart_logs_nobody_out_and_a_console_without_logins_keeps_no_secret_of_the_provider(tmp_path: Path) -> None:
    cookie = prepare(settings(tmp_path))
    assert prepare(settings(tmp_path)) == cookie
    without = Settings(home=tmp_path)
    assert prepare(without) == cookie
    assert not secrets_file(without).exists()


def test_a_secret_that_others_may_read_is_not_used(tmp_path: Path) -> None:
    here = settings(tmp_path)
    (tmp_path / "client.secret").chmod(0o644)
    with pytest.raises(NotConfigured, match="is open to others"):
        prepare(here)
    cookie_secret(here)
    (secrets_file(here).parent / "cookie.key").chmod(0o640)
    with pytest.raises(NotConfigured, match="is open to others"):
        cookie_secret(here)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"console_url": None}, "needs TENUTO_CONSOLE_URL"), ({"login_client_id": None}, "needs TENUTO_LOGIN_CLIENT_ID"),
        ({"login_client_secret_file": None}, "needs TENUTO_LOGIN_CLIENT_SECRET_FILE"),
        ({"login_metadata_url": None}, "LOGIN_CLIENT_ID is set, and nobody logs in without TENUTO_LOGIN_METADATA_URL"),
        ({"login_metadata_url": "http://login.example/x"}, "has to be https"),
        ({"login_metadata_url": "file:///etc/passwd"}, "has to be https"),
        ({"console_url": "https://10.0.0.7"}, "is no address for passkeys"),
        ({"console_url": "http://console.example"}, "is no address for passkeys"),
    ],
)  # fmt: skip
def test_half_a_login_and_one_that_protects_nobody_are_refused_with_the_setting(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(NotConfigured, match=said):
        verify_login(settings(tmp_path, **changes))


def test_a_provider_on_this_machine_may_do_without_tls(tmp_path: Path) -> None:
    verify_login(settings(tmp_path, login_metadata_url="http://localhost:9400/.well-known/openid-configuration"))
    verify_login(Settings(home=tmp_path))


def test_behind_a_proxy_the_browser_comes_from_the_console_url(tmp_path: Path) -> None:
    command = command_line(settings(tmp_path))
    assert command[command.index("--browser.serverAddress") + 1] == "console.example"
    plain = command_line(Settings(home=tmp_path))
    assert plain[plain.index("--browser.serverAddress") + 1] == "127.0.0.1"


@pytest.mark.parametrize(
    ("address", "target"),
    [
        ("/review?approval=a-1", {"page": "review", "approval": "a-1"}), ("/", {"page": "inbox"}), ("", {"page": "inbox"}),
        ("/passkeys?page=integrity", {"page": "passkeys"}), ("//evil.example/review", {"page": "review"}),
    ],
)  # fmt: skip
def test_the_way_back_leads_to_a_page_of_the_console_or_to_the_inbox(address: str, target: dict[str, str]) -> None:
    assert target_of(address) == target
