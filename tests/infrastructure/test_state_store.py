"""The state store over HTTP: what it keeps, what it refuses and why, and that all of it is on record (T8, M30)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tenuto_agents.statestore.credentials import WRONG_CODES_MAX, Credentials
from tenuto_agents.statestore.door import Door
from tenuto_agents.statestore.versions import LOCK_BYTES_MAX, Lock, States

from tests.infrastructure.store import LINEAGE, Place, lock_of, state


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    with made.open():
        yield made


def test_a_version_comes_back_byte_for_byte_and_every_access_is_an_event(place: Place) -> None:
    assert place.ask("GET", "/states/shop") == (404, b"")
    content = place.written(1)
    assert place.ask("GET", "/states/shop") == (200, content)
    kinds = [(kind, fields.get("operation", "write")) for kind, fields in place.journal.events]
    assert kinds == [
        ("state.accessed", "read"), ("state.accessed", "lock"), ("state.written", "write"), ("state.accessed", "unlock"),
        ("state.accessed", "read"),
    ]
    assert all(fields["principal"] == "infrastructure" and "M30" in fields["refs"] for _, fields in place.journal.events)
    assert all(fields["state"] == "shop" for _, fields in place.journal.events)


def test_every_version_is_kept_and_each_names_the_one_before(place: Place) -> None:
    first, second = place.written(1), place.written(2)
    status, body = place.ask("GET", "/states/shop/versions")
    facts = json.loads(body)
    assert status == 200
    assert [one["version"] for one in facts] == [1, 2]
    assert facts[1]["previous"] == facts[0]["digest"]
    assert place.ask("GET", "/states/shop/versions/1") == (200, first)
    assert place.ask("GET", "/states/shop/versions/2") == (200, second)
    assert place.ask("GET", "/states/shop/versions/3")[0] == 404


def test_a_second_lock_is_told_who_holds_the_first(place: Place) -> None:
    assert place.lock("lock-1")[0] == 200
    assert place.lock("lock-2") == (423, lock_of("lock-1"))
    assert place.unlock("lock-2") == (423, lock_of("lock-1"))
    assert place.unlock("lock-1")[0] == 200
    assert place.lock("lock-2")[0] == 200


def test_a_write_without_the_lock_that_is_held_is_refused(place: Place) -> None:
    """`terraform apply -lock=false` posts without an ID."""
    assert place.ask("POST", "/states/shop", state(1))[0] == 409
    assert place.write(1, "lock-1")[0] == 409
    place.lock("lock-1")
    assert place.ask("POST", "/states/shop", state(1))[0] == 423
    assert place.write(1, "lock-2")[0] == 423
    assert place.ask("GET", "/states/shop")[0] == 404
    assert [reason for _, _, reason in place.refusals()] == ["not_locked", "not_locked", "locked", "locked"]


def test_the_lock_of_one_is_no_lock_for_another(place: Place) -> None:
    token, _ = place.credentials.grant("thief", "agent", ("read", "write"))
    place.lock("lock-1")
    assert place.write(1, "lock-1", user="thief", token=token)[0] == 423
    assert place.unlock("lock-1", user="thief", token=token)[0] == 423


@pytest.mark.parametrize(
    ("serial", "lineage", "reason"), [(2, "another-lineage", "lineage"), (1, LINEAGE, "serial"), (0, LINEAGE, "serial")]
)
def test_lineage_and_serial_hold_also_against_a_client_that_was_told_not_to_check(
    place: Place, serial: int, lineage: str, reason: str
) -> None:
    """`terraform state push -force` skips the client's own check."""
    place.written(1)
    place.lock("lock-9")
    body = state(serial, lineage).replace(b"planted", b"altered")
    assert place.write(serial, "lock-9", body=body)[0] == 409
    assert place.refusals()[-1] == ("write", "infrastructure", reason)
    assert json.loads(place.ask("GET", "/states/shop")[1])["lineage"] == LINEAGE


def test_the_same_bytes_again_are_no_new_version(place: Place) -> None:
    place.written(1)
    place.lock("lock-2")
    assert place.write(1, "lock-2")[0] == 200
    assert len(json.loads(place.ask("GET", "/states/shop/versions")[1])) == 1


@pytest.mark.parametrize("md5", ["", "AAAAAAAAAAAAAAAAAAAAAA=="])
def test_a_body_that_is_not_what_was_sent_is_refused(place: Place, md5: str) -> None:
    place.lock("lock-1")
    assert place.write(1, Content_MD5=md5)[0] == 400
    assert place.refusals() == [("write", "infrastructure", "checksum")]


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"version":3}', b'{"version":4}', b'{"version":4,"serial":true,"lineage":"a"}',
                                  b'{"version":4,"serial":1,"lineage":""}', b"[" * 5000])  # fmt: skip
def test_what_is_no_state_is_not_kept(place: Place, body: bytes) -> None:
    place.lock("lock-1")
    assert place.write(1, body=body)[0] == 400
    assert place.ask("GET", "/states/shop")[0] == 404


