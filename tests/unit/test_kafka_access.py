"""What does not fit together is refused before anything connects, with the setting and the remedy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tenuto.adapters import keyfiles
from tenuto.adapters.kafka import KafkaBus
from tenuto.adapters.kafka_access import PASSWORD_BYTES_MAX, KafkaAccess, load_password
from tenuto.errors import NotConfigured
from tenuto.settings import Settings
from tenuto.wiring import kafka_access, open_bus

SOMEWHERE = Path("somewhere")


@pytest.fixture
def password(tmp_path: Path) -> Path:
    file = tmp_path / "password"
    file.touch(mode=0o600)
    file.write_text("secret word\n")
    return file


@pytest.mark.parametrize(
    ("security", "given", "sentence"),
    [
        ("plaintext", {"user": "a"}, "KAFKA_USER is set and TENUTO_KAFKA_SECURITY=plaintext does not use it"),
        ("plaintext", {"ca": SOMEWHERE}, "KAFKA_CA is set"),
        ("plaintext", {"cert": SOMEWHERE, "key": SOMEWHERE}, "KAFKA_CERT is set"),
        ("ssl", {"cert": SOMEWHERE, "key": SOMEWHERE}, "ssl needs TENUTO_KAFKA_CA"),
        ("ssl", {"ca": SOMEWHERE, "key": SOMEWHERE}, "ssl needs TENUTO_KAFKA_CERT"),
        ("ssl", {"ca": SOMEWHERE, "cert": SOMEWHERE}, "ssl needs TENUTO_KAFKA_KEY"),
        ("ssl", {"ca": SOMEWHERE, "cert": SOMEWHERE, "key": SOMEWHERE, "user": "a"}, "KAFKA_USER is set"),
        ("sasl_ssl", {"user": "a", "password_file": SOMEWHERE}, "sasl_ssl needs TENUTO_KAFKA_CA"),
        ("sasl_ssl", {"ca": SOMEWHERE, "password_file": SOMEWHERE}, "sasl_ssl needs TENUTO_KAFKA_USER"),
        ("sasl_ssl", {"ca": SOMEWHERE, "user": "a"}, "sasl_ssl needs TENUTO_KAFKA_PASSWORD_FILE"),
        ("sasl_plaintext", {"user": "a", "password_file": SOMEWHERE, "ca": SOMEWHERE}, "KAFKA_CA is set"),
    ],
)  # fmt: skip
def test_a_combination_that_would_not_protect_is_refused_by_name(security: Any, given: Any, sentence: str) -> None:
    with pytest.raises(NotConfigured, match=sentence):
        KafkaAccess(security, **given)


@pytest.mark.parametrize("servers", ["127.0.0.1:1", "localhost:1", "[::1]:1", "127.0.0.9:1,localhost:2"])
def test_a_password_without_tls_stays_on_this_machine(servers: str) -> None:
    KafkaBus(servers, KafkaAccess("sasl_plaintext", user="a", password_file=SOMEWHERE))


@pytest.mark.parametrize("server", ["192.0.2.1:1", "kafka.example.com:1", "localhost.example.com:1", "[2001:db8::1]:1"])
def test_a_password_without_tls_leaves_no_machine(server: str) -> None:
    with pytest.raises(NotConfigured, match="loopback only, and .* is elsewhere. Set sasl_ssl"):
        KafkaBus(f"127.0.0.1:1,{server}", KafkaAccess("sasl_plaintext", user="a", password_file=SOMEWHERE))


def test_a_password_is_the_line_of_its_file_and_stands_nowhere_else(password: Path) -> None:
    access = KafkaAccess("sasl_plaintext", user="a", password_file=password)
    assert access.client_settings()["sasl_plain_password"] == "secret word"
    assert "secret" not in repr(access)
    assert access.principal == "a"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_password_file_that_is_open_to_others_is_not_read(password: Path, mode: int) -> None:
    password.chmod(mode)
    with pytest.raises(NotConfigured, match="open to others.*chmod 600"):
        load_password(password)


@pytest.mark.parametrize("content", ["", "\n", "one\ntwo\n", "x" * (PASSWORD_BYTES_MAX + 1)])
def test_a_file_that_holds_no_one_line_is_no_password(password: Path, content: str) -> None:
    password.write_text(content)
    with pytest.raises(NotConfigured, match="one line of 1 to 1024 bytes"):
        load_password(password)


def test_the_longest_password_is_read(password: Path) -> None:
    password.write_text("x" * PASSWORD_BYTES_MAX + "\n")
    assert len(load_password(password)) == PASSWORD_BYTES_MAX


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotConfigured, match=f"{tmp_path}/nothing cannot be read: No such file"):
        load_password(tmp_path / "nothing")


def test_an_authority_that_is_none_is_named(password: Path) -> None:
    access = KafkaAccess("sasl_ssl", ca=password, user="a", password_file=password)
    with pytest.raises(NotConfigured, match="TENUTO_KAFKA_CA=.* is no file of PEM certificates"):
        access.client_settings()


def settings(tmp_path: Path, **given: Any) -> Settings:
    return Settings(home=tmp_path, kafka="127.0.0.1:9", **given)


def test_without_any_setting_a_process_is_nobody(tmp_path: Path) -> None:
    assert kafka_access(settings(tmp_path), "code-review") == KafkaAccess()


def test_a_process_has_the_account_of_its_author_and_that_one_s_password_file(tmp_path: Path) -> None:
    access = kafka_access(settings(tmp_path, kafka_security="sasl_plaintext"), "team/code-review")
    assert access.user == "team/code-review"
    assert access.password_file == tmp_path / "keys" / "team__code-review.kafka-password"


def test_a_process_with_a_certificate_takes_its_author_s(tmp_path: Path) -> None:
    access = kafka_access(settings(tmp_path, kafka_security="ssl", kafka_ca=SOMEWHERE), "code-review")
    assert (access.cert, access.key) == tuple(
        tmp_path / "keys" / name for name in keyfiles.certificate_files("code-review")
    )


def test_accounts_are_not_shared(tmp_path: Path) -> None:
    shared = settings(tmp_path, kafka_security="sasl_plaintext", kafka_user="agents", kafka_password_file=SOMEWHERE)
    with pytest.raises(NotConfigured, match="TENUTO_KAFKA_USER is agents and this process acts for code-review"):
        open_bus(shared, "code-review")
    assert kafka_access(shared, "agents").user == "agents"
