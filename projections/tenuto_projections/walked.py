"""What one process's walk over the log really did, as the nine numbered ticks.

A tick is drawn for a step that was taken, over as many events as it was taken for, and for nothing else: payloads that
nobody opened, witnesses that nobody asked and a checkpoint that has no predecessor say so in their sentence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from tenuto.following import Follower
from tenuto.log.merkle import Frontier
from tenuto.log.witnessing import NONE as NO_QUORUM
from tenuto.log.witnessing import Policy, PolicyRefused, parse_policy, verify_policy
from tenuto.purges import Purge
from tenuto.trust import Trust
from tenuto.verification import STEPS, VerificationFailed, Verified

from .payloads import AVAILABLE, CLOSED, NONE, PURGED, payload_state

PASSED, FAILED, NOT_DONE = "passed", "failed", "not_done"


@dataclass(frozen=True, slots=True)
class Tick:
    """One of `verification.STEPS`. state: passed, failed or not_done; the sentence says what was really checked."""

    step: int
    title: str
    state: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Seen:
    """A checkpoint that was seen before: the log's origin, its size in events, its root in hex."""

    origin: str
    size: int
    root: str


@dataclass(frozen=True, slots=True)
class Walk:
    """What one look at the log found, to be written down; `note` is None while the log has signed nothing."""

    seen: Seen | None
    note: bytes | None
    ticks: tuple[Tick, ...]


@dataclass
class Walked:
    """What one process's walk over the log has done so far.

    opens_payloads: whether the follower was given the storage key, so that step 5 can be taken.
    """

    trust: Trust
    opens_payloads: bool
    _with_payload: int = 0
    _opened: int = 0
    _keys: set[str] = field(default_factory=set)
    _before: Seen | None = None
    _extends: int | None = None
    _frontier: Frontier = field(default_factory=Frontier)

    def seen_before(self, seen: Seen | None) -> None:
        """Remember the checkpoint that an earlier process saw; the walk must come past the very same root."""
        if seen is not None and seen.origin == self.trust.origin:
            self._before = seen

    def take(self, page: Sequence[Verified]) -> None:
        """Count a verified page; raises VerificationFailed (step 9) if it contradicts the checkpoint seen before."""
        self._with_payload += sum(verified.event.has_payload for verified in page)
        self._opened += sum(verified.payload is not None for verified in page)
        self._keys.update(verified.key.key_id for verified in page)
        if self._before is None or self._frontier.size >= self._before.size:
            return
        rest = self._before.size - self._frontier.size
        self._frontier = self._frontier.extend([verified.leaf for verified in page[:rest]])
        if self._frontier.size == self._before.size and self._frontier.root().hex() != self._before.root:
            sentence = f"the first {self._before.size} events are not those of the checkpoint seen before"
            raise VerificationFailed(9, sentence)

    def verify(self, follower: Follower) -> None:
        """Finish a look at the log: steps 5 and 9, which need all of it; raises VerificationFailed."""
        if self.opens_payloads:
            follower.walk.verify_no_payload_missing()
        size = 0 if follower.checkpoint is None else follower.checkpoint.size
        if self._before is not None and size < self._before.size:
            raise VerificationFailed(9, f"{self._before.size} events were signed before and only {size} are now")

    def walk(self, follower: Follower) -> Walk:
        """Return what to write down after `verify` let it pass."""
        checkpoint = follower.checkpoint
        if checkpoint is None:
            return Walk(None, None, tuple(unsigned(step) for step in STEPS))
        seen = Seen(checkpoint.origin, checkpoint.size, checkpoint.root.hex())
        if self._before is not None and seen != self._before:
            self._extends = self._before.size
        ticks = tuple(Tick(step, STEPS[step], *self._tick(step, follower)) for step in STEPS)
        if self._before is None or seen.size > self._before.size:
            self._before, self._frontier = seen, follower.walk.frontier
        return Walk(seen, follower.note, ticks)

    def _tick(self, step: int, follower: Follower) -> tuple[str, str]:
        size, walk = follower.walk.size, follower.walk
        if step == 5:
            return self._payload_tick(len(walk.missing_payloads))
        if step == 8:
            return cosignature_tick(follower.note, self.trust)
        if step == 9:
            return self._extension_tick(size)
        return PASSED, {
            1: f"All {size:,} envelopes decode within their limits.",
            2: f"{len(self._keys):,} keys signed, each valid and entitled at its position.",
            3: f"All {size:,} signatures hold over the stored bytes.",
            4: f"{len(walk.sessions.heads):,} sessions are unbroken; {len(walk.sessions.gaps):,} with a gap on record.",
            6: f"The root over all {size:,} events is the one that the log signed.",
            7: f"The checkpoint is signed by {self.trust.origin}.",
        }[step]

    def _payload_tick(self, missing: int) -> tuple[str, str]:
        if not self.opens_payloads:
            return NOT_DONE, f"{self._with_payload:,} payloads were not opened: the storage key is not here."
        return (
            PASSED,
            f"{self._opened:,} payloads match their commitments; {missing:,} are gone under a purge on record.",
        )

    def _extension_tick(self, size: int) -> tuple[str, str]:
        if self._before is None:
            return NOT_DONE, "It is the first checkpoint seen here; the next one is compared with it."
        if self._extends is None:
            return PASSED, f"It is the checkpoint over {size:,} events that was seen before, unchanged."
        return PASSED, f"The checkpoint over {size:,} events extends the one over {self._extends:,} seen before."


