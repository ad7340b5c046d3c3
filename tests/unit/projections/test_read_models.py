"""What each read model says about a ledger that we know."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import Connection, event
from tenuto.documents import AlertNote, PullRequest
from tenuto.events import EVENT_CLASSES, KeyRevoked, KeyRotated, RunFinished, ToolStarted
from tenuto.signing import SeedSigner
from tenuto_projections import alerts, fleet, inbox, runs, stages
from tenuto_projections.integrity import COUNTS, Counts
from tenuto_projections.payloads import AVAILABLE
from tenuto_projections.projection import Projection

from . import story
from .story import HOSTILE, tell
from .written import WrittenLedger, memory_engine, start_run


def built(ledger: WrittenLedger, model: Projection) -> Connection:
    """A connection to a database in which this one model was built, in pages of three."""
    connection = memory_engine(model.tables).connect()
    events = ledger.verified()
    for start in range(0, len(events), 3):
        model.apply(connection, events[start : start + 3])
    return connection


def test_a_run_is_described_by_the_pull_request_in_its_start() -> None:
    found = runs.list_runs(built(tell("start", "decide", "call", "request"), runs.Runs()))
    assert [run.run for run in found] == ["r1"]
    run = found[0]
    assert (run.repository, run.title, run.author) == ("/srv/shop", "Open port 443", "ann")
    assert (run.base, run.head, run.base_commit) == ("main", "open-port", "a" * 40)
    assert (run.stage, run.outcome, run.events) == ("approval", None, 7)


def test_a_run_ends_once_and_never_goes_back_a_stage() -> None:
    ledger = tell("start", "apply", "call", "finish")
    story.finish(ledger, "failed")
    run = runs.run(built(ledger, runs.Runs()), "r1")
    assert run is not None
    assert (run.stage, run.outcome) == ("done", "succeeded")
    assert run.finished is not None


def test_votes_stand_in_the_timeline_of_the_run_that_asked() -> None:
    connection = built(tell("start", "request", "open", "approve"), runs.Runs())
    steps = runs.timeline(connection, "r1")
    assert [step.kind for step in steps] == [
        "run.started", "approval.requested", "approval.opened", "approval.viewed", "approval.viewed", "approval.signed",
    ]  # fmt: skip
    assert [step.insecure_demo for step in steps] == [False, False, True, False, False, True]
    assert [step.payload == AVAILABLE for step in steps] == [True, True, False, False, False, True]
    assert runs.timeline(connection, "r1", after=steps[1].position) == steps[2:]


def test_runs_are_listed_newest_first_and_by_page() -> None:
    ledger = story.new_ledger()
    for number in range(5):
        start_run(ledger, f"run-{number}")
    connection = built(ledger, runs.Runs())
    first = runs.list_runs(connection, 2)
    assert [run.run for run in first] == ["run-4", "run-3"]
    assert [run.run for run in runs.list_runs(connection, 2, first[-1].position)] == ["run-2", "run-1"]


def test_hostile_text_is_kept_as_text_with_nul_made_visible() -> None:
    ledger = story.new_ledger()
    start_run(ledger, "r1", PullRequest(repository=HOSTILE, title=HOSTILE, author=HOSTILE, base="m", head="h"))
    run = runs.run(built(ledger, runs.Runs()), "r1")
    assert run is not None
    assert run.title == HOSTILE.replace("\0", "\u2400")


def test_a_payload_that_is_no_pull_request_leaves_the_run_undescribed() -> None:
    ledger = story.new_ledger()
    start_run(ledger, "r1", AlertNote(sentence="not a pull request"))
    ledger.write("pipeline", RunFinished, b"\xff\xfe", run="r1", outcome="failed")
    run = runs.run(built(ledger, runs.Runs()), "r1")
    assert run is not None
    assert (run.title, run.workflow, run.outcome) == (None, "change", "failed")


def test_a_purge_blanks_what_was_copied_out_of_payloads() -> None:
    ledger = tell("start", "request", "approve", "alert", "purge")
    connection = built(ledger, runs.Runs())
    run = runs.run(connection, "r1")
    assert run is not None
    assert (run.title, run.base, run.base_commit) == (None, None, "a" * 40)
    assert "available" not in {step.payload for step in runs.timeline(connection, "r1")}
    request = inbox.approval(built(ledger, inbox.Inbox()), "a1")
    assert request is not None
    assert (request.card, request.item.title, request.votes[0].reason) == (None, None, None)
    assert alerts.alerts(built(ledger, alerts.Alerts()))[0].sentence is None


def test_an_open_request_waits_in_the_inbox_with_its_card() -> None:
    connection = built(tell("start", "request", "open"), inbox.Inbox())
    (item,) = inbox.pending(connection)
    assert (item.approval, item.state, item.quorum, item.approved_by) == ("a1", "open", 1, 0)
    assert item.risks == ("iam", "production")
    assert (item.opened_by, item.agent_owner, item.run) == (("bob",), "ann", "r1")
    assert item.age_seconds(item.requested + timedelta(seconds=90)) == 90
    assert item.state_at(item.expires + timedelta(seconds=1)) == "expired"
    request = inbox.approval(connection, "a1")
    assert request is not None and request.card is not None
    assert request.card.title == HOSTILE


def test_a_vote_that_does_not_count_says_which_rule_it_breaks() -> None:
    connection = built(tell("request", "own vote", "approve"), inbox.Inbox())
    (item,) = inbox.decided(connection)
    assert (item.state, item.approved_by) == ("granted", 1)
    request = inbox.approval(connection, "a1")
    assert request is not None
    own, other = request.votes
    assert (own.reviewer, own.counts, own.rule) == ("ann", False, 2)
    assert "started this" in own.sentence
    assert (other.reviewer, other.counts, other.insecure_demo) == ("bob", True, True)


def test_a_withdrawn_vote_stays_visible_and_counts_no_more() -> None:
    connection = built(tell("request", "deny", "withdraw"), inbox.Inbox())
    (item,) = inbox.pending(connection)
    assert item.decided is None
    request = inbox.approval(connection, "a1")
    assert request is not None
    assert [(vote.decision, vote.counts, vote.withdrawn) for vote in request.votes] == [
        ("deny", False, True),
        ("withdraw", False, False),
    ]


def test_a_request_expires_by_the_ledgers_time_without_an_event_of_its_own() -> None:
    (item,) = inbox.decided(built(tell("request", "wait", "wait", "decide"), inbox.Inbox()))
    assert (item.state, item.decided) == ("expired", item.expires)


def test_a_consumed_request_names_the_call_that_used_it() -> None:
    (item,) = inbox.decided(built(tell("request", "approve", "consume"), inbox.Inbox()))
    assert (item.state, item.consumed_by) == ("consumed", "c3")


def test_the_fleet_knows_roles_owners_keys_and_trouble() -> None:
    ledger = tell("refuse", "equivocate", "alert", "reopen")
    authors = {author.author: author for author in fleet.fleet(built(ledger, fleet.Fleet()))}
    infra = authors["infra"]
    assert (infra.role, infra.owner, infra.events) == ("agent", "ann", 3)
    assert (infra.refused, infra.equivocations, infra.alerts) == (1, 1, 1)
    assert infra.session is not None and infra.software == "test/1"
    assert authors["bob"].insecure_demo
    assert [key.since for key in authors["root"].keys] == [-1]


def test_strangers_claims_make_no_author() -> None:
    ledger = story.new_ledger()
    story.refuse(ledger, "mallory")
    assert "mallory" not in {author.author for author in fleet.fleet(built(ledger, fleet.Fleet()))}


def test_rotated_and_revoked_keys_keep_their_places() -> None:
    ledger = story.new_ledger()
    old = SeedSigner("infra", b"\1" * 32)
    first = next(key for key in ledger.walk_keys() if key.author == "infra")
    ledger.write(
        "root", KeyRotated, subject="infra", old_key_id=first.key_id, subject_key_id=old.key_id,
        public_key=old.public_key.hex(),
    )  # fmt: skip
    ledger.write("root", KeyRevoked, subject="infra", subject_key_id=old.key_id, reason="retired")
    authors = {author.author: author for author in fleet.fleet(built(ledger, fleet.Fleet()))}
    assert [(key.ended, key.role, key.until is None) for key in authors["infra"].keys] == [
        ("rotated", "agent", False),
        ("retired", "agent", False),
    ]


def test_an_alert_is_raised_acknowledged_and_closed_once() -> None:
    connection = built(tell("alert", "acknowledge", "close", "acknowledge", "alert"), alerts.Alerts())
    (alert,) = alerts.alerts(connection)
    assert (alert.state, alert.acknowledged_by, alert.closed_by, alert.finding) == (
        "closed", "bob", "eve", "false_positive",
    )  # fmt: skip
    assert (alert.severity, alert.suspect, alert.figures, alert.refs) == ("high", "infra", {"rate": 1.5}, ("T4",))
    assert alerts.alerts(connection, state="raised") == ()


def test_counts_say_what_ingest_refused() -> None:
    row = built(tell("refuse", "refuse", "equivocate", "alert", "purge"), Counts()).execute(COUNTS.select()).one()
    assert (row.refused, row.equivocations, row.purged, row.gaps) == (2, 1, 1, 0)


def test_every_kind_has_its_sentence_and_no_sentence_is_left_over() -> None:
    assert set(stages.SENTENCES) == {str(cls.__struct_config__.tag) for cls in EVENT_CLASSES}
    for cls in EVENT_CLASSES:
        fields = {name: name.upper() for name in cls.__struct_fields__}
        assert stages.SENTENCES[str(cls.__struct_config__.tag)].format_map(fields).endswith(".")


def test_a_tool_reaches_the_stage_its_name_says() -> None:
    ledger = story.new_ledger()
    stage = {
        tool: stages.stage_of(
            ledger.write("infra", ToolStarted, call="c", tool=tool, resource="x", digest="d" * 64),
        )
        for tool in ("terraform.plan", "terraform.apply", "deploy_local", "http.health", "git.diff", "planet")
    }
    assert list(stage.values()) == ["plan", "apply", "deploy", "health", None, None]


def test_a_page_costs_a_fixed_number_of_statements() -> None:
    events = tell(*["request", "approve", "start", "alert", "refuse"] * 8).verified()
    for model in (runs.Runs(), inbox.Inbox(), fleet.Fleet(), Counts(), alerts.Alerts()):
        engine = memory_engine(model.tables)
        statements: list[str] = []
        event.listen(engine, "before_cursor_execute", lambda *call, seen=statements: seen.append(call[2]))
        with engine.begin() as connection:
            model.apply(connection, events)
        assert len(statements) <= 8, model.name
