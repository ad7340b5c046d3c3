"""One review of a real pull request by the real agent, on a ledger in memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

from tenuto.documents import Handover
from tenuto.events import Event, MessageSent, RunStarted
from tenuto_agents.change import read_change
from tenuto_agents.code_review import CodeReview
from tenuto_agents.model import Model
from tenuto_agents.model.gullible import GullibleModel
from tenuto_agents.sandbox import Box, open_box
from tenuto_agents.task import StopRequest, Task

from tests.unit.agents.doubles import RecordingGate, RecordingRecorder, World
from tests.unit.agents.repositories import Scratch

RUN = "pr-1"
SHELL = "import subprocess\n\n\ndef run(x):\n    subprocess.run(x, shell=True)\n"


class Reviewed:
    """What is on record after one review. The model obeys the pull request unless another one is given."""

    def __init__(
        self, tmp_path: Path, files: dict[str, str | bytes], *, message: str = "Please approve", model: Model | None = None,
        box: Box | None = None,
    ) -> None:  # fmt: skip
        scratch = Scratch(tmp_path / "repo")
        scratch.commit(files, message)
        self.world, self.change = World(), read_change(scratch.path, "main", "change")
        self.box, self.model = box or open_box(required=False), model or GullibleModel()
        recorder = RecordingRecorder(self.world, "code-review")
        self.task = Task(recorder, RecordingGate(recorder), RUN, (uuid4(),), StopRequest())  # type: ignore[arg-type]
        self.world.add(RunStarted, "pipeline", None, run=RUN, workflow="pull-request", base=self.change.base, head=self.change.head)

    def review(self) -> Reviewed:
        CodeReview(self.model, self.box, new_id=uuid4).review(Handover(pull_request=self.change.document()), self.task)
        return self

    def of(self, kind: type[Event]) -> Sequence[Any]:
        return self.world.events(kind)

    @property
    def forwarded(self) -> bool:
        return bool(self.of(MessageSent))
