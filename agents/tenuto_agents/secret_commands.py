"""`tenuto secret`: put a secret on the list, guard streams and ledger, and keep secrets out of a git server."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from tenuto.cli.panels import Panel

if TYPE_CHECKING:
    from tenuto.settings import Settings

    from .secrets.rotation import OpenBaoRotator

LOOK_SECONDS = 1.0
HOOK = """\
#!/bin/sh
# Made by `tenuto secret hook`: no push brings a secret into this repository.
exec {python} -m tenuto secret pre-receive --repo "$(git rev-parse --absolute-git-dir)" \\
  --objects "$GIT_OBJECT_DIRECTORY" --alternates "$GIT_ALTERNATE_OBJECT_DIRECTORIES"
"""


def add_commands(app: typer.Typer) -> None:
    """Add the group `secret`."""
    group = typer.Typer(help="Keep secrets out of commits, logs and the ledger.")
    group.command("protect")(protect)
    group.command("guard")(guard)
    group.command("hook")(make_hook)
    group.command("pre-receive")(pre_receive)
    app.add_typer(group, name="secret", rich_help_panel=Panel.CONTAIN)


def protect(
    reference: Annotated[str, typer.Argument(help="Where the secret is: file:PATH, mode 0600.")],
    kind: Annotated[str, typer.Option(help="What it is, such as database-password.")],
    role: Annotated[str, typer.Option(help="Its role at the rotator; without one people have to rotate it.")] = "",
) -> None:
    """Put a secret on the list of those in use, as a keyed fingerprint, so that it is found wherever it turns up."""
    from tenuto.settings import load_settings

    from .secrets.live import Live, add_live
    from .secrets.references import resolve
    from .text import as_name

    settings = load_settings()
    fingerprint = add_live(settings.home, settings.keys, resolve(reference), Live(as_name(kind), role))
    typer.echo(f"{as_name(kind)} {fingerprint[:16]} is on the list. Running agents know it after their next start.")


def guard(
    keeper: Annotated[str, typer.Option(help="Author with the role keeper, in whose name it is done.")] = "keeper",
    logs: Annotated[Path | None, typer.Option(help="Folder of log files (*.log); that of this home by default.")] = None,
    *,
    once: Annotated[bool, typer.Option("--once", help="Look at everything once and end.")] = False,
) -> None:
    """Look for secrets in log streams and in the ledger; record, alert, rotate, and ask for the purge."""
    from tenuto.clock import new_uuid7
    from tenuto.errors import Busy
    from tenuto.settings import load_settings
    from tenuto.wiring import open_follower, open_purging

    from .secrets.live import load_live, open_scanner
    from .secrets.response import LeakResponse
    from .secrets.watching import LogStreams, SecretWatch

    settings = load_settings()
    streams, follower = LogStreams(logs or settings.home / "logs"), open_follower(settings)
    with open_purging(settings, keeper) as purging:
        response = LeakResponse(
            purging.recorder, load_live(settings.home), rotator=_rotator(settings), new_id=new_uuid7,
            ask_purge=lambda position: purging.request([str(position)], "secret", "", keeper).request.approval,
        )  # fmt: skip
        watch = SecretWatch(open_scanner(settings.home, settings.keys), response, keeper)
        while True:
            try:
                for page in follower.pages():
                    for verified in page:
                        watch.look_at_event(verified)
            except Busy as busy:
                typer.echo(f"tenuto: {busy}", err=True)
            for name, lines in streams.new_lines():
                watch.look_at_lines(name, lines)
            if once:
                break
            time.sleep(LOOK_SECONDS)


def make_hook(repository: Annotated[Path, typer.Argument(help="A bare repository on the git server.")]) -> None:
    """Install the pre-receive hook that refuses pushes with secrets in them."""
    from tenuto.errors import NotConfigured

    path = repository / "hooks" / "pre-receive"
    if not (repository / "objects").is_dir():
        raise NotConfigured(f"{repository} is no bare git repository.")
    if path.exists():
        raise NotConfigured(f"{path} is there already; call `tenuto secret pre-receive` from it.")
    path.parent.mkdir(exist_ok=True)
    path.write_text(HOOK.format(python=sys.executable), encoding="utf-8")
    path.chmod(0o755)
    typer.echo(f"{path} refuses secrets from now on.")


def pre_receive(
    repo: Annotated[Path, typer.Option(help="The repository that is pushed to.")],
    objects: Annotated[str, typer.Option(help="GIT_OBJECT_DIRECTORY of the push.")] = "",
    alternates: Annotated[str, typer.Option(help="GIT_ALTERNATE_OBJECT_DIRECTORIES of the push.")] = "",
) -> None:
    """Judge a push by the lines on standard input, as git calls it; ends with 1 when a secret would come in."""
    from tenuto.settings import load_settings

    from .git import Repository
    from .secrets.live import load_live
    from .secrets.scanning import SecretScanner
    from .secrets.watching import secrets_of_push

    settings = load_settings()
    key = settings.keys / "secrets.key"
    # A git server has no home of ours, as a rule; there the formats alone are known, and nothing is fingerprinted.
    kinds = {fingerprint: live.kind for fingerprint, live in load_live(settings.home).items()} if key.exists() else {}
    scanner = SecretScanner(_key(settings) if kinds else b"\0" * 32, kinds)
    found = dict.fromkeys((ref, hit.kind) for ref, hit in secrets_of_push(
        Repository(repo, objects=objects, alternates=alternates), sys.stdin.readlines(), scanner
    ))  # fmt: skip
    for ref, kind in found:
        typer.echo(f"tenuto: {ref} is refused: it would bring in a secret ({kind}). Take it out of every commit, and rotate it.", err=True)
    if found:
        raise typer.Exit(1)


def _key(settings: Settings) -> bytes:
    from .secrets.live import fingerprint_key

    return fingerprint_key(settings.keys)


def _rotator(settings: Settings) -> OpenBaoRotator | None:
    from .secrets.references import resolve
    from .secrets.rotation import OpenBaoRotator

    if settings.secrets_manager is None or settings.secrets_token is None:
        return None
    return OpenBaoRotator(settings.secrets_manager, resolve(settings.secrets_token))
