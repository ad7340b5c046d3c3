"""What is tried on an honest agent that waits for people: each attack is a function, `VOTES` and `AT_THE_DOOR` list them.

`VOTES` are decisions that enter the ledger and do not count, each with the number of the rule that it breaks. `AT_THE_DOOR`
are records that ingest refuses, each with the reason.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tenuto.adapters import keyfiles
from tenuto.approvals.coverage import first_coverage
from tenuto.events import ApprovalSigned, ApprovalViewed, KeyRevoked, ReviewerEnrolled
from tenuto.recorder import RecordRefusedByLedger

from tests.contracts.attacked import AGENT, CONSOLE, HONEST, OTHER, Siege, Wait, digest_of
from tests.reviewing import shown
from tests.road import SECONDS_MAX, look, until

Attack = Callable[[Siege, Wait], None]


def an_approval_of_another_plan(siege: Siege, wait: Wait) -> None:
    coverage = look(siege.road, siege.door(CONSOLE), wait.asked, HONEST)
    about = wait.about | {"digest": digest_of("another plan")}
    siege.say(HONEST, ApprovalSigned, decision="approve", coverage=coverage, **about)


def an_approval_by_a_direct_call(siege: Siege, wait: Wait) -> None:
    siege.say(HONEST, ApprovalSigned, decision="approve", **wait.about)


def an_approval_with_an_invented_coverage(siege: Siege, wait: Wait) -> None:
    invented = first_coverage(wait.asked.approval, wait.asked.digest, HONEST)
    siege.say(HONEST, ApprovalSigned, decision="approve", coverage=invented, **wait.about)


def an_approval_after_too_short_a_look(siege: Siege, wait: Wait) -> None:
    views, _ = shown(siege.said(AGENT), wait.asked, HONEST)
    for view in views:
        siege.say(CONSOLE, ApprovalViewed, **view | {"milliseconds": view["milliseconds"] // 2})
    seen = siege.read()[0].coverage(wait.asked.approval, HONEST).digest
    siege.say(HONEST, ApprovalSigned, decision="approve", coverage=seen, **wait.about)


def an_approval_after_a_look_at_an_older_digest(siege: Siege, wait: Wait) -> None:
    views, coverage = shown(siege.said(AGENT), wait.asked, HONEST)
    for view in views:
        siege.say(CONSOLE, ApprovalViewed, **view | {"digest": digest_of("yesterday's plan")})
    siege.say(HONEST, ApprovalSigned, decision="approve", coverage=coverage, **wait.about)


def an_approval_after_somebody_elses_look(siege: Siege, wait: Wait) -> None:
    coverage = look(siege.road, siege.door(CONSOLE), wait.asked, OTHER)
    siege.say(HONEST, ApprovalSigned, decision="approve", coverage=coverage, **wait.about)


def an_approval_after_a_look_that_the_reviewer_measured(siege: Siege, wait: Wait) -> None:
    views, coverage = shown(siege.said(AGENT), wait.asked, HONEST)
    for view in views:
        siege.say(HONEST, ApprovalViewed, **view)
    siege.say(HONEST, ApprovalSigned, decision="approve", coverage=coverage, **wait.about)


def an_approval_by_the_initiator(siege: Siege, wait: Wait) -> None:
    siege.approve(wait, "mara")


def an_approval_by_who_answers_for_the_agent(siege: Siege, wait: Wait) -> None:
    siege.approve(wait, "ada-key")


def an_approval_that_the_console_invents(siege: Siege, wait: Wait) -> None:
    coverage = look(siege.road, siege.door(CONSOLE), wait.asked, HONEST)
    siege.say(CONSOLE, ApprovalSigned, decision="approve", coverage=coverage, reviewer=HONEST, **wait.about)


def an_approval_by_a_reviewer_who_is_not_active(siege: Siege, wait: Wait) -> None:
    siege.say("root", ReviewerEnrolled, reviewer="idle", roles=("security",), active=False)
    siege.approve(wait, "idle")


def an_approval_without_the_role_that_the_risk_asks_for(siege: Siege, wait: Wait) -> None:
    siege.say("root", ReviewerEnrolled, reviewer="sre-only", roles=("sre",))
    siege.approve(wait, "sre-only")


def a_second_vote_of_one_person_under_another_key(siege: Siege, wait: Wait) -> None:
    siege.approve(wait, HONEST)
    siege.approve(wait, "lena-2")


VOTES: tuple[tuple[Attack, int], ...] = (
    (an_approval_of_another_plan, 1),
    (an_approval_by_the_initiator, 2),
    (an_approval_by_who_answers_for_the_agent, 2),
    (an_approval_that_the_console_invents, 2),
    (an_approval_by_a_reviewer_who_is_not_active, 2),
    (an_approval_without_the_role_that_the_risk_asks_for, 2),
    (an_approval_by_a_direct_call, 3),
    (an_approval_with_an_invented_coverage, 3),
    (an_approval_after_too_short_a_look, 3),
    (an_approval_after_a_look_at_an_older_digest, 3),
    (an_approval_after_somebody_elses_look, 3),
    (an_approval_after_a_look_that_the_reviewer_measured, 3),
    (a_second_vote_of_one_person_under_another_key, 5),
)


def a_key_that_nobody_registered(siege: Siege, wait: Wait) -> None:
    with siege.forger(HONEST) as thief:
        thief.record(ApprovalSigned, decision="approve", **wait.about)
        until(lambda: siege.refused(0).count("unknown_key") >= 2 or None)


def a_key_of_another_author(siege: Siege, wait: Wait) -> None:
    with siege.forger(HONEST, key_of=AGENT) as thief:
        thief.record(ApprovalSigned, decision="approve", **wait.about)
        until(lambda: siege.refused(0).count("unknown_key") >= 2 or None)


def a_revoked_key(siege: Siege, wait: Wait) -> None:
    coverage, gone = look(siege.road, siege.door(CONSOLE), wait.asked, "gone"), siege.door("gone")
    key = keyfiles.load_signer(siege.road.settings.keys, "gone")
    siege.say("root", KeyRevoked, subject="gone", subject_key_id=key.key_id, reason="owner_left")
    with pytest.raises(RecordRefusedByLedger):
        gone.wait(gone.record(ApprovalSigned, decision="approve", coverage=coverage, **wait.about), SECONDS_MAX)


def the_key_of_the_agent_itself(siege: Siege, wait: Wait) -> None:
    with pytest.raises(RecordRefusedByLedger):
        siege.say("code-review", ApprovalSigned, decision="approve", **wait.about)


AT_THE_DOOR: tuple[tuple[Attack, str], ...] = (
    (a_key_that_nobody_registered, "unknown_key"), (a_key_of_another_author, "unknown_key"), (a_revoked_key, "revoked_key"),
    (the_key_of_the_agent_itself, "entitlement"),
)  # fmt: skip
