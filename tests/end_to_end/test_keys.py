"""`tenuto key ...` against a road that works: what a person does to authors, as the ledger has it afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import Result
from tenuto.adapters import keyfiles
from tenuto.cli import build
from tenuto.errors import TenutoError
from tenuto.events import RecordRefused
from tenuto.recorder import RecordRefusedByLedger
from typer.testing import CliRunner

from tests.conftest import Database
from tests.road import Road, until


@pytest.fixture
def road(tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[Road]:
    with Road(tmp_path, database) as road, road.working():
        road.register()
        monkeypatch.setenv("TENUTO_HOME", str(road.settings.home))
        monkeypatch.setenv("TENUTO_DATABASE_URL", road.settings.database_url or "")
        monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", road.settings.kafka or "")
        monkeypatch.setenv("TENUTO_RECEIPT_SECONDS", "60")
        yield road


def key(*arguments: str) -> Result:
    return CliRunner().invoke(build(), ["key", *arguments])


def listed(author: str) -> list[str]:
    """The lines of `tenuto key list` about one author, without the names of the keys."""
    return [" ".join(line.split()[1:]) for line in key("list").stdout.splitlines() if f" {author} " in line]


def test_keys_are_added_rotated_and_revoked_on_record(road: Road) -> None:
    keys = road.settings.keys
    added = key("add", "code-review", "--role", "agent", "--owner", "ada")
    assert (added.exit_code, added.stdout) == (0, "code-review is registered.\n")
    assert "already" in key("add", "code-review", "--role", "agent", "--owner", "ada").stdout
    assert listed("code-review")[0].startswith("code-review agent owner ada since position")

    old = keyfiles.load_signer(keys, "code-review")
    rotated = key("rotate", "code-review")
    assert rotated.exit_code == 0, rotated.output
    assert keyfiles.load_signer(keys, "code-review").key_id in rotated.stdout
    assert keyfiles.load_signer(keys, "code-review").key_id != old.key_id
    assert ["ended at position" in line for line in listed("code-review")] == [True, False]

    revoked = key("revoke", "code-review", "--reason", "owner_left")
    assert revoked.exit_code == 0, revoked.output
    assert all("ended at position" in line for line in listed("code-review"))
    assert isinstance(key("rotate", "code-review").exception, TenutoError)


def test_what_a_revoked_key_still_signs_is_refused_on_record(road: Road) -> None:
    key("add", "code-review", "--role", "agent", "--owner", "ada", "--insecure-demo")
    assert listed("code-review")[0].endswith("INSECURE DEMO KEY")
    with road.recorder("code-review") as recorder:
        before = recorder.decision("comment", subject="commit", subject_digest="0" * 64, model="m")
        recorder.wait(before)
        assert key("revoke", "code-review").exit_code == 0
        after = recorder.decision("approve", subject="commit", subject_digest="0" * 64, model="m")
        with pytest.raises(RecordRefusedByLedger) as refused:
            recorder.wait(after)
    assert refused.value.reason == "revoked_key"
    (evidence, *_) = until(lambda: road.events("ingest", RecordRefused) or None)
    assert isinstance(evidence, RecordRefused)
    assert (evidence.claimed_author, evidence.reason) == ("code-review", "revoked_key")
