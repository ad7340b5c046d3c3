"""What a webhook asks for, read from its body: a pull request at a commit, or nothing that concerns us."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from ..git import FULL_ID
from .signature import WebhookRefused

EVENT = "pull_request"
ACTIONS = ("opened", "synchronize", "reopened")
TITLE_CHARACTERS_MAX = 1_000
_FULL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,38}/[A-Za-z0-9_.-]{1,100}")
_EVENT = re.compile(r"[a-z][a-z0-9_]{0,63}")


@dataclass(frozen=True, slots=True)
class Asked:
    """A pull request that is to be reviewed, exactly at `head`. Everything but the ids and the name is untrusted text."""

    repository: str
    number: int
    base: str
    head: str
    title: str


@dataclass(frozen=True, slots=True)
class Ignored:
    """A webhook that is none of ours; `why` names event and action."""

    why: str


def read_payload(event: str | None, body: bytes) -> Asked | Ignored:
    """Return what the webhook asks for; raises WebhookRefused (400) for what is no webhook of GitHub.

    Of the event `pull_request` the actions `opened`, `synchronize` and `reopened` count; every other one is ignored by name.
    """
    if event is None or not _EVENT.fullmatch(event):
        raise WebhookRefused("The webhook does not say which event it is (X-GitHub-Event).", 400)
    try:
        payload = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise WebhookRefused("The webhook's body is no JSON; set its content type to application/json.", 400) from error
    if not isinstance(payload, dict):
        raise WebhookRefused("The webhook's body is no JSON object.", 400)
    action = payload.get("action")
    if event != EVENT or action not in ACTIONS:
        return Ignored(f"{event}.{action}" if isinstance(action, str) and _EVENT.fullmatch(action) else event)
    try:
        return _asked(payload)
    except (KeyError, TypeError) as error:
        raise WebhookRefused(f"The pull_request webhook lacks a part: {error!r:.60}.", 400) from error


def _asked(payload: dict[str, Any]) -> Asked:
    pull, repository, number = payload["pull_request"], payload["repository"]["full_name"], payload["number"]
    base, head, title = pull["base"]["sha"], pull["head"]["sha"], pull["title"]
    if not isinstance(number, int) or isinstance(number, bool) or not 0 < number < 2**53:
        raise WebhookRefused("The pull request's number is none.", 400)
    if not isinstance(repository, str) or not _FULL_NAME.fullmatch(repository) or repository.endswith((".", ".git")):
        raise WebhookRefused("The repository's name is none of GitHub.", 400)
    if not all(isinstance(one, str) and FULL_ID.fullmatch(one) for one in (base, head)):
        raise WebhookRefused("The pull request names no full commit ids.", 400)
    if not isinstance(title, str):
        raise WebhookRefused("The pull request's title is no text.", 400)
    return Asked(repository, number, base, head, title[:TITLE_CHARACTERS_MAX])
