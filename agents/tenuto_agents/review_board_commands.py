"""`tenuto review-board watch`: take the review requests that are addressed to an account, and answer them there."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from tenuto.cli.panels import Panel

LOOK_SECONDS = 5.0
SUBMIT_SECONDS_MAX = 60.0


def add_commands(app: typer.Typer) -> None:
    """Add the group `review-board`."""
    group = typer.Typer(help="Take review requests from Review Board, answer them there.", no_args_is_help=True)
    group.command("watch")(watch)
    group.callback()(_keep_as_a_group)
    app.add_typer(group, name="review-board", rich_help_panel=Panel.AGENTS)


def watch(
    server: Annotated[str, typer.Argument(help="Address of the server, such as https://reviews.example.")],
    token: Annotated[str, typer.Option(help="API token of the account that reviews, by reference: file:PATH, mode 0600.")],
    mirrors: Annotated[Path, typer.Option(help="Folder of mirrors, NAME.git by the repository's name; only these are reviewed.")],
    *,
    seconds: Annotated[float, typer.Option(help="How often to look.", min=0.1)] = LOOK_SECONDS,
    transport: Annotated[list[str] | None, typer.Option(help="A transport that mirrors may fetch by, repeatable; https by default.")] = None,
) -> None:
    """Submit each diff that is published for the account, and post the verdicts, until SIGTERM or Ctrl-C."""
    from tenuto.errors import Busy
    from tenuto.running import stop_flag
    from tenuto.settings import load_settings
    from tenuto.wiring import open_follower, open_recorder

    from . import SOFTWARE
    from .review_board.board import ReviewBoard
    from .review_board.importing import Mirrored
    from .review_board.watching import Watch
    from .secrets.references import resolve
    from .submission import PIPELINE, submit_change
    from .webhooks.answering import Answering
    from .webhooks.memory import Memory

    settings, stop = load_settings(), stop_flag()
    memory = Memory(settings.home.absolute() / "state" / "review-board" / "memory.sqlite")
    board = ReviewBoard(resolve(token), server)
    follower = open_follower(settings, payloads=False)
    with open_recorder(settings, PIPELINE, software=SOFTWARE) as recorder:
        watched = Watch(
            board, memory, Mirrored(mirrors, protocols=transport or ("https",)),
            lambda path, base, head, title: submit_change(recorder, path, base, head, title=title, seconds=SUBMIT_SECONDS_MAX),
        )  # fmt: skip
        answering, away = Answering(memory, watched), ""
        while not stop.is_set():
            try:
                watched.look()
                for page in follower.pages():
                    answering.take(page)
                answering.take(())
                away = ""
            except Busy as busy:
                if str(busy) != away:
                    away = str(busy)
                    typer.echo(f"tenuto: {away}", err=True)
            stop.wait(seconds)


def _keep_as_a_group() -> None:
    """Take review requests from Review Board and answer them there."""
