"""The infrastructure agent in this process: a real signed ledger, the real gate and policy, real git, Terraform and state store.

What stands in for people: `lena` and `otto`, who look at every piece of a request and approve it. Everything that was
recorded, also by the state store, is in one ledger.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

from tenuto.documents import Document, Handover
from tenuto.events import (
    ApprovalRequested,
    ApprovalSigned,
    DecisionMade,
    Event,
    MessageSent,
    RunStarted,
    StateAttested,
    ToolFinished,
    ToolStarted,
)
from tenuto.policy import load_policy
from tenuto_agents.change import change_digest, read_change
from tenuto_agents.infrastructure import Infrastructure
from tenuto_agents.provider import Provider
from tenuto_agents.statehome import StoredState
from tenuto_agents.statestore.door import state_run
from tenuto_agents.statestore.visiting import Snapshot, StateAddress, StateStore
from tenuto_agents.task import StopRequest, Task
from tenuto_agents.vouching import Guards

from tests.infrastructure.store import Place
from tests.unit.agents.repositories import Scratch
from tests.unit.agents.terraform_here import terraform_or_skip
from tests.unit.gate.road import Road, open_gate


class Recording(Road):
    """An author's door into the ledger, as the agent's code needs it."""

    def wait(self, event: Event, seconds: float) -> None:
        assert any(one.id == event.id for one in self.ledger.events)

    def send(self, to: str, topic: str, document: Document, **fields: Any) -> Event:
        return self.record(MessageSent, document=document, to=to, topic=topic, **fields)


class StoresDoor:
    """The state store's door into the same ledger."""

    def __init__(self, road: Road) -> None:
        self._road = road

    def record(self, kind: type[Event], **fields: Any) -> Event:
        return self._road.ledger.write("state-store", kind, **{name: one for name, one in fields.items() if one is not None})


class NoGuards(Guards):
    """The control switched off."""

    def verify_attested(self, *_: Any) -> None:
        """Any state will do."""

    def verify_requested(self, *_: Any) -> None:
        """Any plan will do."""

    def verify_unmoved(self, *_: Any) -> None:
        """It may move."""


class Site:
    """One stack `shop`; `commit` and `change` are pull requests, `people` says what the reviewers do."""

    def __init__(self, folder: Path, main: str, *, provider: Provider | None = None) -> None:
        self.terraform = terraform_or_skip()
        self.folder, self.provider, self.runs = folder, provider, 0
        self.road = Recording("infrastructure")
        for author, role in (("state-store", "statekeeper"), ("pipeline", "pipeline"), ("code-review", "agent")):
            self.road.ledger.register(author, role)
        self.place = Place(folder / "store", journal=StoresDoor(self.road))
        self.repository = Scratch(folder / "shop", {"infra/main.tf": main})
        self.numbers = count(3)
        self.stand_back()
        self.gate = open_gate(self.road, load_policy(), lambda: self.people())

    def stand_back(self) -> None:
        """Let people approve, and nobody interfere."""
        self.people: Callable[[], None] = self.approve
        self.before_apply: Callable[[], None] = lambda: None
        self.road.ahead = timedelta(0)
        self.done = self._ended()

    def agent(self, guards: Guards | None = None) -> Infrastructure:
        return Infrastructure(
            terraform=self.terraform, state=self.folder / "stacks", provider=self.provider, guards=guards,
            states=lambda name: StoredState(StateAddress(self.place.address, name, "infrastructure", self.place.token)),
        )

    def change(self, main: str, base: str | None = None, *, guards: Guards | None = None) -> str:
        """Take a pull request that makes infra/main.tf read `main` through the agent; returns its head, or raises."""
        base = base or self.repository.git("rev-parse", "HEAD")
        head = self.repository.commit({"infra/main.tf": main})
        change = read_change(self.repository.path, base, head)
        self.runs += 1
        run, ledger = f"pr-{self.runs}", self.road.ledger
        ledger.write("pipeline", RunStarted, change.document(), run=run, workflow="pull-request", base=change.base, head=head)
        ledger.write(
            "code-review", DecisionMade, run=run, subject="commit", subject_digest=change_digest(change.base, head),
            verdict="approve", model="scripted",
        )
        handover = Handover(pull_request=change.document(), verdict="approve")
        try:
            self.agent(guards).provide(handover, Task(self.road, self.gate, run, (), StopRequest()))
        except BaseException:
            self.repository.git("reset", "-q", "--hard", base)
            raise
        return head

    def heal(self, good: Snapshot) -> None:
        """Put the resources of a good state back, and vouch for what that gives, as a person would who looked at it."""
        from tests.infrastructure.thief import write_state

        write_state(self, lambda document: document.update(resources=good.document()["resources"]), lock="heal-1")
        now = self.state()
        if self.attested()[-1].digest != now.digest:
            self.road.ledger.write(
                "infrastructure", StateAttested, run=state_run(self.stack), state=self.stack, serial=now.serial,
                digest=now.digest, plan="0" * 64, revision=self.repository.git("rev-parse", "HEAD"),
            )

    def first(self) -> str:
        """Create the stack from nothing, as the first pull request does."""
        main = (self.repository.path / "infra" / "main.tf").read_text()
        self.repository.git("rm", "-q", "-r", "infra")
        self.repository.git("commit", "-q", "-m", "nothing yet")
        return self.change(main)

    def approve(self) -> None:
        """Sign every open request that was not signed yet, as two reviewers who looked at everything."""
        events = self.road.ledger.events
        signed = {(one.approval, one.author) for one in events if isinstance(one, ApprovalSigned)}
        for asked in [one for one in events if isinstance(one, ApprovalRequested)]:
            if len([one for one in signed if one[0] == asked.approval]) >= max(asked.quorum, 1):
                continue
            # By turns: of more than ten approvals of one person within an hour the eleventh does not count.
            given = Counter(who for _, who in signed)
            for who in sorted(("lena", "otto"), key=lambda who: given[who])[: max(asked.quorum, 1)]:
                if (asked.approval, who) not in signed:
                    self.before_apply()
                    self.road.approve(who, asked)

    def events(self, kind: type[Event]) -> list[Any]:
        return [one for one in self.road.ledger.events if isinstance(one, kind)]

    def applied(self) -> int:
        """How often an apply or a revert came to its end, since people stood back."""
        return self._ended() - self.done

    def _ended(self) -> int:
        calls = {one.call for one in self.events(ToolStarted) if one.tool in ("terraform.apply", "terraform.revert")}
        return sum(one.call in calls for one in self.events(ToolFinished))

    @property
    def stack(self) -> str:
        """The name of the stack's state."""
        return self.agent().stack(str(self.repository.path), self.terraform).state.name

    def store(self) -> StateStore:
        """The store as whoever has the agent's token comes to it."""
        return StateStore(StateAddress(self.place.address, self.stack, "infrastructure", self.place.token))

    def state(self) -> Snapshot:
        found = self.store().read()
        assert found is not None
        return found

    def attested(self) -> list[Any]:
        return [one for one in self.events(StateAttested) if one.run == state_run(self.stack)]
