"""Who writes in a simulated world: honest authors with real recorders, the root with its keys, one with two faces, a forger."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from typing import Any

from tenuto.adapters import keyfiles
from tenuto.documents import ApprovalCard, Reason
from tenuto.enclosure import inbox_topic
from tenuto.errors import Busy, NotConfigured, Refused
from tenuto.events import (
    ApprovalConsumed,
    ApprovalListed,
    ApprovalOpened,
    ApprovalRequested,
    ApprovalSigned,
    ApprovalViewed,
    Event,
    PolicyDecided,
    SessionOpened,
    ToolRequested,
    ToolStarted,
)
from tenuto.keyring import Keyring, KeyringRefused
from tenuto.mailbox import Mailbox, Receipt
from tenuto.recorder import Recorder
from tenuto.registering import Enrolment, register, revoke, rotate
from tenuto.salvage import losses_told, open_spool
from tenuto.signing import SeedSigner
from tenuto.spool import SpoolFull

from tests.reviewing import committed, listed
from tests.simulation.processes import Process, folder_of
from tests.written import CALL, DIGEST, Author, Written

DIFF = "diff --git a/shop.py b/shop.py\n--- a/shop.py\n+++ b/shop.py\n@@ -1 +1 @@\n-old = 1\n+new = 1\n"
CARD = ApprovalCard(title="Release", sentence="Release the shop.", diff=DIFF)
EVERYTHING = 1_000_000
ROOM = 200_000


class Stepped(Recorder):
    """A recorder without threads of its own: the world lets it publish and receive."""

    waited = False

    def _start(self, name: str, work: Callable[[], None]) -> None:
        """Nothing runs by itself here."""

    def publish(self) -> int:
        return self._drain.step()

    def receive(self) -> None:
        assert self.mailbox is not None
        try:
            self.mailbox.pump(0)
        finally:
            self._heed(self.mailbox)
            self.accounts.look()

    def _wait_for_room(self, full: SpoolFull, started: float) -> None:
        """The threads of a recorder are at work while it waits, also when it opens; here each gets one turn a life."""
        if self.waited:
            raise full
        self.waited = True
        self.publish()
        self.receive()

    @property
    def spool(self) -> Any:
        return self._spool


@dataclass
class AuthorProcess(Process):
    """An honest author. What is on its disk is promised; what has a receipt is checked against the ledger's rows."""

    unsettled: dict[Any, Event] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.draw: Random = self.world.dice.of(f"author/{self.name}")

    def build(self) -> Stepped:
        world, file = self.world, folder_of(self.world.home, self.name)
        signer = keyfiles.load_signer(world.keys, self.name)
        spool, losses = open_spool(file)
        recorder: Stepped | None = None
        try:
            self._look_at(spool)
            spool.bytes_max = ROOM
            clock = world.clock(self.name)
            recorder = Stepped(
                signer=signer, trust=world.trust, publisher=world.bus.publisher(), spool=spool, clock=clock,
                new_id=world.dice.new_id, receipt_seconds=0.0,
            )  # fmt: skip
            recorder.room_seconds = 0.0
            recorder._writer._sealing[1]._now = world.time.monotonic
            topic = inbox_topic(self.name)
            recorder.mailbox = Mailbox(
                signer=signer, trust=world.trust, open_reader=lambda: world.bus.reader(topic, 0), spool=spool
            )
            recorder.open("simulated/1", losses)
            losses_told(file)
            self._look_at(spool)
        except BaseException:
            spool.close()
            raise
        return recorder

    def let_go(self, part: Stepped) -> None:
        part._publisher.close()
        if part.mailbox is not None:
            part.mailbox.close()
        part.spool.close()

    def _look_at(self, spool: Any) -> None:
        """What is in the spool is promised; what was promised and has no receipt must be in it."""
        kept = spool.pending(0, EVERYTHING)
        for row in kept:
            self.world.oracle.promise(row.record)
            self.unsettled.setdefault(row.event, self.world.oracle.said[row.event].event)
        lost = self.unsettled.keys() - {row.event for row in kept}
        for event in lost:
            # It left the spool, which only a receipt or a refusal allows; the mailbox of a dead process knew which.
            self.world.demand_settled(self.unsettled.pop(event))

    def step(self) -> object:
        recorder = self.start()
        act = self.draw.choices((self.speak, self.publish, self.receive, self.read), (4, 3, 3, 2))[0]
        return act(recorder)

    def publish(self, recorder: Stepped) -> object:
        return "publish", recorder.publish()

    def receive(self, recorder: Stepped) -> object:
        try:
            recorder.receive()
        except BaseException:
            # Where the inbox is away a recorder puts on record how long it had to spool; that is promised as everything is.
            if not self.world.points.dead:
                self._look_at(recorder.spool)
            raise
        assert recorder.mailbox is not None
        settled = 0
        for event in list(self.unsettled.values()):
            verdict = recorder.mailbox.verdict(event.id)
            if verdict is not None:
                self.world.demand_true(event, verdict if isinstance(verdict, Receipt) else verdict.position)
                del self.unsettled[event.id]
                settled += 1
        self._look_at(recorder.spool)
        return "receive", settled

    def read(self, recorder: Stepped) -> object:
        assert recorder.mailbox is not None
        delivered = recorder.mailbox.next_message(0)
        if delivered is None:
            return "read", 0
        payload = delivered.payload
        self.world.oracle.hand(self.name, delivered.event.id, None if payload is None else payload.decode())
        recorder.mailbox.done(delivered)
        self.world.oracle.finished.add(delivered.event.id)
        return "read", 1

    def speak(self, recorder: Stepped) -> object:
        try:
            return "speak", self._speak(recorder)
        except SpoolFull:
            return "speak", "full"
        finally:
            if not self.world.points.dead:
                self._look_at(recorder.spool)

    def _speak(self, recorder: Stepped) -> str:
        return self.draw.choice((self._work, self._work, self._tell, self._ask))(recorder)

    def _work(self, recorder: Stepped) -> str:
        payload = ("text/plain", self.draw.randbytes(40)) if self.draw.random() < 0.3 else None
        return recorder.record(ToolStarted, payload=payload, **CALL).kind

    def _tell(self, recorder: Stepped) -> str:
        to = self.draw.choice([name for name in self.world.people if name != self.name])
        document = Reason(text=f"{self.name} says {self.draw.randrange(10**6)}")
        event = recorder.send(to, "news", document)
        self.world.oracle.texts[event.id] = f'{{"text":"{document.text}"}}'
        return event.kind

    def _ask(self, recorder: Stepped) -> str:
        known = self.world.approvals()
        granted = [name for name, one in known.items() if one.state == "granted" and one.request.event.author == self.name]
        if granted and self.draw.random() < 0.7:
            call = known[granted[0]].request.event.call
            return recorder.record(ApprovalConsumed, approval=granted[0], digest=DIGEST, call=call).kind
        expires = self.world.clock(self.name).now() + timedelta(seconds=self.draw.choice((60, 3600)))
        call = CALL | {"call": recorder.new_call()}
        asked = recorder.record(ToolRequested, **call)
        decided = recorder.record(
            PolicyDecided, call=call["call"], effect="allow", rules=("simulated",), bundle=DIGEST, engine="simulated/1",
            obligation="approval", cause=(asked.id,),
        )  # fmt: skip
        about = {"approval": f"approval-{call['call']}", "digest": DIGEST}
        for part in listed(CARD):
            recorder.record(ApprovalListed, **about, **part)
        return recorder.record(
            ApprovalRequested, subject="deploy.release", initiator="somebody", quorum=self.draw.choice((1, 2)),
            expires=expires, cause=(decided.id,), **(about | committed(CARD) | call),
        ).kind  # fmt: skip


