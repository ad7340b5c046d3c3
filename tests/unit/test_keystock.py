"""The storage key after renewals: what was written before opens, what was purged before or since does not, in any order of both."""

from __future__ import annotations

import secrets
from array import array
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tenuto.adapters import keyfiles, keyrenewal
from tenuto.adapters.keptleaves import KeptLeaves, kept_file, write_kept
from tenuto.adapters.keytreefile import FORMER, LOOK_SECONDS, KeyTreeFile, puncture, read_stock
from tenuto.errors import Busy, NotConfigured
from tenuto.keystock import BOX_BYTES, KeyStock, LeafDamaged, Past
from tenuto.keytree import READ_MODEL, KeyDestroyed, KeyTree
from tenuto.payload import PayloadRefused, unwrap_key, wrap_key

KEY = b"k" * 32
A, B, C, D = (bytes([number]) * 32 for number in b"ABCD")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return founded(tmp_path / "keys")


def founded(folder: Path) -> Path:
    keyfiles.create_folder(folder)
    keyfiles.create_key(folder, keyfiles.STORAGE_KEY)
    return folder


def paths(*commits: bytes) -> array[int]:
    return array("Q", [int.from_bytes(commit[:8], "big") for commit in commits])


def renew(folder: Path, *commits: bytes) -> None:
    keyrenewal.change(folder, paths(*commits), len(commits))
    keyrenewal.end(folder, ())


def opens(folder: Path, wrapped: bytes, commit: bytes) -> bool:
    try:
        return unwrap_key(wrapped, KeyTreeFile(folder), commit) == KEY
    except KeyDestroyed:
        return False


STEPS = st.lists(st.one_of(st.integers(0, 5), st.just("renew"), st.integers(10, 15)), min_size=1, max_size=14)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS)
def test_whatever_is_written_purged_and_renewed_in_whatever_order(tmp_path: Path, steps: list[int | str]) -> None:
    folder, rows, gone = founded(tmp_path / secrets.token_hex(8)), dict[bytes, bytes](), set[bytes]()
    for step in steps:
        commit = bytes([int(step) % 10]) * 32 if step != "renew" else b""
        if step == "renew":
            renew(folder, *rows)
        elif int(step) >= 10:
            puncture(folder, [commit])
            gone.add(commit)
        elif commit in gone:
            with pytest.raises(KeyDestroyed):
                wrap_key(KEY, KeyTreeFile(folder), commit)
        else:
            rows.setdefault(commit, wrap_key(KEY, KeyTreeFile(folder), commit))
        for known, wrapped in rows.items():
            assert opens(folder, wrapped, known) == (known not in gone)
    assert KeyTreeFile(folder).tree.gone == {commit[:8].hex() for commit in gone}


def test_a_key_that_bears_no_more_bears_as_many_again_once_it_is_renewed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenuto.keytree.PUNCTURES_MAX", 3)
    commits = [secrets.token_bytes(32) for _ in range(8)]
    wrapped = [wrap_key(KEY, KeyTreeFile(folder), commit) for commit in commits]
    puncture(folder, commits[:3])
    with pytest.raises(NotConfigured, match="tenuto key storage renew"):
        puncture(folder, commits[3:4])
    renew(folder, *commits)
    assert puncture(folder, commits[3:6]) == 3
    with pytest.raises(NotConfigured, match="tenuto key storage renew"):
        puncture(folder, commits[6:7])
    assert [opens(folder, *pair) for pair in zip(wrapped, commits, strict=True)] == [False] * 6 + [True] * 2
    assert puncture(folder, commits[:6]) == 0


def test_after_a_renewal_nothing_in_the_folder_leads_to_the_old_key(folder: Path) -> None:
    """The folder's every file, with what is open beside it, gives neither the old root nor a leaf that was not asked to be kept."""
    old = (folder / keyfiles.STORAGE_KEY).read_text().strip()
    tree = KeyTree.whole(bytes.fromhex(old))
    with (folder / keyfiles.STORAGE_KEY).open("rb") as held:
        renew(folder, A)
        assert not any(held.read())
    left = b"".join(path.read_bytes() for path in folder.iterdir())
    for secret in (bytes.fromhex(old), tree.leaf(A), tree.leaf(B)):
        assert secret not in left
        assert secret.hex().encode() not in left
    assert {path.name for path in folder.iterdir()} == {"storage.key", "storage.key.lock", kept_file(1)}
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in folder.iterdir())
    assert KeyTreeFile(folder).key_for(A) == tree.key_for(A)
    assert KeyTreeFile(folder).key_for(A, READ_MODEL) == tree.key_for(A, READ_MODEL)
    assert tree.key_for(B) not in list(KeyTreeFile(folder).keys_for(B))


