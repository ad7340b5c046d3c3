"""The settings file is right or refused, and secrets stand in files that nobody else can read."""

from __future__ import annotations

from pathlib import Path

import pytest
from tenuto.addresses import console_link
from tenuto.clock import SystemClock
from tenuto.errors import NotConfigured
from tenuto.settings import Settings
from tenuto_projections.notify import contacts as module
from tenuto_projections.notify.channels import (
    SECRET_BYTES_MAX,
    SECRET_BYTES_MIN,
    SECRETS_MAX,
    open_senders,
    parse_secrets,
)
from tenuto_projections.notify.contacts import FILE_BYTES_MAX, Contacts, demand_web_address, load_contacts, read_secret

WELL = (module.__doc__ or "").partition("TOML, read once, wrong in nothing or refused.")[2].partition("A person is")[0]


def written(folder: Path, text: str) -> Path:
    file = folder / "notify.toml"
    file.write_text("\n".join(line.strip() for line in text.splitlines()))
    return file


def secret(folder: Path, name: str, text: str, mode: int = 0o600) -> None:
    (folder / name).write_text(text)
    (folder / name).chmod(mode)


def test_the_example_in_the_docstring_is_one(tmp_path: Path) -> None:
    found = load_contacts(written(tmp_path, WELL))
    assert (found.per_hour, found.expiring_minutes, found.alerts) == (6, 10, ("ops",))
    assert found.people["lena"].channels == ("mail", "team")
    secret(tmp_path, "smtp-password", "a secret\n")
    secret(tmp_path, "slack-url", "https://hooks.example/services/T/B/x\n")
    secret(tmp_path, "pager-secret", "whsec_" + "A" * 32 + "\n")
    assert set(open_senders(found, tmp_path, SystemClock())) == {"mail", "team", "pager"}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("per_hour = 6", "per_hour = 0", "per_hour"),
        ("per_hour = 6", "per_hour = 61", "per_hour"),
        ("per_hour = 6", "per_our = 6", "per_our"),
        ('kind = "slack"', 'kind = "carrier-pigeon"', "carrier-pigeon"),
        ('user = "tenuto"', "", "both user and password_file"),
        ('channels = ["pager"]', 'channels = ["paper"]', "there is none of that name"),
        ('channels = ["pager"]', "channels = []", "channels"),
        ('alerts = ["ops"]', 'alerts = ["nobody"]', "people.nobody"),
        ('email = "lena@example.com"', "", "needs a plain address"),
        ('email = "lena@example.com"', r'email = "lena@example.com\nBcc: all@example.com"', "needs a plain address"),
        ('email = "lena@example.com"', 'email = "Lena <lena@example.com>"', "needs a plain address"),
        ('email = "lena@example.com"', 'email = "lena@example.com, otto@example.com"', "needs a plain address"),
        ('sender = "tenuto@example.com"', r'sender = "a@b\r\nTo: c@d"', "no plain address"),
        ('host = "smtp.example.com"', 'host = "smtp example"', "no name of a machine"),
        ('url = "https://pager.example.com/tenuto"', 'url = "http://pager.example.com/tenuto"', "no address to send to"),
        ('url = "https://pager.example.com/tenuto"', 'url = "https://a:b@pager.example.com"', "no address to send to"),
        ('url = "https://pager.example.com/tenuto"', r'url = "https://x/\r\nHost: y"', "no address"),
        ("[people.lena]", '[people."Lena B"]', "Lena B|pattern|regex"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_it_is_named(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in WELL
    with pytest.raises(NotConfigured, match=said):
        load_contacts(written(tmp_path, WELL.replace(old, new)))


@pytest.mark.parametrize("text", ["\x00", "[", "a = 1\n", "[channels]\n", "x" * (FILE_BYTES_MAX + 1)], ids=["nul", "open", "name", "half", "long"])
def test_what_is_no_such_file_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(NotConfigured, match=r"notify\.toml"):
        load_contacts(written(tmp_path, text))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotConfigured, match="cannot be read: No such file"):
        load_contacts(tmp_path / "notify.toml")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_a_secret_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    secret(tmp_path, "password", "x", mode)
    with pytest.raises(NotConfigured, match="open to others"):
        read_secret(tmp_path, "password")


@pytest.mark.parametrize("size", [SECRET_BYTES_MIN - 1, SECRET_BYTES_MIN, SECRET_BYTES_MAX, SECRET_BYTES_MAX + 1])
def test_a_webhooks_secret_has_a_length(size: int) -> None:
    from base64 import b64encode

    text = "whsec_" + b64encode(bytes(size)).decode()
    if SECRET_BYTES_MIN <= size <= SECRET_BYTES_MAX:
        assert parse_secrets(text, "here") == [bytes(size)]
        assert len(parse_secrets("\n".join([text] * SECRETS_MAX), "here")) == SECRETS_MAX
        with pytest.raises(NotConfigured, match="1 to 4 secrets"):
            parse_secrets("\n".join([text] * (SECRETS_MAX + 1)), "here")
    else:
        with pytest.raises(NotConfigured, match="no secret of Standard Webhooks"):
            parse_secrets(text, "here")


@pytest.mark.parametrize("text", ["", "whsec_", "whsec_!!!!", "A" * 32, "whsec_ " + "A" * 32])
def test_what_is_no_secret_is_refused(text: str) -> None:
    with pytest.raises(NotConfigured):
        parse_secrets(text, "here")


@pytest.mark.parametrize("url", ["https://x", "https://x:8443/a?b", "http://localhost:1/a", "http://127.0.0.1", "http://[::1]:80/"])
def test_addresses_that_letters_may_go_to(url: str) -> None:
    demand_web_address(url, "It")


@pytest.mark.parametrize("url", ["http://x", "ftp://x", "https://", "x", "https://x:0", "https://x:99999", "https://ü.example", "https://x/ y"])
def test_addresses_that_letters_may_not_go_to(url: str) -> None:
    with pytest.raises(NotConfigured):
        demand_web_address(url, "It")


def test_a_person_is_told_what_he_asked_for_and_digests(tmp_path: Path) -> None:
    found: Contacts = load_contacts(written(tmp_path, WELL.replace('channels = ["pager"]', 'channels = ["pager"]\nreasons = ["alert"]')))
    assert [found.wants("ops", one) for one in ("alert", "digest", "assigned")] == [True, True, False]  # type: ignore[arg-type]
    assert found.wants("lena", "assigned")
    assert not found.wants("stranger", "assigned")


def test_the_console_is_where_it_listens_unless_the_setting_says_more() -> None:
    assert console_link(Settings()) == "http://127.0.0.1:8501"
    assert console_link(Settings(console_url="https://tenuto.example/c/")) == "https://tenuto.example/c"
    for wrong in ("tenuto.example", "ftp://x", "https://x?token=1", "https://x#a", "https://a:b@x", "https://"):
        with pytest.raises(NotConfigured, match="TENUTO_CONSOLE_URL"):
            console_link(Settings(console_url=wrong))
