"""`tenuto drift check`, and the same as a chore of the infrastructure agent."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from tenuto.settings import Settings

    from .agent import Chore
    from .drift import Drift
    from .infrastructure import Infrastructure
    from .provider import Provider
    from .reverting import DriftWatch
    from .task import Task

DRIFTED = 2
CHORE = "drift"
log = logging.getLogger(__name__)
drift = typer.Typer(help="Compare infrastructure with its approved baseline.", no_args_is_help=True)


@drift.callback()
def _group() -> None:
    """Compare infrastructure with its approved baseline."""


@drift.command("check")
def check(
    revert: Annotated[bool, typer.Option("--revert", help="Take back what Terraform can, through policy and people.")] = False,
) -> None:
    """Look at every stack once, as the agent `infrastructure`, which must not run beside; exit code 2 when anything differs."""
    from tenuto.settings import load_settings
    from tenuto.wiring import open_gate, open_recorder

    from . import SOFTWARE
    from .commands import open_agent
    from .infrastructure import Infrastructure
    from .task import StopRequest, Task

    settings = load_settings()
    agent = open_agent(settings, Infrastructure.name)
    assert isinstance(agent, Infrastructure)
    differs = False
    with open_recorder(settings, agent.name, software=SOFTWARE) as recorder:
        task = Task(recorder, open_gate(settings, recorder), CHORE, (), StopRequest())
        for name, found in look(open_watch(settings, agent), task, revert=revert):
            typer.echo(f"{name}: {found.sentence()}")
            differs = differs or found.count > 0
    raise typer.Exit(DRIFTED if differs else 0)


@drift.command("vouch")
def vouch(
    repo: Annotated[Path, typer.Option("--repo", help="The repository of the stack.")],
    revision: Annotated[str, typer.Option("--revision", help="The full commit id that the state is of.")],
    initiator: Annotated[str, typer.Option("--initiator", help="Who asks; somebody else has to approve it.")],
) -> None:
    """Have people vouch for a state that no apply on record left, so that plans can be made from it again."""
    from tenuto.settings import load_settings
    from tenuto.wiring import open_gate, open_recorder

    from . import SOFTWARE
    from .attesting import vouch_by_people
    from .commands import open_agent
    from .infrastructure import Infrastructure, find_stack
    from .reverting import drift_run
    from .statestore.door import state_run
    from .task import StopRequest, Task
    from .vouching import last_attested

    settings = load_settings()
    agent = open_agent(settings, Infrastructure.name)
    assert isinstance(agent, Infrastructure)
    stack = find_stack(agent, str(repo.resolve()))
    with open_recorder(settings, agent.name, software=SOFTWARE) as recorder:
        gate = open_gate(settings, recorder)
        task = Task(recorder, gate, drift_run(stack.state.name), (), StopRequest())
        known = last_attested(gate.events_of(state_run(stack.state.name)), stack.state.name, agent.name)
        last = stack.state.find(known.digest) if known is not None else None
        event = vouch_by_people(task, stack, str(repo), revision, initiator=initiator, last=last)
    typer.echo(f"The serial {event.serial} of {event.state} is vouched for.")


def look(watch: DriftWatch, task: Task, *, revert: bool) -> Iterator[tuple[str, Drift]]:
    """Check each stack and yield its name with what differs; raises what stops it."""
    from .reverting import drift_run

    every = watch.watched(task)
    states = [one.stack.state.read() for one in every]
    for at, one in enumerate(every):
        name = one.stack.state.name
        others = [state for other, state in enumerate(states) if other != at and state is not None]
        yield name, watch.check(replace(task, run=drift_run(name)), one, others, revert=revert)


def drift_chore(settings: Settings, agent: Infrastructure) -> Chore:
    """Return looking for drift as something that the agent does by itself; it takes back what it finds."""
    from .agent import Chore

    watch = open_watch(settings, agent)

    def perform(task: Task) -> None:
        for name, found in look(watch, task, revert=True):
            log.log(logging.WARNING if found.count else logging.INFO, "%s: %s", name, found.sentence())

    return Chore(CHORE, settings.drift_seconds, perform)


def open_watch(settings: Settings, agent: Infrastructure) -> DriftWatch:
    """Return the watch with its real parts; without Terraform there is nothing to watch: NotConfigured."""
    from tenuto.errors import NotConfigured

    from .infrastructure import NO_TERRAFORM
    from .inventory import AwsInventory
    from .reverting import DriftWatch
    from .terraform import find_terraform

    terraform = find_terraform()
    if terraform is None:
        raise NotConfigured(NO_TERRAFORM)
    provider = open_provider(settings)
    inventory = AwsInventory(provider.environment) if provider is not None and provider.source == "hashicorp/aws" else None
    return DriftWatch(agent, terraform, inventory)


def open_provider(settings: Settings) -> Provider | None:
    """Return the provider that the settings name, or None."""
    from .provider import load_provider

    return load_provider(settings.provider) if settings.provider is not None else None
