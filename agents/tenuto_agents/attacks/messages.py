"""Attacks on messages between agents (T7): forged, altered, replayed, not entitled, from another log, by an ended key."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from uuid import UUID

from tenuto.bus import RecordTooLarge
from tenuto.envelope import RECORD_BYTES_MAX
from tenuto.events import (
    AlertRaised,
    ApprovalSigned,
    Event,
    MessageRefused,
    MessageSent,
    RecordEquivocation,
    RecordRefused,
)
from tenuto.header import encode, header_hash
from tenuto.signing import SeedSigner
from tenuto.verification import Verified

from .forging import Chain
from .ground import RANGE_AGENT, RANGE_FORGER, Ground
from .scenario import Lacking, Scenario, Seen, Stop

STRANGER_SEED = hashlib.sha256(b"a key that nobody registered").digest()
VICTIM, RECEIVER = "code-review", "deployment"
TOPIC = "deployment.requested"
ALERT_SECONDS = 5.0
REFUSAL_SECONDS = 30.0
DIGEST = hashlib.sha256(b"nothing that anybody asked for").hexdigest()


def forged_author(ground: Ground) -> Seen:
    """Sign as the code review agent with a key that is not its."""
    chain = Chain(ground, SeedSigner(VICTIM, STRANGER_SEED))
    chain.publish(chain.opened())
    message = chain.event(MessageSent, to=RECEIVER, topic=TOPIC)
    return _refused(ground, chain, message, chain.signed(message), "unknown_key")


def altered_in_transit(ground: Ground) -> Seen:
    """Change one word of a message after its author signed it."""
    chain = Chain(ground, ground.signer(RANGE_FORGER))
    chain.publish(chain.opened())
    message = chain.event(MessageSent, to=RECEIVER, topic="staging.requested")
    record = chain.signed(message)
    altered = record.replace(b'"staging.requested"', b'"staging.completed"')
    return _refused(ground, chain, message, altered, "signature")


def not_entitled(ground: Ground) -> Seen:
    """Let an agent with a good key sign a reviewer's approval."""
    chain = Chain(ground, ground.signer(RANGE_FORGER))
    chain.publish(chain.opened())
    vote = chain.event(ApprovalSigned, approval="approval-of-nothing", digest=DIGEST, decision="approve", coverage=DIGEST)
    return _refused(ground, chain, vote, chain.signed(vote), "entitlement")


def other_log(ground: Ground) -> Seen:
    """Replay an event that was signed for another log."""
    chain = Chain(ground, ground.signer(RANGE_FORGER), origin="staging.example/other")
    chain.publish(chain.opened())
    message = chain.event(MessageSent, to=RECEIVER, topic=TOPIC)
    return _refused(ground, chain, message, chain.signed(message), "wrong_origin")


def ended_key(ground: Ground) -> Seen:
    """Sign with a key that was revoked a moment ago."""
    author = f"range-leaver-{str(ground.new_id())[-8:]}"
    ground.register_one(author)
    signer = ground.signer(author)
    ground.revoke_one(author)
    chain = Chain(ground, signer)
    chain.publish(chain.opened())
    message = chain.event(MessageSent, to=RECEIVER, topic=TOPIC)
    return _refused(ground, chain, message, chain.signed(message), "revoked_key")


def replayed(ground: Ground) -> Seen:
    """Put a good message on the bus five times more."""
    chain = Chain(ground, ground.signer(RANGE_FORGER))
    chain.publish(chain.opened())
    message = chain.event(MessageSent, to="nobody-here", topic="range.greeting")
    record = chain.signed(message)
    for _ in range(6):
        chain.publish(record)
    after = chain.event(MessageSent, to="nobody-here", topic="range.greeting")
    chain.publish(chain.signed(after))
    last = ground.wait_for(_is(after.id), REFUSAL_SECONDS)
    times = [verified for verified in ground.since() if verified.event.id == message.id]
    if last is None or not times:
        return Seen(reached=False, sentence="Neither the message nor the one after it came through.")
    reached = len(times) > 1
    stop = Stop("M27", f"Its place in the session is taken, so it stands once, at position {times[0].position}.", (message.id,))
    return Seen(reached, f"Sent six times, it is on record {len(times)} time(s).", () if reached else (stop,))


def two_histories(ground: Ground) -> Seen:
    """Sign two different messages for one place in the session, to show each half of the world another one."""
    chain = Chain(ground, ground.signer(RANGE_FORGER))
    chain.publish(chain.opened())
    first = chain.event(MessageSent, to="nobody-here", topic="range.release")
    second = chain.event(MessageSent, to="nobody-here", topic="range.hold")
    chain.publish(chain.signed(first, advance=False))
    chain.publish(chain.signed(second))
    found = ground.wait_for(lambda one: _equivocates(one, second), REFUSAL_SECONDS)
    reached = ground.wait_for(_is(second.id), 0) is not None
    stops = () if found is None else (Stop("M27", "Both signed headers are on record as an equivocation.", (found.event.id,)),)
    return Seen(reached, "Only the first of the two is in the ledger." if not reached else "Both are in the ledger.", stops)