def test_a_lock_at_the_limit_is_taken_and_one_byte_more_is_not_read(place: Place) -> None:
    frame = len(json.dumps({"ID": "lock-1", "Info": ""}).encode())
    largest = json.dumps({"ID": "lock-1", "Info": "x" * (LOCK_BYTES_MAX - frame)}).encode()
    assert place.ask("LOCK", "/states/shop", largest + b" ")[0] == 413
    assert place.ask("LOCK", "/states/shop", largest)[0] == 200


@pytest.mark.parametrize("name", ["Shop", "..", "%2e%2e", "a b", "x" * 65])
def test_a_name_that_is_none_is_not_found_and_makes_no_folder(place: Place, name: str) -> None:
    assert place.ask("GET", f"/states/{name}".replace(" ", "%20"))[0] == 404
    assert list((place.folder / "states").iterdir()) == []


@pytest.mark.parametrize(("user", "token"), [("infrastructure", "wrong"), ("nobody", "x"), ("", "")])
def test_a_stranger_gets_nothing_and_stands_on_record(place: Place, user: str, token: str) -> None:
    place.written(1)
    for method in ("GET", "POST", "LOCK", "UNLOCK"):
        assert place.ask(method, "/states/shop", b"{}", user=user, token=token)[0] == 401
    assert {who for _, who, _ in place.refusals()} == {None}
    assert {why for _, _, why in place.refusals()} == {"credentials"}


def test_a_revoked_token_is_worth_nothing_from_the_next_request_on(place: Place) -> None:
    place.written(1)
    assert place.ask("GET", "/states/shop")[0] == 200
    Credentials(place.folder / "credentials.json", place.port, place.clock).revoke("infrastructure")
    assert place.ask("GET", "/states/shop")[0] == 401


def test_a_reader_cannot_write_or_lock(place: Place) -> None:
    place.written(1)
    token, _ = place.credentials.grant("auditor", "agent", ("read",))
    assert place.ask("GET", "/states/shop", user="auditor", token=token)[0] == 200
    assert place.lock("lock-2", user="auditor", token=token)[0] == 403
    assert place.refusals() == [("lock", "auditor", "rights")]


def test_a_person_needs_a_code_that_is_right_fresh_and_new(place: Place) -> None:
    place.written(1)
    code = place.code()
    wrong = "000000" if code != "000000" else "000001"
    assert place.ask("GET", "/states/shop", user="mara")[0] == 403
    assert place.ask("GET", "/states/shop", user="mara", X_Tenuto_Code=wrong)[0] == 403
    assert place.ask("GET", "/states/shop", user="mara", X_Tenuto_Code=code)[0] == 200
    assert place.ask("GET", "/states/shop", user="mara", X_Tenuto_Code=code)[0] == 403, "a code is good once"
    old = place.code()
    place.clock.advance(90)
    assert place.ask("GET", "/states/shop", user="mara", X_Tenuto_Code=old)[0] == 403, "and not for long"
    assert place.refusals() == [("read", "mara", "second_factor")] * 4


def test_guessing_codes_ends_after_a_few(place: Place) -> None:
    for _ in range(WRONG_CODES_MAX):
        assert place.ask("GET", "/states/shop", user="mara", X_Tenuto_Code="x")[0] == 403
    assert place.ask("GET", "/states/shop", user="mara", X_Tenuto_Code=place.code())[0] == 403


def test_a_lock_is_broken_by_a_person_with_a_code_and_by_nobody_else(place: Place) -> None:
    """`terraform force-unlock` sends UNLOCK without a body."""
    place.lock("lock-1")
    assert place.ask("UNLOCK", "/states/shop")[0] == 403
    assert place.ask("UNLOCK", "/states/shop", user="mara")[0] == 403
    assert place.lock("lock-2")[0] == 423
    assert place.ask("UNLOCK", "/states/shop", user="mara", X_Tenuto_Code=place.code())[0] == 200
    assert place.lock("lock-2")[0] == 200
    assert place.refusals()[:2] == [("break", "infrastructure", "second_factor"), ("break", "mara", "second_factor")]
    assert ("state.accessed", "break", "mara") in [
        (kind, fields.get("operation"), fields["principal"]) for kind, fields in place.journal.events
    ]


def test_what_cannot_be_put_on_record_is_not_answered(place: Place) -> None:
    place.written(1)
    place.journal.away = True
    status, body = place.ask("GET", "/states/shop")
    assert status == 503
    assert b"planted" not in body


class NoLocks(States):
    """The control switched off: whoever writes, writes."""

    def _demand_lock(self, name: str, identity: str, principal: str) -> Lock:
        return Lock(identity, principal, b"")


class NoSecondFactor(Door):
    """The control switched off: a token is enough for everything."""

    def _demand_allowed(self, credential: Any, request: Any) -> None:
        """Nothing is demanded."""


def test_without_the_lock_check_a_second_writer_gets_in(tmp_path: Path) -> None:
    place = Place(tmp_path, states=NoLocks)
    with place.open():
        place.lock("lock-1")
        assert place.ask("POST", "/states/shop", state(1))[0] == 200


def test_without_the_second_factor_a_stolen_token_breaks_locks_and_reads_as_a_person(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.door = NoSecondFactor(place.states, place.credentials, place.journal)
    with place.open():
        place.written(1)
        place.lock("lock-2")
        assert place.ask("UNLOCK", "/states/shop")[0] == 200
        assert place.ask("GET", "/states/shop", user="mara")[0] == 200
