"""One believable afternoon: pull requests on their way to production, some waiting for a person, one refused."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from tenuto.documents import AlertNote, ApprovalCard, Finding, PlannedChange, PullRequest, Reason
from tenuto.events.alert import AlertAcknowledged, AlertRaised
from tenuto.events.approval import (
    ApprovalConsumed,
    ApprovalGranted,
    ApprovalListed,
    ApprovalOpened,
    ApprovalRequested,
    ApprovalSigned,
    ApprovalViewed,
)
from tenuto.events.decision import DecisionMade
from tenuto.events.deployment import DeploymentHealthy, DeploymentStarted
from tenuto.events.message import MessageDelivered, MessageSent
from tenuto.events.policy import PolicyDecided
from tenuto.events.record import RecordRefused
from tenuto.events.run import RunFinished, RunStarted
from tenuto.events.spotcheck import SpotcheckDrawn, SpotcheckSigned
from tenuto.events.tool import ToolFailed, ToolFinished, ToolRequested, ToolStarted
from tenuto.policy.bundle import read_bundle
from tenuto.policy.reference import REFERENCE_FILE

from tests.reviewing import CONSOLE, committed, listed
from tests.reviewing import shown as shown_to

from .planted import Planted, digest

STORY_SECONDS = 1430
REVIEWER = "demo-reviewer"
GRAVEST = "partner-access-1"
SHIPPED = "run-0007-rate-limit"
OVERDUE, LOOKED = "reports-1", "egress-1"
"""Two approvals of the day before: one still waits for its second look, the other had it."""
AGO = timedelta(hours=27)
BUNDLE, ENGINE = read_bundle([REFERENCE_FILE]).digest, "cedarpy/4.12.2"

DIFF = '''diff --git a/infra/network.tf b/infra/network.tf
index 3f1c2aa..9b07e41 100644
--- a/infra/network.tf
+++ b/infra/network.tf
@@ -12,11 +12,18 @@ resource "aws_security_group" "payments_api" {
   name   = "payments-api"
   vpc_id = aws_vpc.core.id
 
   ingress {
-    description = "office network"
+    description = "partner network, ticket PAY-1182"
     from_port   = 443
     to_port     = 443
     protocol    = "tcp"
-    cidr_blocks = ["10.20.0.0/16"]
+    cidr_blocks = ["0.0.0.0/0"]
+  }
+
+  egress {
+    from_port   = 0
+    to_port     = 0
+    protocol    = "-1"
+    cidr_blocks = ["0.0.0.0/0"]
   }
 }
diff --git a/services/payments/limits.py b/services/payments/limits.py
index 77aa01b..5c2f0de 100644
--- a/services/payments/limits.py
+++ b/services/payments/limits.py
@@ -1,6 +1,8 @@
 """How many requests a partner may send."""
 
-REQUESTS_PER_MINUTE = 60
+import os
+
+REQUESTS_PER_MINUTE = int(os.environ.get("LIMIT", "600"))
 
 
 def allowed(sent: int) -> bool:
'''
PLAN_TEXT = """Terraform will perform the following actions:

  # aws_security_group.payments_api will be updated in-place
  # aws_iam_role_policy.payments_reader will be updated in-place
  # aws_db_instance.ledger_replica must be replaced

