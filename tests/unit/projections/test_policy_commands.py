"""`tenuto policy`: what it prints and with which exit code it ends, over a real signed ledger in memory."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer
from tenuto.documents import Arguments, PolicyQuestion
from tenuto.events import PolicyDecided, ToolRequested
from tenuto.policy.history import questions
from tenuto.policy.reference import REFERENCE_FILE
from tenuto_projections import commands
from tenuto_projections.walked import Walked
from typer.testing import CliRunner, Result

from .written import DIGEST, MemoryFollower, WrittenLedger

REFERENCE = REFERENCE_FILE.read_text()
LOOSER = REFERENCE.replace('@id("deployment.releases")\n@obligation("approval")', '@id("deployment.releases")')
ARGUMENTS = {"resources": ["one"], "open_to_world": 0}
STRICTER = REFERENCE + '\n@id("freeze") forbid(principal, action == Action::"deploy.production", resource);\n'


def decide(ledger: WrittenLedger, author: str, tool: str, resource: str, call: str, **asked: Any) -> None:
    """One question and its answer, as the gate writes them; `asked` are facts beside the defaults."""
    facts = {"role": "agent", "subject": tool, "risks": ("deletion",), "initiator": "mara"} | asked
    ledger.write(
        author, ToolRequested, Arguments(values=ARGUMENTS), call=call, tool=tool, resource=resource, digest=DIGEST
    )
    ledger.write(
        author, PolicyDecided, PolicyQuestion(**facts), call=call, effect="allow", rules=("deployment.releases",),
        bundle="b" * 64, engine="cedarpy/4.12.2", obligation="approval",
    )  # fmt: skip


@pytest.fixture
def ledger(monkeypatch: pytest.MonkeyPatch) -> WrittenLedger:
    ledger = WrittenLedger()
    for author in ("infrastructure", "deployment"):
        ledger.register(author, "agent")
    decide(ledger, "deployment", "deploy.production", "service:shop", "call-1")
    decide(ledger, "infrastructure", "terraform.apply", "stack:shop", "call-2")
    walked = Walked(ledger.trust, opens_payloads=True)
    monkeypatch.setattr(commands, "_settings", lambda: SimpleNamespace(policy=None))
    monkeypatch.setattr(commands, "_walk", lambda *_: (MemoryFollower(ledger), walked))
    return ledger


def run(*arguments: str | Path) -> Result:
    app = typer.Typer()
    commands.add_commands(app)
    return CliRunner().invoke(app, ["policy", *map(str, arguments)])


def rows(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def bundle(folder: Path, text: str) -> Path:
    file = folder / "own.cedar"
    file.write_text(text)
    return file


def test_check_prints_rules_and_digest_of_a_sound_bundle(tmp_path: Path) -> None:
    result = run("check", bundle(tmp_path, REFERENCE))
    assert result.exit_code == 0
    (row,) = rows(result)
    assert [rule["rule"] for rule in row["rules"]][:2] == ["code-review.reads", "infrastructure.reads"]
    assert len(row["bundle"]) == 64


def test_check_refuses_a_bundle_by_file_and_line(tmp_path: Path) -> None:
    result = run("check", bundle(tmp_path, REFERENCE + '\n@id("all") permit(principal, action, resource);'))
    assert result.exit_code == 2
    assert f"own.cedar, line {REFERENCE.count(chr(10)) + 2}: " in result.stderr
    assert "nobody knows" in result.stderr


def test_test_fails_where_a_case_fails_and_where_a_rule_has_none(tmp_path: Path) -> None:
    assert run("test").exit_code == 0
    own, cases = bundle(tmp_path, STRICTER), tmp_path / "cases.toml"
    assert "Name the cases" in run("test", own).stderr
    cases.write_text('[[case]]\nname="n"\nprincipal="x"\ntool="t"\nresource="r:x"\neffect="deny"\n')
    result = run("test", own, "--cases", cases)
    assert result.exit_code == 1
    assert "freeze" in rows(result)[0]["rules_without_case"]
    cases.write_text(cases.read_text().replace("deny", "allow"))
    result = run("test", own, "--cases", cases)
    assert result.exit_code == 1
    assert rows(result)[0]["failed"] == [{"case": "n", "fault": "the answer is deny (no_permit), not allow"}]


def test_explain_shows_the_question_the_answer_and_the_rules_and_asks_again(ledger: WrittenLedger) -> None:
    last = len(ledger.events) - 1
    for name in ("call-2", str(last), str(ledger.events[last].id)):
        (row,) = rows(run("explain", name))
        assert row["question"]["risks"] == ["deletion"]
        assert row["question"]["arguments"] == ARGUMENTS
        assert row["again"]["said"] == "allow with approval_and_one_more"
        assert row["again"]["same_bundle"] is False
        assert row["again"]["same_answer"] is False
        assert "infrastructure.deletes" in row["texts"]
    assert run("explain", "call-3").exit_code == 1


def test_diff_of_a_bundle_with_itself_is_nothing(ledger: WrittenLedger) -> None:
    result = run("diff", "reference")
    assert (result.exit_code, result.stdout) == (0, "")


@pytest.mark.parametrize(
    ("text", "said", "looser"), [(LOOSER, "allow", True), (STRICTER, "deny", False)], ids=["looser", "stricter"]
)
def test_diff_names_every_recorded_question_with_another_answer(
    ledger: WrittenLedger, tmp_path: Path, text: str, said: str, looser: bool
) -> None:
    result = run("diff", bundle(tmp_path, text))
    assert result.exit_code == 1
    (row,) = rows(result)
    assert (row["call"], row["old"]["said"], row["new"]["said"]) == ("call-1", "allow with approval", said)
    assert row["loosens"] is looser
    assert run("diff", bundle(tmp_path, text), "--since", "10").exit_code == 0


def test_a_question_whose_payload_is_gone_is_counted_and_not_guessed(ledger: WrittenLedger, tmp_path: Path) -> None:
    decided = [position for position, event in enumerate(ledger.events) if event.kind == "policy.decided"]
    ledger.forget(decided[0])
    result = run("diff", bundle(tmp_path, LOOSER))
    assert result.exit_code == 0
    assert "1 of 2 questions cannot be put again" in result.stderr
    (row,) = rows(run("explain", "call-1"))
    assert (row["question"], row["again"]) == (None, None)
    assert "not beside the events" in row["why_not"]


def test_anothers_call_of_the_same_name_does_not_answer_for_this_one(ledger: WrittenLedger) -> None:
    ledger.write(
        "deployment", PolicyDecided, PolicyQuestion(role="agent"), call="call-2", effect="deny", rules=("no_permit",),
        bundle="b" * 64, engine="cedarpy/4.12.2",
    )  # fmt: skip
    *_, last = questions(ledger.verified())
    assert last.request is None
    assert "asked for no such call" in last.why_not
