"""Syslog: the form of a message, and a real TLS receiver on the other side."""

from __future__ import annotations

import json
import re
import socket
import ssl
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tenuto.errors import Busy, NotConfigured
from tenuto.verification import Verified
from tenuto_projections.siem.destinations import destination_name, open_sink
from tenuto_projections.siem.formats import OCSF
from tenuto_projections.siem.jsonl import ascii_json
from tenuto_projections.siem.sinks import FileSink, PipeSink, Sink
from tenuto_projections.siem.syslog import (
    MESSAGE_BYTES_MAX,
    ReceiverRefused,
    SyslogSink,
    escaped,
    framed,
    message,
)

from tests.unit.projections.written import MemoryFollower

from .chronicle import HOSTILE, chronicle, grow, grown
from .exports import exporter
from .receiver import Authority, Receiver, SlowReplies, new_authority, unframed

LEDGER = chronicle()
RFC5424 = re.compile(
    rb"<(?P<pri>\d{1,3})>1 (?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z) (?P<host>[!-~]{1,255}) "
    rb"(?P<app>[!-~]{1,48}) (?P<proc>[!-~]{1,128}) (?P<msgid>[!-~]{1,32}) "
    rb'\[(?P<sdid>[!-~]{1,32})(?P<params>( [^ ="\]]{1,32}="([^"\\\]]|\\["\\\]])*")*)\] '
    rb"(?P<text>.*)",
    re.DOTALL,
)


@pytest.fixture(scope="module")
def verified() -> list[Verified]:
    return LEDGER.verified()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return new_authority(tmp_path_factory.mktemp("tls") / "ours")


@pytest.fixture(scope="module")
def server(authority: Authority) -> tuple[Path, Path]:
    return authority.issue("receiver")


@pytest.fixture
def receiver(server: tuple[Path, Path]) -> Iterator[Receiver]:
    with Receiver(*server) as running:
        yield running


def parsed(content: bytes) -> dict[str, bytes]:
    found = RFC5424.fullmatch(content)
    assert found is not None, content
    return found.groupdict()


def sink_to(port: int, authority: Authority, host: str = "localhost", more: str = "") -> Sink:
    return open_sink(f"syslog+tls://{host}:{port}?ca={authority.ca}{more}", hostname="box", say=print)


# The form of a message.


def test_a_message_has_the_form_of_rfc_5424(verified: list[Verified]) -> None:
    for one in verified:
        found = parsed(message(one, b"{}", "box"))
        assert int(found["pri"]) // 8 == 13
        assert (found["host"], found["app"], found["msgid"]) == (b"box", b"tenuto", one.event.kind.encode())
        assert found["sdid"] == b"tenuto@32473"
        assert b' position="%d"' % one.position in found["params"]
        assert b' origin="tenuto.test/log"' in found["params"]


def test_the_severity_is_that_of_the_event(verified: list[Verified]) -> None:
    said = {one.event.kind: int(parsed(message(one, b"{}", "box"))["pri"]) % 8 for one in verified}
    assert (said["tool.started"], said["alert.raised"], said["record.equivocation"]) == (6, 3, 2)


def test_only_text_that_is_not_ascii_gets_a_byte_order_mark(verified: list[Verified]) -> None:
    assert parsed(message(verified[0], b"{}", "box"))["text"] == b"{}"
    assert parsed(message(verified[0], "é".encode(), "box"))["text"] == b"\xef\xbb\xbf" + "é".encode()


@pytest.mark.parametrize("hostname", ["", "box one", "bo\nx", "b\u00f6x", "x" * 300])
def test_a_host_name_cannot_break_the_header(verified: list[Verified], hostname: str) -> None:
    assert len(parsed(message(verified[0], b"{}", hostname))["host"]) <= 255


@settings(max_examples=300, deadline=None, database=None)
@given(st.text())
def test_no_value_ends_its_parameter_or_its_line(value: str) -> None:
    said = escaped(value)
    assert re.fullmatch(r'(?:[^"\\\]]|\\["\\\]])*', said)
    assert said.splitlines() in ([said], [])


def test_hostile_names_stay_inside_their_parameter(verified: list[Verified]) -> None:
    one = next(one for one in verified if one.event.kind == "tool.started")
    event = msgspec.structs.replace(one.event, author=HOSTILE)
    found = parsed(message(replace(one, event=event), b"{}", "box"))
    assert found["text"] == b"{}"
    assert b"\n" not in found["params"]
    assert b"\xe2\x80\xa8" not in found["params"]


def test_frames_are_split_by_count_whatever_is_in_them() -> None:
    contents = [b"a", b"12 b\n", HOSTILE.encode(), b"0 "]
    assert unframed(b"".join(framed(content) for content in contents)) == contents


def test_a_line_at_the_limit_makes_a_message_within_its_limit() -> None:
    sink = SyslogSink("localhost", 1, None, hostname="b" * 300)
    assert sink.line_bytes_max is not None
    for one in LEDGER.verified():
        assert len(sink.frame(one, b"x" * sink.line_bytes_max)) <= MESSAGE_BYTES_MAX + 6


