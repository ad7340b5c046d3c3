"""`tenuto verify` over a ledger that moves meanwhile, and what it remembers; each way to tamper is in tests/end_to_end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest
from tenuto import header as headers
from tenuto.archive import Shelf
from tenuto.events import MessageSent, ToolStarted
from tenuto.keytree import KeyTree
from tenuto.ledger import Head, Recorded, SessionHead
from tenuto.log.checkpoint import Checkpoint, sign_checkpoint
from tenuto.log.merkle import Frontier, leaf_hash
from tenuto.log.note import NoteSigner
from tenuto.log.proof import tree_root
from tenuto.log.tiles import TileFolder
from tenuto.verification import VerificationFailed
from tenuto_projections import verifying
from tenuto_projections.verifying import load_seen, save_seen, walk_log
from tenuto_projections.walked import Seen, Walked

from .written import DIGEST, STORAGE_KEY, MemoryFollower, WrittenLedger

SEEN = Seen("tenuto.test/log", 7, "ab" * 32)


class Live:
    """The stored rows of a written ledger, kept in step with its events; `before` runs ahead of each question by name."""

    def __init__(self, ledger: WrittenLedger, **before: Callable[[], Any]) -> None:
        self.ledger, self.stray = ledger, 0
        self._before = before

    def head(self) -> Head:
        self._asked("head")
        frontier = Frontier().extend([leaf_hash(entry.entry) for entry in self.ledger.entries])
        return Head(frontier.size, frontier.to_bytes())

    def read(self, start: int, limit: int, *, payloads: bool = True) -> list[Recorded]:
        self._asked("read")
        return self.ledger.entries[start : start + limit]

    def read_kinds(self, kinds: Sequence[str], start: int, limit: int) -> list[Recorded]:
        raise AssertionError("a hint is not what verification reads")

    def session_heads(self) -> dict[UUID, SessionHead]:
        self._asked("session_heads")
        heads = {}
        for event, entry in zip(self.ledger.events, self.ledger.entries, strict=True):
            heads[event.session] = SessionHead(event.seq, headers.header_hash(entry.state[:-64]), event.author)
        return heads

    def columns(self, start: int, limit: int) -> list[tuple[int, UUID, int, str, bytes]]:
        rows = list(zip(self.ledger.entries, self.ledger.events, strict=True))[start : start + limit]
        return [(entry.position, event.session, event.seq, event.kind, leaf_hash(entry.entry)) for entry, event in rows]

    def kept_payloads(self, positions: Sequence[int]) -> list[int]:
        return [position for position in positions if self.ledger.entries[position].payload is not None]

    def stray_payloads(self) -> int:
        return self.stray

    def attached(self) -> list[tuple[int, int]]:
        return [(0, 2**20 - 1)]

    @property
    def shelf(self) -> Shelf:
        return Shelf(Path("nowhere"), self.ledger.trust.origin)

    def _asked(self, name: str) -> None:
        happens = self._before.pop(name, None)
        if happens is not None:
            happens()


@pytest.fixture
def ledger() -> WrittenLedger:
    ledger = WrittenLedger()
    ledger.register("deployment", "agent")
    for _ in range(5):
        call(ledger)
    return ledger


def call(ledger: WrittenLedger) -> None:
    ledger.write("deployment", ToolStarted, call="c-1", tool="git.diff", resource="repo:shop", digest=DIGEST)


def published(ledger: WrittenLedger, folder: Path) -> TileFolder:
    """The tiles over what is written now."""
    tiles = TileFolder(folder)
    tiles.apply(tiles.extension(0, [entry.entry for entry in ledger.entries]))
    return tiles


class Signed(MemoryFollower):
    """A follower up to a checkpoint that covers what was written when it was made."""

    def __init__(self, ledger: WrittenLedger) -> None:
        frozen = WrittenLedger()
        frozen.entries, frozen.events = list(ledger.entries), list(ledger.events)
        frozen.root_public_key = ledger.root_public_key
        super().__init__(frozen)


def verify(ledger: WrittenLedger, tmp_path: Path, live: Live | None, follower: Any = None) -> bool:
    follower = follower or Signed(ledger)
    tiles = published(ledger, tmp_path / "log")
    walked = Walked(ledger.trust, opens_payloads=True)
    return walk_log(follower, walked, tmp_path / "seen", tiles, live)


def test_a_sound_ledger_verifies_and_is_remembered(ledger: WrittenLedger, tmp_path: Path) -> None:
    assert verify(ledger, tmp_path, Live(ledger))
    seen = load_seen(tmp_path / "seen")
    assert seen is not None
    assert (seen.origin, seen.size) == (ledger.trust.origin, len(ledger.entries))


@pytest.mark.parametrize("moment", ["head", "read", "session_heads"])
def test_a_ledger_that_grows_at_any_moment_of_the_look_is_still_sound(
    ledger: WrittenLedger, tmp_path: Path, moment: str
) -> None:
    """The sealer is behind and ingest goes on: nothing of that may look like a crime."""
    follower, tiles = Signed(ledger), published(ledger, tmp_path / "log")
    for _ in range(3):
        call(ledger)
    live = Live(ledger, **{moment: lambda: call(ledger)})
    assert walk_log(follower, Walked(ledger.trust, opens_payloads=True), tmp_path / "seen", tiles, live)


def test_events_that_are_not_signed_yet_are_walked_as_well(
    ledger: WrittenLedger, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    follower, tiles = Signed(ledger), published(ledger, tmp_path / "log")
    for _ in range(3):
        call(ledger)
    walked = Walked(ledger.trust, opens_payloads=True)
    assert walk_log(follower, walked, tmp_path / "seen", tiles, Live(ledger))
    assert '"unsigned":3' in capsys.readouterr().out
    position = len(ledger.entries) - 1
    entry = ledger.entries[position]
    ledger.entries[position] = Recorded(position, entry.recorded_at, entry.state[:-1] + bytes([entry.state[-1] ^ 1]))
    with pytest.raises(VerificationFailed) as caught:
        walk_log(Signed(ledger), walked, tmp_path / "seen", tiles, Live(ledger))
    assert (caught.value.step, caught.value.position) == (3, position)


def test_an_unsigned_event_without_its_payload_fails(ledger: WrittenLedger, tmp_path: Path) -> None:
    follower, tiles = Signed(ledger), published(ledger, tmp_path / "log")
    ledger.write("deployment", ToolStarted, b"text", call="c", tool="git.diff", resource="repo:shop", digest=DIGEST)
    ledger.forget(len(ledger.entries) - 1)
    with pytest.raises(VerificationFailed, match="no purge") as caught:
        walk_log(follower, Walked(ledger.trust, opens_payloads=True), tmp_path / "seen", tiles, Live(ledger))
    assert caught.value.step == 5


def test_a_log_that_signed_nothing_is_neither_sound_nor_broken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class Unsigned(MemoryFollower):
        def pages(self) -> Any:
            return iter(())

    ledger = WrittenLedger()
    walked = Walked(ledger.trust, opens_payloads=True)
    assert not walk_log(Unsigned(ledger), walked, tmp_path / "seen", TileFolder(tmp_path / "log"))
    assert "nothing is signed" in capsys.readouterr().out
    assert load_seen(tmp_path / "seen") is None


def test_what_fails_is_not_remembered(ledger: WrittenLedger, tmp_path: Path) -> None:
    live = Live(ledger)
    live.stray = 2
    with pytest.raises(VerificationFailed, match="2 payloads lie beside no event"):
        verify(ledger, tmp_path, live)
    assert load_seen(tmp_path / "seen") is None


def test_missing_tiles_do_not_hide_that_the_root_differs(ledger: WrittenLedger, tmp_path: Path) -> None:
    class Forged(Signed):
        def pages(self) -> Any:
            yield from super().pages()
            raise VerificationFailed(6, "the root is not the one that the log signed")

    walked = Walked(ledger.trust, opens_payloads=True)
    with pytest.raises(VerificationFailed, match="root is not the one") as caught:
        walk_log(Forged(ledger), walked, tmp_path / "seen", TileFolder(tmp_path / "nowhere"), Live(ledger))
    assert (caught.value.step, caught.value.position) == (6, None)


def test_a_missing_cosignature_is_waited_for(
    ledger: WrittenLedger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []

    def late(note: bytes | None, trust: Any) -> None:
        asked.append(True)
        if len(asked) < 3:
            raise VerificationFailed(8, "no cosignature")

    monkeypatch.setattr(verifying, "verify_cosigned", late)
    monkeypatch.setattr(verifying, "COSIGNATURE_PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(verifying, "COSIGNATURE_SECONDS_MAX", 1000.0)
    assert verify(ledger, tmp_path, Live(ledger))
    assert len(asked) == 3
    asked.clear()
    monkeypatch.setattr(verifying, "COSIGNATURE_SECONDS_MAX", 0.0)
    with pytest.raises(VerificationFailed) as caught:
        verify(ledger, tmp_path, Live(ledger))
    assert caught.value.step == 8


def test_the_memory_is_replaced_as_a_whole_and_read_back(tmp_path: Path) -> None:
    folder = tmp_path / "state" / "verify"
    assert load_seen(folder) is None
    save_seen(folder, SEEN)
    save_seen(folder, SEEN)
    assert load_seen(folder) == SEEN
    assert sorted(file.name for file in folder.iterdir()) == ["lock", "seen.json"]


def test_of_verifications_at_the_same_time_the_furthest_is_remembered(tmp_path: Path) -> None:
    sizes = [Seen(SEEN.origin, size, SEEN.root) for size in range(1, 41)]
    with ThreadPoolExecutor(8) as verifying_at_once:
        list(verifying_at_once.map(lambda seen: save_seen(tmp_path, seen), reversed(sizes)))
    assert load_seen(tmp_path) == sizes[-1]
    other = Seen("another.test/log", 1, SEEN.root)
    save_seen(tmp_path, other)
    assert load_seen(tmp_path) == other


@pytest.mark.parametrize("content", [b"", b"{}", b'{"origin":1,"size":2,"root":"3"}', b"\xff"])
def test_a_damaged_memory_fails_step_9(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "seen.json").write_bytes(content)
    with pytest.raises(VerificationFailed, match="damaged") as caught:
        load_seen(tmp_path)
    assert caught.value.step == 9


def test_every_file_of_the_folder_is_looked_at_and_what_does_not_belong_is_named(
    ledger: WrittenLedger, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    published(ledger, tmp_path / "log")
    (tmp_path / "log" / "tile" / "0" / "000.p" / "notes.txt").write_text("anything")
    assert verify(ledger, tmp_path, None)
    assert '"foreign_files":["tile/0/000.p/notes.txt"]' in capsys.readouterr().out


def test_a_partial_tile_of_an_earlier_checkpoint_that_was_changed_fails_at_step_6(
    ledger: WrittenLedger, tmp_path: Path
) -> None:
    published(ledger, tmp_path / "log")
    (tmp_path / "log" / "tile" / "0" / "000.p" / "2").write_bytes(bytes(64))
    with pytest.raises(VerificationFailed, match=r"tile/0/000\.p/2 is not the beginning") as caught:
        verify(ledger, tmp_path, None)
    assert caught.value.step == 6


@pytest.mark.parametrize(("root", "step"), [(bytes(32), 9), (None, 7)])
def test_a_kept_checkpoint_that_is_of_another_tree_or_signed_by_nobody_fails(
    ledger: WrittenLedger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: bytes | None, step: int
) -> None:
    log = NoteSigner(ledger.trust.origin, bytes(32))
    trust = msgspec.structs.replace(ledger.trust, log_key=log.vkey)
    monkeypatch.setattr(type(ledger), "trust", property(lambda _: trust))
    tiles = published(ledger, tmp_path / "log")
    checkpoint = Checkpoint(trust.origin, 2, root or tree_root(2, tiles))
    signer = log if root else NoteSigner(trust.origin, b"s" * 32)
    (tmp_path / "log" / "checkpoints").mkdir()
    (tmp_path / "log" / "checkpoints" / "000").write_bytes(sign_checkpoint(checkpoint, signer) + b"\n")
    with pytest.raises(VerificationFailed, match="checkpoints/000") as caught:
        verify(ledger, tmp_path, None)
    assert caught.value.step == step


def purged(ledger: WrittenLedger, *, forget: bool) -> int:
    """A purge on record; the row is gone or not."""
    ledger.write("deployment", MessageSent, b"a secret", to="deployment", topic="plan")
    place = len(ledger.entries) - 1
    ledger.purge(place, forget=forget)
    return place


def verify_with(ledger: WrittenLedger, key: KeyTree, tmp_path: Path) -> None:
    follower = Signed(ledger)
    follower.walk._storage_key = key
    verify(ledger, tmp_path, Live(ledger), follower)


def without_key(ledger: WrittenLedger, place: int) -> KeyTree:
    return STORAGE_KEY.punctured([bytes.fromhex(str(ledger.events[place].payload_commit))])


def test_a_purge_is_shown_with_who_when_under_what_and_why(
    ledger: WrittenLedger, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = purged(ledger, forget=True)
    verify_with(ledger, without_key(ledger, place), tmp_path)
    said = capsys.readouterr().out
    assert f'"purged":[{{"position":{place},"said":"purged by keeper on 2026-03-01 under purge-1 (secret)"}}]' in said


@pytest.mark.parametrize("forget", [True, False])
def test_a_purge_whose_row_or_key_is_still_there_is_named(
    ledger: WrittenLedger, tmp_path: Path, forget: bool
) -> None:
    place = purged(ledger, forget=forget)
    key = STORAGE_KEY if forget else without_key(ledger, place)
    with pytest.raises(VerificationFailed, match="key is still here" if forget else "payload is still stored") as caught:
        verify_with(ledger, key, tmp_path)
    assert (caught.value.step, caught.value.position) == (5, place)
    assert "`tenuto purge apply purge-1` destroys it again" in str(caught.value)
