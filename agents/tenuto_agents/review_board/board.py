"""The REST API of Review Board (version 2.0): which requests wait for us, what their newest diff is, and the review of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from ..git import FULL_ID
from ..webhooks.calling import Answered, Api, PlatformRefused

PAGE = 50
REQUESTS_MAX = 1_000
REVISIONS_MAX = 1_000
DIFF_BYTES_MAX = 2_000_000
"""Far above what is reviewed at once, so that a change which is too large is refused for that, with its own sentence."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
SEE_OTHER = 303


@dataclass(frozen=True, slots=True)
class Request:
    """A review request that waits for us. title is untrusted text; latest names its newest published diff, if there is one."""

    number: int
    repository: str
    title: str
    submitter: str
    latest: str


@dataclass(frozen=True, slots=True)
class Revision:
    """The newest published diff of a request: its number, the commit it was made from, and its bytes."""

    number: int
    base: str
    diff: bytes


class ReviewBoard:
    """One server, as the user that a token belongs to. Every call raises Busy or PlatformRefused, and nothing else."""

    def __init__(self, token: bytes, address: str) -> None:
        """Raises NotConfigured unless the address is https, or http on this machine."""
        given = token.decode("ascii", errors="replace")
        self._api = Api("Review Board", address, {"Authorization": f"token {given}", "Accept": "application/json"})
        self._user = ""

    def user(self) -> str:
        """Return whom the token belongs to."""
        if not self._user:
            links = _part(self._get("/api/session/"), "session", "links")
            if "user" not in links:
                raise PlatformRefused("Review Board does not know the token; make one under the account's API tokens.")
            self._user = str(_part(links, "user", "title"))
        return self._user

    def waiting(self) -> Iterator[Request]:
        """Yield the open, published requests that are addressed to us, at most REQUESTS_MAX, the last changed first.

        What its repository's name or its submitter's makes no sense as a file name is left out.
        """
        asked = {"status": "pending", "to-users-directly": self.user()}
        listed = self._listed("/api/review-requests/", "review_requests", REQUESTS_MAX, asked)
        yield from (found for found in map(_request, listed) if found is not None)

    def request(self, number: int) -> Request:
        """Return one request."""
        found = _request(_part(self._get(f"/api/review-requests/{number}/"), "review_request"))
        if found is None:
            raise PlatformRefused(f"The review request {number} names no repository and no submitter that we can use.")
        return found

    def newest(self, number: int) -> Revision | None:
        """Return the newest diff of a request, None where none is published."""
        diffs = list(self._listed(f"/api/review-requests/{number}/diffs/", "diffs", REVISIONS_MAX, {}))
        if not diffs:
            return None
        if len(diffs) >= REVISIONS_MAX:
            raise PlatformRefused(f"The request has {REVISIONS_MAX} diffs or more; open a new one.")
        newest = max(diffs, key=lambda one: int(_part(one, "revision")))
        revision, base = int(_part(newest, "revision")), newest.get("base_commit_id")
        if not isinstance(base, str) or not FULL_ID.fullmatch(base):
            raise PlatformRefused("The diff does not say which commit it was made from; post it with `rbt post`.")
        diff = self._api.call("GET", f"/api/review-requests/{number}/diffs/{revision}/", headers={"Accept": "text/x-patch"}).text
        if len(diff) > DIFF_BYTES_MAX:
            raise PlatformRefused(f"The diff has {len(diff):,} bytes; at most {DIFF_BYTES_MAX:,} are read.")
        return Revision(revision, base, diff)

    def review(self, number: int, text: str, *, ship_it: bool, block: bool = False) -> None:
        """Publish a review. ship_it: it is an approval. block: an open issue goes with it, which stands in the way of one."""
        reviews = f"/api/review-requests/{number}/reviews/"
        review, left = self._draft(reviews, text, ship_it)
        if left:
            self._api.call("DELETE", f"{reviews}{review}/")
            review, _ = self._draft(reviews, text, ship_it)
        if block:
            self._send("POST", f"{reviews}{review}/general-comments/", text="Changes are asked for.", issue_opened=1)
        self._send("PUT", f"{reviews}{review}/", public=1)

    def _draft(self, reviews: str, text: str, ship_it: bool) -> tuple[int, bool]:
        """Return the id of our draft, and whether one was left by a review that was cut off before it was published."""
        answered = self._send("POST", reviews, body_top=text, ship_it=int(ship_it), public=0)
        return int(_part(_parsed(answered.text), "review", "id")), answered.status == SEE_OTHER

    def _listed(self, path: str, part: str, most: int, asked: dict[str, str]) -> Iterator[Any]:
        """Yield what a list holds, page by page: the server gives out no more at once than it likes."""
        for start in range(0, most, PAGE):
            page = _part(self._get(f"{path}?{urlencode({**asked, 'start': start, 'max-results': PAGE})}"), part)
            yield from page
            if len(page) < PAGE:
                return

    def _get(self, path: str) -> Any:
        return _parsed(self._api.call("GET", path).text)

    def _send(self, method: str, path: str, **fields: object) -> Answered:
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        return self._api.call(method, path, urlencode(fields).encode(), form, also=(SEE_OTHER,))


def _parsed(text: bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise PlatformRefused("Review Board answered with something else than JSON.") from error


def _part(answer: Any, *path: str) -> Any:
    """Follow names into an answer; raises PlatformRefused that names the part which is missing."""
    for name in path:
        if not isinstance(answer, dict) or name not in answer:
            raise PlatformRefused(f"Review Board's answer has no {'.'.join(path)}; is this version 4 or newer?")
        answer = answer[name]
    return answer


def _request(found: Any) -> Request | None:
    repository = _part(found, "links").get("repository", {}).get("title")
    submitter = _part(found, "links", "submitter", "title")
    if not all(isinstance(one, str) and _NAME.fullmatch(one) for one in (repository, submitter)) or repository.endswith((".git", ".")):
        return None
    # Not `last_updated`, which counts whole seconds: two diffs of one second would be one.
    latest = str(found["links"].get("latest_diff", {}).get("href", ""))
    return Request(int(_part(found, "id")), repository, str(_part(found, "summary")), submitter, latest)