def test_a_second_renewal_ends_the_file_of_the_first(folder: Path) -> None:
    before = KeyTreeFile(folder).key_for(A)
    renew(folder, A)
    renew(folder, A, B)
    assert [path.name for path in sorted(folder.glob("*.kept*"))] == [kept_file(2)]
    assert KeyTreeFile(folder).key_for(A) == before
    assert len(KeptLeaves(folder / kept_file(2))) == 2, "the own leaf behind a kept one is not carried on"


def test_what_a_slow_process_wrapped_under_the_key_before_is_read_meanwhile_and_kept_at_the_end(folder: Path) -> None:
    moment = 0.0
    slow = KeyTreeFile(folder, now=lambda: moment)
    keyrenewal.change(folder, paths(A), 1)
    late, fresh = wrap_key(KEY, slow, B), wrap_key(KEY, KeyTreeFile(folder), C)
    assert unwrap_key(fresh, slow, C) == KEY, "a reader that looked before the change looks again"
    assert opens(folder, late, B)
    with pytest.raises(PayloadRefused):
        unwrap_key(late, KeyTreeFile(folder).tree.without_closing(), B)
    assert keyrenewal.end(folder, [B]) == 1
    assert keyrenewal.end(folder, [B]) == 0
    assert opens(folder, late, B)
    renew(folder, A, B, C)
    assert opens(folder, late, B)
    assert opens(folder, fresh, C)
    puncture(folder, [B])
    assert not opens(folder, late, B)


def test_a_copy_that_was_sealed_while_the_key_changed_opens_after_the_end_and_is_sealed_alike(folder: Path) -> None:
    slow = KeyTreeFile(folder, now=lambda: 0.0)
    keyrenewal.change(folder, paths(A), 1)
    wrap_key(KEY, slow, B)
    sealed_with = {commit: KeyTreeFile(folder).key_for(commit, READ_MODEL) for commit in (A, B, C)}
    keyrenewal.end(folder, [B])
    for _ in range(2):
        assert {commit: KeyTreeFile(folder).key_for(commit, READ_MODEL) for commit in sealed_with} == sealed_with
        renew(folder, A, B, C)


def test_nothing_is_purged_while_the_key_before_is_there(folder: Path) -> None:
    puncture(folder, [D])
    keyrenewal.change(folder, paths(A, D), 2)
    with pytest.raises(Busy, match="renew.*to its end"):
        puncture(folder, [A])
    assert puncture(folder, [D]) == 0, "what is gone already may be destroyed again"
    assert keyrenewal.change(folder, paths(A, B), 9) == 0
    assert read_stock(folder)[1].past.covered == 2
    keyrenewal.end(folder, [D])
    assert puncture(folder, [A]) == 1
    assert not (folder / FORMER).exists()


def test_a_process_that_has_the_file_open_follows_a_renewal(folder: Path) -> None:
    moment = 0.0
    live = KeyTreeFile(folder, now=lambda: moment)
    before = live.key_for(A), live.key_for(B)
    keyrenewal.change(folder, paths(A), 1)
    moment += LOOK_SECONDS
    assert live.key_for(A) == before[0]
    assert list(live.keys_for(B))[1:] == [before[1]]
    keyrenewal.end(folder, ())
    moment += LOOK_SECONDS
    assert live.key_for(A) == before[0]
    assert before[1] not in list(live.keys_for(B))


def test_the_text_goes_round(folder: Path) -> None:
    keyrenewal.change(folder, paths(A), 7)
    keyrenewal.end(folder, [B])
    puncture(folder, [C])
    renew(folder, A, B, C)
    keyrenewal.change(folder, paths(A), 7)
    keyrenewal.end(folder, [B, D])
    stock = KeyTreeFile(folder).tree
    text = stock.to_text()
    again = KeyStock.from_text(text, lambda _: KeptLeaves(folder / kept_file(3)))
    assert (again.past, again.to_text(), again.gone) == (stock.past, text, stock.gone)
    assert text == (folder / keyfiles.STORAGE_KEY).read_text()
    for line in range(len(text.splitlines())):
        lines = text.splitlines(keepends=True)
        if lines[line].startswith(("gone", "late")):
            continue  # one hole or leaf fewer is a whole file as well; its folder's backup is what tells
        with pytest.raises(ValueError, match=r"."):
            KeyStock.from_text("".join([*lines[:line], *lines[line + 1 :]]), lambda _: KeptLeaves(folder / kept_file(3)))


