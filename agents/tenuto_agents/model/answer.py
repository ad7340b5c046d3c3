"""The closed schema of a model's answer, and the strict reading of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

RESPONSE_BYTES_MAX = 16_384
REASONING_CHARACTERS_MAX = 4_000
KEPT_CHARACTERS_MAX = 16_384


class Verdict(BaseModel):
    """What a model may say: a verdict, how sure it is in parts of a thousand, and why."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    verdict: Literal["approve", "reject", "comment"]
    confidence: Annotated[int, Field(ge=0, le=1000)]
    reasoning: Annotated[str, Field(max_length=REASONING_CHARACTERS_MAX)]


@dataclass(frozen=True, slots=True)
class ModelAnswer:
    """A verdict, the exact text it was read from, and whether that text was valid. An invalid answer is a rejection."""

    verdict: Verdict
    response: str
    valid: bool = True


def parse_answer(response: str) -> ModelAnswer:
    """Read a model's response; never raises: what is not exactly one object of the schema is `reject`, and says why."""
    try:
        if len(response.encode("utf-8", errors="replace")) > RESPONSE_BYTES_MAX:
            return _invalid(response, f"it has more than {RESPONSE_BYTES_MAX:,} bytes")
        return ModelAnswer(Verdict.model_validate(json.loads(response, object_pairs_hook=_without_repeats)), response)
    except ValidationError as error:
        first = error.errors()[0]
        return _invalid(response, f"{'.'.join(str(part) for part in first['loc']) or 'the whole'}: {first['msg']}")
    except (ValueError, RecursionError) as error:
        return _invalid(response, f"{error}"[:200])


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # Two parsers may read two verdicts out of an object that names one twice.
    if len({name for name, _ in pairs}) != len(pairs):
        raise ValueError("a name is repeated in the answer")
    return dict(pairs)


def _invalid(response: str, why: str) -> ModelAnswer:
    verdict = Verdict(verdict="reject", confidence=1000, reasoning=f"invalid: the answer is not in the schema: {why}.")
    return ModelAnswer(verdict, response[:KEPT_CHARACTERS_MAX], valid=False)