Plan: 2 to add, 2 to change, 2 to destroy."""
CHANGES = (
    PlannedChange(
        address="aws_db_instance.ledger_replica", type="aws_db_instance", actions=("delete", "create"), risks=("replacement",),
        before={"identifier": "ledger-replica", "engine_version": "16.4", "storage_encrypted": False, "instance_class": "db.r6g.large"},
        after={"identifier": "ledger-replica", "engine_version": "16.4", "storage_encrypted": True, "instance_class": "db.r6g.large"},
    ),
    PlannedChange(
        address="aws_security_group.payments_api", type="aws_security_group", actions=("update",), risks=("security_group", "public_endpoint"),
        before={"name": "payments-api", "vpc_id": "vpc-0a3d", "ingress": {"cidr_blocks": ["10.20.0.0/16"], "from_port": 443, "description": "office network"}},
        after={"name": "payments-api", "vpc_id": "vpc-0a3d", "ingress": {"cidr_blocks": ["0.0.0.0/0"], "from_port": 443, "description": "partner network, ticket PAY-1182"}},
    ),
    PlannedChange(
        address="aws_iam_role_policy.payments_reader", type="aws_iam_role_policy", actions=("update",), risks=("iam",),
        before={"role": "payments", "policy": "s3:GetObject on payments-reports/*"},
        after={"role": "payments", "policy": "s3:* on payments-reports/*"},
    ),
    PlannedChange(
        address="aws_cloudwatch_log_group.partner", type="aws_cloudwatch_log_group", actions=("create",),
        after={"name": "/payments/partner", "retention_in_days": 30},
    ),
)  # fmt: skip
FINDINGS = (
    Finding(tool="bandit", rule="B104", severity="medium", file="services/payments/limits.py", line=5, message="A limit that comes from the environment has no upper bound."),
    Finding(tool="checkov", rule="CKV_AWS_260", severity="high", file="infra/network.tf", line=21, message="Ingress from 0.0.0.0/0 to port 443."),
)  # fmt: skip


@dataclass(frozen=True)
class Ask:
    """One request of the story."""

    name: str
    run: str
    title: str
    sentence: str
    tool: str = "terraform.apply"
    resource: str = "stack/payments"
    subject: str = "terraform.plan"
    author: str = "infrastructure-agent"
    initiator: str = "mara"
    risks: tuple[str, ...] = ()
    quorum: int = 1
    minutes: int = 60


ASKS = (
    Ask("dns-ttl-1", "run-0008-dns", "Shorten the TTL of api.example.net", "One DNS record changes its TTL from 3600 to 300 seconds.", initiator="jonas"),
    Ask("worker-scale-1", "run-0009-workers", "Scale the settlement workers to six", "The deployment settlement-worker goes from 4 to 6 replicas in production.", tool="deploy.release", resource="production/settlement-worker", subject="artifact", author="deployment-agent", initiator="jonas", risks=("production",), minutes=110),
    Ask("cleanup-1", "run-0010-cleanup", "Remove the retired staging cluster", "14 resources of the stack staging-eu are deleted, among them 2 databases without a final snapshot.", resource="stack/staging-eu", initiator="jonas", risks=("deletion",), quorum=2, minutes=45),
    Ask("ci-role-1", "run-0011-ci-role", "Let the CI role read the artifact bucket", "The role ci-runner gains s3:GetObject on artifacts-prod; nothing else changes.", resource="stack/ci", initiator="priya", risks=("iam",), minutes=75),
    Ask("limits-1", "run-0012-limits", "Raise the partner rate limit", "The service payments is released as 2.14.1 to production; the agent approves, static analysis does not.", tool="deploy.release", resource="production/payments", subject="artifact", author="deployment-agent", initiator="priya", risks=("production", "model_diverges"), minutes=12),
)  # fmt: skip
PARTNER = Ask(
    GRAVEST, "run-0013-partner", "Open the payments API to the partner network",
    "One database is destroyed and made anew, port 443 of the payments API opens to the whole internet, and its role may write reports.",
    risks=("replacement", "security_group", "public_endpoint", "iam", "model_diverges"), quorum=2, minutes=30,
)  # fmt: skip


def just_ended() -> datetime:
    """The first moment of a story that ends about now."""
    return datetime.now(UTC) - timedelta(seconds=STORY_SECONDS)


def tell(ledger: Planted, *, demo: bool = True) -> None:
    """Write the whole afternoon, as one page."""
    with ledger.held():
        today = ledger.now
        ledger.now -= AGO
        cast(ledger, demo=demo)
        yesterday(ledger)
        ledger.now = today
        shipped(ledger)
        for ask in ASKS:
            start(ledger, ask)
            request(ledger, ask, after=95)
        start(ledger, PARTNER)
        request(ledger, PARTNER, card=partner_card(), after=60)
        ledger.write("second-reviewer", ApprovalOpened, approval=GRAVEST, digest=digest(GRAVEST), after=20)
        coverage = look(ledger, GRAVEST, "second-reviewer")
        ledger.write("second-reviewer", ApprovalSigned, Reason(text="The ticket PAY-1182 names the partner; I checked the CIDR with the network team."), approval=GRAVEST, digest=digest(GRAVEST), decision="approve", coverage=coverage, after=41)  # fmt: skip
        trouble(ledger)
    ledger.seal()


def cast(ledger: Planted, *, demo: bool) -> None:
    """Register everybody."""
    ledger.register("pipeline", "pipeline", "platform-team")
    ledger.register("review-agent", "agent", "ada")
    ledger.register("infrastructure-agent", "agent", "ada")
    ledger.register("deployment-agent", "agent", "tomas")
    ledger.register("ingest", "ingest", "platform-team")
    ledger.register("watch", "detector", "security-team")
    ledger.register(REVIEWER, "reviewer", "demo", insecure=demo)
    ledger.register("second-reviewer", "reviewer", "lena")
    ledger.register(CONSOLE, "console", "operations")
    ledger.register("router", "router", "operations")


def start(ledger: Planted, ask: Ask, **asked: Any) -> None:
    """Begin a run with its pull request."""
    pull = PullRequest(repository="git@git.example.net:payments/platform.git", title=ask.title, author=ask.initiator, base="main", head=f"change/{ask.name}", **asked)  # fmt: skip
    ledger.write("pipeline", RunStarted, pull, run=ask.run, workflow="pull-request", base="a" * 40, head=digest(ask.name)[:40], after=40)
    ledger.write("review-agent", DecisionMade, run=ask.run, subject="commit", subject_digest=digest(ask.name), verdict="approve", model="scripted", confidence=870, after=7)  # fmt: skip
    ledger.write("infrastructure-agent", ToolStarted, run=ask.run, call=f"plan-{ask.name}", tool="terraform.plan", resource=ask.resource, digest=digest(ask.name), after=3)  # fmt: skip


def request(
    ledger: Planted, ask: Ask, *, card: ApprovalCard | None = None, listed_card: ApprovalCard | None = None, after: float = 1.0
) -> Any:
    """Ask for an approval; `listed_card` is what the pieces on record are of, where it is not the card."""
    shown = card or ApprovalCard(title=ask.title, sentence=ask.sentence, verdict="approve", verdict_reasoning="The change does what the ticket says.", policy_rules=("production-needs-a-person",))  # fmt: skip
    expires = ledger.now + timedelta(seconds=after, minutes=ask.minutes)
    target = {"tool": ask.tool, "resource": ask.resource, "digest": digest(ask.name)}
    call, obligation = f"call-{ask.name}", "approval_and_one_more" if ask.quorum > 1 else "approval"
    ledger.write(ask.author, ToolRequested, run=ask.run, call=call, after=0, **target)
    decided = ledger.write(ask.author, PolicyDecided, run=ask.run, call=call, effect="allow", rules=rules_for(ask), bundle=BUNDLE, engine=ENGINE, obligation=obligation, after=0)
    for part in listed(listed_card or shown, ask.risks):
        ledger.write(ask.author, ApprovalListed, run=ask.run, approval=ask.name, digest=digest(ask.name), after=0, **part)
    return ledger.write(
        ask.author, ApprovalRequested, shown, cause=(decided.id,), call=call, **committed(listed_card or shown, ask.risks), run=ask.run, approval=ask.name, subject=ask.subject, digest=digest(ask.name),
        tool=ask.tool, resource=ask.resource, initiator=ask.initiator, quorum=ask.quorum, expires=expires, risks=ask.risks, after=after,
    )  # fmt: skip


def rules_for(ask: Ask) -> tuple[str, ...]:
    """The rules of the reference bundle that would decide about it."""
    if ask.tool != "terraform.apply":
        return ("deployment.releases",)
    return ("infrastructure.deletes", "infrastructure.applies") if ask.quorum > 1 else ("infrastructure.applies",)


def look(ledger: Planted, approval: str, reviewer: str = REVIEWER) -> str:
    """The console shows everything of a request to a reviewer; return the coverage."""
    asked = next(one for one in ledger.events if isinstance(one, ApprovalRequested) and one.approval == approval)
    views, coverage = shown_to(ledger.events, asked, reviewer)
    for view in views:
        ledger.write(CONSOLE, ApprovalViewed, after=0, **view)
    return coverage


def partner_card() -> ApprovalCard:
    """What the reviewer of the gravest request sees."""
    pull = PullRequest(
        repository="git@git.example.net:payments/platform.git", title=PARTNER.title, author="mara", base="main",
        head="change/partner-access", files=("infra/network.tf", "services/payments/limits.py"),
        description="Opens the API for the partner of ticket PAY-1182 and lets the service write its reports.",
    )  # fmt: skip
    reasoning = "The pull request opens the API to the partner network as ticket PAY-1182 asks. The rate limit moves to the environment, which the service reads at start. I see no risk beyond the change of the ingress rule."
    return ApprovalCard(
        title=PARTNER.title, sentence=PARTNER.sentence, pull_request=pull, diff=DIFF, plan_text=PLAN_TEXT, changes=CHANGES,
        findings=FINDINGS, verdict="approve", verdict_reasoning=reasoning,
        policy_rules=("replacement-needs-two-people", "public-endpoint-needs-a-person", "iam-needs-a-person"),
    )  # fmt: skip


def shipped(ledger: Planted) -> None:
    """One run all the way to a healthy deployment."""
    ask = Ask("rate-limit-1", SHIPPED, "Limit requests per partner", "The gateway gets a limit of 600 requests a minute.", initiator="priya", risks=("production",))
    start(ledger, ask)
    run, mark = ask.run, digest(ask.name)
    planned = ledger.write("infrastructure-agent", ToolFinished, run=run, call=f"plan-{ask.name}", tool="terraform.plan", milliseconds=8120, after=8)
    sent = ledger.write("review-agent", MessageSent, run=run, topic="change.reviewed", to="infrastructure-agent", cause=(planned.id,))
    ledger.write("infrastructure-agent", MessageDelivered, run=run, position=ledger.position - 1, cause=(sent.id,))
    asked = request(ledger, ask, after=4)
    coverage, call = look(ledger, ask.name), f"call-{ask.name}"
    ledger.write(REVIEWER, ApprovalOpened, run=run, approval=ask.name, digest=mark, cause=(asked.id,), after=190)
    signed = ledger.write(REVIEWER, ApprovalSigned, Reason(text="Plan read; the limit is what was agreed."), run=run, approval=ask.name, digest=mark, decision="approve", coverage=coverage, cause=(asked.id,), after=74)  # fmt: skip
    granted = ledger.write("infrastructure-agent", ApprovalGranted, run=run, approval=ask.name, digest=mark, votes=1, cause=(signed.id,))
    ledger.write("infrastructure-agent", ApprovalConsumed, run=run, approval=ask.name, digest=mark, call=call, cause=(granted.id,))
    began = ledger.write("infrastructure-agent", ToolStarted, run=run, call=call, tool="terraform.apply", resource=ask.resource, digest=mark, cause=(granted.id,))  # fmt: skip
    done = ledger.write("infrastructure-agent", ToolFinished, run=run, call=call, tool="terraform.apply", milliseconds=31200, cause=(began.id,), after=31)  # fmt: skip
    deployed = ledger.write("deployment-agent", DeploymentStarted, run=run, deployment="gateway-7", environment="production", artifact=digest("image"), cause=(done.id,), after=6)  # fmt: skip
    healthy = ledger.write("deployment-agent", DeploymentHealthy, run=run, deployment="gateway-7", milliseconds=4210, cause=(deployed.id,), after=5)
    ledger.write("deployment-agent", RunFinished, run=run, outcome="succeeded", cause=(healthy.id,))
    drawn(ledger, ask)


def yesterday(ledger: Planted) -> None:
    """What was decided the day before: two that were done and drawn for a second look, one denied, and what policy refused."""
    lena, agent = "second-reviewer", "infrastructure-agent"
    reports = Ask(OVERDUE, "run-0004-reports", "Let payments write its reports", "The role payments gains s3:PutObject on payments-reports.", initiator="priya", risks=("iam",))
    egress = Ask(LOOKED, "run-0005-egress", "Open egress to the card network", "The security group payments-api may reach 198.51.100.0/24 on port 443.", initiator="jonas", risks=("security_group",))
    wide = Ask("wide-1", "run-0006-wide", "Open the payments API to the world", "Port 443 of the payments API opens to 0.0.0.0/0.", initiator="jonas", risks=("security_group", "public_endpoint"))
    decided(ledger, reports, lena, Reason(text="Only the reports bucket; read the policy line by line."))
    drawn(ledger, reports)
    decided(ledger, egress, REVIEWER, Reason(text="The network is the one of ticket PAY-1090."))
    drawn(ledger, egress)
    ledger.write(lena, SpotcheckSigned, Reason(text="The range is twice what the ticket asks for."), run=egress.run, approval=egress.name, digest=digest(egress.name), finding="disagree", after=900)  # fmt: skip
    start(ledger, wide)
    request(ledger, wide, after=30)
    ledger.write(REVIEWER, ApprovalSigned, Reason(text="Nobody asked for the whole internet."), run=wide.run, approval=wide.name, digest=digest(wide.name), decision="deny", after=240)  # fmt: skip
    for call, rule in (("c-1", "plan.over_limit"), ("c-2", "no_permit"), ("c-3", "error")):
        ledger.write(agent, ToolRequested, run=wide.run, call=call, tool="terraform.apply", resource=wide.resource, digest=digest(call))
        ledger.write(agent, PolicyDecided, run=wide.run, call=call, effect="deny", rules=(rule,), bundle=BUNDLE, engine=ENGINE)
        ledger.write(agent, ToolFailed, run=wide.run, call=call, tool="terraform.apply", why="refused")


def decided(ledger: Planted, ask: Ask, reviewer: str, reason: Reason) -> None:
    """One run that a reviewer approved and that went well."""
    start(ledger, ask)
    request(ledger, ask, after=12)
    about = {"run": ask.run, "approval": ask.name, "digest": digest(ask.name)}
    coverage, call = look(ledger, ask.name, reviewer), f"call-{ask.name}"
    ledger.write(reviewer, ApprovalSigned, reason, decision="approve", coverage=coverage, after=220, **about)
    ledger.write(ask.author, ApprovalConsumed, call=call, after=3, **about)
    ledger.write(ask.author, ToolStarted, run=ask.run, call=call, tool=ask.tool, resource=ask.resource, digest=digest(ask.name))
    ledger.write(ask.author, ToolFinished, run=ask.run, call=call, tool=ask.tool, milliseconds=20_400, after=20)
    ledger.write(ask.author, RunFinished, run=ask.run, outcome="succeeded")


def drawn(ledger: Planted, ask: Ask) -> None:
    """The router drew it for a second look."""
    spent = next(at for at, one in enumerate(ledger.events) if isinstance(one, ApprovalConsumed) and one.approval == ask.name)
    ledger.write("router", SpotcheckDrawn, run=ask.run, refs=("M14",), approval=ask.name, position=spent, size=ledger.position, ticket="0a" + "7c" * 31, drawn=True)  # fmt: skip


def trouble(ledger: Planted) -> None:
    """What detectors and ingest have to say."""
    run = "run-0013-partner"
    bad = ledger.write("deployment-agent", ToolRequested, run=run, call="c-9", tool="secrets.read", resource="vault/payments", digest=digest("c-9"))
    ledger.write("deployment-agent", ToolFailed, run=run, call="c-9", tool="secrets.read", why="not_approved", cause=(bad.id,))
    ledger.write("ingest", RecordRefused, record_sha256=digest("r"), reason="signature", topic="tenuto.events", partition=2, offset=4711, claimed_author="review-agent")  # fmt: skip
    note = AlertNote(sentence="The deployment agent asked for a secret it has never asked for, 40 seconds after a message from a new source.", figures={"seconds": 40.0, "usual_calls": 0.0})  # fmt: skip
    ledger.write("watch", AlertRaised, note, run=run, alert="alert-1", detector="order", version="rules/1", rule="tool-without-review", severity="high", score=1000, suspect="deployment-agent", evidence=(bad.id,), refs=("T3",))  # fmt: skip
    slow = AlertNote(sentence="Messages of the review agent are longer and rarer than in the last hour.", figures={"score": 0.71})
    ledger.write("watch", AlertRaised, slow, alert="alert-2", detector="forest", version="model/3", rule="unusual-message", severity="medium", score=710, suspect="review-agent", evidence=(bad.id,), refs=("T5", "M9"))  # fmt: skip
    ledger.write(REVIEWER, AlertAcknowledged, alert="alert-2")
