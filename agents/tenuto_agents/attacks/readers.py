"""An attack on whoever reads a repository (T6, M25): its configuration names programs, and git runs what configuration names.

The review reads in its sandbox; the infrastructure and the deployment agent read the same repository where their credentials
are. So the traps are set, shown to spring under a careless git, and then everything is read as those two agents read it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tenuto.action import Action
from tenuto.documents import Result
from tenuto.errors import Refused
from tenuto.events import ToolFinished

from ..artifact import build_artifact
from ..change import read_change
from ..configuration import has_infrastructure, write_configuration
from ..git import Repository, find_git
from ..processes import run_tool
from .ground import RANGE_AGENT, Ground
from .pull_requests import make_pull_request
from .scenario import Lacking, Scenario, Seen, Stop

if TYPE_CHECKING:
    from tenuto.verification import Verified

SECONDS_MAX = 30.0
DIGEST = "0" * 64
HOOKS = ("post-checkout", "pre-commit", "reference-transaction", "fsmonitor-watchman", "post-index-change", "pre-auto-gc")
NAMED = (
    "filter.evil.clean", "filter.evil.smudge", "filter.evil.process", "diff.evil.textconv", "diff.evil.command", "diff.external", "core.fsmonitor",
    "core.pager", "core.editor", "core.askPass", "core.sshCommand", "core.alternateRefsCommand", "gpg.program", "credential.helper",
    "uploadpack.packObjectsHook", "remote.origin.uploadpack",
)  # fmt: skip
"""Settings of a repository whose value git runs."""
SWITCHES = (
    ("log.showSignature", "true"), ("protocol.allow", "always"), ("extensions.partialClone", "origin"), ("remote.origin.promisor", "true"),
    ("core.repositoryFormatVersion", "1"), ("submodule.recurse", "true"),
)  # fmt: skip
FILES = {
    "infra/main.tf": 'output "x" {\n  value = 1\n}\n', "serve.sh": "exec true\n", ".gitattributes": "* filter=evil diff=evil\n",
    ".gitmodules": '[submodule "x"]\n  path = x\n  url = ext::sh -c true\n',
}  # fmt: skip


def programs_in_configuration(ground: Ground) -> Seen:
    """Have git run a program of mine where the agents with credentials read my repository."""
    repository, sprung = ground.folder / "repository", ground.folder / "sprung"
    make_pull_request(repository, FILES)
    _set_traps(repository, sprung)
    _demand_live(repository, sprung)
    read = list[str]()

    def work() -> Result:
        read.extend(_read_as_agents_do(repository, ground.folder / "configuration"))
        return Result(text=", ".join(read))

    action = Action(tool="git.diff", resource="repo:range", digest=DIGEST, arguments={"repository": "range"})
    said = ""
    try:
        ground.gate().run(action, work, run=f"range-{ground.new_id()}")
    except Refused as refusal:
        said = str(refusal)
    if sprung.exists():
        return Seen(reached=True, sentence="A program that the repository names ran beside the agents' credentials.")
    finished = ground.wait_for(_is_end)
    if finished is None or len(read) != 3:
        return Seen(reached=False, sentence=f"It was not read to the end: {said}")
    told = f"Hooks, filters, diff and pager programs, monitors and transports are off for every agent; it was read whole ({', '.join(read)})."
    return Seen(reached=False, sentence="Nothing of it ran.", stops=(Stop("M25", told, (finished.event.id,)),))


def _set_traps(repository: Path, sprung: Path) -> None:
    trap = repository.parent / "trap"
    trap.write_text(f"#!/bin/sh\n: > {sprung}\ncat\n", encoding="utf-8")
    trap.chmod(0o755)
    hooks = repository / ".git" / "hooks"
    hooks.mkdir(exist_ok=True)
    for name in HOOKS:
        (hooks / name).write_bytes(trap.read_bytes())
        (hooks / name).chmod(0o755)
    lines = list[str]()
    for name, value in (*((name, str(trap)) for name in NAMED), *SWITCHES):
        section, _, key = name.rpartition(".")
        head, _, inner = section.partition(".")
        lines += [f'[{head} "{inner}"]' if inner else f"[{head}]", f"\t{key} = {value}"]
    included = repository.parent / "included"
    included.write_text("\n".join(lines) + "\n", encoding="utf-8")
    with (repository / ".git" / "config").open("a", encoding="utf-8") as config:
        config.write(f"[include]\n\tpath = {included}\n")
    (repository / ".git" / "info").mkdir(exist_ok=True)
    (repository / ".git" / "info" / "attributes").write_text("* filter=evil diff=evil\n", encoding="utf-8")


def _demand_live(repository: Path, sprung: Path) -> None:
    """Raises Lacking where not even a careless git springs a trap: there, reading it would prove nothing."""
    for command in (["status", "--short"], ["log", "-p", "--ext-diff", "main..change"]):
        run_tool([find_git(), *command], folder=repository, seconds=SECONDS_MAX, environment={"GIT_CONFIG_GLOBAL": "/dev/null"})
    if not sprung.exists():
        raise Lacking("This git runs nothing that a repository names, so the attack proves nothing here.")
    sprung.unlink()


def _read_as_agents_do(repository: Path, folder: Path) -> list[str]:
    change = read_change(repository, "main", "change")
    git = Repository(repository)
    if has_infrastructure(git, change.head):
        write_configuration(git, change.head, folder)
    artifact = build_artifact(git, change.head)
    return [f"{len(change.files)} files changed", f"{len(list(folder.glob('*.tf')))} of configuration", f"{artifact.files} in the artifact"]


def _is_end(verified: Verified) -> bool:
    return isinstance(verified.event, ToolFinished) and verified.event.author == RANGE_AGENT


SCENARIOS = (
    Scenario("programs-in-configuration", "A program of mine beside the credentials of the agents.", ("T6", "M25"), programs_in_configuration),
)
