"""Attacks on what is written already (M23): somebody with every right on the disk edits, cuts or winds back the log.

Each works on a copy of the published log, which is what an outsider has. The judge is `tenuto verify` as a process of its
own, with the log's public trust file and nothing else; single letters are judged by the same walk in this process.
"""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tenuto.events import MessageSent
from tenuto.log.checkpoint import sign_checkpoint
from tenuto.log.note import NoteSigner
from tenuto.log.tiles import CHECKPOINT_FILE, TILE_WIDTH
from tenuto.settings import PREFIX
from tenuto.supervising import environment
from tenuto.verification import VerificationFailed
from tenuto.wiring import open_tile_follower

from ..text import visible_line
from .ground import Ground
from .scenario import Lacking, Scenario, Seen, Stop

EVENTS_MAX = 200_000
VERIFY_SECONDS_MAX = 300.0
COPIES_MAX = 5
COPY_PAUSE_SECONDS = 0.5
INTACT, NOT_INTACT = 0, 3
FIELDS = (rb'"author":"([a-z])', rb'"kind":"([a-z])', rb'"run":"([a-z])', rb'"effect":"([a-z])', rb'"bundle":"([0-9a-f])', rb'"decision":"([a-z])')
"""One letter of each is changed: who, what, where, and what policy and people said."""
_LENGTH = struct.Struct(">H")
_SENTENCE_CHARACTERS_MAX = 400


class Copy:
    """A copy of the published log, and an outsider who verifies it."""

    def __init__(self, ground: Ground) -> None:
        """Copy the log of the running system; raises Lacking where it is away, too large, or not intact to begin with."""
        checkpoint = ground.follower.checkpoint
        if checkpoint is None or not ground.settings.tiles.is_dir():
            raise Lacking("The published log is not on this machine: run the attack where TENUTO_HOME holds its folder `log`.")
        if checkpoint.size > EVENTS_MAX:
            raise Lacking(f"The log has {checkpoint.size:,} events; at most {EVENTS_MAX:,} are copied for this.")
        self.log, self.home = ground.folder / "log", ground.folder / "outsider"
        self._tiles, self._trust = ground.settings.tiles, ground.settings.home / "trust.json"
        self._ground, self._environment = ground, environment(ground.settings)
        self.take()

    def take(self) -> None:
        """Copy the log as it is now, and see that it verifies; raises Lacking when it does not.

        The sealer goes on meanwhile, and may replace a file while it is copied, so a second look is allowed.
        """
        said = ""
        for _ in range(COPIES_MAX):
            try:
                self._copy()
            except shutil.Error as error:
                said = str(error)
            else:
                said = self.defect()
            if not said:
                return
            time.sleep(COPY_PAUSE_SECONDS)
        raise Lacking(f"The log of this system does not verify in the first place: {visible_line(said)}")

    def defect(self) -> str:
        """What a walk over the copy finds in this process, by steps 1 to 7; "" when nothing."""
        try:
            open_tile_follower(self.log, self._ground.trust, self._ground.settings).catch_up()
        except VerificationFailed as failed:
            return str(failed)
        return ""

    def _copy(self) -> None:
        """The checkpoint first, since what it promises was published before it."""
        shutil.rmtree(self.log, ignore_errors=True)
        self.log.mkdir(parents=True)
        shutil.copy2(self._tiles / CHECKPOINT_FILE, self.log)
        shutil.copytree(self._tiles, self.log, dirs_exist_ok=True, ignore=lambda folder, names: [
            name for name in names if name.startswith(".") or (name == CHECKPOINT_FILE and Path(folder) == self._tiles)
        ])  # fmt: skip

    def verified(self) -> tuple[int, str]:
        """What `tenuto verify --log` returns and says about the copy."""
        own = {name: value for name, value in self._environment.items() if not name.startswith(PREFIX)}
        command = [sys.executable, "-m", "tenuto", "verify", "--log", str(self.log), "--trust", str(self._trust)]
        ended = subprocess.run(
            command, env=own | {f"{PREFIX}HOME": str(self.home)}, capture_output=True, text=True, check=False, timeout=VERIFY_SECONDS_MAX
        )
        return ended.returncode, ended.stdout + ended.stderr

    def bundles(self) -> list[Path]:
        """The files that hold the entries, in order; of a bundle that grew, the longest."""
        longest: dict[str, tuple[int, Path]] = {}
        for path in sorted((self.log / "tile" / "entries").rglob("*")):
            if path.is_file():
                name, partial, width = str(path.relative_to(self.log)).partition(".p/")
                rank = int(width) if partial else TILE_WIDTH
                longest[name] = max(longest.get(name, (0, path)), (rank, path))
        return [longest[name][1] for name in sorted(longest)]


