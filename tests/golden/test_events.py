"""Every golden record is accepted or refused as its file says, by the keys in `ring.json` alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tenuto.errors import Refused
from tenuto.keyring import Key, Keyring

from tests.golden.build import FOLDER, RING, differences, main
from tests.golden.door import admit
from tests.golden.world import signed, tool_started

FILES = sorted(path for path in FOLDER.glob("*.json") if path.name != RING)


@pytest.fixture(scope="module")
def facts() -> Any:
    return json.loads((FOLDER / RING).read_text())


@pytest.fixture(scope="module")
def keyring(facts: Any) -> Keyring:
    ring = Keyring(bytes.fromhex(facts["root"]))
    for one in facts["keys"][1:]:
        key = Key(
            one["author"], one["key_id"], bytes.fromhex(one["public_key"]), one["role"], one["owner"],
            insecure_demo=False, since=one["since"], until=one["until"],
        )  # fmt: skip
        ring._keys[key.author, key.key_id] = key
    return ring


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_golden_record_becomes_what_its_file_says(file: Path, facts: Any, keyring: Keyring) -> None:
    golden = json.loads(file.read_text())
    secret, origin = bytes.fromhex(facts["epoch"]["secret_key"]), facts["origin"]
    record, outcome = bytes.fromhex(golden["record"]), golden["outcome"]
    if "refused" in outcome:
        with pytest.raises(Refused) as caught:
            admit(record, keyring, secret, origin)
        refusal = caught.value
        found = {"refused": type(refusal).__name__, "reason": refusal.reason, "sentence": str(refusal)}
    else:
        event, payload = admit(record, keyring, secret, origin)
        found = {"accepted": event.kind} | ({} if payload is None else {"payload": payload.decode()})
    assert found == outcome


def test_the_golden_files_are_as_they_would_be_written_now() -> None:
    found = differences(FOLDER)
    assert not found, "Run `python -m tests.golden.build` and look at the difference: " + " ".join(found)


def test_a_changed_a_missing_and_a_stray_file_are_told(tmp_path: Path) -> None:
    for file in FOLDER.glob("*.json"):
        (tmp_path / file.name).write_text(file.read_text())
    (tmp_path / "wrong_key.json").write_text("{}")
    (tmp_path / RING).unlink()
    (tmp_path / "stray.json").write_text("{}")
    assert differences(tmp_path) == [
        "ring.json is not there.",
        "stray.json belongs to no case.",
        "wrong_key.json differs.",
    ]


def test_the_check_ends_with_0_and_a_wrong_argument_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check"]) == 0
    assert "are as they would be written" in capsys.readouterr().out
    assert main(["--chekc"]) == 2


def test_a_rebuild_gives_the_same_bytes() -> None:
    assert signed(tool_started()).to_bytes() == signed(tool_started()).to_bytes()
