"""Which providers a plan may run here: a list of ours with hashes, and nothing that a pull request says.

A provider is a program, started while planning, before anybody approved anything; and it is started with the cloud's
credentials. So the operator names it in a file, by its source, version and the SHA-256 of its archive, together with its
configuration (which cloud, which region) and its environment (as whom). The pull request may use it and configures nothing.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tenuto.errors import NotConfigured, Refused

REGISTRY_NAME = "registry.terraform.io"
_SOURCE = re.compile(r"[a-z0-9-]{1,64}/[a-z0-9-]{1,64}")
_ARCHIVE = re.compile(r"terraform-provider-[a-z0-9-]+_[0-9][0-9A-Za-z.-]*_[a-z0-9]+_[a-z0-9]+\.zip")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_FIELDS = frozenset({"source", "archive", "sha256", "configuration", "environment"})
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*")


class ProviderRefused(Refused):
    """The provider's archive is not the one that the list names; nothing was started."""

    reason = "provider"


@dataclass(frozen=True, slots=True)
class Provider:
    """One provider that plans may use. source: such as `hashicorp/aws`. archive: its zip, whose bytes have the SHA-256.

    configuration: the provider block. environment: what its process gets besides, credentials above all.
    """

    source: str
    archive: Path
    sha256: str
    configuration: str = ""
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)

    def install(self, mirror: Path) -> None:
        """Put the archive into a folder that Terraform installs from; raises ProviderRefused when it is another one.

        What was hashed is what is written, so the archive cannot be exchanged in between.
        """
        try:
            content = self.archive.read_bytes()
        except OSError as error:
            raise ProviderRefused(f"The provider {self.source} is not at {self.archive}: {error.strerror}.") from error
        found = hashlib.sha256(content).hexdigest()
        if found != self.sha256:
            raise ProviderRefused(f"{self.archive} has the SHA-256 {found}; the list of providers says {self.sha256}.")
        target = mirror / REGISTRY_NAME / self.source / self.archive.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)


def load_provider(file: Path) -> Provider:
    """Read the operator's file (TOML; paths in it are relative to it); raises NotConfigured, naming what is wrong."""
    try:
        values = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise NotConfigured(f"The provider file {file} cannot be read: {error}.") from error
    unknown = sorted(set(values) - _FIELDS)
    missing = sorted({"source", "archive", "sha256"} - set(values))
    if unknown or missing or not all(isinstance(value, str) for value in values.values()):
        wrong = f"does not know {', '.join(unknown)}" if unknown else f"needs {', '.join(missing) or 'texts'}"
        raise NotConfigured(f"{file} {wrong}; it has {', '.join(sorted(_FIELDS))}.")
    archive = file.parent / values["archive"]
    for name, pattern, value in (("source", _SOURCE, values["source"]), ("archive", _ARCHIVE, archive.name),
                                 ("sha256", _SHA256, values["sha256"])):  # fmt: skip
        if not pattern.fullmatch(value):
            raise NotConfigured(f"{file}: {name} is {value!r:.120}, which is none.")
    configuration = (file.parent / values["configuration"]).read_text(encoding="utf-8") if "configuration" in values else ""
    environment = read_environment(file.parent / values["environment"]) if "environment" in values else {}
    return Provider(values["source"], archive, values["sha256"], configuration, environment)


def read_environment(file: Path) -> dict[str, str]:
    """Read lines `NAME=value` of a file of mode 0600; raises NotConfigured."""
    try:
        if file.stat().st_mode & 0o077:
            raise NotConfigured(f"{file} can be read by others. Take their rights away: chmod 600 {file}")
        lines = [line.strip() for line in file.read_text(encoding="utf-8").splitlines()]
    except OSError as error:
        raise NotConfigured(f"The environment file {file} cannot be read: {error.strerror}.") from error
    pairs = [line.partition("=") for line in lines if line and not line.startswith("#")]
    for name, equals, _ in pairs:
        if not equals or not _VARIABLE.fullmatch(name):
            raise NotConfigured(f"{file} has a line that is not NAME=value.")
    return {name: value for name, _, value in pairs}
