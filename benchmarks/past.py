"""A console's past and present, for measuring: long tables of what was, and pending requests by the real projections."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import text
from tenuto.events import ApprovalAssigned

from tests.console import story
from tests.console.planted import Planted

FIRST_PENDING = "pending-0000"
RUN_EVENTS = 100
ALERTS_EVERY, LOSSES_EVERY, APPROVALS_EVERY = 200, 1_000, 50
RULINGS_EVERY, EXERCISES_EVERY = 20, 100
REVIEWERS = 3
ASSIGNED = 10 * REVIEWERS

PAST: Mapping[str, str] = {
    "run": """
INSERT INTO read_model.run (run, position, workflow, started_by, base_commit, head_commit, stage, outcome, started, finished,
    last_seen, events, insecure_demo)
SELECT 'past-' || n, n * :run, 'pull-request', 'pipeline', repeat('a', 40), repeat('b', 40), 'done', 'succeeded',
    :now - n * interval '1 minute', :now, :now, :run, false
FROM generate_series(1, :events / :run) AS n""",
    "run_step": """
INSERT INTO read_model.run_step (position, run, recorded_at, author, role, kind, stage, summary, event_id, causes, refs,
    insecure_demo, payload)
SELECT n, 'past-' || greatest(1, n / :run), :now - n * interval '1 second', 'infrastructure-agent', 'agent', 'tool.finished', 'apply',
    'terraform.apply returned to infrastructure-agent after 31200 ms.', md5(n::text)::uuid::text, md5((n - 1)::text)::uuid::text, 'M6',
    false, 'available'
FROM generate_series(1, :events) AS n""",
    "approval": """
INSERT INTO read_model.approval (approval, position, event_id, run, subject, digest, tool, resource, author, agent_owner, initiator,
    quorum, approved_by, risks, requested, expires, state, decided, opened_by, rules, insecure_demo, payload)
SELECT 'past-' || n, n * :approvals, md5(n::text)::uuid::text, 'past-' || greatest(1, n * :approvals / :run), 'terraform.plan',
    repeat('d', 64), 'terraform.apply', 'stack/past', 'infrastructure-agent', 'ada', 'mara', 1, 1, 'production',
    :now - interval '2 hours', :now - interval '1 hour', 'consumed', :now - interval '90 minutes', 'second-reviewer', '[]', false, 'available'
FROM generate_series(1, :events / :approvals) AS n""",
    "approval_vote": """
INSERT INTO read_model.approval_vote (position, approval, event_id, reviewer, owner, decision, recorded_at, counts, rule, sentence,
    withdrawn, insecure_demo)
SELECT n * :approvals + 1, 'past-' || n, md5((-n)::text)::uuid::text, 'second-reviewer', 'lena', 'approve', :now - interval '90 minutes',
    true, 0, '', false, false
FROM generate_series(1, :events / :approvals) AS n""",
    "review_pieces": """
INSERT INTO read_model.review_pieces (approval, pieces, fault)
SELECT 'past-' || n, '[]', '' FROM generate_series(1, :events / :approvals) AS n""",
    "review_coverage": """
INSERT INTO read_model.review_coverage (approval, reviewer, digest, milliseconds, missing, sentence)
SELECT 'past-' || n, 'second-reviewer', repeat('c', 64), '{}', 0, '' FROM generate_series(1, :events / :approvals) AS n""",
    "review_assignment": """
INSERT INTO read_model.review_assignment (position, approval, reviewer, why, at, live)
SELECT n * :approvals + 2, 'past-' || n, 'second-reviewer', 'next_free', :now - interval '2 hours', false
FROM generate_series(1, :events / :approvals) AS n""",
    "alert": """
INSERT INTO read_model.alert (alert, position, event_id, raised, author, detector, version, rule, severity, score, suspect, evidence,
    refs, state, insecure_demo, payload)
SELECT 'past-' || n, n * :alerts, md5(n::text)::uuid::text, :now - n * interval '1 minute', 'watch', 'order', 'rules/1', 'burst', 'medium',
    700, 'infrastructure-agent', '', 'T5', 'closed', false, 'available'
FROM generate_series(1, :events / :alerts) AS n""",
    "review_decision": """
INSERT INTO read_model.review_decision (position, approval, reviewer, owner, decision, at, given, counts, demanded, opened, shown_ms, least_ms)
SELECT n * :approvals + 1, 'past-' || n, 'second-reviewer', 'lena', CASE WHEN n % 7 = 0 THEN 'deny' ELSE 'approve' END,
    :now - n * interval '1 minute', :now - n * interval '1 minute' - interval '5 minutes', true, 4, 4, 21000, 18000