def confused_deputy(ground: Ground) -> Seen:
    """Tell the deployment agent that everything was approved, as a registered agent that is not the one it listens to."""
    sent = ground.recorder(RANGE_AGENT).record(MessageSent, to=RECEIVER, topic=TOPIC, run=f"range-{ground.new_id()}")
    ground.wait_on_record(sent)
    refused = ground.wait_for(lambda one: isinstance(one.event, MessageRefused) and sent.id in one.event.cause, REFUSAL_SECONDS)
    if refused is None:
        raise Lacking("No deployment agent took the message in time: it is busy with another run, or `tenuto agent deployment` does not run.")
    started = [one for one in ground.since() if one.event.author == RECEIVER and one.event.run == sent.run and one.event.kind == "tool.started"]
    stop = Stop("M27", "The agent takes this topic from one author with one role only, and says that it refused.", (refused.event.id,))
    rule = Stop("R1", "No tool started for that run.", (refused.event.id,))
    return Seen(bool(started), "The message arrived with a good signature and was refused.", () if started else (stop, rule))


def too_large(ground: Ground) -> Seen:
    """Send a record above every limit, to exhaust who reads it."""
    chain = Chain(ground, ground.signer(RANGE_FORGER))
    record = chain.opened() + bytes(RECORD_BYTES_MAX)
    try:
        chain.publish(record)
    except RecordTooLarge as refusal:
        return Seen(reached=False, sentence="The bus does not take it.", stops=(Stop("M28", "The topic has a limit.", said=str(refusal)),))
    found = ground.wait_for(lambda one: _names(one, record), REFUSAL_SECONDS)
    stops = () if found is None else (Stop("M27", "It is refused before anything in it is read.", (found.event.id,)),)
    return Seen(reached=found is None, sentence="It was put on the bus.", stops=stops)


def burst(ground: Ground) -> Seen:
    """Hammer the ledger with forgeries in the name of one agent, to hide one among many."""
    records = []
    for _ in range(4):
        chain = Chain(ground, SeedSigner(VICTIM, STRANGER_SEED))
        record = chain.opened()
        records.append(record)
        chain.publish(record)
    digests = {hashlib.sha256(record).hexdigest() for record in records}
    last = ground.wait_for(lambda one: _names(one, records[-1]), REFUSAL_SECONDS)
    refused = [one for one in ground.since() if isinstance(one.event, RecordRefused) and one.event.record_sha256 in digests]
    alert = ground.wait_for(lambda one: _warns(one, {refusal.event.id for refusal in refused}), ALERT_SECONDS)
    stops = [Stop("M27", f"All {len(refused)} are refused, each with its own evidence.", tuple(one.event.id for one in refused))]
    if alert is not None and isinstance(alert.event, AlertRaised):
        stops.append(Stop("M29", f"The watch raised {alert.event.rule}.", (alert.event.id,)))
    return Seen(last is None, "None of them is in the ledger as an event of that agent.", tuple(stops))


def _refused(ground: Ground, chain: Chain, event: Event, record: bytes, reason: str) -> Seen:
    """Publish a record that ingest has to refuse for this reason, and see what the watch makes of it."""
    chain.publish(record)
    found = ground.wait_for(lambda one: _names(one, record), REFUSAL_SECONDS)
    if found is None or not isinstance(found.event, RecordRefused):
        reached = ground.wait_for(_is(event.id), 0) is not None
        return Seen(reached, "It is in the ledger." if reached else "It is neither in the ledger nor refused on record.")
    stops = [Stop("M27", f"Ingest refused it ({found.event.reason}) and kept its hash as evidence.", (found.event.id,))]
    alert = ground.wait_for(lambda one: _warns(one, {found.event.id}), ALERT_SECONDS)
    if alert is not None and isinstance(alert.event, AlertRaised):
        stops.append(Stop("M29", f"The watch raised {alert.event.rule} about it.", (alert.event.id,)))
    expected = "" if found.event.reason == reason else f" (expected: {reason})"
    return Seen(reached=False, sentence=f"It was refused: {found.event.reason}{expected}.", stops=tuple(stops))


def _names(verified: Verified, record: bytes) -> bool:
    return isinstance(verified.event, RecordRefused) and verified.event.record_sha256 == hashlib.sha256(record).hexdigest()


def _warns(verified: Verified, about: set[UUID]) -> bool:
    return isinstance(verified.event, AlertRaised) and bool(about & set(verified.event.evidence))


def _is(name: UUID) -> Callable[[Verified], bool]:
    return lambda verified: verified.event.id == name


def _equivocates(verified: Verified, event: Event) -> bool:
    return isinstance(verified.event, RecordEquivocation) and header_hash(encode(event)) in (
        verified.event.recorded_header, verified.event.other_header,
    )  # fmt: skip


SCENARIOS = (
    Scenario("forged-author", "A message in the name of the code review agent, under a key of mine.", ("T7", "M27", "M29"), forged_author),
    Scenario("altered-in-transit", "A signed message that says something else when it arrives.", ("T7", "M27", "M29"), altered_in_transit),
    Scenario("not-entitled", "An approval signed by an agent.", ("T7", "T4", "M27", "R1"), not_entitled),
    Scenario("other-log", "An event of the staging log, accepted in production.", ("T7", "M27"), other_log),
    Scenario("ended-key", "One more event under a key that was revoked.", ("T7", "M27"), ended_key),
    Scenario("replayed", "The same order carried out twice.", ("T7", "M27"), replayed),
    Scenario("two-histories", "Two signed versions of one moment.", ("T7", "M27", "M23"), two_histories),
    Scenario("confused-deputy", "The deployment agent's credentials, by telling it that all is approved.", ("T7", "C1", "M27", "R1"), confused_deputy),
    Scenario("too-large", "An ingest that chokes on one record.", ("T7", "M27"), too_large),
    Scenario("burst-of-forgeries", "One forgery that nobody sees among many.", ("T7", "M27", "M29"), burst),
)  # fmt: skip