class ReviewerProcess(AuthorProcess):
    """An honest author who decides about what is asked."""

    def _speak(self, recorder: Stepped) -> str:
        known = [name for name, one in self.world.approvals().items() if one.state == "open"]
        if not known:
            return "nothing asked"
        seen = [name for name in known if not self.world.coverage(name, self.name).sentence]
        about = {"approval": self.draw.choice(seen or known), "digest": DIGEST}
        recorder.record(ApprovalOpened, **about)
        covered = self.world.coverage(about["approval"], self.name)
        if covered.sentence and self.draw.random() < 0.8:
            return "has not seen everything"
        decision = self.draw.choices(("approve", "deny", "withdraw"), (6, 1, 1))[0]
        return recorder.record(ApprovalSigned, decision=decision, coverage=covered.digest, **about).kind


class ConsoleProcess(AuthorProcess):
    """What reviewers look through: says what each of them had on screen, and for how long."""

    def _speak(self, recorder: Stepped) -> str:
        reviewers = [name for name, one in self.world.people.items() if isinstance(one, ReviewerProcess)]
        for name, one in self.world.approvals().items():
            for reviewer in reviewers if one.state == "open" else ():
                for piece in self.world.coverage(name, reviewer).missing:
                    view = {"approval": name, "digest": DIGEST, "piece": piece.digest, "reviewer": reviewer}
                    recorder.record(ApprovalViewed, milliseconds=piece.milliseconds, **view)
        return "shows what is open"