# A real receiver.


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_the_whole_log_arrives_over_tls_in_order(
    tmp_path: Path, receiver: Receiver, authority: Authority, host: str
) -> None:
    one = exporter(LEDGER, sink_to(receiver.port, authority, host), tmp_path / "cursor", payloads=True, name=OCSF)
    assert one.step() == len(LEDGER.entries)
    one.close()
    wait_for(receiver, len(LEDGER.entries))
    said = [json.loads(parsed(content)["text"]) for content in receiver.messages()]
    assert [record["metadata"]["sequence"] for record in said] == list(range(len(LEDGER.entries)))
    assert HOSTILE in [(record["unmapped"]["tenuto"]["payload"] or {}).get("data") for record in said]


def wait_for(receiver: Receiver, count: int) -> None:
    deadline = time.monotonic() + 90
    while len(receiver.messages()) < count and time.monotonic() < deadline:
        time.sleep(0.01)


def test_a_receiver_of_another_authority_gets_nothing(
    tmp_path: Path, receiver: Receiver, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = new_authority(tmp_path_factory.mktemp("tls") / "other")
    refused(tmp_path, sink_to(receiver.port, other))
    assert receiver.messages() == []


def test_without_a_named_authority_only_the_systems_count(tmp_path: Path, receiver: Receiver) -> None:
    refused(tmp_path, open_sink(f"syslog+tls://localhost:{receiver.port}", hostname="box", say=print))
    assert receiver.messages() == []


def test_a_certificate_for_another_name_gets_nothing(tmp_path: Path, authority: Authority) -> None:
    with Receiver(*authority.issue("elsewhere", alternative="DNS:siem.example.org")) as receiver:
        refused(tmp_path, sink_to(receiver.port, authority))
        assert receiver.messages() == []


def refused(folder: Path, sink: Sink) -> None:
    one = exporter(grown(5), sink, folder / "cursor")
    with pytest.raises(ReceiverRefused, match="Nothing was sent"):
        one.step()
    assert one.cursor.size == 0
    one.close()


def test_there_is_no_downgrade_below_tls_1_2(authority: Authority) -> None:
    sink = sink_to(1, authority)
    assert isinstance(sink, SyslogSink)
    context = sink._context
    assert context is not None
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


def test_a_receiver_that_speaks_no_tls_gets_nothing(tmp_path: Path, authority: Authority) -> None:
    with Receiver() as receiver:
        one = exporter(grown(5), sink_to(receiver.port, authority), tmp_path / "cursor")
        receiver.reset_after = 1
        with pytest.raises(Busy, match="does not speak TLS"):
            one.step()
        one.close()
        assert not any(b"tenuto" in stream for stream in receiver.streams)


def test_a_client_certificate_is_shown_where_the_receiver_asks(
    tmp_path: Path, authority: Authority, server: tuple[Path, Path]
) -> None:
    cert, key = authority.issue("exporter")
    with Receiver(*server, clients=authority.ca) as receiver:
        with_it = sink_to(receiver.port, authority, more=f"&cert={cert}&key={key}")
        one = exporter(grown(5), with_it, tmp_path / "cursor")
        assert one.step() == 5
        one.close()
        wait_for(receiver, 5)
        assert len(receiver.messages()) == 5


def test_without_a_client_certificate_such_a_receiver_is_not_taken_for_served(
    tmp_path: Path, authority: Authority, server: tuple[Path, Path]
) -> None:
    with Receiver(*server, clients=authority.ca) as receiver:
        one = exporter(grown(5), sink_to(receiver.port, authority), tmp_path / "cursor")
        for _ in range(3):
            with pytest.raises(Busy):
                one.step()
        assert one.cursor.size == 0
        one.close()
        assert receiver.messages() == []


def test_a_refusal_that_comes_late_does_not_make_a_page_count_as_sent(
    tmp_path: Path, authority: Authority, server: tuple[Path, Path]
) -> None:
    with Receiver(*server, clients=authority.ca) as receiver, SlowReplies(receiver.port, 0.1) as way:
        one = exporter(grown(5), sink_to(way.port, authority), tmp_path / "cursor")
        with pytest.raises(Busy, match="turned us away"):
            one.step()
        one.close()
        assert receiver.messages() == []


def test_a_page_does_not_count_as_sent_when_the_receiver_has_left_by_then() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sink = SyslogSink("127.0.0.1", listener.getsockname()[1], None, hostname="box")
        connection = sink._connected()
        far, _ = listener.accept()
        connection.sendall(b"page")
        assert far.recv(4) == b"page"
        far.close()
        with pytest.raises(ConnectionResetError):
            while sink._wait_until_taken(connection) is None:  # until the news of it has arrived
                time.sleep(0.001)
        sink.close()


def test_a_receiver_that_is_away_is_waited_for(tmp_path: Path, authority: Authority, server: tuple[Path, Path]) -> None:
    with Receiver(*server) as receiver:
        port = receiver.port
    one = exporter(grown(7), sink_to(port, authority), tmp_path / "cursor")
    with pytest.raises(Busy, match="does not answer"):
        one.step()
    assert one.cursor.size == 0
    with Receiver(*server, port=port) as receiver:
        assert one.step() == 7
        one.close()
        wait_for(receiver, 7)
        assert len(receiver.messages()) == 7


def test_a_connection_that_breaks_loses_nothing(tmp_path: Path, authority: Authority, receiver: Receiver) -> None:
    ledger = grown(40)
    one = exporter(ledger, sink_to(receiver.port, authority), tmp_path / "cursor", follower=MemoryFollower(ledger, 4))
    receiver.reset_after = 9000
    tries = 0
    while one.cursor.size < 40 and tries < 50:
        tries += 1
        try:
            one.step()
        except Busy:
            continue
    one.close()
    wait_for(receiver, 40)
    arrived = [json.loads(parsed(content)["text"])["position"] for content in receiver.messages()]
    assert sorted(set(arrived)) == list(range(40))
    assert len(receiver.streams) >= 2


def test_a_receiver_that_was_restarted_between_two_steps_gets_the_next_events(
    tmp_path: Path, authority: Authority, server: tuple[Path, Path]
) -> None:
    ledger = grown(5)
    with Receiver(*server) as receiver:
        one = exporter(ledger, sink_to(receiver.port, authority), tmp_path / "cursor")
        one.step()
    grow(ledger, 3)
    with Receiver(*server, port=receiver.port) as again:
        assert one.step() == 3
        one.close()
        wait_for(again, 3)
        assert [json.loads(parsed(content)["text"])["position"] for content in again.messages()] == [5, 6, 7]


def test_a_second_export_of_the_same_events_can_be_told_by_origin_and_position(
    tmp_path: Path, authority: Authority, receiver: Receiver
) -> None:
    for cursor in ("one", "two"):
        one = exporter(grown(5), sink_to(receiver.port, authority), tmp_path / cursor)
        one.step()
        one.close()
    wait_for(receiver, 10)
    named = [parsed(content)["params"] for content in receiver.messages()]
    assert (len(named), len(set(named))) == (10, 5)


def test_in_the_clear_it_goes_to_this_machine_only(tmp_path: Path) -> None:
    with Receiver() as receiver:
        sink = open_sink(f"syslog+tcp://127.0.0.1:{receiver.port}", hostname="box", say=print)
        one = exporter(grown(5), sink, tmp_path / "cursor")
        assert one.step() == 5
        one.close()
        wait_for(receiver, 5)
        assert len(receiver.messages()) == 5
    for host in ("10.0.0.1", "siem.example.org", "0.0.0.0", "localhost.example.org"):  # noqa: S104
        with pytest.raises(NotConfigured, match="in the clear"):
            open_sink(f"syslog+tcp://{host}:601", hostname="box", say=print)


# What --to means.


@pytest.mark.parametrize(("to", "sentence"), [
    ("http://h", "is not understood"), ("syslog://h:1", "is not understood"), ("syslog+tls://", "is not"),
    ("syslog+tls://h:0x1", "names no port"), ("syslog+tls://h:70000", "names no port"), ("syslog+tls://h/p", "is not"),
    ("syslog+tls://u@h", "is not"), ("syslog+tls://h?verify=no", "'verify'"), ("syslog+tls://h?ca=", "'ca'"),
    ("syslog+tls://h?ca=a&ca=b", "'ca'"), ("syslog+tls://h?key=k", "without the certificate"),
    ("syslog+tls://h?ca=/nowhere", "cannot be used"), ("syslog+tcp://localhost?ca=x", "'ca'"),
])  # fmt: skip
def test_a_destination_that_is_not_understood_or_not_safe_is_said(to: str, sentence: str) -> None:
    with pytest.raises(NotConfigured, match=re.escape(sentence)):
        open_sink(to, hostname="box", say=print)


def test_a_destination_is_remembered_without_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert destination_name("out") == destination_name(str(tmp_path / "out"))
    assert destination_name("-") == "-"
    assert destination_name("syslog+tls://H?ca=a") == destination_name("syslog+tls://h:6514?ca=b") == "syslog+tls://h:6514"


def test_a_file_and_a_pipe_are_opened_by_their_names(tmp_path: Path) -> None:
    sink = open_sink(str(tmp_path / "out"), hostname="box", say=print)
    assert isinstance(sink, FileSink)
    sink.close()
    assert isinstance(open_sink("-", hostname="box", say=print), PipeSink)


def test_a_receiver_that_takes_nothing_is_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenuto_projections.siem.syslog.SEND_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0), backlog=1) as deaf:
        sink = open_sink(f"syslog+tcp://127.0.0.1:{deaf.getsockname()[1]}", hostname="box", say=print)
        frames = framed(b"x" * 8_000_000)
        with pytest.raises(Busy, match="broke off"):
            sink.write(frames)
        sink.close()


def test_lines_are_ascii_so_no_receiver_meets_a_byte_order_mark() -> None:
    assert ascii_json({"text": HOSTILE}).isascii()
