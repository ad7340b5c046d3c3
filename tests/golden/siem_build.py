"""Write the golden SIEM exports, or compare them: `python -m tests.golden.siem_build [--check]`.

One file per subject, each kind once in both formats, as a receiver gets them; `with_payload.json` is one event exported
with what lies beside it. A change in one of these files is a change for every rule that somebody wrote in a SIEM.
"""

from __future__ import annotations

import json
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from tenuto import payload
from tenuto_projections.siem.formats import JSONL, OCSF, line_format

from tests.unit.projections.written import WrittenLedger
from tests.unit.siem.chronicle import chronicle

FOLDER = Path(__file__).parent / "siem"
SOFTWARE = "golden"
WITH_PAYLOAD = "message.sent"


def contents() -> dict[str, str]:
    """The text of every golden file by its name."""
    with fixed_salts():
        ledger = chronicle()
    files: dict[str, dict[str, Any]] = {}
    for kind, both in exported(ledger, payloads=False).items():
        files.setdefault(kind.partition(".")[0], {})[kind] = both
    files["with_payload"] = {WITH_PAYLOAD: exported(ledger, payloads=True)[WITH_PAYLOAD]}
    return {f"{name}.json": json.dumps(file, indent=2) + "\n" for name, file in sorted(files.items())}


def exported(ledger: WrittenLedger, *, payloads: bool) -> dict[str, dict[str, Any]]:
    """The last event of each kind in both formats."""
    formats = {name: line_format(name, SOFTWARE) for name in (OCSF, JSONL)}
    size = len(ledger.entries)
    return {
        verified.event.kind: {name: one.record(verified, size, payloads) for name, one in formats.items()}
        for verified in ledger.verified()
    }


@contextmanager
def fixed_salts() -> Iterator[None]:
    """Count where a payload's salt and keys are drawn, so that its commitment is the same in every run."""
    numbers, drawn = count(), secrets.token_bytes
    payload.secrets.token_bytes = lambda length=32: next(numbers).to_bytes(length or 32, "big")  # type: ignore[attr-defined]
    try:
        yield
    finally:
        payload.secrets.token_bytes = drawn  # type: ignore[attr-defined]


def differences(folder: Path) -> list[str]:
    """One sentence for every golden file that is not as it would be written now."""
    wanted = contents()
    found = {path.name: path.read_text() for path in folder.glob("*.json")}
    sentences = [f"{name} is not there." for name in wanted.keys() - found.keys()]
    sentences += [f"{name} belongs to no subject." for name in found.keys() - wanted.keys()]
    sentences += [f"{name} differs." for name in wanted.keys() & found.keys() if wanted[name] != found[name]]
    return sorted(sentences)


def main(arguments: list[str]) -> int:
    """Write, or with `--check` compare; the exit code is 1 when anything differs."""
    if arguments not in ([], ["--check"]):
        print("usage: python -m tests.golden.siem_build [--check]", file=sys.stderr)
        return 2
    if arguments:
        found = differences(FOLDER)
        print("\n".join(found) or f"{len(contents())} golden exports are as they would be written now.")
        return 1 if found else 0
    FOLDER.mkdir(exist_ok=True)
    wanted = contents()
    for path in FOLDER.glob("*.json"):
        if path.name not in wanted:
            path.unlink()
    for name, text in wanted.items():
        (FOLDER / name).write_text(text)
    print(f"Wrote {len(wanted)} golden exports.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
