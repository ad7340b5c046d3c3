"""Requests become submissions, once for each published diff, and what cannot be reviewed is said on the platform."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from pathlib import Path

from tenuto.errors import Busy, TenutoError

from ..git import RepositoryRefused
from ..text import visible_line
from ..webhooks.calling import PlatformRefused
from ..webhooks.memory import Memory, Submitted
from ..webhooks.signature import WebhookRefused
from .board import Request, ReviewBoard, Revision
from .importing import Mirrored

log = logging.getLogger(__name__)

Submit = Callable[[Path, str, str, str], str]
"""Puts the change in a mirror from a base to a head, with a title, on the road; returns its run once the ledger has it."""


class Watch:
    """Looks at the platform and is the `GitPlatform` that verdicts go back to. Belongs to one thread."""

    def __init__(self, board: ReviewBoard, memory: Memory, mirrored: Mirrored, submit: Submit) -> None:
        """`memory` is this platform's own file: it knows which diffs were taken, and which run reviews which request."""
        self._board, self._memory, self._mirrored, self._submit = board, memory, mirrored, submit
        self._looked: dict[int, str] = {}

    def look(self) -> int:
        """Submit every diff that waits and was not taken yet; return how many.

        Raises Busy when platform or ledger are away; what was not finished then is taken up by the next look. A request whose
        mirror or diff cannot be had now is tried again as well, and holds nothing else up.
        """
        taken = 0
        for request in list(self._board.waiting()):
            if self._looked.get(request.number) == request.latest:
                continue
            try:
                found = self._find(request)
            except Busy as away:
                log.warning("Review request %s waits: %s", request.number, away)
                continue
            taken += found is not None and self._take(request, *found)
            self._looked[request.number] = request.latest
        return taken

    def head(self, repository: str, number: int) -> str:
        """Return the commit that the newest published diff of a request is; see `GitPlatform.head`."""
        request, revision = self._board.request(number), self._board.newest(number)
        if revision is None or request.repository != repository:
            raise PlatformRefused(f"The review request {number} has no diff of {repository} any more.")
        return self._mirrored.bring(request, revision)[1]

    def review(self, repository: str, number: int, commit: str, event: str, body: str) -> None:
        """Post the verdict: "Ship It!" for an approval, an open issue for a request for changes; see `GitPlatform.review`."""
        self._board.review(number, body, ship_it=event == "APPROVE", block=event == "REQUEST_CHANGES")

    def _find(self, request: Request) -> tuple[Revision, Path, str] | None:
        """Return the newest diff, its mirror and its commit, if it is to be reviewed; raises Busy for what only it waits for."""
        try:
            revision = self._board.newest(request.number)
        except PlatformRefused as refusal:
            self._decline(request, str(refusal))
            return None
        if revision is None or not self._claimed(_delivery(request, revision), _digest(request, revision)):
            return None
        try:
            return revision, *self._mirrored.bring(request, revision)
        except PlatformRefused as refusal:
            self._give_up(request, revision, refusal)
            return None

    def _take(self, request: Request, revision: Revision, path: Path, head: str) -> bool:
        try:
            run = self._submit(path, revision.base, head, request.title)
        except RepositoryRefused as refusal:
            self._give_up(request, revision, refusal)
            return False
        self._memory.done(_delivery(request, revision), Submitted(run, request.repository, request.number, head))
        log.info("Diff %s of review request %s is under review as %s", revision.number, request.number, run)
        return True

    def _give_up(self, request: Request, revision: Revision, refusal: TenutoError) -> None:
        self._tell(request, str(refusal))
        self._memory.done(_delivery(request, revision))

    def _decline(self, request: Request, sentence: str) -> None:
        """Say once what is wrong with a request whose diff cannot even be read."""
        digest = hashlib.sha256(f"{request.number}\n{sentence}".encode()).hexdigest()
        delivery = f"request-{request.number}-{digest[:16]}"
        if self._claimed(delivery, digest):
            self._tell(request, sentence)
            self._memory.done(delivery)

    def _claimed(self, delivery: str, digest: str) -> bool:
        try:
            self._memory.claim(delivery, digest)
        except WebhookRefused:
            return False
        return True

    def _tell(self, request: Request, sentence: str) -> None:
        log.warning("Review request %s is not reviewed: %s", request.number, sentence)
        try:
            self._board.review(request.number, f"This is not reviewed: {visible_line(sentence)[:500]}", ship_it=False, block=True)
        except PlatformRefused as refusal:
            log.warning("Review request %s cannot be told so: %s", request.number, refusal)


def _delivery(request: Request, revision: Revision) -> str:
    return f"diff-{request.number}-{revision.number}"


def _digest(request: Request, revision: Revision) -> str:
    """What was taken: a diff that is published again under another number is another one, and may be reviewed again."""
    head = f"{request.number}\n{revision.number}\n{revision.base}\n".encode()
    return hashlib.sha256(head + revision.diff).hexdigest()