@dataclass
class RootProcess(AuthorProcess):
    """The root: registers who is new, and, where the world has it, rotates and revokes keys that are in use."""

    asked: Event | None = None
    rotating: str | None = None
    begun: int = 0

    def _speak(self, recorder: Stepped) -> str:
        if self.asked is not None and self.asked.id in self.unsettled:
            return "waits"
        self.asked = None
        keyring = self.world.keyring()
        if self.rotating is not None:
            return self._rotate(recorder, self.rotating)
        missing = self.world.unregistered(keyring)
        if missing:
            self._move_revoked_away(keyring, missing)
            return self._attempt(recorder, lambda: register(recorder, keyring, self.world.keys, missing, 0.0))
        if self.world.temper.keys and self.begun < 4 and self.draw.random() < 0.3:
            self.begun += 1
            author = self.draw.choice([*self.world.people, "ingest"])
            if self.draw.random() < 0.6 or author == "ingest":
                self.rotating = author
                return self._rotate(recorder, author)
            outcome = self._attempt(recorder, lambda: revoke(recorder, keyring, author, "compromised", 0.0))
            return f"revoke {author}: {outcome}"
        return "nothing to do"

    def _move_revoked_away(self, keyring: Keyring, missing: Sequence[Enrolment]) -> None:
        """What an operator does before somebody whose key was revoked gets a new one."""
        gone = {key.key_id for key in keyring.keys()}
        for person in missing:
            file = self.world.keys / keyfiles.author_file(person.author)
            if file.exists() and keyfiles.load_signer(self.world.keys, person.author).key_id in gone:
                file.unlink()

    def _rotate(self, recorder: Stepped, author: str) -> str:
        outcome = self._attempt(recorder, lambda: rotate(recorder, self.world.keyring(), self.world.keys, author, 0.0))
        if outcome == "done":
            self.rotating = None
        return f"rotate {author}: {outcome}"

    def _attempt(self, recorder: Stepped, do: Callable[[], object]) -> str:
        """Do what waits for a receipt; without one it is repeated once the ledger has said something about it."""
        before = set(self.unsettled)
        try:
            do()
        except (Busy, Refused, NotConfigured) as trouble:
            if isinstance(trouble, KeyringRefused):
                self.rotating = None
            self._look_at(recorder.spool)
            new = [event for name, event in self.unsettled.items() if name not in before]
            self.asked = new[-1] if new else None
            return type(trouble).__name__
        return "done"


