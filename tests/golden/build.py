"""Write the golden files, or compare them: `python -m tests.golden.build [--check]`.

Each file holds one record as it would come from the bus, and what has to become of it. They stand for themselves: another
implementation needs `ring.json` (keys, epoch key) and the records, nothing of ours.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tenuto.envelope import SHEAF_MAGIC
from tenuto.errors import Refused

from tests.golden.cases import all_cases
from tests.golden.door import admit
from tests.golden.world import EPOCH, ORIGIN, epoch_keys, ring, signer

FOLDER = Path(__file__).parent / "events"
RING = "ring.json"


def contents() -> dict[str, str]:
    """The text of every golden file by its name."""
    texts = {RING: spelled(ring_file())}
    for name, (claim, record) in all_cases().items():
        if not claim:
            raise SystemExit(f"The case {name} has no docstring; it becomes the claim of its file.")
        texts[f"{name}.json"] = spelled(golden(name, claim, record))
    return dict(sorted(texts.items()))


def ring_file() -> dict[str, object]:
    """The keys by which the records are judged, all of them public but the epoch's."""
    public, secret = epoch_keys()
    keys = [
        {"author": key.author, "key_id": key.key_id, "public_key": key.public_key.hex(), "role": key.role,
         "owner": key.owner, "since": key.since, "until": key.until}
        for key in ring().keys()
    ]  # fmt: skip
    about = "Keys of the golden events. The secret is a test's; it opens nothing else."
    epoch = {"number": EPOCH, "public_key": public.hex(), "secret_key": secret.hex()}
    return {"about": about, "origin": ORIGIN, "root": signer("root").public_key.hex(), "epoch": epoch, "keys": keys}


def golden(name: str, claim: str, record: bytes) -> dict[str, object]:
    """One file; what becomes of the record is what the present code does, and the name must agree with it."""
    try:
        event, payload = admit(record, ring(), epoch_keys()[1], ORIGIN)
    except Refused as refusal:
        outcome = {"refused": type(refusal).__name__, "reason": refusal.reason, "sentence": str(refusal)}
    else:
        outcome = {"accepted": event.kind} | ({} if payload is None else {"payload": payload.decode()})
    if name.startswith("valid_") != ("accepted" in outcome):
        raise SystemExit(f"The golden case {name} does not do what its name says: {outcome}")
    return {"claim": claim, "record": record.hex(), "header": readable_header(record), "outcome": outcome}


def readable_header(record: bytes) -> str | None:
    """The header as text, for the reader of the file; the record is what counts."""
    length, start = int.from_bytes(record[4:6], "big"), 8 if record[:4] == SHEAF_MAGIC else 6
    try:
        return record[start : start + length].decode() if len(record) >= start + length > start else None
    except UnicodeDecodeError:
        return None


def spelled(content: object) -> str:
    """JSON for people and for `diff`."""
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def differences(folder: Path) -> list[str]:
    """One sentence for every golden file that is not as it would be written now."""
    wanted = contents()
    found = {path.name: path.read_text() for path in folder.glob("*.json")}
    sentences = [f"{name} is not there." for name in wanted.keys() - found.keys()]
    sentences += [f"{name} belongs to no case." for name in found.keys() - wanted.keys()]
    sentences += [f"{name} differs." for name in wanted.keys() & found.keys() if wanted[name] != found[name]]
    return sorted(sentences)


def main(arguments: list[str]) -> int:
    """Write, or with `--check` compare; the exit code is 1 when anything differs."""
    if arguments not in ([], ["--check"]):
        print("usage: python -m tests.golden.build [--check]", file=sys.stderr)
        return 2
    if arguments:
        found = differences(FOLDER)
        print("\n".join(found) or f"{len(contents())} golden files are as they would be written now.")
        return 1 if found else 0
    FOLDER.mkdir(exist_ok=True)
    wanted = contents()
    for path in FOLDER.glob("*.json"):
        if path.name not in wanted:
            path.unlink()
    stale = [
        name for name, text in wanted.items() if not (FOLDER / name).is_file() or (FOLDER / name).read_text() != text
    ]
    for name in stale:
        (FOLDER / name).write_text(wanted[name])
    print(f"Wrote {len(stale)} of {len(wanted)} golden files; the others were so already.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
