"""The commands that this package adds to `tenuto`: run an agent, submit a pull request, make the sample repository."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from tenuto.cli.panels import Panel

from .containers.commands import add_container_commands
from .drift_commands import drift
from .knowledge_commands import add_commands as add_knowledge_commands
from .review_board_commands import add_commands as add_review_board_commands
from .secret_commands import add_commands as add_secret_commands
from .statestore.commands import state
from .tools.commands import add_commands as add_tool_commands
from .webhook_commands import add_commands as add_webhook_commands

if TYPE_CHECKING:
    from tenuto.settings import Settings

    from .agent import Chore
    from .code_review import CodeReview
    from .deployment import Deployment
    from .infrastructure import Infrastructure
    from .place import Place
    from .statehome import StateHome

AGENTS = ("code-review", "infrastructure", "deployment")
RECEIPT_SECONDS_MAX = 60.0


def add_commands(app: typer.Typer) -> None:
    """Add `agent`, `submit`, `sample`, `stop-services` and the groups `attack`, `state` and `drift` to the command line."""
    from .attacks import commands as attacks

    app.command("sample", rich_help_panel=Panel.AGENTS)(make_sample)
    app.command("submit", rich_help_panel=Panel.AGENTS)(submit)
    app.command("agent", rich_help_panel=Panel.AGENTS)(run_agent)
    app.command("stop-services", rich_help_panel=Panel.AGENTS)(stop_services)
    attacks.add_commands(app)
    add_secret_commands(app)
    add_webhook_commands(app)
    add_review_board_commands(app)
    add_knowledge_commands(app)
    app.add_typer(state, name="state", rich_help_panel=Panel.AGENTS)
    app.add_typer(drift, name="drift", rich_help_panel=Panel.CONTAIN)
    add_container_commands(app)
    add_tool_commands(app)


def run_agent(
    name: Annotated[str, typer.Argument(help=f"Which agent: {', '.join(AGENTS)}.")],
    adopt_base: Annotated[
        bool, typer.Option("--adopt-base", help="Infrastructure only: take the base commit's stack as existing.")
    ] = False,
) -> None:
    """Run one of the three agents until it is told to stop.

    SIGTERM or Ctrl-C tells it.
    """
    from tenuto.settings import load_settings
    from tenuto.supervising import environment
    from tenuto.wiring import open_gate, open_recorder, with_addresses

    from . import SOFTWARE
    from .tools import demand_sdk

    demand_sdk()
    from .agent import Agent
    from .secrets.live import open_scanner
    from .secrets.references import demand_references
    from .secrets.response import filter_of
    from .task import Stopping, StopRequest
    from .tools.toolset import open_tools

    settings = load_settings()
    logging.basicConfig(level=settings.log_level.upper(), format="%(levelname)s %(name)s %(message)s")
    worker = open_agent(settings, name, adopt_base=adopt_base)
    stop = StopRequest()
    scanner = open_scanner(settings.home, settings.keys)
    demand_references(settings.model_dump(), scanner)
    recorder = open_recorder(settings, name, software=SOFTWARE)
    assert recorder.mailbox is not None
    tools = open_tools(with_addresses(settings), name, environment(settings))
    outcome: Literal["failed", "interrupted"] = "failed"
    try:
        stop.install()
        tools.warm()
        outgoing = filter_of(recorder, scanner)
        gate = open_gate(settings, recorder)
        typer.echo(f"{name} is at work.", err=True)
        chore = _chore(settings, worker)
        Agent(
            recorder, gate, recorder.mailbox, worker.duties(), stop=stop, outgoing=outgoing, chore=chore, tools=tools
        ).serve()  # fmt: skip
    except Stopping:
        outcome = "interrupted"
    finally:
        tools.close()
        recorder.close(outcome)


def _chore(settings: Settings, worker: CodeReview | Infrastructure | Deployment) -> Chore | None:
    from .deployment import Deployment
    from .drift_commands import drift_chore
    from .infrastructure import Infrastructure
    from .terraform import find_terraform

    if isinstance(worker, Deployment):
        return worker.chore()
    return drift_chore(settings, worker) if isinstance(worker, Infrastructure) and find_terraform() is not None else None


def open_agent(settings: Settings, name: str, *, adopt_base: bool = False) -> CodeReview | Infrastructure | Deployment:
    """Return the agent called `name` with its real parts; raises NotConfigured for another name."""
    from tenuto.clock import new_uuid7
    from tenuto.errors import NotConfigured

    from .code_review import CodeReview
    from .deployment import Deployment
    from .drift_commands import open_provider
    from .infrastructure import Infrastructure
    from .knowledge_commands import open_shelf
    from .model import load_model
    from .sandbox import open_box
    from .terraform import find_terraform

    if name == "code-review":
        box = open_box(required=settings.sandbox == "required")
        return CodeReview(load_model(settings.model), box, new_id=new_uuid7, knowledge=open_shelf(settings))
    if name == "infrastructure":
        return Infrastructure(
            terraform=find_terraform(), state=settings.state / "terraform", adopt_base=adopt_base,
            provider=open_provider(settings), states=stored_states(settings, name),
        )  # fmt: skip
    if name == "deployment":
        return Deployment(_places(settings))
    raise NotConfigured(f"There is no agent {name!r}. There are {', '.join(AGENTS)}.")


def stored_states(settings: Settings, name: str) -> Callable[[str], StateHome] | None:
    """Return where the states of an agent are, by name, when a state store is set."""
    from .statehome import StoredState
    from .statestore.commands import token_file
    from .statestore.visiting import StateAddress, read_token

    if settings.state_store is None:
        return None
    store, token = settings.state_store, read_token(token_file(settings.keys, name))
    return lambda stack: StoredState(StateAddress(store, stack, name, token))


def _places(settings: Settings) -> Callable[[str], Place]:
    """Where releases go: to the container site that is set up, or else to the built-in target of this machine."""
    from tenuto.clock import SystemClock
    from tenuto.errors import NotConfigured

    from .place import LOCAL_LACKS, local_place

    if settings.containers is None:
        logging.getLogger(__name__).warning("No container site is set up (TENUTO_CONTAINERS). %s", LOCAL_LACKS)
        return lambda service: local_place(settings.home / "targets" / service)
    from .containers.container_place import open_places
    from .containers.parts import missing_parts
    from .containers.site import load_site

    lacking = missing_parts()
    if lacking is not None:
        raise NotConfigured(f"The container site cannot be used. {lacking}")
    return open_places(load_site(settings.containers), settings.home / "containers", SystemClock())


def submit(
    repo: Annotated[Path, typer.Option("--repo", help="Top folder of a git work tree, or a bare repository.")],
    base: Annotated[str, typer.Option("--base", help="Revision that the change starts from.")] = "main",
    head: Annotated[str, typer.Option("--head", help="Revision that holds the change.")] = "HEAD",
    title: Annotated[str, typer.Option("--title", help="Title; the newest commit's subject by default.")] = "",
) -> None:
    """Send a pull request on its way to production.

    Prints the name of the run.
    """
    from tenuto.settings import load_settings
    from tenuto.wiring import open_recorder

    from . import SOFTWARE
    from .submission import PIPELINE, submit_change

    settings = load_settings()
    with open_recorder(settings, PIPELINE, software=SOFTWARE) as recorder:
        typer.echo(submit_change(recorder, repo, base, head, title=title, seconds=RECEIPT_SECONDS_MAX))


def make_sample(path: Annotated[Path, typer.Argument(help="Where to make it; an empty or missing folder.")]) -> None:
    """Make the demonstration repository.

    It has an honest and a hostile pull request.
    """
    from .sample import create_sample

    sample = create_sample(path)
    typer.echo(f"{sample.path}: base {sample.base}, pull requests {sample.head} and {sample.hostile}")


def stop_services() -> None:
    """Stop every service that the deployment agent runs.

    Those of this home; what is deployed stays on disk.
    """
    from tenuto.settings import load_settings

    from .target import LocalTarget

    for folder in sorted((load_settings().home / "targets").glob("*/")):
        target = LocalTarget(folder)
        running = target.running()
        target.stop()
        if running is not None:
            typer.echo(f"The service at {running.address} is stopped.", err=True)
