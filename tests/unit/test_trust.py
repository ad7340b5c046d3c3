"""The one small file that a stranger needs, and nothing in it that is not understood."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tenuto.errors import NotConfigured
from tenuto.trust import TRUST_FILE, Trust, load_trust

TRUST = Trust(
    origin="tenuto.test/log", root_public_key="ab" * 32, log_key="tenuto.test/log+1+x", policy="quorum none", epoch=3,
    epoch_public_key="cd" * 32,
)  # fmt: skip


def test_a_trust_file_survives_the_disk(tmp_path: Path) -> None:
    TRUST.save(tmp_path)
    assert load_trust(tmp_path) == TRUST
    assert load_trust(tmp_path / TRUST_FILE) == TRUST


def test_it_reads_well(tmp_path: Path) -> None:
    TRUST.save(tmp_path)
    text = (tmp_path / TRUST_FILE).read_text()
    assert text.endswith("}\n")
    assert text.count("\n") == 8


def test_the_root_key_is_handed_out_as_bytes() -> None:
    assert TRUST.root == b"\xab" * 32


@pytest.mark.parametrize("name", ["", TRUST_FILE, "elsewhere.json"])
def test_a_missing_file_is_named_with_the_remedy(tmp_path: Path, name: str) -> None:
    with pytest.raises(NotConfigured, match="Run `tenuto init`") as caught:
        load_trust(tmp_path / name)
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize("change", ["extra", "missing", "not_json"])
def test_a_file_that_is_not_understood_is_refused(tmp_path: Path, change: str) -> None:
    TRUST.save(tmp_path)
    file = tmp_path / TRUST_FILE
    fields = json.loads(file.read_text())
    if change == "extra":
        fields["witness"] = "mine"
    else:
        del fields["policy"]
    file.write_text("{" if change == "not_json" else json.dumps(fields))
    with pytest.raises(NotConfigured, match="cannot be read"):
        load_trust(file)
