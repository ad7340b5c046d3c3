"""The list of providers: read strictly, and a provider is what its hash says."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from tenuto.errors import NotConfigured
from tenuto_agents.provider import ProviderRefused, load_provider

NAME = "terraform-provider-aws_3.39.0_linux_amd64.zip"


def written(folder: Path, *, sha256: str | None = None, extra: str = "", mode: int = 0o600) -> Path:
    (folder / NAME).write_bytes(b"a provider")
    (folder / "provider.tf").write_text('provider "aws" {}\n')
    (folder / "provider.env").write_text("# who\nAWS_ACCESS_KEY_ID=AKIA\nAWS_SECRET_ACCESS_KEY=a=b\n")
    (folder / "provider.env").chmod(mode)
    digest = sha256 or hashlib.sha256(b"a provider").hexdigest()
    file = folder / "provider.toml"
    file.write_text(
        f'source = "hashicorp/aws"\narchive = "{NAME}"\nsha256 = "{digest}"\nconfiguration = "provider.tf"\n'
        f'environment = "provider.env"\n{extra}'
    )
    return file


def test_a_provider_is_installed_where_terraform_looks_for_it(tmp_path: Path) -> None:
    provider = load_provider(written(tmp_path))
    provider.install(tmp_path / "mirror")
    assert (tmp_path / "mirror" / "registry.terraform.io" / "hashicorp" / "aws" / NAME).read_bytes() == b"a provider"
    assert provider.environment == {"AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "a=b"}
    assert "a=b" not in repr(provider)


def test_another_archive_under_the_same_name_is_refused(tmp_path: Path) -> None:
    provider = load_provider(written(tmp_path, sha256="0" * 64))
    with pytest.raises(ProviderRefused, match="the list of providers says"):
        provider.install(tmp_path / "mirror")
    assert not (tmp_path / "mirror").exists()


@pytest.mark.parametrize(
    ("how", "sentence"),
    [({"extra": 'mirror = "x"\n'}, "does not know mirror"), ({"sha256": "0" * 63}, "sha256"), ({"mode": 0o640}, "chmod 600"),
     ({"extra": "broken"}, "cannot be read")],
)  # fmt: skip
def test_a_file_that_is_not_as_it_should_be_is_named_with_what_is_wrong(tmp_path: Path, how: dict[str, object], sentence: str) -> None:
    with pytest.raises(NotConfigured, match=sentence):
        load_provider(written(tmp_path, **how))  # type: ignore[arg-type]
