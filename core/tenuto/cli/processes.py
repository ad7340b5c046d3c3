"""The processes of the road, each under its own name and with its own rights: ingest, seal, witness, deliver, route."""

from __future__ import annotations

import logging
from typing import Annotated

import typer

from ..settings import Settings, load_settings
from ..telemetry import Telemetry
from .panels import Panel

INGEST_IDLE_SECONDS = 0.005
DELIVERY_IDLE_SECONDS = 0.05
ROUTER_IDLE_SECONDS = 0.25
WITNESS_PORT = 8502


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this file."""
    for command in (ingest, seal, witness, deliver, route):
        app.command(rich_help_panel=Panel.PARTS)(command)


def ingest(
    partition: Annotated[
        list[int] | None, typer.Option(help="A partition of the events topic to serve, repeatable; by default all of them.")
    ] = None,
) -> None:
    """Judge records and append them to the ledger.

    They come from Kafka, until SIGTERM; this is the one door in.

    Several such processes may run side by side, each with its own partitions.
    """
    from ..running import collect_rarely, run_until, stop_flag
    from ..wiring import open_ingest

    settings = _begin()
    stop = stop_flag()
    with _telemetry(settings, "ingest") as telemetry, open_ingest(settings, partition) as door:
        collect_rarely()
        run_until(stop, door.advance, telemetry, idle_seconds=INGEST_IDLE_SECONDS)


def seal() -> None:
    """Sign checkpoints over what was appended.

    Publish tiles and ask the witnesses, until SIGTERM.
    """
    from ..running import run_until, stop_flag
    from ..wiring import open_sealer

    settings = _begin()
    stop = stop_flag()
    with _telemetry(settings, "seal") as telemetry, open_sealer(settings) as sealer:

        def step() -> int:
            published = sealer.seal()
            return 0 if published is None else published.events

        run_until(stop, step, telemetry, idle_seconds=settings.seal_milliseconds / 1000)


def witness(
    port: Annotated[int, typer.Option(help="Port to listen on, on this machine's loopback.")] = WITNESS_PORT,
) -> None:
    """Cosign the checkpoints of this home's log as a witness.

    It speaks C2SP tlog-witness, until SIGTERM.
    """
    from ..running import stop_flag
    from ..wiring import open_witness

    settings = _begin()
    stop = stop_flag()
    with open_witness(settings, port) as server:
        typer.echo(f"The witness answers at {server.address}", err=True)
        stop.wait()


def deliver() -> None:
    """Carry receipts and messages to the inboxes.

    They come from the ledger, each with its proof, until SIGTERM.
    """
    from ..running import run_until, stop_flag
    from ..wiring import open_delivery

    settings = _begin()
    stop = stop_flag()
    with _telemetry(settings, "deliver") as telemetry, open_delivery(settings) as delivery:
        run_until(stop, delivery.step, telemetry, idle_seconds=DELIVERY_IDLE_SECONDS)


def route() -> None:
    """Give each request to a reviewer, and draw second looks.

    To one who may have it and has room, until SIGTERM.
    """
    from ..clock import SystemClock
    from ..router import AUTHOR, SOFTWARE, Router
    from ..running import run_until, stop_flag
    from ..wiring import open_follower, open_lot, open_recorder

    settings = _begin()
    stop = stop_flag()
    # Everything it decides by is in headers, so this process needs no storage key and reads no payload.
    follower = open_follower(settings, payloads=False)
    with _telemetry(settings, "route") as telemetry, open_recorder(settings, AUTHOR, software=SOFTWARE) as recorder:
        router = Router(follower, recorder, SystemClock(), open_lot(settings))
        run_until(stop, router.step, telemetry, idle_seconds=ROUTER_IDLE_SECONDS)


def _begin() -> Settings:
    settings = load_settings()
    logging.basicConfig(level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s %(message)s")
    return settings


def _telemetry(settings: Settings, process: str) -> Telemetry:
    return Telemetry(process, settings.metrics_port)
