"""docs/tampering.md: what `tenuto verify` says to each crime of these tests. `python -m tests.end_to_end.tampering` writes it.

Each test that sees a verification fail compares its line with that page. The log is another one in each run, so numbers,
names of sessions, hashes and folders stand as `n`, `<id>`, `<hash>` and `<home>`.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from tenuto.verification import STEPS, VerificationFailed, remaining

PAGE = Path(__file__).parents[2] / "docs" / "tampering.md"
FILES = ("tests/end_to_end/test_tamper.py", "tests/contracts/test_sheaf_on_the_road.py")
WRITE = "python -m tests.end_to_end.tampering"
_GENERAL = (
    (re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"), "<id>"),
    (re.compile(r"\b[0-9a-f]{16,64}\b"), "<hash>"),
    (re.compile(r"\d[\d,.:+T-]*\d|\d"), "n"),
)
_EXPECTED = re.compile(r"-(None|size|leaf hash|kind|session|sequence number)(?=\]$)")
told: list[str] | None = None
"""The lines, in order, while the page is being written; None when they are compared."""


def compare(case: str, failure: VerificationFailed, home: Path, *, files: bool = False) -> None:
    """Demand that the page has what verification said in this case; `files`: what it said without the database."""
    line = said(case, failure, home, files=files)
    if told is not None:
        told.append(line)
        return
    assert line in PAGE.read_text().strip().split("\n\n"), f"Run `{WRITE}`: docs/tampering.md does not say\n{line}"


def said(case: str, failure: VerificationFailed, home: Path, *, files: bool) -> str:
    """One entry of the page."""
    place = "the log as a whole" if failure.position is None else "position n"
    sentence = failure.sentence.replace(str(home), "<home>").rstrip(".")
    for pattern, name in _GENERAL:
        sentence = pattern.sub(name, sentence)
    where = " (files only)" if files else ""
    return f"- **{case}**{where}\n  Step {failure.step}, {place}: {sentence}."


def case_of(test: str) -> str:
    """What a test is about, from its name; what it expects is no part of that."""
    name, _, parameters = test.removeprefix("test_").partition("[")
    parameters = _EXPECTED.sub("", parameters)
    return name.replace("_", " ") + (f" ({parameters.removesuffix(']')})" if parameters else "")


def page(lines: list[str]) -> str:
    """The whole page."""
    rules = [f"{number}. {rule}" for number, rule in STEPS.items()]
    whole = [VerificationFailed(step, "") for step in STEPS if any(f"Step {step}, the log as a whole" in line for line in lines)]
    left = [f"- Step {one.step}, the log as a whole: {remaining(one)}" for one in whole]
    left.append(f"- Any step, position 50: {remaining(VerificationFailed(6, '', 50))}")
    return "\n".join([
        "# What tampering looks like", "", f"<!-- Made by `{WRITE}` from what verification says; it is compared in the tests. -->", "",
        "Each of these was done to a log that had run, by somebody with every right on the database and on the published files,",
        "in the last ones also with keys of the log. `tenuto verify` ended with 3 and said what stands here. Numbers of positions,",
        "sessions and hashes differ from log to log: they stand as `n`, `<id>` and `<hash>`.", "",
        "## The steps", "", *rules, "", "## What remains trustworthy", "", "The second line that `tenuto verify` prints:", "", *left, "",
        "## What was done, and what verification said", "", "\n\n".join(lines), "",
    ])  # fmt: skip


def main() -> int:
    """Run the tests and write the page."""
    from tests.end_to_end import tampering

    tampering.told = []
    ended = pytest.main(["-q", "-n0", "-p", "no:cacheprovider", *FILES])
    if ended == 0:
        PAGE.write_text(page(list(dict.fromkeys(tampering.told))))
    return int(ended)


if __name__ == "__main__":
    sys.exit(main())
