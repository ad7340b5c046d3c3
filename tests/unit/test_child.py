"""Ports that nobody takes between the asking and the using, and a program that answers in the place of ours."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest
from tenuto.embedded import PartFailed, child
from tenuto.embedded.child import LOOPBACK, Child, Plan, free_port

GIVEN_OUT = Path("/proc/sys/net/ipv4/ip_local_port_range")


@pytest.fixture
def named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file in the place of the kernel's."""
    monkeypatch.setattr(child, "_GIVEN_OUT", tmp_path / "range")
    return tmp_path / "range"


def test_a_free_port_is_none_that_an_outgoing_connection_may_get(named: Path) -> None:
    named.write_text("10340\t60999\n")
    found = {free_port() for _ in range(50)}
    assert max(found) < 10_340
    assert len(found) > 10, "processes that ask side by side get different ones"


def test_a_port_that_is_taken_is_not_given(named: Path) -> None:
    named.write_text("10242 60999\n")
    with socket.socket() as taken:
        taken.bind((LOOPBACK, 10_240))
        assert {free_port() for _ in range(20)} == {10_241}


@pytest.mark.parametrize("said", ["1024 65535", "", "nonsense", None])
def test_where_nothing_lies_below_that_range_any_port_is_given(named: Path, said: str | None) -> None:
    if said is not None:
        named.write_text(said)
    with socket.socket() as probe:
        probe.bind((LOOPBACK, free_port()))


def test_what_answers_while_our_child_is_gone_is_not_taken_for_it(tmp_path: Path) -> None:
    gone = Child(Plan((sys.executable, "-c", "raise SystemExit(3)"), tmp_path / "log"))
    with pytest.raises(PartFailed, match="ended with code 3"):
        gone.wait_until(lambda: not gone.running(), 60)
