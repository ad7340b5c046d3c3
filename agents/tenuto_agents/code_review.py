"""The code review agent: reads the change, has it analysed, asks the model, and says what it concluded.

Its approval is a word, not a permission. It goes on only when the model approves and the analysis has nothing grave; what
decides about infrastructure and production are policy and people, later on the road.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import msgspec
from tenuto.clock import NewId
from tenuto.documents import AlertNote, Handover, PullRequest, Result, Review
from tenuto.events import AlertRaised, DecisionMade, Event
from tenuto.gate import Action

from .agent import Duty
from .analysis import Analysis, analyse, with_more
from .change import Change
from .clean import CleanFile, clean_files
from .evidence import CODE_REVIEW, INFRASTRUCTURE, PIPELINE, Record, verify_submitted
from .knowledge import Found, Knowledge
from .model import Model, ModelAnswer, parse_answer
from .prompt import build_prompt
from .sandbox import Box, Breach
from .secrets.added import secrets_added
from .task import Task
from .text import visible_line
from .tools.git_tools import (
    DIFF,
    TITLE_CHARACTERS_MAX,
    DiffArguments,
    change_from,
    demand_whole,
    diff_action,
    read_whole,
    repository_resource,
)

TOPIC_REQUESTED, TOPIC_VERDICT = "review.requested", "review.verdict"
ANALYSIS_TOOL = "analysis.run"
Looked = tuple[Analysis, Mapping[str, CleanFile], Found]
WITHOUT_SANDBOX = "It ran without the sandbox"
_BREACH_ALERTS_MAX = 4  # the run ends with the first; a flood in the box must not become one in the ledger


class CodeReview:
    """The agent `code-review`."""

    name = CODE_REVIEW

    def __init__(self, model: Model, box: Box, *, new_id: NewId, knowledge: Knowledge | None = None) -> None:
        """`model` gives the verdict, `box` is where the change is parsed; `new_id` makes each prompt unlike any other.

        knowledge: where policies and runbooks are looked up, if anywhere.
        """
        self._model, self._box, self._new_id, self._knowledge = model, box, new_id, knowledge

    def duties(self) -> Mapping[str, Duty]:
        """Takes `review.requested` of the pipeline."""
        return {TOPIC_REQUESTED: Duty(PIPELINE, "pipeline", self.review, repeatable=True)}

    def review(self, handover: Handover, task: Task) -> None:
        """Review the change, record the decision, and hand over or end the run."""
        asked = handover.pull_request
        verify_submitted(Record(task.gate.events_of(task.run), task.gate.approvals), asked.base, asked.head)
        with breaches_on_record(task, self._new_id):
            change = read_recorded(task, asked, self._box)
        self.judge(change, task)

    def judge(self, change: Change, task: Task) -> None:
        """What follows once it is proven who asked: analyse, ask the model, record, and hand over or end the run."""
        with breaches_on_record(task, self._new_id):
            analysis, clean, found = self._analyse(task, change)
        self._tell_disbelieved(task, found)
        prompt = task.screened(build_prompt(change, clean, analysis.findings, self._new_id(), found.chunks), "prompt")
        answer = self._screened_answer(task, self._model.review(prompt))
        diverges = answer.verdict.verdict == "approve" and bool(analysis.high)
        decided = self._decide(task, change, analysis, prompt, answer)
        if diverges:
            task.finish("refused", f"The model approved, static analysis has {len(analysis.high)} findings of high severity.")
        elif answer.verdict.verdict != "approve":
            task.finish("refused", f"The review's verdict is {answer.verdict.verdict}: {answer.verdict.reasoning}")
        else:
            verdict = Handover(
                pull_request=change.document(), verdict=answer.verdict.verdict,
                reasoning=answer.verdict.reasoning, findings=analysis.findings,
            )  # fmt: skip
            task.hand_over(INFRASTRUCTURE, TOPIC_VERDICT, verdict, cause=(decided.id,))

    def _analyse(self, task: Task, change: Change) -> Looked:
        def work() -> tuple[Looked, Result]:
            analysis = with_more(analyse(change, self._box), secrets_added(change, task.secrets_in))
            clean = clean_files(change.files, self._box)
            found = Found() if self._knowledge is None else self._knowledge.search(change.diff)
            text = f"{len(analysis.findings)} findings in {len(analysis.analysed)} files; {len(analysis.skipped)} not analysed."
            if analysis.sandbox == "none":
                text += f" {WITHOUT_SANDBOX}: this machine has none."
            leaned = [f"{chunk.source} {chunk.section} {chunk.digest} {chunk.signer}" for chunk in found.chunks]
            values = {"analysed": analysis.analysed, "skipped": analysis.skipped, "sandbox": analysis.sandbox, "knowledge": leaned}
            return (analysis, clean, found), Result(text=text, values=values)

        resource = repository_resource(change.repository)
        arguments = {"head": change.head, "sandbox": self._box.name}
        action = Action(tool=ANALYSIS_TOOL, resource=resource, digest=change.digest, arguments=arguments)
        return task.act(action, work).value

    def _tell_disbelieved(self, task: Task, found: Found) -> None:
        """A chunk that nobody signed was put where policies are: somebody tries to dictate them (chain C3)."""
        for chunk, why in found.refused[:_BREACH_ALERTS_MAX]:
            sentence = visible_line(f"{chunk.source} {chunk.section} was found and not believed: {why}")
            task.record(
                AlertRaised, document=AlertNote(sentence=sentence), refs=("C3", "T5"), alert=f"knowledge-{self._new_id()}",
                detector="knowledge", version="1", rule="knowledge.not_signed", severity="high", score=1000, suspect=task.run,
                evidence=task.cause,
            )  # fmt: skip

    @staticmethod
    def _screened_answer(task: Task, answer: ModelAnswer) -> ModelAnswer:
        """The answer without any secret; what is left is read again, since it is what goes on record."""
        response = task.screened(answer.response, "response")
        return answer if response == answer.response else parse_answer(response)

    def _decide(self, task: Task, change: Change, analysis: Analysis, prompt: str, answer: ModelAnswer) -> Event:
        verdict = answer.verdict
        review = Review(
            prompt=prompt, response=answer.response, reasoning=verdict.reasoning, findings=analysis.findings, diff=change.diff
        )
        return task.record(
            DecisionMade, document=review, refs=("T1", "M1", "M2", "M3", "M4"), subject="commit",
            subject_digest=change.digest, verdict=verdict.verdict, model=self._model.name, confidence=verdict.confidence,
            prompt_sha256=prompt_digest(prompt), response_sha256=response_digest(prompt, answer.response),
            findings=len(analysis.findings), diverges=verdict.verdict == "approve" and bool(analysis.high),
            evidence=(_sha256(change.diff.encode()), _sha256(msgspec.json.encode(analysis.findings))),
        )  # fmt: skip


@contextmanager
def breaches_on_record(task: Task, new_id: NewId) -> Iterator[None]:
    """Raise an alert for what the sandbox's watcher saw in the block, then let the refusal go on (M26)."""
    try:
        yield
    except Breach as breach:
        for sighting in breach.sightings[:_BREACH_ALERTS_MAX]:
            note = AlertNote(sentence=f"In the review sandbox something tried {sighting}. It was denied.")
            task.record(
                AlertRaised, document=note, refs=("T6", "M24", "M25", "M26"), alert=f"sandbox-{new_id()}", detector="sandbox",
                version="1", rule=f"sandbox.{sighting.call}", severity="critical", score=1000, suspect=task.run, evidence=task.cause,
            )  # fmt: skip
        raise


