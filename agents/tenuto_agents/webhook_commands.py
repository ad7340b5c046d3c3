"""`tenuto webhook serve`: take GitHub's webhooks, submit what they name, and post the verdicts back as reviews."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from tenuto.cli.panels import Panel

if TYPE_CHECKING:
    from tenuto.settings import Settings

    from .webhooks.answering import Answering

LOOK_SECONDS = 1.0
SUBMIT_SECONDS_MAX = 60.0


def add_commands(app: typer.Typer) -> None:
    """Add the group `webhook`."""
    group = typer.Typer(help="Take pull requests from GitHub and answer them there.", no_args_is_help=True)
    group.command("serve")(serve)
    group.callback()(_keep_as_a_group)
    app.add_typer(group, name="webhook", rich_help_panel=Panel.AGENTS)


def serve(
    secret: Annotated[str, typer.Option(help="The webhook's secret, by reference: file:PATH, mode 0600.")],
    mirrors: Annotated[Path, typer.Option(help="Folder of mirrors, OWNER/NAME.git; only these repositories are taken.")],
    *,
    token: Annotated[str | None, typer.Option(help="Token that posts reviews, by reference; verdicts stay here without one.")] = None,
    api: Annotated[str, typer.Option(help="Address of GitHub's API.")] = "https://api.github.com",
    address: Annotated[str, typer.Option(help="Address to listen on; put a TLS proxy before it.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8600,
) -> None:
    """Serve POST /github until SIGTERM or Ctrl-C."""
    import uvicorn
    from tenuto.settings import load_settings
    from tenuto.wiring import open_recorder

    from . import SOFTWARE
    from .secrets.references import resolve
    from .submission import PIPELINE, submit_change
    from .webhooks.answering import Answering, GitHub
    from .webhooks.memory import Memory
    from .webhooks.mirrors import Mirrors
    from .webhooks.reception import Reception
    from .webhooks.server import application

    settings, stop = load_settings(), threading.Event()
    memory = Memory(settings.home.absolute() / "state" / "webhook" / "memory.sqlite")
    with open_recorder(settings, PIPELINE, software=SOFTWARE) as recorder:
        reception = Reception(
            resolve(secret), memory, Mirrors(mirrors),
            lambda path, asked: submit_change(
                recorder, path, asked.base, asked.head, title=asked.title, seconds=SUBMIT_SECONDS_MAX
            ),
        )  # fmt: skip
        answering = None if token is None else Answering(memory, GitHub(resolve(token), api))
        thread = threading.Thread(target=_answer, args=(settings, answering, stop), name="answering", daemon=True)
        thread.start()
        try:
            uvicorn.run(application(reception), host=address, port=port, log_level=settings.log_level, server_header=False)
        finally:
            stop.set()
            thread.join()


def _answer(settings: Settings, answering: Answering | None, stop: threading.Event) -> None:
    from tenuto.errors import Busy
    from tenuto.wiring import open_follower

    if answering is None:
        return
    follower = open_follower(settings, payloads=False)
    while not stop.wait(LOOK_SECONDS):
        try:
            for page in follower.pages():
                answering.take(page)
            answering.take(())  # what could not be posted before
        except Busy as busy:
            typer.echo(f"tenuto: {busy}", err=True)


def _keep_as_a_group() -> None:
    """Take pull requests from GitHub and answer them there."""
