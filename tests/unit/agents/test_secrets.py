"""No secret leaves an agent, none stands in configuration, and one that leaked is answered (T3: M8, M9, M10, M11)."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest
from tenuto.documents import Finding, Reason, Review, to_payload
from tenuto.errors import NotConfigured, Refused
from tenuto.events import AlertRaised, DecisionMade, MessageSent, SecretLeaked, SecretRotated, ToolRequested
from tenuto.gate import Action
from tenuto_agents.change import read_change
from tenuto_agents.secrets import Leak, OutputFilter, SecretScanner
from tenuto_agents.secrets.added import MESSAGES, secrets_added
from tenuto_agents.secrets.live import Live, add_live, load_live, open_scanner
from tenuto_agents.secrets.outgoing import RUNS_MAX
from tenuto_agents.secrets.references import demand_references, resolve
from tenuto_agents.secrets.response import LeakResponse
from tenuto_agents.secrets.rotation import OpenBaoRotator, RotationFailed
from tenuto_agents.secrets.watching import LogStreams, SecretWatch
from tenuto_agents.task import StopRequest, Task

from tests.unit.agents.doubles import RecordingGate, RecordingRecorder, World
from tests.unit.agents.repositories import ENVIRONMENT, Scratch
from tests.unit.agents.reviews import Reviewed

# Written in two halves, so that no scanner takes the test itself for a leak.
TOKEN = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"
PASSWORD = "correct-horse.battery~staple"
KEY = b"k" * 32
SECRETS = {
    "github-token": TOKEN, "aws-access-key": "AKIA" + "QYLPMN5HFIQR7XYA", "gitlab-token": "glpat-" + "x1Y2z3A4b5C6d7E8f9G0",
    "slack-token": "xoxb-" + "123456789012-1234567890123-AbCdEfGhIjKlMnOpQrStUvWx", "npm-token": "npm_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8",
    "private-key": "-----BEGIN " + "PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n-----END PRIVATE KEY-----",
    "url-password": "postgres://deploy:" + "S3cretPass99@db.example/shop", "assignment": 'db_password = "' + 'hunter2hXnter2"',
    "vault-token": "hvs." + "CAESIJ8a1B2c3D4e5F6g7H8i9J0", "json-web-token": "eyJhbGciOiJIUzI1NiJ9." + "eyJzdWIiOiIxMjM0NTY3ODkwIn0." + "c2lnbmF0dXJlLW9mLXRva2Vu",
}  # fmt: skip


@pytest.fixture(scope="module")
def scanner() -> SecretScanner:
    plain = SecretScanner(KEY)
    return SecretScanner(KEY, {plain.fingerprint(PASSWORD.encode()): "database-password"})


class Leaks(list[Leak]):
    """What an output filter reported."""

    def filter(self, scanner: SecretScanner) -> OutputFilter:
        return OutputFilter(scanner, self.append)


@pytest.mark.parametrize("kind", SECRETS)
def test_each_format_is_found_by_its_kind(scanner: SecretScanner, kind: str) -> None:
    assert [hit.kind for hit in scanner.find(f"see {SECRETS[kind]} there".encode())] == [kind]


@pytest.mark.parametrize(
    "innocent",
    [
        "a" * 40, "0123456789abcdef" * 4, "01a20d6d-5a00-79b0-a0ee-0c832af2bc68", "sha256:" + "ab" * 32, "password = var.db_password",
        'password = "${var.db_password}"', "https://shop.example:8443/metrics", "password_file = /run/secrets/db", "call-01a20d6d5a0079b0a0ee0c832af2bc68",
    ],
)  # fmt: skip
def test_what_only_looks_like_one_is_left_alone(scanner: SecretScanner, innocent: str) -> None:
    assert scanner.find(innocent.encode()) == []


@pytest.mark.parametrize(
    "written",
    [
        lambda secret: secret, lambda secret: f"x={secret}&y", lambda secret: base64.b64encode(f"token {secret}".encode()).decode(),
        lambda secret: quote(f"token {secret}", safe="").replace("_", "%5F").replace("~", "%7E"), lambda secret: "".join(f"%{ord(one):02x}" for one in secret),
        lambda secret: quote(quote(f"{secret} ", safe=""), safe=""), lambda secret: json.dumps({"inner": secret}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("place", ["text", "prompt"])
def test_no_spelling_of_a_secret_leaves(scanner: SecretScanner, written: Callable[[str], str], place: str) -> None:
    leaks = Leaks()
    document = Reason(text=f"I found {written(TOKEN)} in it.") if place == "text" else Review(prompt=written(TOKEN), response="x", reasoning="y")
    said = leaks.filter(scanner).screen(MessageSent, to_payload(document), "run-1")[1].decode()
    assert TOKEN[8:] not in said
    assert written(TOKEN) not in said
    assert [(leak.kind, leak.place, leak.run) for leak in leaks] == [("github-token", "message.sent", "run-1")]
    assert leaks[0].fingerprint == scanner.fingerprint(TOKEN.encode()) or "%" in written(TOKEN) or "token " in written("")
    assert TOKEN not in repr(leaks)


def test_without_the_filter_it_would_leave() -> None:
    assert TOKEN.encode() in to_payload(Reason(text=f"I found {TOKEN} in it."))[1]


@pytest.mark.parametrize("written", [lambda one: one, lambda one: base64.b64encode(one.encode()).decode(), lambda one: f"user:{one}@host"])
def test_a_secret_in_use_is_found_though_it_has_no_format(scanner: SecretScanner, written: Callable[[str], str]) -> None:
    leaks = Leaks()
    said = leaks.filter(scanner).text(f"log in with {written(PASSWORD)} now", "prompt")
    assert PASSWORD not in said
    assert written(PASSWORD) not in said
    assert [leak.kind for leak in leaks] == ["database-password"]
    assert SecretScanner(KEY).find(PASSWORD.encode()) == []


def test_a_secret_that_is_split_over_two_fields_is_found(scanner: SecretScanner) -> None:
    leaks = Leaks()
    review = Review(prompt=TOKEN[:20], response=TOKEN[20:], reasoning=" nothing else")
    said = leaks.filter(scanner).screen(DecisionMade, to_payload(review), "run-1")[1].decode()
    assert TOKEN[:20] not in said
    assert TOKEN[20:] not in said
    assert "nothing else" in said
    assert len(leaks) == 1


def test_a_secret_that_is_split_over_two_payloads_of_a_run_never_leaves_whole(scanner: SecretScanner) -> None:
    leaks = Leaks()
    outgoing = leaks.filter(scanner)
    outgoing.screen(MessageSent, to_payload(Reason(text="first " + TOKEN[:20])), "run-1")
    outgoing.screen(MessageSent, to_payload(Reason(text="something")), "run-2")
    second = outgoing.screen(MessageSent, to_payload(Reason(text=TOKEN[20:] + " rest")), "run-1")[1].decode()
    assert TOKEN[20:] not in second
    assert len(leaks) == 1
    for number in range(RUNS_MAX + 1):
        outgoing.screen(MessageSent, to_payload(Reason(text="x")), f"other-{number}")
    assert len(outgoing._tails) == RUNS_MAX


def test_a_payload_without_a_secret_is_not_touched(scanner: SecretScanner) -> None:
    payload = ("application/json", b'{ "b": 1.0,\n "a": [true, null, "\\u00e4"] }')
    leaks = Leaks()
    assert leaks.filter(scanner).screen(MessageSent, payload, None) is payload
    assert leaks == []


def test_a_payload_that_is_no_json_is_cleaned_as_text(scanner: SecretScanner) -> None:
    leaks = Leaks()
    for media in ("text/plain", "application/json"):
        assert TOKEN.encode() not in leaks.filter(scanner).screen(MessageSent, (media, f"{{ {TOKEN}".encode()), None)[1]


def test_a_tool_is_not_called_with_a_secret_in_its_arguments(scanner: SecretScanner) -> None:
    world, called, leaks = World(), [], Leaks()
    recorder = RecordingRecorder(world, "deployment")
    task = Task(recorder, RecordingGate(recorder), "run-1", (uuid4(),), StopRequest(), leaks.filter(scanner))  # type: ignore[arg-type]
    action = Action(tool="http.post", resource="web:paste", digest="d" * 64, arguments={"body": {"lines": ["x", TOKEN]}})
    with pytest.raises(Refused, match="a reference to it") as caught:
        task.act(action, lambda: called.append(1))  # type: ignore[func-returns-value,arg-type,return-value]
    assert (called, caught.value.reason, world.events(ToolRequested)) == ([], "secret", [])
    assert [(leak.kind, leak.place) for leak in leaks] == [("github-token", "http.post")]


def test_a_setting_that_holds_a_secret_is_refused_at_load(scanner: SecretScanner) -> None:
    demand_references({"kafka": "host:9092", "database_url": "postgresql://tenuto@db.example/tenuto", "none": None}, scanner)
    for name, value in (("database_url", SECRETS["url-password"]), ("model_api_key", "q8W-e7R_t6Y+u5I"), ("x", f"a {TOKEN}")):
        with pytest.raises(NotConfigured, match=f"{name} holds a literal secret"):
            demand_references({name: value}, scanner)


def test_a_reference_is_a_file_that_nobody_else_may_read(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_bytes(b"value\n")
    file.chmod(0o600)
    assert resolve(f"file:{file}") == b"value"
    file.chmod(0o644)
    with pytest.raises(NotConfigured, match="chmod 600"):
        resolve(f"file:{file}")
    file.chmod(0o600)
    file.write_bytes(b"\n")
    for wrong, sentence in ((f"file:{file}", "is empty"), (f"file:{tmp_path / 'no'}", "cannot be read"), ("hunter2", "never itself")):
        with pytest.raises(NotConfigured, match=sentence):
            resolve(wrong)


def test_the_list_of_secrets_in_use_holds_none_of_them(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir(mode=0o700)
    fingerprint = add_live(tmp_path, tmp_path / "keys", PASSWORD.encode(), Live("database-password", "agent"))
    assert load_live(tmp_path) == {fingerprint: Live("database-password", "agent")}
    assert PASSWORD not in (tmp_path / "live-secrets.json").read_text()
    assert [hit.kind for hit in open_scanner(tmp_path, tmp_path / "keys").find(PASSWORD.encode())] == ["database-password"]
    with pytest.raises(NotConfigured, match="at least 8"):
        add_live(tmp_path, tmp_path / "keys", b"short12", Live("x"))
    (tmp_path / "live-secrets.json").write_text("[]")
    with pytest.raises(NotConfigured, match="no list"):
        load_live(tmp_path)


def test_secrets_that_are_put_on_the_list_at_once_are_all_on_it(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir(mode=0o700)
    secrets = [f"{PASSWORD}-{number}".encode() for number in range(24)]
    with ThreadPoolExecutor(8) as pool:
        added = list(pool.map(lambda secret: add_live(tmp_path, tmp_path / "keys", secret, Live("x")), secrets))
    assert load_live(tmp_path).keys() == set(added)


class Rotating:
    """A rotator that remembers, or is away."""

    def __init__(self, *, away: bool = False) -> None:
        self.away, self.rotated = away, list[str]()

    def rotate(self, role: str) -> None:
        if self.away:
            raise RotationFailed("The secrets manager gave no answer.")
        self.rotated.append(role)


class Site:
    """A keeper who watches one folder of logs."""

    def __init__(self, folder: Path, scanner: SecretScanner, rotator: Rotating) -> None:
        self.world, self.asked, self.rotator, self.streams = World(), list[int](), rotator, LogStreams(folder)
        live = {scanner.fingerprint(PASSWORD.encode()): Live("database-password", "agent")}
        response = LeakResponse(
            RecordingRecorder(self.world, "keeper"), live, rotator=rotator, ask_purge=self.ask, new_id=uuid4  # type: ignore[arg-type]
        )
        self.watch = SecretWatch(scanner, response, "keeper")

    def ask(self, position: int) -> str:
        self.asked.append(position)
        return "approval-1"

    def look(self) -> None:
        for name, lines in self.streams.new_lines():
            self.watch.look_at_lines(name, lines)

    def rules(self) -> list[str]:
        return [alert.rule for alert in self.world.events(AlertRaised)]


def test_a_secret_in_a_log_stream_is_recorded_told_and_rotated_once(tmp_path: Path, scanner: SecretScanner) -> None:
    site, file = Site(tmp_path, scanner, Rotating()), tmp_path / "Agent 1.log"
    file.write_text("all is well\nconnecting with ")
    site.look()
    assert site.world.events(SecretLeaked) == []
    with file.open("a") as stream:
        stream.write(f"{PASSWORD}\n")
    site.look()
    site.look()
    leaked = site.world.events(SecretLeaked)[0]
    assert (leaked.secret_type, leaked.place, leaked.refs) == ("database-password", "log:agent-1.log", ("T3", "M10"))
    assert [event.fingerprint for event in site.world.events(SecretRotated)] == [leaked.fingerprint]
    assert site.world.events(SecretRotated)[0].cause == (leaked.id,)
    assert (site.rules(), site.rotator.rotated) == (["secret.leaked"], ["agent"])
    file.write_text(f"anew {PASSWORD}\n")
    site.look()
    assert len(site.world.events(SecretLeaked)) == 1


def test_a_rotation_that_fails_is_an_alert_and_never_said_to_have_happened(tmp_path: Path, scanner: SecretScanner) -> None:
    site = Site(tmp_path, scanner, Rotating(away=True))
    site.watch.look_at_lines("a.log", f"{PASSWORD} and {TOKEN}\n".encode())
    assert site.world.events(SecretRotated) == []
    assert sorted(site.rules()) == ["secret.leaked", "secret.leaked", "secret.not_rotatable", "secret.rotation_failed"]
    assert "critical" in {alert.severity for alert in site.world.events(AlertRaised)}


def test_a_secrets_manager_that_is_away_or_says_no_has_not_rotated() -> None:
    with pytest.raises(RotationFailed, match="no answer"):
        OpenBaoRotator("http://127.0.0.1:9", b"t").rotate("agent")
    for wrong in ("bao.example", "https://user:pw@bao.example", "ftp://bao.example"):
        with pytest.raises(NotConfigured):
            OpenBaoRotator(wrong, b"t")


def push(server: Path, work: Scratch, ref: str = "change") -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", "push", "-q", str(server), ref], cwd=work.path, env=ENVIRONMENT, capture_output=True, text=True, check=False)


@pytest.fixture
def server(tmp_path: Path) -> Path:
    path = tmp_path / "server.git"
    subprocess.run(["git", "init", "-q", "--bare", str(path)], env=ENVIRONMENT, check=True)
    return path


def test_a_push_with_a_secret_is_refused_by_the_server(tmp_path: Path, server: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TENUTO_")} | {"TENUTO_HOME": str(tmp_path / "home")}
    subprocess.run([sys.executable, "-m", "tenuto", "secret", "hook", str(server)], check=True, capture_output=True, env=environment)
    hook = server / "hooks" / "pre-receive"
    hook.write_text(hook.read_text().replace("exec ", f"export PYTHONPATH={os.environ.get('PYTHONPATH', '')} TENUTO_HOME={tmp_path}\nexec "))
    work = Scratch(tmp_path / "work")
    assert push(server, work, "main").returncode == 0
    work.commit({"config.py": f"TOKEN = '{TOKEN}'\n"}, "add")
    work.commit({"config.py": "TOKEN = None\n"}, "take it out again")  # it stays in the history
    refused = push(server, work)
    assert refused.returncode != 0
    assert "refs/heads/change is refused: it would bring in a secret (github-token)" in refused.stderr
    assert TOKEN not in refused.stderr
    hook.unlink()
    assert push(server, work).returncode == 0, "without the hook the server takes it"


def test_whoever_takes_a_secret_out_may_push(tmp_path: Path, scanner: SecretScanner, server: Path) -> None:
    from tenuto_agents.git import Repository
    from tenuto_agents.secrets.watching import secrets_of_push

    work = Scratch(tmp_path / "work", {"config.py": f"TOKEN = '{TOKEN}'\n"})
    head = work.commit({"config.py": "TOKEN = None\n"}, "take it out")
    push(server, work, "main")
    work.git("push", "-q", str(server), f"{head}:refs/tmp/x")
    subprocess.run(["git", "update-ref", "-d", "refs/tmp/x"], cwd=server, env=ENVIRONMENT, check=True)
    found: list[Any] = list(secrets_of_push(Repository(server), [f"{'0' * 40} {head} refs/heads/change\n", f"{head} {'0' * 40} refs/heads/old\n"], scanner))
    assert found == []


@pytest.mark.parametrize("kind", ["github-token", "aws-access-key", "private-key", "assignment"])
def test_a_secret_that_a_pull_request_adds_is_a_grave_finding_and_never_on_record(tmp_path: Path, scanner: SecretScanner, kind: str) -> None:
    before = f"x = 1\n{SECRETS[kind]}\n"
    old = read_added(tmp_path / "old", {"settings.txt": before}, {"settings.txt": "x = 2\n"}, scanner)
    assert old == (), "whoever takes it out does the right thing"
    found = read_added(tmp_path / "new", {"settings.txt": "x = 1\n"}, {"settings.txt": f"x = 1\n\n{SECRETS[kind]}\n"}, scanner)
    assert [(one.severity, one.file, one.line, one.rule) for one in found] == [("high", "settings.txt", 3, f"secret.{kind}")]
    assert not any(part in found[0].message for part in SECRETS[kind].split("\n") if len(part) > 8)


def test_a_secret_in_a_message_a_binary_or_an_encoding_is_found_too(tmp_path: Path, scanner: SecretScanner) -> None:
    binary = b"\0\1" + TOKEN.encode() + b"\0"
    encoded = base64.b64encode(PASSWORD.encode()).decode()
    files = {"blob": binary, "a.py": f"K = '{encoded}'\n"}
    found = read_added(tmp_path, {"README": "x\n"}, files, scanner, message=f"use {TOKEN}")
    assert [(one.file, one.rule) for one in found] == [
        ("a.py", "secret.database-password"), ("blob", "secret.github-token"), (MESSAGES, "secret.github-token"),
    ]  # fmt: skip


def test_the_review_of_a_change_with_a_secret_is_not_forwarded_though_the_model_approves(tmp_path: Path, scanner: SecretScanner) -> None:
    changed = Reviewed(tmp_path, {"config.ini": f"token = {TOKEN}\n"})
    changed.task = replace(changed.task, outgoing=Leaks().filter(scanner))
    changed.review()
    (decided,) = changed.of(DecisionMade)
    assert (decided.verdict, decided.findings, decided.diverges, changed.forwarded) == ("approve", 1, True, False)
    (finding,) = changed.world.document(decided).findings
    assert TOKEN not in finding.message
    assert scanner.fingerprint(TOKEN.encode())[:16] in finding.message


def read_added(
    path: Path, base: dict[str, str | bytes], head: dict[str, str | bytes], scanner: SecretScanner, message: str = "change"
) -> tuple[Finding, ...]:
    """What the review finds in a change of a real repository."""
    scratch = Scratch(path, base)
    scratch.commit(head, message)
    return secrets_added(read_change(path, "main", "change"), scanner.find)