@pytest.mark.parametrize(
    "text",
    ["renewal 1\ncovered x\ntree\n", "renewal 0\ncovered 1\ntree\n", "renewal 1\ncovered 1\ngone AB\ntree\n",
     "renewal 1\ncovered 1\nlate 4141414141414141 00\ntree\n", "renewal 1\ncovered 1\n"],
)  # fmt: skip
def test_a_text_that_is_no_storage_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        KeyStock.from_text("tenuto storage key 3\n" + text + "0" * 64 + "\n", lambda _: pytest.fail("it was opened"))


@pytest.mark.parametrize("spoil", ["gone", "cut", "longer", "empty", "other"])
def test_a_file_of_kept_leaves_that_is_not_whole_is_said_with_the_remedy(folder: Path, spoil: str) -> None:
    renew(folder, A, B)
    file = folder / kept_file(1)
    data = {"cut": file.read_bytes()[:-1], "longer": file.read_bytes() + b"x", "empty": b"", "other": b"x" * 136, "gone": b""}[spoil]
    file.write_bytes(data)
    if spoil == "gone":
        file.unlink()
    with pytest.raises(NotConfigured, match=r"storage-1\.kept.*Restore it"):
        KeyTreeFile(folder)


def test_a_kept_leaf_that_was_changed_opens_nothing(folder: Path) -> None:
    renew(folder, A)
    file = folder / kept_file(1)
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with pytest.raises(LeafDamaged, match=r"Restore the key folder's `\.kept` file"):
        KeyTreeFile(folder).key_for(A)


@pytest.mark.parametrize("after", ["nothing", "purge", "end", "renewal"])
def test_a_renewal_that_ended_with_its_second_name_has_changed_nothing(
    folder: Path, after: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two names for the key of now: destroying or replacing it under one of them must leave it whole."""
    rows = {commit: wrap_key(KEY, KeyTreeFile(folder), commit) for commit in (A, B)}
    with monkeypatch.context() as patch, pytest.raises(InterruptedError):
        patch.setattr(Path, "replace", interrupted_at(keyfiles.STORAGE_KEY))
        keyrenewal.change(folder, paths(A, B), 2)
    assert (folder / FORMER).samefile(folder / keyfiles.STORAGE_KEY)
    if after == "purge":
        assert puncture(folder, [A]) == 1
    elif after == "end":
        assert keyrenewal.end(folder, ()) == 0
    elif after == "renewal":
        renew(folder, A, B)
    assert [opens(folder, rows[commit], commit) for commit in (A, B)] == [after != "purge", True]
    assert KeyTreeFile(folder).tree.past.renewal == (after == "renewal")
    renew(folder, A, B)
    assert [opens(folder, rows[commit], commit) for commit in (A, B)] == [after != "purge", True]
    assert not list(folder.glob(f"{FORMER}*"))


def interrupted_at(name: str) -> Callable[[Path, Path], Path]:
    replace = Path.replace

    def replaced(self: Path, target: Path) -> Path:
        if target.name == name:
            raise InterruptedError
        return replace(self, target)

    return replaced


def test_many_leaves_are_found_by_their_paths(tmp_path: Path) -> None:
    boxes = {secrets.randbits(64): secrets.token_bytes(BOX_BYTES) for _ in range(3_000)}
    written = [(path, [boxes[path]] * (1 + path % 2)) for path in sorted(boxes)]
    assert write_kept(tmp_path / "kept", written) == sum(len(kept) for _, kept in written)
    kept = KeptLeaves(tmp_path / "kept")
    for path, expected in written:
        assert kept.find(path.to_bytes(8, "big")) == expected
        assert (kept.find(((path + 1) % 2**64).to_bytes(8, "big")) == []) == ((path + 1) % 2**64 not in boxes)
    assert len(kept) == sum(len(kept) for _, kept in written)


def test_before_the_first_renewal_the_file_is_that_of_the_tree() -> None:
    tree = KeyTree.whole(KEY).punctured([A])
    assert KeyStock(tree).to_text() == tree.to_text()
    assert KeyStock(tree, Past()).key_for(B) == tree.key_for(B)
