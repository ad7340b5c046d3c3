"""How every long-running process lives: one step again and again, until somebody asks it to stop.

A part that is away (`Busy`) is said once and waited for. Everything else that goes wrong ends the process: a supervisor
starts it again, and whatever it had not finished is offered again by the ledger or the bus.
"""

from __future__ import annotations

import gc
import logging
import signal
from collections.abc import Callable
from threading import Event as Flag
from types import FrameType

from .errors import Busy
from .telemetry import Telemetry

BUSY_SECONDS = 0.5
COLLECT_OBJECTS = 20_000
"""So many more objects than were freed before the collector looks at the young ones."""
log = logging.getLogger(__name__)


def stop_flag() -> Flag:
    """Return a flag that SIGTERM and SIGINT raise (main thread only)."""
    flag = Flag()

    def ask(number: int, frame: FrameType | None) -> None:
        flag.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, ask)
    return flag


def collect_rarely() -> None:
    """Let Python's collector pass over what a process is made of, and look less often at what it makes.

    Everything that is there once a process is set up stays until it ends, and records, events and rows have no circles: at its
    usual pace the collector takes a fifteenth of ingest's time to find nothing.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_OBJECTS, *gc.get_threshold()[1:])


def run_until(stop: Flag, step: Callable[[], object], telemetry: Telemetry, *, idle_seconds: float) -> None:
    """Call `step` until `stop` is set; pause when it returns something false (nothing to do) or raises Busy.

    A step that returns a number says how many events it took.
    """
    away = ""
    while not stop.is_set():
        try:
            worked = step()
        except Busy as busy:
            telemetry.was_busy()
            if str(busy) != away:
                away = str(busy)
                log.warning("%s", away)
            stop.wait(BUSY_SECONDS)
            continue
        telemetry.stepped(worked if isinstance(worked, int) else int(bool(worked)))
        if away:
            log.info("It goes on.")
            away = ""
        if not worked:
            stop.wait(idle_seconds)
