"""Where a pull request enters the road: the pipeline says which commits a run is about, and asks for their review."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

from tenuto.clock import NewId, new_uuid7
from tenuto.documents import Handover
from tenuto.events import RunStarted
from tenuto.recorder import Recorder

from .change import read_change
from .code_review import TOPIC_REQUESTED
from .evidence import CODE_REVIEW, PIPELINE

WORKFLOW = "pull-request"

__all__ = ["PIPELINE", "submit_change"]


def submit_change(
    recorder: Recorder, repository: Path, base: str, head: str, *, title: str, seconds: float, new_id: NewId = new_uuid7
) -> str:
    """Start a run for the change and send it to the review; return the run's name once the ledger has it.

    Raises RepositoryRefused for a change that cannot be read, Busy when no receipt came within `seconds`.
    """
    change = read_change(repository, base, head, title=title)
    run = run_name(change.head, new_id())
    document = change.document()
    started = recorder.record(
        RunStarted, document=document, run=run, workflow=WORKFLOW, base=change.base, head=change.head
    )
    sent = recorder.send(CODE_REVIEW, TOPIC_REQUESTED, Handover(pull_request=document), run=run, cause=(started.id,))
    recorder.wait(sent, seconds)
    return run


def run_name(head: str, identity: UUID) -> str:
    """Name a run by the commit it is about and an id of its own: a commit may be submitted again."""
    return f"pr-{head[:8]}-{identity.hex[-8:]}"
