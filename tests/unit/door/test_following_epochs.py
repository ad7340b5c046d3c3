"""A session that runs follows to the next epoch: it says so, and nothing behind that is sealed to the one before."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import msgspec
import pytest
from nacl import bindings
from tenuto.adapters.epochfolder import LOOK_SECONDS, TrustNow
from tenuto.clock import new_uuid7
from tenuto.documents import Reason
from tenuto.envelope import Envelope, parse
from tenuto.events import DecisionMade, MessageSent, SessionClosed, SessionEpochFollowed, SessionOpened
from tenuto.header import decode
from tenuto.payload import PayloadRefused, SealOpener, open_payload
from tenuto.sheaf import SHEAF_HEADERS_MAX
from tenuto.spool import Spool, SpoolFull
from tenuto.trust import Trust
from tenuto.writing import SheafWriter, Writer

from tests.doubles import StoppedClock
from tests.unit.door.mini_ledger import TRUST, signer

SECRETS = {epoch: bytes([epoch]) * 32 for epoch in (1, 2, 3)}


def trust(epoch: int) -> Trust:
    public = bindings.crypto_scalarmult_base(SECRETS[epoch]).hex()
    return msgspec.structs.replace(TRUST, epoch=epoch, epoch_public_key=public)


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    spool = Spool(tmp_path / "alice.db")
    spool.claim("alice", TRUST.origin, TRUST.root_public_key)
    yield spool
    spool.close()


class Session:
    """A writer whose trust file says what `epoch` is."""

    def __init__(self, spool: Spool, epoch: int = 1) -> None:
        self.spool, self.epoch, self.id = spool, epoch, uuid4()
        self.writer = Writer(signer("alice"), trust(1), spool, StoppedClock(), new_uuid7)
        self.writer.look = lambda: trust(self.epoch)
        self.write(SessionOpened, software="test/1")

    def write(self, kind: type, **what: object) -> None:
        self.writer.write(self.id, [self.writer.draft(kind, self.id, **what)])  # type: ignore[arg-type]

    def say(self, text: str) -> None:
        self.write(MessageSent, document=Reason(text=text), to="bob", topic="t")

    def envelopes(self) -> list[Envelope]:
        return [parse(one.record) for one in self.spool.pending(0, 1000)]


def opened(envelope: Envelope) -> list[int]:
    """The epochs whose key opens the payload, which must be the one that the header commits to."""
    assert envelope.sealed is not None
    event, found = decode(envelope.header), list[int]()
    for epoch, secret in SECRETS.items():
        try:
            key = SealOpener(secret).open(envelope.sealed)
        except PayloadRefused:
            continue
        open_payload(envelope.sealed.ciphertext, key, str(event.payload_commit), int(event.payload_len or 0))
        found.append(epoch)
    return found


def test_a_change_between_the_start_and_the_first_event_is_told_behind_the_opening(spool: Spool) -> None:
    session = Session(spool, epoch=2)
    session.say("after")
    kinds = [decode(one.header).kind for one in session.envelopes()]
    assert kinds == ["session.opened", "session.epoch_followed", "message.sent"]
    assert opened(session.envelopes()[2]) == [2]


def test_what_is_recorded_after_the_change_is_sealed_to_the_new_epoch_behind_the_word_that_it_is(spool: Spool) -> None:
    session = Session(spool)
    session.say("before")
    session.epoch = 2
    session.say("after")
    session.say("again")
    envelopes = session.envelopes()
    assert [decode(one.header).kind for one in envelopes] == [
        "session.opened", "message.sent", "session.epoch_followed", "message.sent", "message.sent",
    ]  # fmt: skip
    assert [(one.epoch, opened(one)) for one in envelopes if one.sealed] == [(1, [1]), (2, [2]), (2, [2])]
    followed = decode(envelopes[2].header)
    assert isinstance(followed, SessionEpochFollowed)
    assert followed.epoch == 2


def test_what_was_sealed_and_waits_in_a_sheaf_is_sealed_again(spool: Spool) -> None:
    session = Session(spool)

    def draft(kind: type, **what: object) -> object:
        return session.writer.draft(kind, session.id, **what)  # type: ignore[arg-type]

    keep = lambda drafts: session.writer.write(session.id, drafts)  # noqa: E731
    about = {"subject": "commit", "subject_digest": "0" * 64, "verdict": "comment", "model": "m"}
    with SheafWriter(draft, keep, SHEAF_HEADERS_MAX) as sheaf:  # type: ignore[arg-type]
        sheaf.record(DecisionMade, document=Reason(text="one"), **about)
        session.epoch = 3
        session.say("between")
        sheaf.record(DecisionMade, document=Reason(text="two"), **about)
    assert [(one.epoch, opened(one)) for one in session.envelopes() if one.sealed] == [(3, [3])] * 3
    assert [event.payload_commit for event in sheaf.events] == [
        decode(one.header).payload_commit for one in session.envelopes()[-2:]
    ]


def test_an_idle_session_follows_when_it_looks_and_a_closed_one_does_not(spool: Spool) -> None:
    session = Session(spool)
    session.epoch = 2
    session.writer.follow_epoch(None)
    assert len(session.envelopes()) == 1
    session.writer.follow_epoch(session.id)
    assert decode(session.envelopes()[-1].header).kind == "session.epoch_followed"
    session.write(SessionClosed, outcome="completed")
    session.epoch = 3
    session.writer.follow_epoch(session.id)
    assert decode(session.envelopes()[-1].header).kind == "session.closed"


def test_an_earlier_epoch_is_not_followed(spool: Spool) -> None:
    session = Session(spool)
    session.epoch = 3
    session.say("three")
    session.epoch = 2
    session.say("still three")
    assert [one.epoch for one in session.envelopes() if one.sealed] == [3, 3]


def test_without_room_for_the_word_everything_stays_sealed_to_the_old_epoch(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    session = Session(spool)
    session.epoch = 2

    def full(*_: object) -> None:
        raise SpoolFull("It is full.", 1)

    with monkeypatch.context() as patch:
        patch.setattr(spool, "append", full)
        session.writer.follow_epoch(session.id)
    session.epoch = 1
    session.say("old")
    assert [(one.epoch, opened(one)) for one in session.envelopes() if one.sealed] == [(1, [1])]


def test_only_the_epoch_of_the_trust_file_is_followed(tmp_path: Path) -> None:
    moment = 0.0
    first, second = trust(1), trust(2)
    first.save(tmp_path)
    now = TrustNow(tmp_path, first, lambda: moment)
    assert now() == first
    second.save(tmp_path)
    assert now() == first, "it looks only so often"
    moment += LOOK_SECONDS
    assert now() == second
    for other in (msgspec.structs.replace(trust(3), origin="evil.example/log"), trust(1)):
        other.save(tmp_path)
        moment += LOOK_SECONDS
        assert now() == second
    (tmp_path / "trust.json").write_text("{")
    moment += LOOK_SECONDS
    assert now() == second
