"""Metrics and health of a process, as a monitoring sees them over HTTP."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from tenuto import telemetry
from tenuto.errors import NotConfigured
from tenuto.telemetry import METRICS, STALE_SECONDS, Telemetry


class Time:
    """The monotonic clock, standing until a test moves it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    stopped = Time()
    monkeypatch.setattr(telemetry, "time", stopped)
    return stopped


@pytest.fixture
def process(time: Time) -> Iterator[Telemetry]:
    with Telemetry("seal", 0) as process:
        yield process


def health(process: Telemetry) -> tuple[int, dict[str, Any]]:
    try:
        with urlopen(f"{process.address}/healthz", timeout=60) as answer:
            return answer.status, json.load(answer)
    except HTTPError as error:
        with error:
            return error.code, json.load(error)


def metrics(process: Telemetry) -> str:
    with urlopen(f"{process.address}/metrics", timeout=60) as answer:
        return answer.read().decode()


def value(text: str, name: str) -> float:
    (line,) = [line for line in text.splitlines() if line.startswith(name)]
    return float(line.rpartition(" ")[2])


def test_it_serves_on_loopback_only_while_it_is_open() -> None:
    process = Telemetry("seal", 0)
    assert process.address is None
    with process:
        assert process.address is not None
        assert process.address.startswith("http://127.0.0.1:")
    assert process.address is None


def test_without_a_port_nothing_is_served() -> None:
    with Telemetry("seal") as process:
        process.stepped(3)
        assert process.address is None


def test_steps_events_and_absences_are_counted(process: Telemetry) -> None:
    process.stepped(5)
    process.stepped(0)
    process.stepped(2)
    process.was_busy()
    text = metrics(process)
    assert value(text, "tenuto_steps_total") == 3
    assert value(text, "tenuto_events_total") == 7
    assert value(text, "tenuto_busy_total") == 1
    assert 'service_name="tenuto-seal"' in text


def test_the_names_of_the_metrics_are_those_of_the_list_and_no_others(process: Telemetry) -> None:
    process.stepped(1)
    process.was_busy()
    families = {line.split()[2] for line in metrics(process).splitlines() if line.startswith("# TYPE tenuto")}
    assert families == {name.replace(".", "_") + "_total" for name in METRICS}


@pytest.mark.parametrize(("seconds", "status"), [(0.0, 200), (STALE_SECONDS - 0.001, 200), (STALE_SECONDS, 503)])
def test_a_process_is_healthy_for_so_long_after_a_step(process: Telemetry, time: Time, seconds: float, status: int) -> None:
    process.stepped(0)
    time.now += seconds
    answered, body = health(process)
    assert answered == status
    assert body == {"process": "seal", "healthy": status == 200, "last_step_seconds": round(seconds, 3)}


def test_waiting_for_a_part_that_is_away_is_not_healthy_and_a_step_makes_it_so_again(process: Telemetry, time: Time) -> None:
    time.now += STALE_SECONDS
    process.was_busy()
    assert health(process)[0] == 503
    process.stepped(0)
    assert health(process)[0] == 200


def test_a_taken_port_is_said_with_the_remedy() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(NotConfigured, match=rf"port {port}.*TENUTO_METRICS_PORT"), Telemetry("seal", port):
            pass
