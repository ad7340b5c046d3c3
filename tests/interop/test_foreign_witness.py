"""Our sealer and a C2SP witness that we did not write, and the other way round, over HTTP on this machine."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tenuto.adapters.witness_http import HttpWitness, serve_witness
from tenuto.clock import SystemClock
from tenuto.log.note import open_note
from tenuto.log.tiles import TileFolder
from tenuto.log.witness import Witness
from tenuto.log.witnessing import PolicyRefused, parse_policy, verify_policy

from tests.interop.foreign import ForeignPrograms, LiteWitness, served
from tests.unit.sealers_home import LOG, ORIGIN, Home, near

NAME = "witness.example/foreign"
SEED = bytes(range(32))


@pytest.fixture
def witness(programs: ForeignPrograms, tmp_path: Path) -> Iterator[LiteWitness]:
    running = LiteWitness(programs, tmp_path / "foreign", NAME, SEED)
    try:
        running.start()
        running.learn(ORIGIN, LOG.vkey)
        yield running
    finally:
        running.stop()


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "ours")


def asked(witness: LiteWitness) -> list[HttpWitness]:
    return [HttpWitness(witness.address, witness.vkey)]


def demanded(home: Home, witness: LiteWitness) -> int:
    """The size of the published checkpoint, which must satisfy a policy that demands the foreign witness."""
    note = TileFolder(home.log).published()
    assert note is not None
    policy = parse_policy(f"log {LOG.vkey}\nwitness foreign {witness.vkey} {witness.address}\nquorum foreign\n")
    return verify_policy(note, policy, ORIGIN).size


def test_it_cosigns_the_first_checkpoint_and_each_that_extends_it(home: Home, witness: LiteWitness) -> None:
    with home.sealer(asked(witness)) as sealer:
        for size in (1, 2, 3, 255, 256, 257, 600):
            home.ledger.write(size - len(home.ledger.entries))
            sealed = sealer.seal()
            assert sealed is not None
            assert (sealed.alarms, sealed.cosigned_by) == ((), (NAME,))
            assert demanded(home, witness) == witness.size_of(ORIGIN) == size
    home.check()


def test_it_puts_the_present_time_under_its_cosignature(home: Home, witness: LiteWitness) -> None:
    before = int(SystemClock().now().timestamp())
    home.ledger.write(3)
    home.seal(asked(witness))
    verifier = asked(witness)[0].verifier
    signature = open_note(TileFolder(home.log).published() or b"", [verifier]).signed_by(verifier)
    assert signature is not None
    assert before <= signature.seconds <= int(SystemClock().now().timestamp())


def test_when_it_knows_more_than_we_think_we_ask_again_from_its_size(home: Home, witness: LiteWitness) -> None:
    home.ledger.write(300)
    home.seal(asked(witness))
    home.ledger.write(300)
    # A sealer that has just been started believes that the witness knows nothing: the witness answers 409 and 300.
    sealed = home.seal(asked(witness))
    assert sealed is not None
    assert (sealed.alarms, demanded(home, witness), witness.size_of(ORIGIN)) == ((), 600, 600)


def test_a_log_that_was_rewritten_gets_no_cosignature_and_raises_the_alarm(
    home: Home, witness: LiteWitness, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    home.ledger.write(300)
    home.seal(asked(witness))
    forked = Home(tmp_path / "forked")
    forked.ledger.write(299)
    forked.ledger.write(1, salt="another ")
    forked.ledger.write(300)
    with forked.sealer(asked(witness)) as sealer:
        sealed = sealer.seal()
    assert sealed is not None
    assert sealed.cosigned_by == ()
    (alarm,) = sealed.alarms
    assert alarm.startswith(f"No cosignature by {NAME} over 600 entries: the witness answered 422")
    assert alarm in caplog.text
    assert witness.size_of(ORIGIN) == 300
    with pytest.raises(PolicyRefused, match="lacks a cosignature of foreign"):
        demanded(forked, witness)


def test_a_sealer_set_back_to_an_older_state_is_told_so_by_the_witness(
    home: Home, witness: LiteWitness, tmp_path: Path
) -> None:
    home.ledger.write(10)
    home.seal(asked(witness))
    shutil.copytree(tmp_path / "ours", tmp_path / "kept")
    home.ledger.write(10)
    home.seal(asked(witness))
    older = Home(tmp_path / "kept")
    older.ledger.write(10)
    older.ledger.write(5, salt="another ")
    sealed = older.seal(asked(witness))
    assert sealed is not None
    assert sealed.cosigned_by == ()
    assert "it has cosigned 20 entries already, more than were signed here" in sealed.alarms[0]


def test_what_it_knows_survives_its_restart(home: Home, witness: LiteWitness) -> None:
    with home.sealer(asked(witness)) as sealer:
        home.ledger.write(100)
        sealer.seal()
        witness.stop()
        home.ledger.write(100)
        away = sealer.seal()
        assert away is not None
        assert "cannot be reached" in away.alarms[0]
        witness.start()
        assert witness.size_of(ORIGIN) == 100
        home.clock.pass_seconds(5)
        back = sealer.seal()
        assert back is not None
        assert (back.alarms, back.cosigned_by, demanded(home, witness)) == ((), (NAME,), 200)


def test_a_witness_that_does_not_know_the_log_raises_the_alarm(
    programs: ForeignPrograms, home: Home, tmp_path: Path
) -> None:
    stranger = LiteWitness(programs, tmp_path / "stranger", NAME, SEED)
    try:
        stranger.start()
        home.ledger.write(1)
        sealed = home.seal(asked(stranger))
    finally:
        stranger.stop()
    assert sealed is not None
    assert "the witness answered 403: 'unknown log'" in sealed.alarms[0]


def test_a_foreign_reader_of_policies_is_of_our_opinion(
    programs: ForeignPrograms, home: Home, witness: LiteWitness, tmp_path: Path
) -> None:
    ours = near(tmp_path, "witness.example/ours", home.clock)
    away = near(tmp_path, "witness.example/away", home.clock)
    with serve_witness(ours) as server:
        home.ledger.write(7)
        home.seal([*asked(witness), HttpWitness(server.address, ours.verifier.vkey)])
    lines = [f"log {LOG.vkey}", f"witness foreign {witness.vkey} http://{NAME}"]
    lines += [f"witness {one.verifier.name} {one.verifier.vkey} http://{one.verifier.name}" for one in (ours, away)]
    lines += ["group two 2 foreign witness.example/ours witness.example/away"]
    note = home.log / "checkpoint"
    for quorum, satisfied in (("two", True), ("foreign", True), ("witness.example/away", False), ("none", True)):
        policy = tmp_path / "policy"
        policy.write_text("\n".join([*lines, f"quorum {quorum}", ""]))
        assert programs.run("policy", policy, note)["satisfied"] is satisfied
        if satisfied:
            verify_policy(note.read_bytes(), parse_policy(policy.read_text()), ORIGIN)
        else:
            with pytest.raises(PolicyRefused, match="lacks a cosignature of witness.example/away"):
                verify_policy(note.read_bytes(), parse_policy(policy.read_text()), ORIGIN)


def test_our_witness_answers_a_foreign_client(programs: ForeignPrograms, home: Home, tmp_path: Path) -> None:
    ours: Witness = near(tmp_path, "witness.example/ours", home.clock)
    at = int(home.clock.now().timestamp())
    with serve_witness(ours) as server, served(home.log) as log:

        def ask(old: int) -> dict[str, object]:
            return programs.run("ask", log, LOG.vkey, server.address, ours.verifier.vkey, str(old))

        home.ledger.write(5)
        home.seal()
        assert ask(0) == {"status": 200, "size": 5, "cosigned_at": at}
        home.ledger.write(600)
        home.seal()
        conflict = ask(0)
        assert (conflict["status"], conflict["type"], conflict["body"]) == (409, "text/x.tlog.size", "5\n")
        assert ask(5) == {"status": 200, "size": 605, "cosigned_at": at}
        assert ask(605) == {"status": 200, "size": 605, "cosigned_at": at}
