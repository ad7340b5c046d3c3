"""What a hostile agent would put into a card, to be shown letter by letter and to do nothing."""

from __future__ import annotations

from datetime import timedelta

from tenuto.documents import ApprovalCard, Finding, PlannedChange, PullRequest, Reason
from tenuto.events.approval import ApprovalConsumed, ApprovalListed, ApprovalRequested, ApprovalSigned, ApprovalViewed
from tenuto.events.policy import PolicyDecided
from tenuto.events.run import RunStarted
from tenuto.events.spotcheck import SpotcheckDrawn
from tenuto.events.tool import ToolRequested

from tests.console.planted import Planted, digest
from tests.console.story import BUNDLE, ENGINE
from tests.reviewing import CONSOLE, committed, listed, shown

NAME, AGAIN = "hostile-1", "hostile-2"
SCRIPT = "<script>window.pwned = 1</script><img src=x onerror='window.pwned = 2'>"
MARKDOWN = "![pixel](https://evil.example/pixel.png) [Approve here](https://evil.example) :red[Approved] $\\\\alpha$ :material/check:"
BIDI = "if access != '\u202eresu\u2066' // only admins\u2069"
LONG = "A" * 6000
TEXTS = (SCRIPT, MARKDOWN, LONG)
DIFF = f"""diff --git a/{SCRIPT} b/{SCRIPT}
--- a/app.py
+++ b/app.py
@@ -1,2 +1,3 @@
-{BIDI}
+{SCRIPT}
+{LONG}
+{MARKDOWN}
"""


def spend(ledger: Planted) -> None:
    """Have the hostile request approved in hostile words, used, drawn, looked at, and asked for again."""
    plant(ledger)
    asked = next(one for one in ledger.events if isinstance(one, ApprovalRequested) and one.approval == NAME)
    views, coverage = shown(ledger.events, asked, "second-reviewer")
    for view in views:
        ledger.write(CONSOLE, ApprovalViewed, after=0, **view)
    about = {"approval": NAME, "digest": digest(NAME)}
    ledger.write("second-reviewer", ApprovalSigned, Reason(text=f"{SCRIPT} {MARKDOWN}"), decision="approve", coverage=coverage, **about)
    ledger.write("infrastructure-agent", ApprovalConsumed, call="hostile-call", **about)
    ledger.write("router", SpotcheckDrawn, approval=NAME, position=ledger.position - 1, size=ledger.position, ticket="0" * 64, drawn=True)
    plant(ledger, AGAIN)


def plant(ledger: Planted, name: str = NAME) -> None:
    """Ask for an approval in which every text is an attack."""
    call = "hostile-call" if name == NAME else f"call-{name}"
    every = f"{SCRIPT} {MARKDOWN} {BIDI}"
    pull = PullRequest(repository=SCRIPT, title=every, author=MARKDOWN, base="main", head=LONG, description=every, files=(SCRIPT, LONG))
    card = ApprovalCard(
        title=every, sentence=f"{every} {LONG}", pull_request=pull, diff=DIFF, plan_text=f"{every}\n{LONG}", verdict=SCRIPT,
        verdict_reasoning=f"{every} {LONG}", policy_rules=(SCRIPT, MARKDOWN),
        findings=tuple(Finding(tool=SCRIPT, rule=MARKDOWN, severity=SCRIPT, file=LONG, line=-1, message=every) for _ in range(5)),
        changes=(
            PlannedChange(address=SCRIPT, type=MARKDOWN, actions=(SCRIPT,), before={SCRIPT: LONG}, after={SCRIPT: every}, risks=(MARKDOWN,)),
            PlannedChange(address=LONG, type="t", actions=("update",), before={"a": {"b": [SCRIPT]}}, after={"a": 1}),
        ),
    )  # fmt: skip
    ledger.write("pipeline", RunStarted, pull, run="run-hostile", workflow="pull-request")
    target = {"tool": "terraform.apply", "resource": "stack/payments", "digest": digest(name)}
    agent = "infrastructure-agent"
    ledger.write(agent, ToolRequested, call=call, **target)
    decided = ledger.write(agent, PolicyDecided, call=call, effect="allow", rules=("infrastructure.exposes",), bundle=BUNDLE, engine=ENGINE, obligation="approval")
    for part in listed(card, ("iam",)):
        ledger.write(agent, ApprovalListed, approval=name, digest=digest(name), **part)
    ledger.write(
        agent, ApprovalRequested, card, cause=(decided.id,), **target, **committed(card, ("iam",)), run="run-hostile", approval=name, subject="terraform.plan",
        initiator="mara", quorum=1,
        expires=ledger.now + timedelta(hours=1), risks=("iam",),
    )  # fmt: skip
    ledger.seal()
