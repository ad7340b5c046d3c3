"""Webhooks: forged, replayed, oversized and moved ones are refused, GitHub's own are understood, and the verdict goes back."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from tenuto.errors import Busy, NotConfigured
from tenuto.events import DecisionMade
from tenuto_agents.webhooks import reception
from tenuto_agents.webhooks.answering import Answering, GitHub, PlatformRefused
from tenuto_agents.webhooks.memory import Memory, Submitted
from tenuto_agents.webhooks.mirrors import Mirrors
from tenuto_agents.webhooks.payload import ACTIONS, Asked, Ignored, read_payload
from tenuto_agents.webhooks.reception import BODY_BYTES_MAX, Reception
from tenuto_agents.webhooks.server import application
from tenuto_agents.webhooks.signature import WebhookRefused

from tests.unit.agents.doubles import World
from tests.unit.agents.github_payloads import github_examples
from tests.unit.agents.repositories import Scratch

SECRET = b"0123456789abcdef0123456789abcdef"
NAME = "acme/shop"


class Site:
    """A mirror of a repository whose pull request 7 is one commit, and a reception before it."""

    def __init__(self, folder: Path) -> None:
        self.work = Scratch(folder / "upstream")
        self.base, self.head = self.work.base, self.work.commit({"a.py": "x = 1\n"})
        self.folder = folder
        self.work.git("clone", "-q", "--mirror", str(self.work.path), str(folder / "mirrors" / f"{NAME}.git"))
        self.submitted: list[tuple[Path, Asked]] = []
        self.busy = False
        self.door = self.open_again()

    def open_again(self) -> Reception:
        """The reception after a restart: all it knows is in its file."""
        self.memory = Memory(self.folder / "state" / "memory.sqlite")
        self.door = Reception(SECRET, self.memory, Mirrors(self.folder / "mirrors", protocols=("file",)), self.submit)
        return self.door

    def submit(self, path: Path, asked: Asked) -> str:
        if self.busy:
            raise Busy("no receipt came")
        self.submitted.append((path, asked))
        return f"pr-{len(self.submitted)}"

    def body(self, action: str = "opened", **over: Any) -> bytes:
        pull = {"base": {"sha": over.get("base", self.base)}, "head": {"sha": over.get("head", self.head)}, "title": over.get("title", "t")}
        return json.dumps({
            "action": action, "number": over.get("number", 7), "pull_request": pull, "repository": {"full_name": over.get("name", NAME)},
        }).encode()  # fmt: skip

    def headers(self, body: bytes, delivery: str = "delivery-1", **over: str | None) -> dict[str, str]:
        signed = "sha256=" + hmac.new(SECRET, body, hashlib.sha256).hexdigest()
        found = {"x-hub-signature-256": signed, "x-github-delivery": delivery, "x-github-event": "pull_request"}
        return {name: value for name, value in (found | over).items() if value is not None}

    def send(self, body: bytes, delivery: str = "delivery-1", **over: str | None) -> int:
        return self.door.take(self.headers(body, delivery, **over), body).status


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_a_pull_request_becomes_a_submission_by_commit_id(site: Site) -> None:
    assert site.send(site.body(title="Fix\u202e it")) == 202
    path, asked = site.submitted[0]
    assert (asked.base, asked.head, asked.number, path.name) == (site.base, site.head, 7, "shop.git")
    assert site.memory.unanswered("pr-1") == Submitted("pr-1", NAME, 7, site.head)


def test_each_push_is_reviewed_anew(site: Site) -> None:
    assert site.send(site.body()) == 202
    later = site.work.commit({"a.py": "x = 2\n"})
    site.work.git("update-ref", "refs/pull/7/head", later)
    assert site.send(site.body("synchronize", head=later), "delivery-2") == 202
    assert [asked.head for _, asked in site.submitted] == [site.head, later]


@pytest.mark.parametrize(
    ("over", "status"),
    [
        ({"x-hub-signature-256": None}, 401), ({"x-hub-signature-256": "sha256="}, 401), ({"x-hub-signature-256": "sha256=" + "0" * 64}, 401),
        ({"x-hub-signature-256": "sha1=" + "0" * 40}, 401), ({"x-hub-signature-256": "é"}, 401), ({"x-github-delivery": None}, 400),
        ({"x-github-delivery": "a b"}, 400), ({"x-github-event": None}, 400), ({"x-github-event": "../x"}, 400),
    ],
)  # fmt: skip
def test_a_forged_or_unnamed_webhook_is_refused(site: Site, over: dict[str, str | None], status: int) -> None:
    assert site.send(site.body(), **over) == status
    assert site.submitted == []


def test_a_sha1_signature_alone_is_refused_though_it_is_right(site: Site) -> None:
    body = site.body()
    old = "sha1=" + hmac.new(SECRET, body, hashlib.sha1).hexdigest()
    assert site.send(body, **{"x-hub-signature-256": None, "x-hub-signature": old}) == 401


def test_nothing_is_parsed_before_the_signature_holds(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reception, "read_payload", lambda *_: pytest.fail("it was parsed"))
    assert site.send(b"{" * 1000, **{"x-hub-signature-256": "sha256=" + "0" * 64}) == 401


def test_without_the_signature_check_a_forgery_would_be_reviewed(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reception, "verify_signature", lambda *_: None)
    assert site.send(site.body(), **{"x-hub-signature-256": "sha256=" + "0" * 64}) == 202


def test_a_replay_is_refused_also_under_another_id_and_after_a_restart(site: Site) -> None:
    body = site.body()
    assert site.send(body) == 202
    for _ in range(2):
        assert site.send(body) == 409
        assert site.send(body, "delivery-2") == 409  # the id is not signed
        assert site.send(site.body("reopened"), "delivery-1") == 409
        site.open_again()
    assert len(site.submitted) == 1


def test_a_delivery_that_was_cut_off_may_come_again(site: Site) -> None:
    body = site.body()
    site.busy = True
    assert site.send(body) == 503
    site.open_again()
    site.busy = False
    assert site.send(body) == 202
    assert site.send(body) == 409


def test_what_is_no_pull_request_is_ignored_by_name(site: Site) -> None:
    for event, action, why in (("push", None, "push"), ("pull_request", "closed", "pull_request.closed"), ("ping", None, "ping")):
        body = json.dumps({"action": action, "of": event}).encode()
        answer = site.door.take(site.headers(body, "delivery-" + event.replace("_", "-"), **{"x-github-event": event}), body)
        assert (answer.status, answer.sentence) == (200, f"{why} is none of ours.")
    assert site.submitted == []


@pytest.mark.parametrize(
    "over",
    [
        {"name": "../../etc"}, {"name": "acme/.."}, {"name": "acme/shop.git"}, {"name": 7}, {"number": 0}, {"number": True}, {"number": "7"},
        {"head": "main"}, {"head": "a" * 39}, {"base": None}, {"title": None},
    ],
)  # fmt: skip
def test_a_pull_request_with_a_crooked_part_is_refused(site: Site, over: dict[str, Any]) -> None:
    assert site.send(site.body(**over)) == 400
    assert site.submitted == []


def test_a_repository_without_a_mirror_and_a_head_that_moved_are_refused(site: Site) -> None:
    assert site.send(site.body(name="evil/shop")) == 404
    site.work.git("update-ref", "refs/pull/7/head", site.head)
    assert site.send(site.body(head="b" * 40), "delivery-2") == 409
    assert site.submitted == []


@pytest.mark.parametrize(("size", "status"), [(0, 200), (1, 413)])
def test_a_body_counts_up_to_its_limit(site: Site, size: int, status: int) -> None:
    body = b'{"action": "closed"}'.ljust(BODY_BYTES_MAX + size)
    with TestClient(application(site.door)) as client:
        headers = site.headers(body)
        assert client.post("/github", content=body, headers=headers).status_code == status
        chunks = (body[at : at + 1024**2] for at in range(0, len(body), 1024**2))
        assert client.post("/github", content=chunks, headers=headers).status_code in (409, 413)


def test_the_server_answers_over_http(site: Site) -> None:
    body = site.body()
    with TestClient(application(site.door)) as client:
        assert client.post("/github", content=body).status_code == 401
        told = client.post("/github", content=body, headers=site.headers(body))
        assert (told.status_code, told.json()) == (202, {"message": "Under review as pr-1."})
        assert client.get("/github").status_code == 405
        assert client.get("/healthz").json() == {"healthy": True}


def test_a_weak_secret_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotConfigured, match="at least 16"):
        Reception(b"x" * 15, Memory(tmp_path / "m"), Mirrors(tmp_path), lambda *_: "")


def test_every_webhook_that_github_publishes_is_understood_or_ignored_by_name() -> None:
    examples = github_examples()
    asked = [found for event, payload in examples if isinstance(found := read_payload(event, json.dumps(payload).encode()), Asked)]
    ignored = [found.why for event, payload in examples if isinstance(found := read_payload(event, json.dumps(payload).encode()), Ignored)]
    wanted = [payload for event, payload in examples if event == "pull_request" and payload["action"] in ACTIONS]
    assert len(asked) == len(wanted) >= 5
    assert len(asked) + len(ignored) == len(examples) > 300
    assert {"push", "ping", "pull_request.closed"} <= set(ignored)
    assert asked[0].head == wanted[0]["pull_request"]["head"]["sha"]


def test_a_deep_or_broken_body_is_refused() -> None:
    for body in (b"", b"[]", b"[" * 100_000, b"\xff", b'{"action": "opened"}'):
        with pytest.raises(WebhookRefused):
            read_payload("pull_request", body)


class Platform:
    """A platform that remembers its reviews."""

    def __init__(self, head: str) -> None:
        self.now, self.reviews, self.away = head, list[tuple[Any, ...]](), False

    def head(self, repository: str, number: int) -> str:
        if self.away:
            raise Busy("away")
        return self.now

    def review(self, *review: Any) -> None:
        self.reviews.append(review)


def decide(memory: Memory, *, author: str = "code-review", **fields: Any) -> World:
    memory.claim("d", "b")
    memory.done("d", Submitted("pr-1", NAME, 7, "a" * 40))
    world = World()
    verdict = {"verdict": "approve", "model": "m", "subject": "commit", "subject_digest": "c" * 64, "run": "pr-1"}
    world.add(DecisionMade, author, None, **(verdict | fields))
    return world


@pytest.mark.parametrize(
    ("fields", "event"),
    [
        ({}, "APPROVE"), ({"verdict": "reject"}, "REQUEST_CHANGES"), ({"verdict": "comment"}, "COMMENT"),
        ({"diverges": True, "findings": 2}, "REQUEST_CHANGES"),
    ],
)  # fmt: skip
def test_the_verdict_goes_back_once_for_the_commit_that_was_reviewed(tmp_path: Path, fields: dict[str, Any], event: str) -> None:
    memory, platform = Memory(tmp_path / "m"), Platform("a" * 40)
    world = decide(memory, **fields)
    for _ in range(2):
        Answering(memory, platform).take(world.entries)
    assert [review[:4] for review in platform.reviews] == [(NAME, 7, "a" * 40, event)]
    assert "tenuto replay pr-1" in platform.reviews[0][4]


def test_an_approval_of_a_commit_that_is_not_the_head_is_not_posted(tmp_path: Path) -> None:
    memory, platform = Memory(tmp_path / "m"), Platform("b" * 40)
    Answering(memory, platform).take(decide(memory).entries)
    assert platform.reviews == []
    assert memory.unanswered("pr-1") is None


def test_another_authors_verdict_is_not_posted_and_an_outage_is_waited_for(tmp_path: Path) -> None:
    memory, platform = Memory(tmp_path / "m"), Platform("a" * 40)
    world = decide(memory, author="infrastructure")
    answering = Answering(memory, platform)
    answering.take(world.entries)
    assert platform.reviews == []
    world.add(DecisionMade, "code-review", None, verdict="reject", model="m", subject="commit", subject_digest="c" * 64, run="pr-1")
    platform.away = True
    answering.take(world.entries)
    platform.away = False
    answering.take([])
    assert len(platform.reviews) == 1


class Api(BaseHTTPRequestHandler):
    """As much of GitHub's API as we call, answering in its words."""

    seen: list[tuple[str, str, str | None, Any]]
    status = 200

    def do_GET(self) -> None:
        self._answer({"number": 7, "head": {"sha": "a" * 40}})

    def do_POST(self) -> None:
        self._answer({"id": 1, "state": "APPROVED"})

    def _answer(self, found: Any) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.seen.append((self.command, self.path, self.headers["Authorization"], json.loads(body) if body else None))
        text = json.dumps(found).encode()
        self.send_response(self.status)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is printed."""


@pytest.fixture
def api() -> Iterator[tuple[type[Api], GitHub]]:
    kind = type("OneApi", (Api,), {"seen": []})
    server = HTTPServer(("127.0.0.1", 0), kind)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield kind, GitHub(b"tok", f"http://127.0.0.1:{server.server_port}/api/v3")
    server.shutdown()
    thread.join()
    server.server_close()


def test_github_is_called_as_its_reference_says(api: tuple[type[Api], GitHub]) -> None:
    kind, github = api
    assert github.head(NAME, 7) == "a" * 40
    github.review(NAME, 7, "a" * 40, "APPROVE", "text")
    assert kind.seen == [
        ("GET", "/api/v3/repos/acme/shop/pulls/7", "Bearer tok", None),
        ("POST", "/api/v3/repos/acme/shop/pulls/7/reviews", "Bearer tok", {"commit_id": "a" * 40, "event": "APPROVE", "body": "text"}),
    ]


@pytest.mark.parametrize(("status", "outcome"), [(404, PlatformRefused), (422, PlatformRefused), (403, Busy), (429, Busy), (502, Busy)])
def test_an_answer_of_github_is_final_or_waited_out(api: tuple[type[Api], GitHub], status: int, outcome: type[Exception]) -> None:
    kind, github = api
    kind.status = status
    with pytest.raises(outcome):
        github.review(NAME, 7, "a" * 40, "APPROVE", "text")


def test_a_token_is_sent_to_github_only_over_tls() -> None:
    for wrong in ("http://api.github.com", "ftp://x", "https://user:pw@x", "api.github.com"):
        with pytest.raises(NotConfigured):
            GitHub(b"t", wrong)