class TwoFaced(Process):
    """A registered author that signs two events for one place, by hand and without a spool."""

    def build(self) -> Author:
        draw = self.world.dice.of(f"two-faced/{self.crashes}")
        self.draw = draw
        signer = keyfiles.load_signer(self.world.keys, self.name)
        author = Author(self.name, signer=signer, now=self.world.clock(self.name).now())
        self._put(author.open())
        return author

    def step(self) -> object:
        author: Author = self.start()
        twin = Author(self.name, signer=author.signer, now=author.now)
        twin.session, twin.seq, twin.prev = author.session, author.seq, author.prev
        one = author.write()
        if self.draw.random() < 0.4:
            other = twin.write()
            first, second = (one, other) if self.draw.random() < 0.5 else (other, one)
            self._put(first)
            self._put(second)
            if self.draw.random() < 0.5:  # goes on behind the second face
                author.seq, author.prev = twin.seq, twin.prev
            return "two faces", author.seq
        self._put(one)
        return "one face", author.seq

    def _put(self, written: Written) -> None:
        self.world.oracle.two_faced(written.event, written.hash, written.record)
        self.world.carry(written.event.session.bytes, written.record)


class Forger(Process):
    """Somebody without a key: changes what it saw, signs in others' names, writes rubbish."""

    def build(self) -> Random:
        return self.world.dice.of("forger")

    def step(self) -> object:
        draw: Random = self.start()
        seen = [one.value for one in self.world.seen_on_the_bus()]
        name, record = draw.choice((self._rubbish, self._altered, self._impostor, self._elsewhere))(draw, seen)
        self.world.carry(draw.randbytes(16), record)
        return name, hashlib.sha256(record).hexdigest()[:8]

    def _forged(self, record: bytes) -> bytes:
        self.world.oracle.forge(record)
        return record

    def _rubbish(self, draw: Random, seen: Sequence[bytes]) -> tuple[str, bytes]:
        return "rubbish", self._forged(draw.randbytes(draw.randrange(200)))

    def _altered(self, draw: Random, seen: Sequence[bytes]) -> tuple[str, bytes]:
        if not seen:
            return self._rubbish(draw, seen)
        record = bytearray(draw.choice(seen))
        if not record:
            return self._rubbish(draw, seen)
        record[draw.randrange(len(record))] ^= 1 << draw.randrange(8)
        return "altered", self._forged(bytes(record[: draw.choice((len(record), len(record), draw.randrange(len(record)) + 1))]))

    def _impostor(self, draw: Random, seen: Sequence[bytes]) -> tuple[str, bytes]:
        """A whole event in somebody's name, under a key that is not theirs."""
        victim = draw.choice([*self.world.people, "root", "ingest", "nobody"])
        signer = SeedSigner(victim, draw.randbytes(32))
        names = self.world.key_names(victim)
        if names and draw.random() < 0.5:
            signer.key_id = draw.choice(names)
        author = Author(victim, signer=signer)
        return "impostor", self._forged(author.write(SessionOpened, software="false/1").record)

    def _elsewhere(self, draw: Random, seen: Sequence[bytes]) -> tuple[str, bytes]:
        """An honest record once more, wherever the bus puts it: nothing new is in it."""
        return ("copied", draw.choice(seen)) if seen else self._rubbish(draw, seen)


def enrolments(world: Any) -> list[Enrolment]:
    """Who is to be known to the ledger."""
    kinds = {ReviewerProcess: "reviewer", ConsoleProcess: "console"}
    roles = {name: kinds.get(type(one), "agent") for name, one in world.people.items()}
    return [
        Enrolment("ingest", "ingest", "operations"),
        *(Enrolment(name, role, f"owner-of-{name}") for name, role in roles.items()),  # type: ignore[arg-type]
        *([Enrolment("mallory", "agent", "owner-of-mallory")] if world.temper.hostile else []),
    ]


__all__ = ["AuthorProcess", "ConsoleProcess", "Forger", "ReviewerProcess", "RootProcess", "TwoFaced", "enrolments"]
