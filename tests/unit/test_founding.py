"""Founding a log: whole or not at all, once."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tenuto.adapters import keyfiles
from tenuto.errors import NotConfigured
from tenuto.founding import FIRST_EPOCH, found, is_founded, witness_name
from tenuto.keyring import ROOT
from tenuto.log.note import parse_vkey
from tenuto.log.witnessing import parse_policy
from tenuto.trust import TRUST_FILE, load_trust

ORIGIN = "tenuto.test/founded"


def test_a_founded_home_has_five_closed_keys_and_a_public_file_that_names_none_of_them(tmp_path: Path) -> None:
    trust = found(tmp_path, ORIGIN)
    keys = tmp_path / "keys"
    assert {file.name for file in keys.iterdir()} == {
        "root.seed", "log.key", "witness.key", "storage.key", "epoch-1.key", TRUST_FILE,
    }  # fmt: skip
    assert (keys / TRUST_FILE).read_bytes() == (tmp_path / TRUST_FILE).read_bytes()
    (keys / TRUST_FILE).unlink()
    assert load_trust(tmp_path) == trust
    assert trust.root == keyfiles.load_signer(keys, ROOT).public_key
    assert trust.log_key == keyfiles.load_log_signer(keys, ORIGIN).vkey
    secret = keyfiles.load_epoch_secret(keys, FIRST_EPOCH)
    assert trust.epoch_public_key == keyfiles.epoch_public_key(secret).hex()
    text = (tmp_path / TRUST_FILE).read_text()
    assert not [file for file in keys.iterdir() if file.read_text().strip() in text]


def test_the_policy_names_log_and_witness_and_demands_the_witness(tmp_path: Path) -> None:
    trust = found(tmp_path, ORIGIN)
    policy = parse_policy(trust.policy)
    assert [log.verifier.name for log in policy.logs] == [ORIGIN]
    assert [witness.verifier.name for witness in policy.witnesses.values()] == [witness_name(ORIGIN)]
    assert policy.missing(frozenset())
    assert parse_vkey(trust.log_key).name == ORIGIN


def test_a_home_is_founded_once(tmp_path: Path) -> None:
    assert not is_founded(tmp_path)
    trust = found(tmp_path, ORIGIN)
    assert is_founded(tmp_path)
    with pytest.raises(NotConfigured, match="holds a log already"):
        found(tmp_path, ORIGIN)
    assert load_trust(tmp_path) == trust


def test_keys_without_a_trust_file_are_not_touched(tmp_path: Path) -> None:
    found(tmp_path, ORIGIN)
    (tmp_path / TRUST_FILE).unlink()
    (tmp_path / "keys" / TRUST_FILE).unlink()
    before = {file.name: file.read_text() for file in (tmp_path / "keys").iterdir()}
    with pytest.raises(NotConfigured, match=f"no {re.escape(TRUST_FILE)}"):
        found(tmp_path, ORIGIN)
    assert {file.name: file.read_text() for file in (tmp_path / "keys").iterdir()} == before


def test_an_attempt_that_came_as_far_as_the_keys_is_finished_with_them(tmp_path: Path) -> None:
    trust = found(tmp_path, ORIGIN)
    (tmp_path / TRUST_FILE).unlink()
    before = {file.name: file.read_text() for file in (tmp_path / "keys").iterdir()}
    with pytest.raises(NotConfigured, match="holds keys"):
        found(tmp_path, "another.example/log")
    assert found(tmp_path, ORIGIN) == trust == load_trust(tmp_path)
    assert {file.name: file.read_text() for file in (tmp_path / "keys").iterdir()} == before


def test_what_an_interrupted_attempt_left_is_no_hindrance(tmp_path: Path) -> None:
    staged = tmp_path / "keys.new"
    keyfiles.create_folder(staged)
    keyfiles.create_key(staged, "root.seed")
    (tmp_path / "keys").mkdir()
    found(tmp_path, ORIGIN)
    assert not staged.exists()
    assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    "name", ["", "example", "Example.com/log", "https://example.com/log", "example.com/", "/log", "a b/c", "a/b\n", "ex/../log!"]
)
def test_a_name_that_cannot_be_a_log_is_refused_before_anything_is_made(tmp_path: Path, name: str) -> None:
    with pytest.raises(NotConfigured, match="cannot name a log"):
        found(tmp_path, name)
    assert list(tmp_path.iterdir()) == []


def test_a_name_may_have_100_characters_and_not_one_more(tmp_path: Path) -> None:
    longest = "a/" + "b" * 98
    with pytest.raises(NotConfigured):
        found(tmp_path, longest + "b")
    assert found(tmp_path, longest).origin == longest


def test_two_foundings_share_no_key(tmp_path: Path) -> None:
    one, other = found(tmp_path / "one", ORIGIN), found(tmp_path / "other", ORIGIN)
    assert one.root_public_key != other.root_public_key
    assert one.log_key != other.log_key
