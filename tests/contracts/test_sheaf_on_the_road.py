"""A sheaf on real parts: recorded, ingested, sealed, delivered, exported, and looked at by somebody who changes the tables."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
import typer
from tenuto.documents import Reason
from tenuto.envelope import split_state
from tenuto.events import DecisionMade, Event
from tenuto.registering import Enrolment
from tenuto.signing import SIGNATURE_BYTES
from tenuto.verification import VerificationFailed, Verified
from tenuto_projections import commands
from typer.testing import CliRunner

from tests.conftest import Database
from tests.end_to_end.tampering import compare
from tests.road import Road

PEOPLE = (Enrolment("code-review", "agent", "ben"), Enrolment("deployment", "agent", "ann"))
DECISION: dict[str, Any] = {"subject": "commit", "subject_digest": "d" * 64, "verdict": "comment", "model": "scripted"}
COUNT = 10


@dataclass
class Told:
    """A road on which one author put a sheaf on record and another got a message out of it."""

    road: Road
    database: Database
    events: Sequence[Event]

    @property
    def members(self) -> list[Verified]:
        """The members as they stand in the ledger."""
        ids = {event.id for event in self.events}
        return [one for one in self.road.read() if one.event.id in ids]

    def change(self, states: dict[int, bytes]) -> None:
        """Replace stored events, as the database's owner can."""
        with psycopg.connect(self.database.url(), autocommit=True) as connection:
            for position, state in states.items():
                changed = connection.execute(
                    "UPDATE ledger.entry SET state = %s WHERE notification_id = %s", (state, position + 1)
                )
                assert changed.rowcount == 1

    def fails(self, case: str, step: int, position: int) -> None:
        with pytest.raises(VerificationFailed) as caught:
            self.road.read()
        assert (caught.value.step, caught.value.position) == (step, position)
        compare(f"in a sheaf: {case}", caught.value, self.road.home)


@pytest.fixture
def told(tmp_path: Path, database: Database) -> Iterator[Told]:
    home = tmp_path / "home"
    home.mkdir()
    with Road(home, database) as road:
        with road.working():
            road.register(*PEOPLE)
            with road.recorder("code-review") as reviewer, road.recorder("deployment") as deployer:
                with reviewer.sheaf() as sheaf:
                    for number in range(COUNT - 1):
                        sheaf.record(DecisionMade, document=Reason(text=f"finding {number}"), run="r1", findings=number, **DECISION)
                    sheaf.send("deployment", "talk", Reason(text="look at these"), run="r1")
                receipts = [reviewer.wait(event) for event in sheaf.events]
                assert [one.position for one in receipts] == sorted(one.position for one in receipts)
                assert deployer.mailbox is not None
                delivered = deployer.mailbox.next_message(60)
                assert delivered is not None
                assert delivered.event == sheaf.events[-1]
                assert b"look at these" in (delivered.payload or b"")
                deployer.mailbox.done(delivered)
        yield Told(road, database, list(sheaf.events))


def state_of(one: Verified) -> bytes:
    return one.header + one.signature


def test_a_sheaf_is_told_delivered_and_verified_by_a_stranger_one_event_at_a_time(
    told: Told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    members = told.members
    assert [one.event for one in members] == list(told.events)
    assert {one.signature[:SIGNATURE_BYTES] for one in members} == {members[0].signature[:SIGNATURE_BYTES]}
    app, bundle, trust = typer.Typer(), tmp_path / "bundle", tmp_path / "trust.json"
    commands.add_commands(app)
    monkeypatch.setattr(commands, "_settings", lambda: told.road.settings)
    asked = ["bundle", "--event", str(members[3].event.id), "--payloads", "--to", str(bundle)]
    result = CliRunner().invoke(app, asked)
    assert result.exit_code == 0, result.stderr
    shutil.copy(told.road.home / "trust.json", trust)
    told.road.__exit__()
    shutil.rmtree(told.road.home)
    verify = ["verify", "--bundle", str(bundle), "--trust", str(trust)]
    result = CliRunner().invoke(app, verify)
    assert result.exit_code == 0, result.stderr
    shown = json.loads(result.stdout)
    assert [event["kind"] for event in shown["events"] if event["why"] == "asked"] == ["decision.made"]
    entry = bundle / "events" / f"{members[3].position}.entry"
    entry.write_bytes(entry.read_bytes()[:-40] + bytes(8) + entry.read_bytes()[-32:])
    result = CliRunner().invoke(app, verify)
    assert result.exit_code == 3
    assert "Step 3" in result.stderr


def test_whatever_is_changed_in_a_sheaf_is_named_with_its_step_and_position(told: Told) -> None:
    one, other = told.members[2:4]
    alone = next(verified for verified in told.road.read() if verified.event.kind == "session.opened")
    signature = one.signature
    cases = {
        "a word in a header": (3, {one.position: state_of(one).replace(b'"findings":2', b'"findings":7')}),
        "swapped members": (3, {one.position: one.header + other.signature, other.position: other.header + signature}),
        "a bit on the path": (3, {one.position: one.header + signature[:70] + bytes([signature[70] ^ 1]) + signature[71:]}),
        "another number": (3, {one.position: state_of(one)[:-1] + bytes([0x80 + COUNT - 1])}),
        "a place that is none": (1, {one.position: state_of(one)[:-2] + bytes([COUNT, 0x80 + COUNT])}),
        "the path cut off": (3, {one.position: one.header + signature[:SIGNATURE_BYTES]}),
        "a lone signature": (3, {one.position: one.header + alone.signature}),
        "a member in a lone event's place": (3, {alone.position: alone.header + signature}),
        "another member's whole event": (4, {one.position: state_of(other)}),
    }  # fmt: skip
    kept = {place.position: state_of(place) for place in (one, other, alone)}
    for name, (step, states) in cases.items():
        assert all(split_state(state) for state in kept.values()), name
        told.change(states)
        told.fails(name, step, min(states))
        told.change(kept)
    assert len(told.members) == COUNT
