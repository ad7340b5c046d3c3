"""Which Terraform configuration may be planned at all: one that computes values and does nothing else.

A plan is made before anybody approved anything, yet Terraform runs code while planning: the `external` data source runs a
program, a provider or module is a download, a backend sends the state away, and `file()` reads what lies on this machine.
So the text is searched for each of these, and the configuration is refused when one is there. The search is coarse on
purpose: a word too many costs a rewording, a word too few costs the machine.
"""

from __future__ import annotations

import re
from pathlib import Path

from tenuto.errors import Refused

from .git import Entry, Repository
from .hcl import strip_hcl
from .text import visible_line

CONFIGURATION_FILES_MAX = 200
INFRASTRUCTURE_FOLDER = "infra"
_SUFFIXES = (".tf", ".tfvars")
_JSON_SUFFIXES = (".tf.json", ".tfvars.json")
_ALL_SUFFIXES = _SUFFIXES + _JSON_SUFFIXES
_FORBIDDEN: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("a provisioner, which runs a program", re.compile(r"\bprovisioner\b|\blocal-exec\b|\bremote-exec\b")),
    ("a backend or cloud block, which moves the state", re.compile(r"(?:^|[\s{])(?:backend\s+\"?\w|cloud\s*\{)")),
    ("a data source that runs a program or calls out", re.compile(r"\bdata\s*\"?(?:external|http|aws_lambda_invocation)\b")),
    ("a data source that reads secrets", re.compile(
        r"\bdata\s*\"?(?:aws_secretsmanager_\w+|aws_ssm_parameter\w*|aws_kms_secrets?|aws_s3_bucket_objects?|terraform_remote_state)\b"
    )),
    ("a provider block, which says in which cloud and as whom", re.compile(r"\bprovider\s*\"?[\w-]+\"?\s*\{")),
    ("a character written as an escape, which hides a word", re.compile(r"\\[uU]")),
    ("a function that reads this machine", re.compile(r"\b(?:file\w*|templatefile|pathexpand|abspath)\s*\(")),
    ("a module or provider from elsewhere", re.compile(r"\bsource\s*=\s*(?!\"\./)")),
)


class ConfigurationRefused(Refused):
    """The configuration would do more than describe infrastructure, or cannot be read safely."""

    reason = "configuration"


def has_infrastructure(repository: Repository, commit: str) -> bool:
    """Whether `commit` has Terraform configuration under `infra/`."""
    return any(entry.path.endswith(_ALL_SUFFIXES) for entry in repository.tree(commit, INFRASTRUCTURE_FOLDER))


def write_configuration(repository: Repository, commit: str, folder: Path, provider: str | None = None) -> None:
    """Write the configuration under `infra/` at `commit` into `folder`; raises ConfigurationRefused.

    provider: the source of the one that may be named in it, such as `hashicorp/aws`. Only plain `.tf` and `.tfvars` files are taken: no state, no lock file, no plug-in folder of the pull request.
    """
    entries = [entry for entry in repository.tree(commit, INFRASTRUCTURE_FOLDER) if entry.path.endswith(_ALL_SUFFIXES)]
    if len(entries) > CONFIGURATION_FILES_MAX:
        raise ConfigurationRefused(f"infra/ has more than {CONFIGURATION_FILES_MAX} configuration files.")
    for entry in entries:
        content = _demand_inert(entry, repository, provider)
        target = folder / _inside(entry)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)


def _inside(entry: Entry) -> Path:
    path = Path(entry.path).relative_to(INFRASTRUCTURE_FOLDER)
    if any(part in ("..", "") or part.startswith(".") for part in path.parts):
        raise ConfigurationRefused(f"{visible_line(entry.path)}: a configuration file may not lie in a hidden folder.")
    return path


def _demand_inert(entry: Entry, repository: Repository, provider: str | None) -> bytes:
    shown = visible_line(entry.path)
    if not entry.regular:
        raise ConfigurationRefused(f"{shown} is a symbolic link or a submodule; infrastructure is read from plain files.")
    if entry.path.endswith(_JSON_SUFFIXES):
        raise ConfigurationRefused(f"{shown}: configuration in JSON is not read. Write it as HCL.")
    content = repository.content(entry.blob)
    text = strip_hcl(content.decode("utf-8", errors="replace"))
    if provider is not None:
        text = re.sub(rf'\bsource\s*=\s*"{re.escape(provider)}"', "", text)
    for what, pattern in _FORBIDDEN:
        if pattern.search(text):
            raise ConfigurationRefused(f"{shown} has {what}. That would happen before anybody approved it; take it out.")
    return content