def read_recorded(task: Task, asked: PullRequest, box: Box | None = None) -> Change:
    """Read the change by its commit ids, as a recorded tool call; raises RepositoryRefused if git gives another one.

    It is read by the tool server where the task has one, else here: in `box` then, and Breach if git did something else there.
    """
    arguments = DiffArguments(asked.repository, asked.base, asked.head, asked.title[:TITLE_CHARACTERS_MAX])
    action = diff_action(arguments)
    if task.tools is not None:
        read = task.use("git", DIFF, arguments, action, lambda answer: _told(change_from(answer))).value
        return demand_whole(change_from(read), arguments)

    def work() -> tuple[Change, Result]:
        change = read_whole(arguments, box)
        return change, _told(change)

    return task.act(action, work).value


def _told(change: Change) -> Result:
    text = f"{len(change.files)} files, {len(change.commits)} commits, {len(change.diff.encode()):,} bytes of diff."
    return Result(text=text, values={"files": [file.shown for file in change.files]})


def prompt_digest(prompt: str) -> str:
    """SHA-256 of the prompt, hex; its nonce keeps anybody from guessing the text by the hash."""
    return _sha256(prompt.encode())


def response_digest(prompt: str, response: str) -> str:
    """SHA-256 over prompt, a zero byte and response, hex: a response is bound to its prompt and salted by its nonce."""
    return _sha256(prompt.encode() + b"\0" + response.encode())


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
