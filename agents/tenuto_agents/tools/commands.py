"""`tenuto tool-server`: one tool server of one agent, over standard input and output."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING, Annotated

import typer
from tenuto.cli.panels import Panel

if TYPE_CHECKING:
    from tenuto.settings import Settings
    from tenuto.verification import Verified

    from .contract import Toolbox

SERVERS = ("git", "cloud", "registry", "deploy")


def add_commands(app: typer.Typer) -> None:
    """Add `tool-server`."""
    app.command("tool-server", rich_help_panel=Panel.AGENTS)(tool_server)


def tool_server(
    name: Annotated[str, typer.Argument(help=f"Which server: {', '.join(SERVERS)}.")],
    agent: Annotated[str, typer.Option("--agent", help="The only agent whose starts on record count.")] = "",
    describe: Annotated[
        bool, typer.Option("--describe", help="Print what the server offers, with the digest that pins it, and end.")
    ] = False,
) -> None:
    """Serve an agent's tools over MCP.

    On standard input and output; each call must name its start on record.
    """
    from tenuto.errors import NotConfigured
    from tenuto.settings import load_settings
    from tenuto.wiring import open_admission

    from . import demand_sdk

    demand_sdk()
    from .server import serve

    settings = load_settings()
    if describe:
        _describe(open_toolbox(settings, name, agent, lambda _: []))
        return
    if not agent:
        raise NotConfigured("Name the agent whose tools these are with --agent; nobody else's starts count.")
    logging.basicConfig(level=settings.log_level.upper(), format="%(levelname)s %(name)s %(message)s", stream=sys.stderr)
    admission = open_admission(settings, agent)
    with closing(open_toolbox(settings, name, agent, admission.events_of)) as toolbox:
        admission.look()
        serve(name, toolbox, admission)


def open_toolbox(settings: Settings, name: str, agent: str, events_of: Callable[[str], list[Verified]]) -> Toolbox:
    """Return the tools of a server; raises NotConfigured for another name. events_of: what the ledger has of a run."""
    from tenuto.errors import NotConfigured

    from ..sandbox import open_box
    from ..target import LocalTarget
    from .deploy_tools import DeployTools
    from .git_tools import GitTools

    if name == "git":
        # The review reads what nobody has looked at yet; the others read what it has let through.
        return GitTools(open_box(required=settings.sandbox == "required") if agent == "code-review" else None)
    if name == "cloud":
        return _open_cloud(settings, agent, events_of)
    if name == "registry":
        return _open_registry(settings)
    if name == "deploy":
        return DeployTools(lambda service: LocalTarget(settings.home / "targets" / service))
    raise NotConfigured(f"There is no tool server {name!r}. There are {', '.join(SERVERS)}.")


def _open_cloud(settings: Settings, agent: str, events_of: Callable[[str], list[Verified]]) -> Toolbox:
    from ..commands import stored_states
    from ..drift_commands import open_provider
    from ..stack import Stacks
    from ..terraform import find_terraform
    from .cloud_server import CloudTools

    terraform = find_terraform()
    if terraform is None:
        return CloudTools(None, agent=agent, events_of=events_of)
    states = stored_states(settings, agent) if agent else None
    stacks = Stacks(terraform, settings.state / "terraform", open_provider(settings), states)
    return CloudTools(stacks, agent=agent, events_of=events_of)


def _open_registry(settings: Settings) -> Toolbox:
    from tenuto.clock import SystemClock

    from ..containers.registry import Registry
    from ..containers.site import load_site
    from .registry_tools import ImageWorks, RegistryTools

    def works() -> ImageWorks:
        assert settings.containers is not None
        site, work = load_site(settings.containers), settings.home / "containers" / "work"
        return ImageWorks(site, Registry(site, work), work, SystemClock())

    return RegistryTools(works if settings.containers is not None else None)


def _describe(toolbox: Toolbox) -> None:
    import msgspec

    from .contract import list_digest

    tools = [tool.definition() for tool in toolbox.tools.values()]
    said = [tool.model_dump(mode="json", by_alias=True, exclude_none=True) for tool in tools]
    typer.echo(msgspec.json.format(msgspec.json.encode({"digest": list_digest(tools), "tools": said})).decode())
