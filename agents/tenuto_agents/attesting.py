"""Vouching for a state by people, when no apply of ours did: after a crash, or once it is known who wrote it and why.

Until then nothing is planned from it (`vouching`), so there has to be a way on; it is a tool call that people approve, and
what they see is how the state differs from the one that was vouched for last. Values are not shown: state holds secrets.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tenuto.documents import ApprovalCard, PlannedChange, Result
from tenuto.events import FIRST_PREV, StateAttested
from tenuto.gate import Action

from .infrastructure import attest
from .plan import plan_risks
from .stack import InfrastructureRefused, Stack, stack_resource
from .statestore.visiting import Snapshot
from .task import Task
from .vouching import Guards

ATTEST_TOOL = "state.attest"
ATTEST_SUBJECT = "state.version"


def vouch_by_people(
    task: Task, stack: Stack, repository: str, revision: str, *, initiator: str, last: Snapshot | None
) -> StateAttested:
    """Ask people to vouch for the state as it is now, as the state of `revision`; return what went on record.

    last: the version that was vouched for before, where it can still be read. Raises ActionRefused, InfrastructureRefused.
    """
    now = stack.state.read()
    if now is None:
        raise InfrastructureRefused(f"There is no state {stack.state.name}, so there is nothing to vouch for.")
    changes = differing(last.document() if last else {}, now.document())

    def work() -> tuple[None, Result]:
        Guards().verify_unmoved(stack.state.name, now, stack.state.read())
        return None, Result(text=f"The serial {now.serial} is vouched for.", values={"state_digest": now.digest})

    sentence = f"Serial {now.serial} of {stack.state.name} is taken as approved, {len(changes)} resources differ from before."
    card = ApprovalCard(title=f"Vouch for the state {stack.state.name}", sentence=sentence, changes=changes)
    action = Action(
        tool=ATTEST_TOOL, resource=stack_resource(repository), digest=now.digest, subject=ATTEST_SUBJECT,
        risks=plan_risks(changes), arguments={"serial": now.serial, "revision": revision}, card=card, initiator=initiator,
        refs=("T8", "M32"),
    )  # fmt: skip
    task.act(action, work)
    return attest(task, stack, now, FIRST_PREV, revision)


def differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[PlannedChange, ...]:
    """Return the resources that differ between two states, without their values."""
    old, new = _resources(before), _resources(after)
    return tuple(
        PlannedChange(address=address, type=address.split(".")[-2], actions=(_action(address, old, new),), risks=())
        for address in sorted({*old, *new}) if old.get(address) != new.get(address)
    )  # fmt: skip


def _action(address: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    if address not in old:
        return "create"
    return "update" if address in new else "delete"


def _resources(state: Mapping[str, Any]) -> dict[str, Any]:
    found = {}
    for one in state.get("resources", []):
        module = f"{one['module']}." if one.get("module") else ""
        found[f"{module}{one['type']}.{one['name']}"] = [one.get("instances"), one.get("mode")]
    return found
