"""The storage key: a puncture takes exactly one path, whatever was taken before, and what is left survives its file."""

from __future__ import annotations

import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tenuto.errors import NotConfigured
from tenuto.keytree import FORMAT, PATH_BYTES, PUNCTURES_MAX, READ_MODEL, SIBLINGS_MAX, KeyDestroyed, KeyTree, path_of
from tenuto.payload import unwrap_key, wrap_key

ROOT = bytes(range(32))
WHOLE = KeyTree.whole(ROOT)
# Few leading bytes, so that paths share much of their way, as no honest commitments would.
COMMITS = st.builds(lambda head, tail: bytes(head) + tail, st.lists(st.sampled_from([0, 1, 16, 255]), min_size=6, max_size=6),
                    st.binary(min_size=26, max_size=26))  # fmt: skip
SETS = st.lists(COMMITS, min_size=1, max_size=6, unique_by=path_of)


@given(SETS, st.data())
def test_a_puncture_takes_exactly_its_own_path(commits: list[bytes], data: st.DataObject) -> None:
    gone = data.draw(st.lists(st.sampled_from(commits), unique=True))
    tree = WHOLE.punctured(gone)
    for commit in commits:
        if commit in gone:
            with pytest.raises(KeyDestroyed):
                tree.key_for(commit)
        else:
            assert tree.key_for(commit) == WHOLE.key_for(commit)


@given(COMMITS)
def test_the_nearest_neighbours_of_a_puncture_stay(commit: bytes) -> None:
    tree = WHOLE.punctured([commit])
    for place in range(PATH_BYTES):
        for bit in (1, 16):
            other = bytearray(commit)
            other[place] ^= bit
            assert tree.key_for(bytes(other)) == WHOLE.key_for(bytes(other))
    same_path = commit[:PATH_BYTES] + bytes(24)
    with pytest.raises(KeyDestroyed):
        tree.key_for(same_path)


@given(SETS, st.randoms(use_true_random=False))
def test_the_order_of_punctures_does_not_matter(commits: list[bytes], random: object) -> None:
    shuffled = list(commits)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    one_by_one = WHOLE
    for commit in shuffled:
        one_by_one = one_by_one.punctured([commit])
    assert one_by_one.to_text() == WHOLE.punctured(commits).to_text()
    assert one_by_one.punctured(commits).to_text() == one_by_one.to_text()


@given(SETS)
def test_no_ancestor_of_a_hole_and_none_of_its_keys_is_left_in_the_file(commits: list[bytes]) -> None:
    tree = WHOLE.punctured(commits)
    text = tree.to_text()
    assert ROOT.hex() not in text
    nodes = [line.split()[1] for line in text.splitlines() if line.startswith("node")]
    for commit in commits:
        assert not any(path_of(commit).startswith(node) for node in nodes)
    assert len(nodes) <= SIBLINGS_MAX * len(commits)


@given(SETS)
def test_the_file_goes_round(commits: list[bytes]) -> None:
    for tree in (WHOLE, WHOLE.punctured(commits)):
        again = KeyTree.from_text(tree.to_text())
        assert (again.to_text(), again.gone) == (tree.to_text(), tree.gone)


def test_a_plain_key_is_the_whole_tree() -> None:
    assert KeyTree.from_text(ROOT.hex() + "\n").to_text() == ROOT.hex() + "\n"
    assert not KeyTree.from_text(ROOT.hex()).gone


PUNCTURED = WHOLE.punctured([bytes(32)]).to_text().splitlines()
DAMAGED = {
    "nothing": "", "no key": "zz", "short key": ROOT.hex()[2:], "shouted key": b"\xab".hex().upper() * 32,
    "two keys": f"{ROOT.hex()}\n{ROOT.hex()}\n", "another format": "\n".join(["tenuto storage key 9", *PUNCTURED[1:]]),
    "a line lost": "\n".join([*PUNCTURED[:7], *PUNCTURED[8:]]), "a hole lost": "\n".join(PUNCTURED[:-1]),
    "a line twice": "\n".join([*PUNCTURED, PUNCTURED[3]]), "a part twice": "\n".join([*PUNCTURED, f"node 12 {ROOT.hex()}"]),
    "the root beside its parts": "\n".join([*PUNCTURED, f"node  {ROOT.hex()}"]),
    "a strange word": "\n".join([*PUNCTURED, "hole 0000000000000000"]), "a short hole": f"{FORMAT}\ngone 00",
    "a short node": "\n".join([*PUNCTURED[:-2], PUNCTURED[-2][:-2], PUNCTURED[-1]]),
    "a path that is none": "\n".join([*PUNCTURED, f"node xy {ROOT.hex()}"]),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_file_is_refused_and_no_key_is_in_the_sentence(name: str) -> None:
    with pytest.raises(ValueError, match=".") as caught:
        KeyTree.from_text(DAMAGED[name])
    assert not any(line.split()[-1] in str(caught.value) for line in DAMAGED[name].splitlines() if len(line) > 30)


def test_each_purpose_has_a_key_of_its_own() -> None:
    commit = secrets.token_bytes(32)
    assert WHOLE.key_for(commit) != WHOLE.key_for(commit, READ_MODEL)
    with pytest.raises(KeyDestroyed):
        WHOLE.punctured([commit]).key_for(commit, READ_MODEL)


def test_what_was_purged_is_neither_opened_nor_written_again() -> None:
    commit = secrets.token_bytes(32)
    wrapped, tree = wrap_key(bytes(32), WHOLE, commit), WHOLE.punctured([commit])
    with pytest.raises(KeyDestroyed):
        unwrap_key(wrapped, tree, commit)
    with pytest.raises(KeyDestroyed, match="write it again"):
        wrap_key(bytes(32), tree, commit)


def test_a_key_bears_so_many_holes_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    assert PUNCTURES_MAX == 4096
    monkeypatch.setattr("tenuto.keytree.PUNCTURES_MAX", 20)
    commits = [secrets.token_bytes(32) for _ in range(21)]
    tree = WHOLE.punctured(commits[:20])
    with pytest.raises(NotConfigured, match="Nothing was purged"):
        tree.punctured(commits)
    assert tree.punctured(commits[:20]).gone == tree.gone


@pytest.mark.parametrize("length", [0, PATH_BYTES - 1])
def test_what_is_shorter_than_a_path_is_no_commitment(length: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        path_of(bytes(length))


@pytest.mark.parametrize("commit", [b"", b"\1", b"\1\2", bytes(7)])
def test_what_is_too_short_to_be_a_commitment_has_no_key(commit: bytes):
    with pytest.raises(ValueError, match="a commitment has 32 bytes"):
        KeyTree.whole(bytes(32)).key_for(commit)