def cosignature_tick(note: bytes | None, trust: Trust) -> tuple[str, str]:
    """Return state and sentence of step 8 for a published note.

    A checkpoint is published a moment before its cosignatures arrive, so a missing one is not done, not failed; who
    demands them (`tenuto verify`, an auditor) calls `verify_cosigned`.
    """
    policy = _policy(trust)
    if policy is None:
        return NOT_DONE, "The policy names no witness: nobody outside has confirmed this checkpoint."
    if note is None:
        return NOT_DONE, "The log has signed nothing yet."
    try:
        verify_policy(note, policy, trust.origin)
    except PolicyRefused as refusal:
        return NOT_DONE, str(refusal)
    named = ", ".join(witness.verifier.name for witness in policy.witnesses.values())
    return PASSED, f"It is cosigned as the policy demands (quorum {policy.quorum}, of {named})."


def verify_cosigned(note: bytes | None, trust: Trust) -> None:
    """Raise VerificationFailed (step 8) unless the witnesses cosigned the note according to the policy."""
    policy = _policy(trust)
    if note is None or policy is None:
        return
    try:
        verify_policy(note, policy, trust.origin)
    except PolicyRefused as refusal:
        raise VerificationFailed(8, str(refusal)) from refusal


def _policy(trust: Trust) -> Policy | None:
    """Return the policy, or None where it asks nobody."""
    if not trust.policy.strip():
        return None
    policy = parse_policy(trust.policy)
    return None if policy.quorum == NO_QUORUM else policy


def unsigned(step: int) -> Tick:
    """Return the tick of a step while there is no checkpoint."""
    return Tick(step, STEPS[step], NOT_DONE, "The log has signed nothing yet.")


def event_ticks(verified: Verified, walk: Walk, purge: Purge | None = None) -> tuple[Tick, ...]:
    """Return the nine ticks for one event; `walk` is what the whole walk found after the event's page was final.

    purge: the one that took its payload, as the whole log says.
    """
    event, key = verified.event, verified.key
    said = {
        1: f"The header has {len(verified.header):,} bytes and decodes within its limits.",
        2: f"The key {key.key_id} is {event.author}'s, valid since position {key.since}, as {key.role}.",
        3: "The signature holds over the stored bytes.",
        4: f"It is event {event.seq} of its session and names its predecessor.",
        6: f"Its leaf {verified.leaf.hex()[:16]} stands at position {verified.position} in the tree that was signed.",
    }
    own = {step: Tick(step, STEPS[step], PASSED, sentence) for step, sentence in said.items()}
    own[5] = Tick(5, STEPS[5], *_PAYLOAD_TICK[payload_state(verified)])
    if purge is not None:
        own[5] = Tick(5, STEPS[5], PASSED, f"The payload was {purge.sentence}, at position {purge.position}.")
    return tuple(own.get(tick.step, tick) for tick in walk.ticks)


_PAYLOAD_TICK = {
    NONE: (PASSED, "Nothing lies beside this event."),
    PURGED: (PASSED, "The payload is gone; a purge on record covers it."),
    CLOSED: (NOT_DONE, "The payload was not opened: it or the storage key is not here."),
    AVAILABLE: (PASSED, "The payload opens and matches its commitment."),
}
