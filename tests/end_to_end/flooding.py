"""The agent of the flood, as a process of its own: many requests at its gate, each executed once people cleared it.

`python -m tests.end_to_end.flooding COUNT FILE` asks for COUNT changes as the author `infrastructure`, under the reference
policy, and goes on with each as soon as the ledger says how people decided. Each execution appends the call to FILE.
"""

from __future__ import annotations

import hashlib
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tenuto.clock import SystemClock, new_uuid7
from tenuto.documents import ApprovalCard, PlannedChange, Result
from tenuto.errors import Busy
from tenuto.events import ApprovalRequested
from tenuto.gate import Action, ActionRefused, Gate, Patience
from tenuto.settings import load_settings
from tenuto.wiring import open_follower, open_policy, open_recorder

AGENT = "infrastructure"
REVIEWERS = ("lena", "nina", "otto")
RUN_REQUESTS = 40
DELETION_EVERY = 20
OWN_EVERY = 9
PATIENCE = Patience(approval_seconds=86_400, ledger_seconds=120)
LOOK_SECONDS = 0.3


@dataclass
class Change:
    """One change that the agent wants to make."""

    number: int
    file: Path

    @property
    def title(self) -> str:
        return f"Change {self.number:03}"

    @property
    def run(self) -> str:
        return f"run-{self.number // RUN_REQUESTS}"

    @property
    def action(self) -> Action:
        """Every DELETION_EVERY-th deletes something, and needs two people; every OWN_EVERY-th was started by a reviewer."""
        deletes = self.number % DELETION_EVERY == DELETION_EVERY - 1
        initiator = REVIEWERS[self.number // OWN_EVERY % len(REVIEWERS)] if self.number % OWN_EVERY == 0 else "mara"
        address = f"aws_cloudwatch_log_group.partner_{self.number:03}"
        change = PlannedChange(
            address=address, type="aws_cloudwatch_log_group", actions=("delete",) if deletes else ("create",),
            before={"name": address, "retention_in_days": 30} if deletes else {},
            after={} if deletes else {"name": address, "retention_in_days": 30 + self.number},
        )  # fmt: skip
        card = ApprovalCard(title=self.title, sentence=f"One log group is {'deleted' if deletes else 'made'}.", changes=(change,))
        return Action(
            tool="terraform.apply", resource=f"stack:partner-{self.number:03}", digest=hashlib.sha256(address.encode()).hexdigest(),
            subject="terraform.plan", risks=("deletion",) if deletes else ("production",), initiator=initiator, card=card,
            arguments={"resources": [address], "open_to_world": []},
        )  # fmt: skip

    def execute(self) -> Result:
        with self.file.open("a", encoding="utf-8") as done:
            done.write(f"{self.title}\n")
        return Result(text="applied")


def main(count: int, file: Path) -> None:
    """Ask for everything, then go on with each."""
    settings = load_settings()
    with open_recorder(settings, AGENT, software="flood/1") as recorder:
        gate = Gate(
            recorder=recorder, follower=open_follower(settings, payloads=False), policy=open_policy(settings.policy),
            clock=SystemClock(), new_id=new_uuid7, patience=PATIENCE,
        )  # fmt: skip
        changes = [Change(number, file) for number in range(count)]
        with ThreadPoolExecutor(4) as pool:
            asked = list(pool.map(lambda change: gate.request(change.action, run=change.run), changes))
        go_on(gate, dict(zip((one.approval for one in asked), zip(asked, changes, strict=True), strict=True)))


def go_on(gate: Gate, left: dict[str, tuple[ApprovalRequested, Change]]) -> None:
    """Execute what was granted and take note of what was denied, until nothing is left."""
    while left:
        approvals, now = gate.approvals, SystemClock().now()
        for name in [name for name in left if approvals.standing(name, now).state != "open"]:
            asked, change = left.pop(name)
            with suppress(ActionRefused):
                try:
                    gate.resume(asked, change.action, change.execute)
                except Busy:  # somebody took a vote back between the two looks
                    left[name] = asked, change
        time.sleep(LOOK_SECONDS)


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
