"""Rules about what the road itself turned away, and about clocks.

A refused record is evidence about whoever sent it, and only claims to come from the author it names: these findings say
so, since a suspect by name alone is what a forger would want.
"""

from __future__ import annotations

from tenuto.events import RecordEquivocation, RecordRefused
from tenuto.verification import Verified

from .finding import Finding, found, said
from .history import REFUSALS_SPAN, SKEW_MAX, History

REFUSALS_MAX = 2
FORGED_REASONS = frozenset(
    {"wrong_origin", "unknown_key", "revoked_key", "signature", "entitlement", "replayed", "broken_chain", "payload"}
)
"""Refusals that no honest mistake of a current author explains; the others count towards `repeated_refusals` only."""
_MINUTES = int(REFUSALS_SPAN.total_seconds() // 60)


def refused_record(history: History, verified: Verified) -> Finding | None:
    """A record refused for a reason of FORGED_REASONS, once in ten minutes for each reason and claimed author."""
    event = verified.event
    if not isinstance(event, RecordRefused) or event.claimed_author is None or event.reason not in FORGED_REASONS:
        return None
    window = history.refused_records.get((event.claimed_author, event.reason))
    if window is not None and window.count(verified.recorded_at):
        return None
    sentence = f"A record that claims to be of {said(event.claimed_author)} was refused: {event.reason}."
    return found("refused_record", verified, sentence, suspect=event.claimed_author)


def repeated_refusals(history: History, verified: Verified) -> Finding | None:
    """The third refusal of one author within ten minutes, by ingest, receivers or policy together."""
    author = history.refused_author(verified.event)
    window = None if author is None else history.refusals.get(author)
    if author is None or window is None or window.count(verified.recorded_at) != REFUSALS_MAX:
        return None
    count = REFUSALS_MAX + 1
    sentence = f"{count} refusals within {_MINUTES} minutes name {said(author)}; the last one is {verified.event.kind}."
    earlier = tuple(window.ids)[-REFUSALS_MAX:]
    return found("repeated_refusals", verified, sentence, suspect=author, earlier=earlier, figures={"refusals": count})


def equivocation(_: History, verified: Verified) -> Finding | None:
    """Two signed events of one author for one place in its chain: only its key can have made both."""
    event = verified.event
    if not isinstance(event, RecordEquivocation):
        return None
    author = said(event.claimed_author)
    sentence = f"{author} signed two different events with the number {event.at_seq} in one session."
    return found("equivocation", verified, sentence, suspect=event.claimed_author)


def clock_ahead(history: History, verified: Verified) -> Finding | None:
    """A claimed time that the ledger had not reached, once a session."""
    if not history.is_early(verified) or history.skewed.get((verified.event.session, True)):
        return None
    return _skew("clock_ahead", verified, "ahead of")


def clock_behind(history: History, verified: Verified) -> Finding | None:
    """An event recorded long after its claimed time, once a session; an outage of the broker explains it."""
    if not history.is_late(verified) or history.skewed.get((verified.event.session, False)):
        return None
    return _skew("clock_behind", verified, "behind")


def _skew(rule: str, verified: Verified, side: str) -> Finding:
    seconds = abs((verified.recorded_at - verified.event.at).total_seconds())
    sentence = (
        f"{said(verified.event.author)} claims a time {seconds:,.0f} seconds {side} the ledger's;"
        f" {SKEW_MAX.total_seconds():,.0f} are allowed."
    )
    return found(rule, verified, sentence, figures={"seconds": seconds})
