"""The demonstration, run once as a person runs it, and everything a person can ask of what it left."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tenuto.cli import build
from tenuto.policy import load_policy
from typer.testing import CliRunner

from tests.end_to_end.conftest import Demo, Demonstrated

ROAD = (
    ("pipeline", "run.started"),
    ("code-review", "decision.made"),
    ("infrastructure", "tool.finished", "terraform.plan"),
    ("infrastructure", "approval.requested", "terraform.apply"),
    ("unattended-reviewer", "approval.signed"),
    ("infrastructure", "approval.granted"),
    ("infrastructure", "approval.consumed"),
    ("infrastructure", "tool.started", "terraform.apply"),
    ("infrastructure", "tool.finished", "terraform.apply"),
    ("deployment", "approval.requested", "deploy.production"),
    ("unattended-reviewer", "approval.signed"),
    ("deployment", "approval.granted"),
    ("deployment", "approval.consumed"),
    ("deployment", "tool.started", "deploy.production"),
    ("deployment", "deployment.started"),
    ("deployment", "deployment.healthy"),
    ("deployment", "tool.finished", "deploy.production"),
    ("deployment", "run.finished"),
)
"""What a pull request that is approved passes, in this order, whatever else happens between."""

IN_BETWEEN = ("approval.listed", "approval.assigned", "approval.viewed", "spotcheck.drawn")


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def of_the_run(demo: Demo) -> list[dict[str, Any]]:
    return [event for event in demo.events if event["run"] == demo.run]


def fits(event: Mapping[str, Any], wanted: tuple[str, ...]) -> bool:
    author, kind, *tool = wanted
    return (event["author"], event["kind"]) == (author, kind) and (not tool or event["fields"]["tool"] == tool[0])


def test_the_pull_request_goes_down_the_whole_road_in_order(demo: Demo) -> None:
    assert demo.ended.returncode == 0, demo.ended.stderr
    left = iter(of_the_run(demo))
    for wanted in ROAD:
        assert any(fits(event, wanted) for event in left), f"{wanted} is missing, or came too early"
    finished = [event for event in of_the_run(demo) if event["kind"] == "run.finished"]
    assert [event["fields"]["outcome"] for event in finished] == ["succeeded"]


def test_a_second_demonstration_on_the_same_home_was_turned_away_and_the_first_went_on(demonstrated: Demonstrated) -> None:
    assert demonstrated.second.returncode == 2
    assert f"{demonstrated.home / 'supervisor'} is in use by process" in demonstrated.second.stderr
    assert demonstrated.ended.returncode == 0


def test_no_tool_starts_before_policy_has_decided_and_a_demanded_approval_was_used_up(demo: Demo) -> None:
    events = of_the_run(demo)
    started = [event for event in events if event["kind"] == "tool.started"]
    assert len(started) >= 5
    demanded = 0
    for start in started:
        before = [event for event in events if event["position"] < start["position"]]
        (decided,) = [
            event for event in before
            if event["kind"] == "policy.decided" and event["fields"]["call"] == start["fields"]["call"]
        ]  # fmt: skip
        assert (decided["author"], decided["fields"]["effect"]) == (start["author"], "allow")
        assert decided["fields"]["bundle"] == load_policy().bundle
        if decided["fields"].get("obligation", "none") != "none":
            demanded += 1
            demand_consumed(before, decided["position"], start)
    assert demanded == 2


def demand_consumed(before: list[dict[str, Any]], decided: int, start: Mapping[str, Any]) -> None:
    """One approval, asked for by this agent for this digest after policy spoke, seen, signed, granted and consumed."""
    (asked,) = [
        event for event in before
        if event["kind"] == "approval.requested" and event["fields"]["tool"] == start["fields"]["tool"]
    ]  # fmt: skip
    assert (asked["author"], asked["fields"]["digest"]) == (start["author"], start["fields"]["digest"])
    about = [event for event in before if event["fields"].get("approval") == asked["fields"]["approval"]]
    assert about[0]["kind"] == "approval.listed"
    kinds = [event["kind"] for event in about if event["kind"] not in IN_BETWEEN]
    assert kinds == ["approval.requested", "approval.opened", "approval.signed", "approval.granted", "approval.consumed"]
    assert [event["position"] for event in about] == sorted(event["position"] for event in about)
    assert asked["position"] > decided
    signed = next(event for event in about if event["kind"] == "approval.signed")
    demand_seen(about, signed)
    assert (signed["fields"]["decision"], signed["fields"]["digest"]) == ("approve", start["fields"]["digest"])
    assert signed["author"] != start["author"]


def demand_seen(about: list[dict[str, Any]], signed: Mapping[str, Any]) -> None:
    """Every piece that was listed and bears risk was on screen before the signature, for its least time."""
    least: dict[str, int] = {}
    for event in about:
        if event["kind"] == "approval.listed":
            fields = event["fields"]
            for piece, risk, milliseconds in zip(fields["pieces"], fields["risks"], fields["milliseconds"], strict=True):
                if risk != "none":
                    least[piece] = milliseconds
    views = [event for event in about if event["kind"] == "approval.viewed" and event["position"] < signed["position"]]
    assert {event["author"] for event in views} == {"unattended-console"}
    seen = {event["fields"]["piece"]: event["fields"]["milliseconds"] for event in views}
    assert least
    assert all(seen[piece] >= milliseconds for piece, milliseconds in least.items())


def test_everything_the_demo_reviewer_signed_is_marked_as_insecure(demo: Demo) -> None:
    marked = {event["author"] for event in demo.events if event["insecure_demo"]}
    assert marked == {"unattended-reviewer", "unattended-console"}
    assert all(event["insecure_demo"] for event in demo.events if event["kind"] == "approval.signed")
    assert "UNATTENDED" in demo.ended.stderr


def test_every_message_between_agents_was_delivered(demo: Demo) -> None:
    sent = [event["fields"]["topic"] for event in demo.events if event["kind"] == "message.sent"]
    assert sent == ["review.requested", "review.verdict", "infrastructure.applied"]
    assert sum(event["kind"] == "message.delivered" for event in demo.events) == len(sent)


def test_nothing_was_refused_lost_or_doubled(demo: Demo) -> None:
    kinds = {event["kind"] for event in demo.events}
    assert not kinds & {"record.refused", "record.gap", "record.equivocation", "message.refused", "tool.unknown"}
    assert [event["position"] for event in demo.events] == list(range(len(demo.events)))


def test_verify_takes_all_nine_steps_the_ninth_from_the_second_time_on(demo: Demo) -> None:
    demo.ask("verify")
    again = demo.ask("verify")
    assert again.returncode == 0, again.stderr
    (verdict,) = lines(again.stdout)
    assert {tick["step"]: tick["state"] for tick in verdict["steps"]} == dict.fromkeys(range(1, 10), "passed")
    assert (verdict["verified"], verdict["size"], verdict["unsigned"]) == (True, len(demo.events), 0)
    assert verdict["not_done"] == []


def test_the_verdict_of_the_demonstration_itself_has_passed_the_first_eight_steps(demo: Demo) -> None:
    (verdict,) = lines(demo.ended.stdout)
    assert verdict["verified"]
    assert {tick["step"] for tick in verdict["steps"] if tick["state"] == "passed"} >= set(range(1, 9))


def test_the_published_files_verify_without_database_and_keys(demo: Demo, tmp_path: Path) -> None:
    from tests.end_to_end.conftest import tenuto

    trust, files = str(demo.home / "trust.json"), str(demo.home / "log")
    ended = tenuto(tmp_path / "elsewhere", "verify", "--log", files, "--trust", trust)
    assert ended.returncode == 0, ended.stderr
    (verdict,) = lines(ended.stdout)
    assert (verdict["size"], verdict["live"]) == (len(demo.events), False)
    assert {tick["step"]: tick["state"] for tick in verdict["steps"] if tick["state"] != "passed"} == {
        5: "not_done", 9: "not_done",
    }  # fmt: skip


def test_replay_of_the_run_agrees_with_the_read_model(demo: Demo) -> None:
    ended = demo.ask("replay", demo.run)
    assert ended.returncode == 0, ended.stderr
    rows = lines(ended.stdout)
    assert rows[-1] == {"type": "comparison", "agrees": True, "differs_in": []}
    assert [approval["state"] for approval in rows[-2]["approvals"]] == ["consumed", "consumed"]
    replayed = [row for row in rows if row["type"] == "event"]
    assert len(replayed) >= len(of_the_run(demo))


def test_exports_have_one_line_for_every_event(demo: Demo, tmp_path: Path) -> None:
    for form in ("ocsf", "jsonl"):
        file = tmp_path / f"events.{form}"
        ended = demo.ask("export", "--format", form, "--to", str(file), "--cursor", str(tmp_path / f"{form}.cursor"))
        assert ended.returncode == 0, ended.stderr
        assert len(lines(file.read_text("utf-8"))) == len(demo.events)


def test_log_prints_json_lines_in_a_pipe_and_selects(demo: Demo) -> None:
    assert len(demo.events) > 60
    ended = demo.ask("log", "--run", demo.run, "--kind", "approval")
    assert {row["kind"].partition(".")[0] for row in lines(ended.stdout)} == {"approval"}
    assert demo.ask("log", "--author", "nobody").returncode == 1


def test_show_and_why_explain_a_deployment(demo: Demo) -> None:
    start = next(event for event in demo.events if fits(event, ("deployment", "tool.started", "deploy.production")))
    (shown,) = lines(demo.ask("show", start["id"]).stdout)
    assert len(shown["verification"]) == 9
    assert json.loads(shown["header"])["id"] == start["id"]
    (chain,) = lines(demo.ask("why", str(start["position"])).stdout)
    kinds = [link["kind"] for link in chain["chain"]]
    assert kinds[0] == "tool.started"
    assert "approval.granted" in kinds or "approval.consumed" in kinds
    assert chain["allowed_by"]["policies"][0]["rules"] == ["deployment.releases"]


def test_status_and_keys_can_be_read_by_programs_and_people(demo: Demo) -> None:
    status = json.loads(demo.ask("status", "--json").stdout)
    assert (status["events"], status["signed"], status["unsigned"]) == (len(demo.events), len(demo.events), 0)
    assert status["origin"] == "demo.tenuto.example/reference"
    keys = demo.ask("key", "list").stdout.splitlines()
    assert len(keys) == 13
    assert sum("INSECURE DEMO KEY" in line for line in keys) == 3


def test_no_secret_is_in_what_the_parts_said(demo: Demo) -> None:
    secrets = [file.read_text("ascii").strip() for file in (demo.home / "keys").iterdir()]
    said = demo.ended.stderr + demo.ended.stdout
    said += "".join(file.read_text("utf-8", "replace") for file in (demo.home / "logs").iterdir())
    assert not [secret for secret in secrets if secret in said]
    assert "Traceback" not in said


STATIONS = ("pull request", "verdict", "policy", "plan", "approval", "call", "request", "approval", "deployment", "after", "end")


def test_custody_answers_for_the_deployment_from_pull_request_to_health_check(demo: Demo, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = demo.ask("custody")
    assert ended.returncode == 0, ended.stderr
    links = [json.loads(line) for line in ended.stdout.splitlines()]
    found = iter([link["station"] for link in links])
    assert all(station in found for station in STATIONS), [link["station"] for link in links]
    assert links[0]["told"].startswith("Third replica")
    assert all("having seen every piece" in link["said"] for link in links if link["station"] == "approval")
    started = next(event for event in demo.events if event["kind"] == "deployment.started")
    names = (demo.run, started["fields"]["deployment"], started["fields"]["artifact"], started["fields"]["artifact"][:8])
    for name, value in {"TENUTO_HOME": str(demo.home), **demo.settings}.items():
        monkeypatch.setenv(name, value)
    for name in names:  # in this process, which has loaded the command already
        assert CliRunner().invoke(build(), ["custody", name]).stdout == ended.stdout
    unknown = demo.ask("custody", "shop-of-nobody")
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert "shop-of-nobody" in unknown.stderr


def test_without_attacks_coverage_is_green_nowhere(demo: Demo) -> None:
    ended = demo.ask("coverage")
    states = {record["id"]: record["state"] for record in map(json.loads, ended.stdout.splitlines())}
    assert ended.returncode == 0, ended.stderr
    assert len(states) == 48
    assert "held" not in states.values()
    assert states["M4"] == "working"
