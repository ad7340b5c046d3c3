"""Rules about review: what goes on without the code review's word, and what people approve without looking."""

from __future__ import annotations

from tenuto.events import ApprovalRequested, ApprovalSigned, MessageSent
from tenuto.verification import Verified

from .finding import Finding, found, said
from .history import History
from .road import REVIEW, REVIEWED_TOOLS, REVIEWED_TOPICS


def unreviewed(history: History, verified: Verified) -> Finding | None:
    """A handover or a request for approval while the code review's last word in the run is no clean approval."""
    event = verified.event
    run = history.run(event)
    if run.review == "approve" or not _needs_review(verified):
        return None
    what = f"sent {said(event.topic)}" if isinstance(event, MessageSent) else "asked for an approval"
    last = {None: "there is no decision", "diverges": "the decision goes against the static analysis"}
    why = last.get(run.review, f"the last decision is {said(run.review)}")
    place = f"the run {said(event.run)}" if event.run else "no run"
    sentence = f"{said(event.author)} {what} in {place}, where {why} of {REVIEW}."
    return found("unreviewed", verified, sentence, earlier=() if run.reviewed_by is None else (run.reviewed_by,))


def unopened(history: History, verified: Verified) -> Finding | None:
    """An approval signed by a reviewer who did not open exactly this digest before."""
    event = verified.event
    if not isinstance(event, ApprovalSigned) or event.decision != "approve":
        return None
    if history.opened.get((event.author, event.approval, event.digest)):
        return None
    sentence = f"{said(event.author)} approved {said(event.approval)} without having opened it."
    return found("unopened", verified, sentence)


def _needs_review(verified: Verified) -> bool:
    event = verified.event
    if isinstance(event, ApprovalRequested):
        return event.run is not None or event.tool in REVIEWED_TOOLS
    return isinstance(event, MessageSent) and event.topic in REVIEWED_TOPICS
