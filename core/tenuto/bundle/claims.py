"""What a bundle says of itself, held against its events: an event that is called asked-about, cause or key must be that."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from uuid import UUID

from ..events import ApprovalRequested, RecordGap, RecordPurged
from ..keyring import ROOT
from ..verification import Verified
from .clearing import stray_link
from .layout import MANIFEST_FILE, Asked, BundleRefused, Listed, Manifest

ANSWER = frozenset({"asked", "cause"})
"""The reasons of the events that tell the story; the others are there to judge them by."""


def verify_claims(manifest: Manifest, events: Sequence[Verified]) -> None:
    """Raise BundleRefused naming the first event that is not here for the reason given; `events` are the listed ones."""
    runs: dict[str, str | None] = {}
    for listed, verified in zip(manifest.events, events, strict=True):
        event = verified.event
        if isinstance(event, ApprovalRequested):
            runs.setdefault(event.approval, event.run)
        run = event.run or runs.get(getattr(event, "approval", ""))
        if listed.why == "asked" and not _answers(manifest.asked, verified, run):
            raise _Unfounded(listed, "does not answer the question")
        if listed.why == "key" and not is_key_history(verified):
            raise _Unfounded(listed, "decides nothing about keys")
    told = list(zip(manifest.events, events, strict=True))
    named, answers = set(_causes(told)), {listed.position for listed in manifest.events if listed.why in ANSWER}
    for listed, verified in told:
        if listed.why == "cause" and verified.event.id not in named:
            raise _Unfounded(listed, "is no event's cause here")
        if listed.why == "purge" and not purges(verified, answers):
            raise _Unfounded(listed, "purges nothing here")
        if listed.why == "edge" and (not manifest.asked.is_range or answers.isdisjoint((listed.position - 1, listed.position + 1))):
            raise _Unfounded(listed, "stands at the edge of no time range")
    cleared = {listed.position: listed for listed in manifest.events if listed.why == "approval"}
    if (stray := stray_link(cleared, events)) is not None:
        raise _Unfounded(cleared[stray], "decides about no purge here")
    if manifest.asked.event is not None and sum(listed.why == "asked" for listed in manifest.events) != 1:
        raise BundleRefused(f"{MANIFEST_FILE} is about one event and calls several the one that was asked about.")


def is_key_history(verified: Verified) -> bool:
    """Tell whether an event belongs to the key history: key events, the root's sessions whole, and the gaps on record.

    The root's other events are there so that its sessions have no holes: a key event that was left out would be one.
    """
    event = verified.event
    return event.kind.startswith("key.") or event.author == ROOT or isinstance(event, RecordGap)


def is_whole_range(manifest: Manifest, events: Sequence[tuple[Listed, Verified]], size: int) -> bool:
    """Tell whether a time range is shown to be complete: its positions have no hole and its neighbours lie outside of it.

    `size` is that of the log. The ledger's time does not run back, so what lies beyond a neighbour is outside as well.
    """
    asked, times = manifest.asked, {verified.position: verified.recorded_at for _, verified in events}
    answers = [listed.position for listed in manifest.events if listed.why == "asked"]
    first, last = answers[0], answers[-1]
    if not asked.is_range or last - first != len(answers) - 1:
        return False
    before, after = times.get(first - 1), times.get(last + 1)
    begins = first == 0 or (asked.since is not None and before is not None and before < asked.since)
    ends = last == size - 1 or (asked.until is not None and after is not None and after > asked.until)
    return begins and ends


def missing_causes(events: Sequence[tuple[Listed, Verified]]) -> Iterator[str]:
    """Yield the ids of causes that asked-about events and their causes name and that are not in the bundle."""
    present = {verified.event.id for _, verified in events}
    return (str(cause) for cause in dict.fromkeys(_causes(events)) if cause not in present)


def purges(verified: Verified, positions: Collection[int]) -> bool:
    """Tell whether an event is a purge of payloads at one of these positions."""
    return isinstance(verified.event, RecordPurged) and any(place in positions for place in verified.event.positions)


def _causes(events: Sequence[tuple[Listed, Verified]]) -> Iterator[UUID]:
    return (cause for listed, verified in events if listed.why in ANSWER for cause in verified.event.cause)


def _answers(asked: Asked, verified: Verified, run: str | None) -> bool:
    if asked.run is not None:
        return run == asked.run
    if asked.event is not None:
        return asked.event in (str(verified.event.id), str(verified.position))
    early = asked.since is not None and verified.recorded_at < asked.since
    late = asked.until is not None and verified.recorded_at > asked.until
    return not (early or late)


class _Unfounded(BundleRefused):
    def __init__(self, listed: Listed, sentence: str) -> None:
        super().__init__(f"{MANIFEST_FILE} calls position {listed.position} `{listed.why}`; that event {sentence}.")
