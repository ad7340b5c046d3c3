"""Things that happen on a ledger, as small moves that a test strings together in any order."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import timedelta

from tenuto.approvals.spotcheck import is_drawn
from tenuto.documents import AlertNote, ApprovalCard, PlannedChange, PullRequest, Reason
from tenuto.events import (
    AlertAcknowledged,
    AlertClosed,
    AlertRaised,
    ApprovalAssigned,
    ApprovalConsumed,
    ApprovalListed,
    ApprovalOpened,
    ApprovalRequested,
    ApprovalRevoked,
    ApprovalSigned,
    ApprovalViewed,
    DecisionMade,
    Event,
    KeyRevoked,
    PasskeyEnrolled,
    PasskeyOffered,
    PasskeyRevoked,
    PolicyChanged,
    PolicyDecided,
    RecordEquivocation,
    RecordLost,
    RecordRefused,
    RecordSpooled,
    RecordUnaccounted,
    ReviewerBound,
    ReviewerEnrolled,
    ReviewerUnbound,
    RunFinished,
    SessionClosed,
    SpotcheckDrawn,
    SpotcheckSigned,
    ToolFinished,
    ToolRequested,
    ToolStarted,
)
from tenuto.signing import SeedSigner

from tests.reviewing import CONSOLE, committed, listed, shown
from tests.unit.approvals.authenticator import Authenticator

from .written import DIGEST, WrittenLedger, start_run, uuid

DEVICE = Authenticator()
HOSTILE = "[red]\x1b[2Jboo\0[/red] \u202e <script>alert(1)</script>"
PULL_REQUEST = PullRequest(repository="/srv/shop", title="Open port 443", author="ann", base="main", head="open-port")


def new_ledger() -> WrittenLedger:
    """A ledger with one author of each role that a run needs; ann answers for the agents."""
    ledger = WrittenLedger()
    ledger.register("pipeline", "pipeline", "ann")
    ledger.register("infra", "agent", "ann")
    ledger.register("bob", "reviewer", "bob", insecure_demo=True)
    ledger.register("eve", "reviewer", "eve")
    ledger.register("ann", "reviewer", "ann")
    ledger.register("ingest", "ingest")
    ledger.register("watch", "detector")
    ledger.register(CONSOLE, "console", "operations")
    ledger.register("router", "router", "operations")
    ledger.register("ida", "administrator", "ida")
    return ledger


ROLE = PlannedChange(address="aws_iam_role.x", type="aws_iam_role", actions=("update",), risks=("iam",), before={"a": 1}, after={"a": 2})
CARD = ApprovalCard(title=HOSTILE, sentence="One port is opened.", pull_request=PULL_REQUEST, changes=(ROLE,))


def request(
    ledger: WrittenLedger, approval: str = "a1", run: str | None = "r1", quorum: int = 1, call: str = "c3"
) -> Event:
    target = {"tool": "terraform.apply", "resource": "stack", "digest": DIGEST}
    ledger.write("infra", ToolRequested, call=call, **target)
    decided = ledger.write(
        "infra", PolicyDecided, call=call, effect="allow", rules=("r",), bundle=DIGEST, engine="cedar", obligation="approval"
    )
    for part in listed(CARD):
        ledger.write("infra", ApprovalListed, approval=approval, digest=DIGEST, **part)
    return ledger.write(
        "infra", ApprovalRequested, CARD, run=run, approval=approval, subject="terraform.plan", initiator="ann",
        quorum=quorum, expires=ledger.now + timedelta(minutes=30), risks=("iam", "production"), call=call,
        cause=(decided.id,), **target, **committed(CARD),
    )  # fmt: skip


def look(ledger: WrittenLedger, reviewer: str = "bob", approval: str = "a1") -> str | None:
    asked = next((one for one in ledger.events if isinstance(one, ApprovalRequested) and one.approval == approval), None)
    if asked is None:
        return None
    views, coverage = shown(ledger.events, asked, reviewer)
    for view in views:
        ledger.write(CONSOLE, ApprovalViewed, **view)
    return coverage


def vote(ledger: WrittenLedger, reviewer: str = "bob", decision: str = "approve", approval: str = "a1") -> Event:
    coverage = {"coverage": look(ledger, reviewer, approval)} if decision == "approve" else {}
    reason = Reason(text=HOSTILE)
    return ledger.write(reviewer, ApprovalSigned, reason, approval=approval, digest=DIGEST, decision=decision, **coverage)


def assign(ledger: WrittenLedger, reviewer: str, approval: str = "a1") -> Event:
    reason = Reason(text=HOSTILE)
    return ledger.write("router", ApprovalAssigned, reason, approval=approval, reviewer=reviewer, why="next_free")


def consume(ledger: WrittenLedger, approval: str = "a1", call: str = "c3") -> Event:
    return ledger.write("infra", ApprovalConsumed, approval=approval, digest=DIGEST, call=call)


def draw(ledger: WrittenLedger, approval: str = "a1", ticket: str = "0" * 64) -> Event | None:
    """The router draws for an approval that was spent; a ticket of zeros wants a second look."""
    spent = [at for at, one in enumerate(ledger.events) if isinstance(one, ApprovalConsumed) and one.approval == approval]
    if not spent:
        return None
    size = len(ledger.entries)
    return ledger.write("router", SpotcheckDrawn, approval=approval, position=spent[0], size=size, ticket=ticket, drawn=is_drawn(ticket))


def look_again(ledger: WrittenLedger, reviewer: str = "eve", finding: str = "disagree", approval: str = "a1") -> Event:
    return ledger.write(reviewer, SpotcheckSigned, Reason(text=HOSTILE), approval=approval, digest=DIGEST, finding=finding)


def refuse_call(ledger: WrittenLedger, rule: str = "error", call: str = "c9") -> Event:
    ledger.write("infra", ToolRequested, call=call, tool="terraform.destroy", resource="stack", digest=DIGEST)
    return ledger.write("infra", PolicyDecided, call=call, effect="deny", rules=(rule,), bundle="e" * 64, engine="cedar")


def call(ledger: WrittenLedger, tool: str = "terraform.plan", call: str = "c1", run: str = "r1") -> Event:
    asked = ledger.write("infra", ToolRequested, call=call, tool=tool, resource="stack", digest=DIGEST, run=run)
    allowed = ledger.write(
        "infra", PolicyDecided, call=call, effect="allow", rules=("tools.apply",), bundle=DIGEST, engine="cedar",
        obligation="approval", run=run, cause=(asked.id,),
    )  # fmt: skip
    began = ledger.write(
        "infra", ToolStarted, call=call, tool=tool, resource="stack", digest=DIGEST, run=run, cause=(allowed.id,)
    )
    return ledger.write("infra", ToolFinished, call=call, tool=tool, milliseconds=5, run=run, cause=(began.id,))


def decide(ledger: WrittenLedger, run: str = "r1") -> Event:
    return ledger.write(
        "infra", DecisionMade, run=run, subject="commit", subject_digest=DIGEST, verdict="approve", model="scripted"
    )


def finish(ledger: WrittenLedger, outcome: str = "succeeded", run: str = "r1") -> Event:
    return ledger.write("infra", RunFinished, run=run, outcome=outcome)


def alert(ledger: WrittenLedger, name: str = "alert-1") -> Event:
    note = AlertNote(sentence=HOSTILE, figures={"rate": 1.5})
    return ledger.write(
        "watch", AlertRaised, note, alert=name, detector="rules", version="1", rule="new_source", severity="high",
        score=1000, suspect="infra", evidence=(ledger.events[0].id,), refs=("T4",),
    )  # fmt: skip


def refuse(ledger: WrittenLedger, author: str = "infra") -> Event:
    return ledger.write(
        "ingest", RecordRefused, record_sha256=DIGEST, reason="signature", topic="tenuto.events", partition=0,
        offset=7, claimed_author=author,
    )  # fmt: skip


def equivocate(ledger: WrittenLedger) -> Event:
    return ledger.write(
        "ingest", RecordEquivocation, claimed_author="infra", gap_session=uuid("x"), at_seq=1, recorded_header=DIGEST,
        other_header="e" * 64,
    )  # fmt: skip


def lose(ledger: WrittenLedger) -> None:
    ledger.write("infra", RecordLost, lost_session=uuid("x"), first_seq=1, last_seq=2)
    ledger.write("infra", RecordUnaccounted, lost_session=uuid("y"), last_seq=2)
    since = ledger.now - timedelta(minutes=2)
    ledger.write("infra", RecordSpooled, events=3, bytes_max=9, since=since, until=ledger.now, why="bus_away", periods=1)


def purge(ledger: WrittenLedger) -> None:
    """Purge all payloads so far, for real."""
    positions = tuple(entry.position for entry in ledger.entries if entry.payload is not None)[-32:]
    if positions:
        ledger.purge(*positions, approval=f"purge-{len(ledger.entries)}")


def leave(ledger: WrittenLedger) -> None:
    """A reviewer comes and goes again: there was a key, and there is none any more."""
    name = f"zoe-{len(ledger.entries)}"
    ledger.register(name, "reviewer", name)
    key = SeedSigner(name, hashlib.sha256(name.encode()).digest()).key_id
    ledger.write("root", KeyRevoked, subject=name, subject_key_id=key, reason="owner_left")


def reopen(ledger: WrittenLedger) -> None:
    ledger.write("infra", SessionClosed, outcome="completed")
    ledger.open("infra")


def wait(ledger: WrittenLedger) -> None:
    ledger.now += timedelta(minutes=20)


def bind(ledger: WrittenLedger, reviewer: str = "lena") -> None:
    ledger.write("ida", ReviewerBound, reviewer=reviewer, identity=DIGEST)


def offer(ledger: WrittenLedger) -> None:
    ledger.write(CONSOLE, PasskeyOffered, **DEVICE.offer("lena"))


def enrol(ledger: WrittenLedger) -> None:
    ledger.write("ida", PasskeyEnrolled, reviewer="lena", owner="lena", credential=DEVICE.credential)


def end_passkey(ledger: WrittenLedger) -> None:
    ledger.write("ida", PasskeyRevoked, reviewer="lena", credential=DEVICE.credential, reason="lost")


MOVES: dict[str, Callable[[WrittenLedger], object]] = {
    "start": lambda ledger: start_run(ledger, "r1", PULL_REQUEST),
    "start other": lambda ledger: start_run(ledger, "r2"),
    "decide": decide,
    "call": call,
    "apply": lambda ledger: call(ledger, "terraform.apply", "c2"),
    "request": request,
    "request other": lambda ledger: request(ledger, "a2", "r2", quorum=2),
    "approve": vote,
    "approve other": lambda ledger: vote(ledger, "eve", approval="a2"),
    "deny": lambda ledger: vote(ledger, "eve", "deny"),
    "withdraw": lambda ledger: vote(ledger, "eve", "withdraw"),
    "own vote": lambda ledger: vote(ledger, "ann"),
    "assign": lambda ledger: assign(ledger, "eve"),
    "assign other": lambda ledger: assign(ledger, "bob", "a2"),
    "open": lambda ledger: ledger.write("bob", ApprovalOpened, approval="a1", digest=DIGEST),
    "consume": consume,
    "draw": draw,
    "look again": look_again,
    "agree": lambda ledger: look_again(ledger, "eve", "agree"),
    "own look": lambda ledger: look_again(ledger, "bob", "agree"),
    "refuse call": refuse_call,
    "announce": lambda ledger: ledger.write("root", PolicyChanged, old_bundle=None, bundle=DIGEST),
    "leave": leave,
    "revoke": lambda ledger: ledger.write("eve", ApprovalRevoked, approval="a1", reason="mistake"),
    "alert": alert,
    "acknowledge": lambda ledger: ledger.write("bob", AlertAcknowledged, alert="alert-1"),
    "close": lambda ledger: ledger.write("eve", AlertClosed, alert="alert-1", finding="false_positive"),
    "refuse": refuse,
    "equivocate": equivocate,
    "lose": lose,
    "reopen": reopen,
    "finish": finish,
    "bind": bind,
    "unbind": lambda ledger: ledger.write("ida", ReviewerUnbound, reviewer="lena", identity=DIGEST, reason="mistake"),
    "offer": offer,
    "enrol": enrol,
    "end passkey": end_passkey,
    "relieve": lambda ledger: ledger.write("ida", ReviewerEnrolled, reviewer="eve", roles=("sre",), active=False, passkey_only=True),
    "purge": purge,
    "wait": wait,
}


def tell(*moves: str) -> WrittenLedger:
    """A new ledger on which these moves happened."""
    ledger = new_ledger()
    for move in moves:
        MOVES[move](ledger)
    return ledger