FROM generate_series(1, :events / :approvals) AS n""",
    "spotcheck": """
INSERT INTO read_model.spotcheck (approval, position, digest, at, approved_by, excluded, within, wanted, drawn, drawn_at, ticket, size,
    finding, by, signed, signed_at, event_id)
SELECT 'past-' || n, n * :approvals + 3, repeat('d', 64), :now - interval '2 days', 'lena', 'ada lena mara', 86400, false, n % 7 = 0,
    :now - interval '2 days', repeat('0', 64), n * :approvals + 9, CASE WHEN n % 7 = 0 THEN 'agree' ELSE '' END,
    CASE WHEN n % 7 = 0 THEN 'demo' ELSE '' END, CASE WHEN n % 7 = 0 THEN n * :approvals + 11 END, CASE WHEN n % 7 = 0 THEN :now END, NULL
FROM generate_series(1, :events / :approvals) AS n""",
    "reviewer_quality": "INSERT INTO read_model.reviewer_quality (owner, agreed, disagreed) VALUES ('lena', :events / 350, 3)",
    "ruling": """
INSERT INTO read_model.ruling (position, call, author, tool, resource, run, at, effect, obligation, rules, bundle, engine)
SELECT n * :rulings, 'call-' || n, 'infrastructure-agent', 'terraform.apply', 'stack/past', 'past-' || n, :now - n * interval '1 minute',
    CASE WHEN n % 9 = 0 THEN 'deny' ELSE 'allow' END, 'approval', 'infrastructure.applies', repeat('b', 64), 'cedarpy/4.12.2'
FROM generate_series(1, :events / :rulings) AS n""",
    "ruling_hour": """
INSERT INTO read_model.ruling_hour (hour, rule, effect, count)
SELECT date_trunc('hour', :now - n / 6 * interval '1 hour'), 'rule-' || n % 6, 'allow', 40
FROM generate_series(1, LEAST(:events / :rulings, 6 * 24 * 365)) AS n""",
    "exercise": """
INSERT INTO read_model.exercise (exercise, scenario, verdict, refs, held, evidence, at, position, milliseconds)
SELECT 'exercise-' || n, 'scenario-' || n % 40, 'held', 'T3 M6', 'M6', '', :now - n * interval '1 minute', n * :exercises, 900
FROM generate_series(1, :events / :exercises) AS n""",
    "threat_work": """
INSERT INTO read_model.threat_work (ref, events, at, position, kind)
SELECT 'M' || n, :events / 30, :now, n, 'tool.finished' FROM generate_series(1, 30) AS n""",
    "loss": """
INSERT INTO read_model.loss (position, recorded_at, author, kind, session, first_seq, last_seq)
SELECT n * :losses, :now, 'infrastructure-agent', 'record.gap', md5(n::text)::uuid::text, 1, 2
FROM generate_series(1, :events / :losses) AS n""",
}
"""What lies in each table after so many events; all of it is over."""


def fill(planted: Planted, *, pending: int, events: int) -> None:
    """Write a past of so many events, then let so many requests wait, of which as many are assigned as people have room."""
    given = {
        "events": events, "run": RUN_EVENTS, "alerts": ALERTS_EVERY, "losses": LOSSES_EVERY, "approvals": APPROVALS_EVERY,
        "rulings": RULINGS_EVERY, "exercises": EXERCISES_EVERY, "now": planted.now,
    }  # fmt: skip
    with planted.engine.begin() as connection:
        for statement in PAST.values():
            connection.execute(text(statement), given)
    planted.position += events + 10
    with planted.held():
        story.cast(planted, demo=True)
        for number in range(pending):
            name = f"pending-{number:04}"
            ask = story.Ask(
                name, f"run-{name}", f"Raise the limit of partner {number}", "One limit changes from 60 to 600 requests a minute.",
                risks=("production",) if number % 3 else ("iam",), minutes=600,
            )  # fmt: skip
            story.request(planted, ask, card=story.partner_card() if number == 0 else None, after=0.1)
        for number in range(min(pending, ASSIGNED)):
            who = story.REVIEWER if number % 2 else "second-reviewer"
            planted.write("router", ApprovalAssigned, approval=f"pending-{number:04}", reviewer=who, why="next_free", after=0)
    planted.seal()
    with planted.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))
