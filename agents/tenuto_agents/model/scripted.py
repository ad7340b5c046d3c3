"""The offline reviewer: no network, no chance, and a reasoning that can be read.

It judges what the prompt shows, as a model would: the findings of the static analysis, and marks of risk in the lines that
were added. It is no substitute for a model's reading; it makes the whole road run on any machine with the same outcome.
"""

from __future__ import annotations

import json
import re
from collections import Counter

from ..prompt import FENCE
from .answer import ModelAnswer, parse_answer

_MARKS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("runs a shell", re.compile(r"shell\s*=\s*True|os\.system\(|os\.popen\(")),
    ("evaluates text as code", re.compile(r"\b(?:eval|exec)\(")),
    ("opens a port to the whole internet", re.compile(r"0\.0\.0\.0/0|::/0")),
    ("turns off certificate checks", re.compile(r"verify\s*=\s*False|CERT_NONE")),
    ("holds a private key", re.compile(r"BEGIN [A-Z ]*PRIVATE KEY")),
)


class ScriptedModel:
    """Rejects on a finding of high severity or a mark of risk, comments on a medium one, approves otherwise."""

    name = "scripted"

    def review(self, prompt: str) -> ModelAnswer:
        """Return the verdict; the same prompt always gets the same."""
        severities, added, files = _read(prompt)
        marks = [what for what, pattern in _MARKS if any(pattern.search(line) for line in added)]
        seen = f"{files} files with {len(added)} added lines, {sum(severities.values())} findings"
        if severities["high"] or marks:
            why = [f"has {severities['high']} findings of high severity"] if severities["high"] else []
            return _answer("reject", 950, f"I read {seen}. The change {', '.join(why + marks)}.")
        if severities["medium"]:
            return _answer("comment", 600, f"I read {seen}. {severities['medium']} of medium severity need an answer first.")
        return _answer("approve", 900, f"I read {seen}. Nothing in the change speaks against it.")


def _read(prompt: str) -> tuple[Counter[str], list[str], int]:
    severities: Counter[str] = Counter()
    added: list[str] = []
    files = 0
    for line in prompt.split("\n"):
        if not line.startswith(FENCE):
            continue
        data = line.removeprefix(FENCE)
        if data.startswith("{"):
            severities[json.loads(data).get("severity", "high")] += 1
        elif data.startswith("file "):
            files += 1
        elif data.startswith("+"):
            added.append(data)
    return severities, added, files


def _answer(verdict: str, confidence: int, reasoning: str) -> ModelAnswer:
    return parse_answer(json.dumps({"verdict": verdict, "confidence": confidence, "reasoning": reasoning}))

