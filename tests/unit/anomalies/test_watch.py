"""How findings become alerts: each once, whatever happens in between, and only over what the log has signed."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
from datetime import timedelta
from types import ModuleType
from typing import Any, Self

import pytest
import typer
from tenuto.documents import AlertNote, from_payload
from tenuto.errors import Busy, NotConfigured, Refused
from tenuto.events import AlertRaised, Event
from tenuto.verification import VerificationFailed
from tenuto_projections.anomalies import commands
from tenuto_projections.anomalies.finding import RULES, RULES_DETECTOR, found, said
from tenuto_projections.anomalies.watch import AUTHOR, Watch, record_alert

from tests.unit.projections.story import HOSTILE
from tests.unit.projections.written import ForgingFollower, MemoryFollower, WrittenLedger

from .road_story import WATCHER, new_ledger, refuse, send, whole_run


class SpooledDoor:
    """A recorder with its spool: what is recorded waits there until `flush` carries it into the ledger."""

    author = AUTHOR

    def __init__(self, ledger: WrittenLedger) -> None:
        self.ledger, self.away = ledger, False
        self.spool: list[tuple[type[Event], AlertNote, dict[str, Any]]] = []
        self.crash_before = self.crash_after = -1
        self.recorded = 0
        self.refused = False

    def record(self, kind: type[AlertRaised], *, document: AlertNote, **fields: Any) -> None:
        if self.recorded == self.crash_before:
            raise KeyboardInterrupt
        self.spool.append((kind, document, {name: value for name, value in fields.items() if value is not None}))
        self.recorded += 1
        if self.recorded == self.crash_after:
            raise KeyboardInterrupt

    def wait(self, event: object, seconds: float) -> None:
        if self.refused:
            raise Refused("The ledger refused the alert.")
        if self.spool:
            raise Busy("No receipt yet.")

    def flush(self, seconds: float) -> None:
        if self.away:
            raise Busy("No receipts come.")
        while self.spool:
            kind, document, fields = self.spool.pop(0)
            self.ledger.write(AUTHOR, kind, document, **fields)


@pytest.fixture
def ledger() -> WrittenLedger:
    """An ordinary run with three attacks after it."""
    ledger = new_ledger()
    whole_run(ledger)
    send(ledger, "mallory", "deployment", "infrastructure.applied", "r2")
    refuse(ledger, "deployment")
    send(ledger, "code-review", "nobody-here", "chat.note", None)
    return ledger


@pytest.fixture
def door(ledger: WrittenLedger) -> SpooledDoor:
    return SpooledDoor(ledger)


def alerts(ledger: WrittenLedger) -> list[AlertRaised]:
    return [event for event in ledger.events if isinstance(event, AlertRaised)]


def new_watch(ledger: WrittenLedger, door: SpooledDoor, page_events: int = 7) -> Watch:
    return Watch(MemoryFollower(ledger, page_events), door)  # type: ignore[arg-type]


def test_the_author_is_the_one_that_the_road_registers() -> None:
    from tenuto.cli.up import WATCHER as registered

    assert WATCHER == AUTHOR == registered


def test_each_finding_becomes_a_signed_alert_with_sentence_figures_and_evidence(
    ledger: WrittenLedger, door: SpooledDoor
) -> None:
    new_watch(ledger, door).catch_up()
    door.flush(1)
    raised = alerts(ledger)
    rules = ["wrong_sender", "out_of_order", "unreviewed", "refused_record", "unknown_receiver"]
    assert [alert.rule for alert in raised] == rules
    forged = raised[0]
    cause = next(event for event in ledger.events if event.author == "mallory" and event.kind == "message.sent")
    assert (forged.author, forged.suspect, forged.run, forged.score) == (AUTHOR, "mallory", "r2", 1000)
    assert (forged.severity, forged.refs) == ("critical", ("T7", "M29"))
    assert forged.evidence == forged.cause == (cause.id,)
    verified = next(one for one in ledger.verified() if one.event.id == forged.id)
    note = from_payload(verified.payload, AlertNote)
    assert note.sentence == (
        "mallory (agent) sent infrastructure.applied to deployment; only infrastructure (agent) sends it, and only to"
        " deployment."
    )


def test_looking_again_raises_nothing_and_new_events_raise_only_what_is_new(
    ledger: WrittenLedger, door: SpooledDoor
) -> None:
    watch = new_watch(ledger, door)
    watch.catch_up()
    door.flush(1)
    before = len(alerts(ledger))
    watch.catch_up()
    door.flush(1)
    assert len(alerts(ledger)) == before
    send(ledger, "code-review", "stranger", "chat.note", None)
    watch.catch_up()
    door.flush(1)
    assert len(alerts(ledger)) == before + 1


@pytest.mark.parametrize("page_events", [1, 7, 500])
def test_a_restart_raises_nothing_twice(ledger: WrittenLedger, door: SpooledDoor, page_events: int) -> None:
    for _ in range(3):
        new_watch(ledger, door, page_events).catch_up()
        door.flush(1)
    names = [alert.alert for alert in alerts(ledger)]
    assert len(names) == len(set(names)) == 5


@pytest.mark.parametrize("crash", ["crash_before", "crash_after"])
@pytest.mark.parametrize("place", range(1, 6))
def test_a_crash_at_any_alert_loses_none_and_doubles_none(
    ledger: WrittenLedger, door: SpooledDoor, crash: str, place: int
) -> None:
    setattr(door, crash, place - (crash == "crash_before"))
    with pytest.raises(KeyboardInterrupt):
        new_watch(ledger, door).catch_up()
    door.crash_before = door.crash_after = -1
    assert alerts(ledger) == []  # all that was recorded is still in the spool
    new_watch(ledger, door).catch_up()
    door.flush(1)
    names = [alert.alert for alert in alerts(ledger)]
    assert len(names) == len(set(names)) == 5


def test_while_an_earlier_life_has_no_receipts_nothing_is_raised(ledger: WrittenLedger, door: SpooledDoor) -> None:
    new_watch(ledger, door).catch_up()
    left = len(door.spool)
    door.away = True
    watch = new_watch(ledger, door)
    for _ in range(2):
        with pytest.raises(Busy):
            watch.catch_up()
    assert len(door.spool) == left
    door.away = False
    watch.catch_up()
    assert door.spool == []
    assert len(alerts(ledger)) == left


def test_an_alert_that_the_ledger_refuses_ends_the_watch(ledger: WrittenLedger, door: SpooledDoor) -> None:
    watch = new_watch(ledger, door)
    watch.catch_up()
    door.refused = True
    with pytest.raises(Refused, match="refused the alert"):
        watch.catch_up()


def test_a_full_spool_is_waited_out_without_losing_the_alert(ledger: WrittenLedger, door: SpooledDoor) -> None:
    def full(*_: object, **__: object) -> None:
        raise Busy("The spool is full.")

    watch = new_watch(ledger, door)
    door.record = full  # type: ignore[method-assign]
    with pytest.raises(Busy):
        watch.catch_up()
    del door.record  # type: ignore[method-assign]
    watch.catch_up()
    assert len(door.spool) == 5


def test_an_alert_of_that_name_by_another_detector_does_not_silence_ours(
    ledger: WrittenLedger, door: SpooledDoor
) -> None:
    ledger.register("rival-watch", "detector")
    for position in range(len(ledger.events)):
        ledger.write(
            "rival-watch", AlertRaised, alert=f"{RULES_DETECTOR}/wrong_sender/{position}", detector="rival",
            version="1", rule="wrong_sender", severity="low", score=1, suspect="mallory",
            evidence=(ledger.events[0].id,),
        )  # fmt: skip
    new_watch(ledger, door).catch_up()
    assert "wrong_sender" in [fields["rule"] for _, _, fields in door.spool]


def test_nothing_is_raised_over_events_that_the_log_did_not_sign(ledger: WrittenLedger, door: SpooledDoor) -> None:
    watch = Watch(ForgingFollower(ledger), door)  # type: ignore[arg-type]
    with pytest.raises(VerificationFailed):
        watch.catch_up()
    assert door.spool == []


def test_asked_to_stop_it_leaves_between_two_pages_and_the_next_life_goes_on(
    ledger: WrittenLedger, door: SpooledDoor
) -> None:
    assert new_watch(ledger, door).catch_up(lambda: True) == 7
    assert door.spool == []
    new_watch(ledger, door).catch_up()
    assert len(door.spool) == 5


def test_a_detector_whose_clock_is_off_does_not_ring_for_ever(ledger: WrittenLedger, door: SpooledDoor) -> None:
    watch = new_watch(ledger, door)
    ahead = timedelta(minutes=6)
    for _ in range(5):
        watch.catch_up()
        before = len(ledger.events)
        ledger.now += ahead
        door.flush(1)
        ledger.now -= ahead
        for position in range(before, len(ledger.entries)):
            entry = ledger.entries[position]
            ledger.entries[position] = type(entry)(position, entry.recorded_at - ahead, entry.state, entry.payload)
    assert [alert.rule for alert in alerts(ledger)].count("clock_ahead") == 1
    assert len(alerts(ledger)) == 6


def test_the_model_says_once_that_it_keeps_silent(
    ledger: WrittenLedger, door: SpooledDoor, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        watch = new_watch(ledger, door)
        watch.catch_up()
        watch.catch_up()
    assert len([record for record in caplog.records if "keeps silent" in record.getMessage()]) == 1


@pytest.mark.parametrize("text", [HOSTILE, "a\nb\r\u2028c\u200b", "x" * 10_000, "\ud800"])
def test_hostile_text_in_a_sentence_is_one_harmless_line(text: str) -> None:
    shown = said(text)
    assert len(shown.splitlines()) == 1
    assert shown.isprintable()
    assert len(shown) < 2_000
    shown.encode()


def test_every_finding_fits_the_event_with_the_longest_names() -> None:
    ledger = new_ledger()
    longest = "m" * 128
    ledger.register(longest, "agent", "ann")
    for number in range(40):
        send(ledger, longest, "n" * 128, "t" * 128, ("r" * 120) + str(number))
    door = SpooledDoor(ledger)
    new_watch(ledger, door).catch_up()
    assert door.spool
    door.flush(1)
    assert {alert.suspect for alert in alerts(ledger)} == {longest}


def test_every_rule_can_be_raised_as_an_event(ledger: WrittenLedger, door: SpooledDoor) -> None:
    verified = ledger.verified()[-1]
    many = tuple(event.id for event in ledger.events[:40])
    for rule in RULES:
        record_alert(door, found(rule, verified, "Something was found.", earlier=many))
    door.flush(1)
    assert [alert.rule for alert in alerts(ledger)] == list(RULES)
    assert {len(alert.evidence) for alert in alerts(ledger)} == {16}


def test_the_command_is_called_watch_and_is_all_that_is_added() -> None:
    app = typer.Typer()
    commands.add_commands(app)
    assert [command.callback for command in app.registered_commands] == [commands.watch]


def test_without_scikit_learn_the_watch_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(NotConfigured, match=r"tenuto\[detect\]"):
        commands.watch()


def test_rules_and_command_need_no_scikit_learn_to_be_imported() -> None:
    code = (
        "import sys; import tenuto_projections.anomalies.watch, tenuto_projections.anomalies.commands;"
        "sys.exit(any(name.partition('.')[0] in ('sklearn', 'numpy') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_sigterm_ends_the_command_cleanly(ledger: WrittenLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder, follower = _TerminatingRecorder(ledger), MemoryFollower(ledger)
    wiring = ModuleType("tenuto.wiring")
    wiring.open_follower = lambda *_, **__: follower  # type: ignore[attr-defined]
    wiring.open_recorder = lambda *_, **__: recorder  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tenuto.wiring", wiring)
    monkeypatch.setattr("tenuto.settings.load_settings", _Settings)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        commands.watch()
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    assert recorder.closed == [None]
    assert len(recorder.spool) == 1  # the alert at hand was finished, then it stopped


class _Settings:
    log_level, metrics_port = "warning", None


class _TerminatingRecorder(SpooledDoor):
    """Asks its own process to stop when the first alert was recorded."""

    closed: list[object]

    def __enter__(self) -> Self:
        self.closed = []
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.closed.append(kind)

    def record(self, kind: type[AlertRaised], *, document: AlertNote, **fields: Any) -> None:
        super().record(kind, document=document, **fields)
        signal.raise_signal(signal.SIGTERM)
