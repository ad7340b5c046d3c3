"""What an operator's monitoring sees of a process: OpenTelemetry metrics, read at `/metrics`, and health at `/healthz`.

The names of the metrics are a closed list. Healthy means: the process finished a step a short while ago. A process that
waits for a part that is away is alive, but not healthy.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from threading import Thread
from types import TracebackType
from typing import Any, Literal, Self
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.resources import Resource
from prometheus_client import CollectorRegistry, ProcessCollector, make_wsgi_app

from .errors import NotConfigured

STALE_SECONDS = 15.0
"""Without a finished step for so long a process is not healthy."""

Metric = Literal["tenuto.steps", "tenuto.events", "tenuto.busy"]
METRICS: dict[Metric, str] = {
    "tenuto.steps": "Steps finished by the process's loop, with or without work.",
    "tenuto.events": "Events that the process took: appended, sealed, delivered or projected.",
    "tenuto.busy": "Steps that found a part outside the process away.",
}

StartResponse = Callable[[str, list[tuple[str, str]]], Any]


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: a scrape every few seconds is no news."""


class Telemetry:
    """The metrics of one process; as a context manager it serves them on loopback when a port is given."""

    def __init__(self, process: str, port: int | None = None) -> None:
        """`process` is the name in `service.name`; `port` 0 takes any free one, None serves nothing."""
        # A registry of its own, so that two in one process do not count for each other.
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        provider = MeterProvider([PrometheusMetricReader(registry=registry)], resource=Resource({"service.name": f"tenuto-{process}"}))
        meter = provider.get_meter("tenuto")
        self._provider, self._process, self._port = provider, process, port
        self._metrics = make_wsgi_app(registry)
        self._counters = {name: meter.create_counter(name, description=text) for name, text in METRICS.items()}
        self._server: WSGIServer | None = None
        self._last_step = time.monotonic()

    @property
    def address(self) -> str | None:
        """`http://127.0.0.1:PORT` while it serves."""
        return None if self._server is None else f"http://127.0.0.1:{self._server.server_port}"

    def stepped(self, events: int) -> None:
        """Count a finished step that took so many events."""
        self._last_step = time.monotonic()
        self._counters["tenuto.steps"].add(1)
        if events:
            self._counters["tenuto.events"].add(events)

    def was_busy(self) -> None:
        """Count a step that found a part away."""
        self._counters["tenuto.busy"].add(1)

    def __enter__(self) -> Self:
        """Begin to serve; raises NotConfigured when the port is taken."""
        if self._port is not None:
            try:
                self._server = make_server("127.0.0.1", self._port, self._answer, handler_class=_Quiet)
            except OSError as error:
                sentence = f"The metrics of {self._process} cannot be served on port {self._port}: {error.strerror}."
                raise NotConfigured(sentence + " Choose another with TENUTO_METRICS_PORT.") from error
            Thread(target=self._server.serve_forever, name="telemetry", daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Stop serving."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
        self._provider.shutdown()

    def _answer(self, environ: dict[str, Any], start: StartResponse) -> Iterable[bytes]:
        if environ.get("PATH_INFO") != "/healthz":
            answered: Iterable[bytes] = self._metrics(environ, start)
            return answered
        age = time.monotonic() - self._last_step
        status = "200 OK" if age < STALE_SECONDS else "503 Service Unavailable"
        body = json.dumps({"process": self._process, "healthy": age < STALE_SECONDS, "last_step_seconds": round(age, 3)})
        start(status, [("Content-Type", "application/json"), ("Cache-Control", "no-store")])
        return [body.encode()]