def entries_in(data: bytes) -> list[bytes]:
    """The entries of a bundle (C2SP tlog-tiles: each with its length, two bytes, before it)."""
    found, start = [], 0
    while start < len(data):
        (length,) = _LENGTH.unpack_from(data, start)
        found.append(data[start + 2 : start + 2 + length])
        start += 2 + length
    return found


def bundle_of(entries: Sequence[bytes]) -> bytes:
    """The bundle that holds these entries."""
    return b"".join(_LENGTH.pack(len(entry)) + entry for entry in entries)


def field_edited(ground: Ground) -> Seen:
    """Change one letter in each of several fields, each in a copy of its own run, and ask whether anybody notices."""
    copy = Copy(ground)
    said, unseen = list[str](), list[str]()
    for pattern in FIELDS:
        file, original = next(((path, data) for path in copy.bundles() if re.search(pattern, data := path.read_bytes())), (None, b""))
        if file is None:
            continue
        found = re.search(pattern, original)
        assert found is not None
        place = found.start(1)
        letter = b"b" if original[place : place + 1] == b"a" else b"a"
        file.write_bytes(original[:place] + letter + original[place + 1 :])
        words = copy.defect()
        file.write_bytes(original)
        (said if words else unseen).append(words or pattern.decode())
    return _judged(said, unseen, f"{len(said) + len(unseen)} fields were changed; {len(said)} changes were named.")


def tail_cut(ground: Ground) -> Seen:
    """Take the last two events away."""
    copy = Copy(ground)
    file = copy.bundles()[-1]
    entries = entries_in(file.read_bytes())
    file.write_bytes(bundle_of(entries[: max(0, len(entries) - 2)]))
    return _after(copy, "The last two events were cut off.")


def reordered(ground: Ground) -> Seen:
    """Swap two events."""
    copy = Copy(ground)
    file = copy.bundles()[0]
    entries = entries_in(file.read_bytes())
    entries[1], entries[2] = entries[2], entries[1]
    file.write_bytes(bundle_of(entries))
    return _after(copy, "The second and the third event changed places.")


def wound_back(ground: Ground) -> Seen:
    """Let somebody verify the log, then put an older state of it in its place, with its own good checkpoint."""
    copy = Copy(ground)
    older = ground.folder / "older"
    copy.log.rename(older)
    ground.wait_on_record(ground.red_team.record(MessageSent, to="nobody-here", topic="range.mark"))
    _look_at(copy)
    shutil.rmtree(copy.log)
    older.rename(copy.log)
    return _after(copy, "The outsider had seen a newer state before.")


def _look_at(copy: Copy) -> None:
    """Let the outsider verify the log as it is now; its newest checkpoint may still be on its way to a witness."""
    words = ""
    for _ in range(COPIES_MAX):
        copy.take()
        code, words = copy.verified()
        if code == INTACT:
            return
        time.sleep(COPY_PAUSE_SECONDS)
    raise Lacking(f"The log of this system does not verify: {_first_line(words)}")


def forked(ground: Ground) -> Seen:
    """Sign a checkpoint over the same events with a log key of one's own."""
    copy = Copy(ground)
    checkpoint = ground.follower.checkpoint
    assert checkpoint is not None
    signer = NoteSigner(checkpoint.origin, bytes(range(32)))
    (copy.log / CHECKPOINT_FILE).write_bytes(sign_checkpoint(checkpoint, signer))
    return _after(copy, "The newest checkpoint was signed with another key, in the same name.")


def _after(copy: Copy, what: str) -> Seen:
    code, words = copy.verified()
    named, unseen = ([_first_line(words)], []) if code == NOT_INTACT else ([], [_first_line(words)])
    return _judged(named, unseen, what)


def _judged(named: Sequence[str], unseen: Sequence[str], what: str) -> Seen:
    if unseen or not named:
        return Seen(reached=bool(unseen), sentence=f"{what} `tenuto verify` said: {unseen[0] if unseen else 'nothing'}")
    stop = Stop("M23", "Verification, with nothing but the trust file, names the place.", said=" | ".join(named)[:2000])
    return Seen(reached=False, sentence=what, stops=(stop,))


def _first_line(words: str) -> str:
    lines = [visible_line(line.strip()) for line in words.splitlines() if line.strip()]
    failed = [line for line in lines if "fail" in line.lower() or "not " in line.lower()]
    return (failed or lines or ["nothing"])[0][:_SENTENCE_CHARACTERS_MAX]


SCENARIOS = (
    Scenario("field-edited", "Another author, verdict or policy in events that are on record.", ("T7", "T4", "M23", "R5"), field_edited),
    Scenario("tail-cut", "The last two events, gone.", ("T7", "M23", "R5"), tail_cut),
    Scenario("reordered", "An approval that comes before what it approves.", ("T4", "M23", "R5"), reordered),
    Scenario("wound-back", "The log of this morning, in place of that of now.", ("T8", "M23", "R5"), wound_back),
    Scenario("forked", "A second history under the log's own name.", ("T7", "M23", "R5"), forked),
)  # fmt: skip
