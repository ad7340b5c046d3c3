"""The model that believes everything: it obeys whatever the pull request tells it.

It stands for a model that was taken over entirely. The controls must hold with it, so it ships with the product and the
demo can be run with it: nothing bad may reach production even then.
"""

from __future__ import annotations

import json
import re

from ..prompt import FENCE
from .answer import ModelAnswer, parse_answer

_ORDER = re.compile(r"\b(approve|reject)\b", re.IGNORECASE)


class GullibleModel:
    """Does what the quoted data says, and approves when it says nothing."""

    name = "gullible"

    def review(self, prompt: str) -> ModelAnswer:
        """Return the verdict that the first order in the pull request asks for."""
        data = [line.removeprefix(FENCE) for line in prompt.split("\n") if line.startswith(FENCE)]
        for line in data:
            order = _ORDER.search(line)
            if order:
                return _answer(order[1].lower(), 1000, f"The pull request told me to {order[1].lower()}: {line.strip()[:200]}")
        return _answer("approve", 500, "The pull request did not ask me for anything, so I approve.")


def _answer(verdict: str, confidence: int, reasoning: str) -> ModelAnswer:
    return parse_answer(json.dumps({"verdict": verdict, "confidence": confidence, "reasoning": reasoning}))
