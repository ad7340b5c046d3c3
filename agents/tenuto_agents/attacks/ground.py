"""What an attack stands on: the running system, identities that belong to the red team, and the ledger since it began.

The red team never uses the key of a working agent. For the length of a run the root registers `range-...` authors for it;
their keys end with the run, and everything that they signed is marked as signed with an insecure key.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from tenuto.action import Patience
from tenuto.adapters import keyfiles
from tenuto.approvals import Approvals
from tenuto.clock import SystemClock, new_uuid7
from tenuto.embedded.child import DirectoryLock
from tenuto.errors import NotConfigured
from tenuto.events import Event, ReviewerEnrolled
from tenuto.events.key import Role
from tenuto.events.reviewer import DAY_MINUTES
from tenuto.following import Follower
from tenuto.gate import Gate
from tenuto.policy import load_policy
from tenuto.recorder import Recorder
from tenuto.registering import Enrolment, missing, register, revoke
from tenuto.settings import EVENTS_TOPIC, Settings
from tenuto.signing import SeedSigner
from tenuto.trust import Trust
from tenuto.verification import Verified
from tenuto.wiring import open_bus, open_follower, open_recorder, open_trust

SOFTWARE = "tenuto-red-team"
RED_TEAM = "red-team"
RANGE_AGENT, RANGE_CONSOLE = "range-agent", "range-console"
RANGE_FORGER = "range-forger"
"""Has a registered key and no recorder: what it signs is made by hand."""
RANGE_REVIEWERS = ("range-reviewer-1", "range-reviewer-2")
RANGE_POLICY = Path(__file__).with_name("range.cedar")
SECONDS_MAX = 30.0
REGISTER_SECONDS_MAX = 60.0
LOCK_SECONDS_MAX = 2.0
POLL_SECONDS = 0.1
PATIENCE = Patience(approval_seconds=120.0)

T = TypeVar("T")


class Ground:
    """One run of the red team, as a context manager. `folder` is scratch space that is emptied before each attack.

    Its parent is locked meanwhile: two red teams in one home would end each other's keys.
    """

    def __init__(self, settings: Settings, folder: Path) -> None:
        """Nothing is open yet; `settings` name the running system, and hold the root's key."""
        self.settings, self.folder = settings, folder
        self.clock, self.new_id = SystemClock(), new_uuid7
        self.follower: Follower = open_follower(settings, payloads=False)
        self.approvals = Approvals()
        self._recorders: dict[str, Recorder] = {}
        self._since: list[Verified] = []
        self._lock: DirectoryLock | None = None
        self._kept: dict[str, tuple[Any, ExitStack]] = {}

    def __enter__(self) -> Self:
        """Register the red team and its range.

        Raises NotConfigured without the root's key or beside another red team, Busy when the road is away.
        """
        self._lock = DirectoryLock(self.folder.parent, seconds_max=LOCK_SECONDS_MAX)
        try:
            self._take()
            self._register(range_people())
            self._keep_off_the_router(RANGE_REVIEWERS)
            self._take()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """End every key of the range and close all doors."""
        self.close()

    def close(self) -> None:
        """End the range's keys, where they are registered, then close all doors."""
        try:
            for name in list(self._kept):
                self.let_go(name)
            for recorder in self._recorders.values():
                recorder.close()
            self._recorders.clear()
        finally:
            try:
                self._retire()
            finally:
                if self._lock is not None:
                    self._lock.release()
                    self._lock = None

    @property
    def trust(self) -> Trust:
        """What anybody may know of the log."""
        return open_trust(self.settings)

    @property
    def red_team(self) -> Recorder:
        """The red team's own door, for what it says about its attacks."""
        return self.recorder(RED_TEAM)

    def recorder(self, author: str) -> Recorder:
        """The door of an author of the range, opened once."""
        if author not in self._recorders:
            self._recorders[author] = open_recorder(self.settings, author, software=SOFTWARE)
        return self._recorders[author]

    def gate(self, author: str = RANGE_AGENT, patience: Patience = PATIENCE) -> Gate:
        """A gate of its own for an author of the range, under the range's own policy: it is people who are attacked."""
        return Gate(
            recorder=self.recorder(author), follower=open_follower(self.settings, payloads=False),
            policy=load_policy([RANGE_POLICY]), clock=self.clock, new_id=self.new_id, patience=patience,
        )  # fmt: skip

    def signer(self, author: str) -> SeedSigner:
        """The key of an author of the range."""
        return keyfiles.load_signer(self.settings.keys, author)

    def publish(self, key: bytes, record: bytes) -> None:
        """Put bytes on the events topic with the red team's own account, past every recorder."""
        with open_bus(self.settings, RED_TEAM).publisher() as publisher:
            publisher.publish(EVENTS_TOPIC, key, record)
            publisher.flush(SECONDS_MAX)

    def kept(self, name: str, make: Callable[[Path], AbstractContextManager[T]]) -> T:
        """Return a part that outlives one attack, made in a folder of its own for the first that asks; it ends with the run."""
        if name not in self._kept:
            stack, folder = ExitStack(), self.folder.with_name(f"{self.folder.name}-{name}")
            shutil.rmtree(folder, ignore_errors=True)
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            with stack:
                self._kept[name] = (stack.enter_context(make(folder)), stack.pop_all())
        found: T = self._kept[name][0]
        return found

    def let_go(self, name: str) -> None:
        """End a kept part now, so that the next attack gets a new one; harmless when there is none."""
        if name in self._kept:
            self._kept.pop(name)[1].close()

    def begin(self) -> None:
        """Forget what earlier attacks left: `since` is empty and `folder` is new."""
        self._take()
        self._since.clear()
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True, mode=0o700)

    def since(self) -> list[Verified]:
        """Every verified event since this attack began, up to the newest checkpoint."""
        self._take()
        return list(self._since)

    def wait_for(self, found: Callable[[Verified], bool], seconds: float = SECONDS_MAX) -> Verified | None:
        """Return the first event since the attack began for which `found` holds, or None when there is none in time."""
        deadline = time.monotonic() + seconds
        while True:
            one = next((verified for verified in self.since() if found(verified)), None)
            if one is not None or time.monotonic() > deadline:
                return one
            time.sleep(POLL_SECONDS)

    def wait_on_record(self, event: Event) -> Verified:
        """Return the red team's own event once it is signed; raises NotConfigured when the road does not carry it."""
        one = self.wait_for(lambda verified: verified.event.id == event.id)
        if one is None:
            raise NotConfigured("What the red team says does not reach the ledger. Are ingest and sealer running (`tenuto status`)?")
        return one

    def register_one(self, author: str, role: str = "agent") -> None:
        """Register one more author of the range."""
        self._register([Enrolment(author, role, f"owner-of-{author}", insecure_demo=True)])  # type: ignore[arg-type]

    def newcomers(self, role: Role, count: int = 1) -> tuple[str, ...]:
        """Register authors of the range that nobody met before, with clean hands and an empty hour; return their names."""
        names = tuple(f"range-{role}-{str(self.new_id())[-12:]}" for _ in range(count))
        if role == "reviewer":
            self._keep_off_the_router(names)
        self._register([Enrolment(name, role, f"owner-of-{name}", insecure_demo=True) for name in names])
        return names

    def revoke_one(self, author: str) -> None:
        """End the key of an author of the range and remove its file."""
        self._take()
        with open_recorder(self.settings, "root", software=SOFTWARE) as root:
            revoke(root, self.follower.walk.keyring, author, "retired", REGISTER_SECONDS_MAX)

    def _register(self, people: Iterable[Enrolment]) -> None:
        people = list(people)
        self._take()
        for person in people:
            self._forget_ended_key(person.author)
        if missing(self.follower.walk.keyring, self.settings.keys, people):
            with open_recorder(self.settings, "root", software=SOFTWARE) as root:
                register(root, self.follower.walk.keyring, self.settings.keys, people, REGISTER_SECONDS_MAX)

    def _forget_ended_key(self, author: str) -> None:
        """A key that an earlier run ended is of no use; the file makes room for a new one."""
        file = self.settings.keys / keyfiles.author_file(author)
        if file.exists():
            name = self.signer(author).key_id
            if any(key.key_id == name and key.until is not None for key in self.follower.walk.keyring.keys()):
                file.unlink()

    def _keep_off_the_router(self, names: Sequence[str]) -> None:
        """The range's reviewers are on shift for one minute, twelve hours from now, so that no real request goes to them."""
        now = self.clock.now()
        begins = (now.hour * 60 + now.minute + DAY_MINUTES // 2) % DAY_MINUTES
        with open_recorder(self.settings, "root", software=SOFTWARE) as root:
            for name in names:
                enrolled = root.record(
                    ReviewerEnrolled, reviewer=name, roles=("range",), shift_start=begins, shift_end=(begins + 1) % DAY_MINUTES
                )
            root.wait(enrolled, REGISTER_SECONDS_MAX)

    def _retire(self) -> None:
        self._take()
        ring = self.follower.walk.keyring
        ours = [key for key in ring.keys() if key.author.startswith("range-") and key.until is None]
        if ours:
            with open_recorder(self.settings, "root", software=SOFTWARE) as root:
                for key in ours:
                    revoke(root, ring, key.author, "retired", REGISTER_SECONDS_MAX)

    def _take(self) -> None:
        for verified in self.follower.catch_up():
            self.approvals.apply(verified)
            self._since.append(verified)


def range_people() -> list[Enrolment]:
    """The red team, and the authors that it plays."""
    people = [Enrolment(RED_TEAM, "redteam", RED_TEAM, insecure_demo=False)]
    people += [Enrolment(name, "agent", f"owner-of-{name}", insecure_demo=True) for name in (RANGE_AGENT, RANGE_FORGER)]
    people.append(Enrolment(RANGE_CONSOLE, "console", "owner-of-range-console", insecure_demo=True))
    people += [Enrolment(name, "reviewer", name, insecure_demo=True) for name in RANGE_REVIEWERS]
    return people
