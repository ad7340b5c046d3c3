"""The way back: a verdict becomes a review on the platform, bound to the commit that was reviewed.

An approval is only posted while that commit still is the head: what was pushed since was not reviewed, and has its own
webhook. A verdict against the analysis is posted as a request for changes, whatever the model said. The text is fixed but
for a few names of ours; nothing that a model or a pull request wrote is sent where a person might take it for ours.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from typing import Any, Protocol

from tenuto.errors import Busy
from tenuto.events import DecisionMade
from tenuto.verified import Verified

from ..evidence import CODE_REVIEW
from .calling import Api, PlatformRefused
from .memory import Memory, Submitted

EVENTS = {"approve": "APPROVE", "reject": "REQUEST_CHANGES", "comment": "COMMENT"}
log = logging.getLogger(__name__)


class GitPlatform(Protocol):
    """A platform where people look at pull requests."""

    def head(self, repository: str, number: int) -> str:
        """Return the full commit id that is the pull request's head now. Raises Busy, PlatformRefused."""
        ...

    def review(self, repository: str, number: int, commit: str, event: str, body: str) -> None:
        """Post a review of exactly this commit; event is one of EVENTS. Raises Busy, PlatformRefused."""
        ...


class GitHub:
    """GitHub's REST API, version 2022-11-28."""

    def __init__(self, token: bytes, api: str = "https://api.github.com") -> None:
        """`token` may write pull request reviews and needs nothing else. Raises NotConfigured for another kind of address."""
        headers = {
            "Accept": "application/vnd.github+json", "Authorization": f"Bearer {token.decode('ascii', errors='replace')}",
            "X-GitHub-Api-Version": "2022-11-28", "Content-Type": "application/json",
        }  # fmt: skip
        self._api = Api("GitHub", api, headers)

    def head(self, repository: str, number: int) -> str:
        """`GET /repos/{owner}/{repo}/pulls/{pull_number}`."""
        return str(self._call("GET", f"/repos/{repository}/pulls/{number}", None)["head"]["sha"])

    def review(self, repository: str, number: int, commit: str, event: str, body: str) -> None:
        """`POST /repos/{owner}/{repo}/pulls/{pull_number}/reviews`."""
        self._call("POST", f"/repos/{repository}/pulls/{number}/reviews", {"commit_id": commit, "event": event, "body": body})

    def _call(self, method: str, path: str, body: dict[str, Any] | None) -> Any:
        text = self._api.call(method, path, None if body is None else json.dumps(body).encode()).text
        try:
            return json.loads(text)
        except ValueError as error:
            raise Busy(f"GitHub answered {method} {path} with something else than JSON.") from error


class Answering:
    """Posts each verdict once it is signed into the ledger."""

    def __init__(self, memory: Memory, platform: GitPlatform) -> None:
        """`memory` knows which run answers which pull request."""
        self._memory, self._platform = memory, platform
        self._waiting: dict[str, DecisionMade] = {}

    def take(self, events: Iterable[Verified]) -> None:
        """Note the verdicts of the code review among verified events, then try to post what is not posted yet."""
        for verified in events:
            event = verified.event
            if isinstance(event, DecisionMade) and event.author == CODE_REVIEW and verified.key.role == "agent" and event.run:
                self._waiting[event.run] = event
        for run, decided in list(self._waiting.items()):
            submitted = self._memory.unanswered(run)
            try:
                if submitted is not None:
                    self._post(submitted, decided)
                    self._memory.answered(run)
            except Busy as busy:
                log.warning("The verdict of %s waits: %s", run, busy)
                continue
            except PlatformRefused as refusal:
                log.error("The verdict of %s cannot be posted: %s", run, refusal)
                self._memory.answered(run)
            del self._waiting[run]

    def _post(self, submitted: Submitted, decided: DecisionMade) -> None:
        verdict = "reject" if decided.diverges else decided.verdict
        head = self._platform.head(submitted.repository, submitted.number)
        if verdict == "approve" and head != submitted.head:
            raise PlatformRefused(f"{submitted.head} is not the head any more; an approval of it would be taken for one of {head}.")
        body = (
            f"Review of commit {submitted.head} by {decided.author} ({decided.model}): {verdict}, {decided.findings} findings of static"
            f" analysis. The record of it is the run {submitted.run}; `tenuto replay {submitted.run}` shows it."
        )
        self._platform.review(submitted.repository, submitted.number, submitted.head, EVENTS[verdict], body)
