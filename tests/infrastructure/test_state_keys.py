"""State at rest: nothing in clear, and nothing without the customer's key (M31); the key in a file and in a real OpenBao."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tenuto.errors import NotConfigured
from tenuto_agents.statestore import versions
from tenuto_agents.statestore.envelopes import StoreDamaged
from tenuto_agents.statestore.keyports import KeyAway, LocalKey, TransitKey

from tests.infrastructure.parts import KeyKeeper
from tests.infrastructure.store import SECRET, Place


def found_in_clear(folder: Path) -> bool:
    """Whether grep finds the secret anywhere in the store's files."""
    return subprocess.run(["grep", "-r", "-q", SECRET, str(folder)], check=False).returncode == 0


@pytest.fixture(params=["file", "transit"])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Place, Callable[[], None]]]:
    """A store, and what takes its key away."""
    if request.param == "file":
        place = Place(tmp_path)
        disable = (tmp_path / "keys" / "state-key.disabled").touch
    else:
        keeper: KeyKeeper = request.getfixturevalue("keeper")
        token = keeper.new_key("state")
        place = Place(tmp_path, TransitKey(keeper.address, "state", token))
        disable = lambda: keeper.revoke(token)  # noqa: E731
    with place.open():
        yield place, disable


def test_grep_finds_no_secret_and_without_its_key_the_store_serves_nobody(kept: tuple[Place, Callable[[], None]]) -> None:
    place, disable = kept
    content = place.written(1)
    assert SECRET.encode() in content
    assert not found_in_clear(place.folder)
    disable()
    status, body = place.ask("GET", "/states/shop")
    assert status == 503
    assert SECRET.encode() not in body
    place.lock("lock-2")
    assert place.write(2, "lock-2")[0] == 503
    assert sorted(path.name for path in (place.folder / "states" / "shop").iterdir()) == ["00000001.state", "lock.json"]
    assert not found_in_clear(place.folder)
    assert place.refusals() == [("read", "infrastructure", "key_away"), ("write", "infrastructure", "key_away")]
    assert "M31" in place.journal.events[-1][1]["refs"]


def test_without_the_envelope_grep_finds_the_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control switched off, so that the test above is known to look in the right place."""
    monkeypatch.setattr(versions, "close_envelope", lambda facts, content, port: content)
    place = Place(tmp_path)
    with place.open():
        place.lock()
        place.write(1)
        assert found_in_clear(place.folder)


def test_a_destroyed_key_ends_every_reading(keeper: KeyKeeper) -> None:
    port = TransitKey(keeper.address, "doomed", keeper.new_key("doomed"))
    wrapped = port.wrap(b"k" * 32, b"about")
    assert port.unwrap(wrapped, b"about") == b"k" * 32
    keeper.destroy_key("doomed")
    with pytest.raises(KeyAway):
        port.unwrap(wrapped, b"about")


def test_a_token_for_one_key_opens_no_other(keeper: KeyKeeper) -> None:
    keeper.new_key("other")
    with pytest.raises(KeyAway, match="refuses"):
        TransitKey(keeper.address, "other", keeper.new_key("own")).wrap(b"k" * 32, b"about")


def test_a_keeper_that_is_away_is_no_key() -> None:
    with pytest.raises(KeyAway, match="no answer"):
        TransitKey("http://127.0.0.1:9", "state", "token").wrap(b"k" * 32, b"about")


@pytest.mark.parametrize("kind", ["file", "transit"])
def test_a_wrapped_key_is_good_only_for_what_it_was_wrapped_for(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if kind == "file":
        port: LocalKey | TransitKey = LocalKey(tmp_path / "key")
    else:
        keeper: KeyKeeper = request.getfixturevalue("keeper")
        port = TransitKey(keeper.address, "bound", keeper.new_key("bound"))
    wrapped = port.wrap(b"k" * 32, b"version 1")
    with pytest.raises(KeyAway):
        port.unwrap(wrapped, b"version 2")


def test_a_key_file_that_others_can_read_is_not_used(tmp_path: Path) -> None:
    LocalKey(tmp_path / "key")
    (tmp_path / "key").chmod(0o640)
    with pytest.raises(NotConfigured, match="chmod 600"):
        LocalKey(tmp_path / "key")


@pytest.mark.parametrize("at", [40, -1])
def test_a_changed_file_does_not_open(tmp_path: Path, at: int) -> None:
    place = Place(tmp_path)
    with place.open():
        place.written(1)
    file = tmp_path / "states" / "shop" / "00000001.state"
    content = bytearray(file.read_bytes())
    content[at] ^= 1
    file.write_bytes(content)
    with pytest.raises((StoreDamaged, KeyAway)):
        place.states.read("shop")


def test_an_old_version_in_the_place_of_a_new_one_does_not_pass(tmp_path: Path) -> None:
    place = Place(tmp_path)
    with place.open():
        place.written(1)
        place.written(2)
        folder = tmp_path / "states" / "shop"
        (folder / "00000002.state").write_bytes((folder / "00000001.state").read_bytes())
        assert place.ask("GET", "/states/shop")[0] == 400


def test_of_many_who_make_the_key_at_once_all_have_the_same(tmp_path: Path) -> None:
    """The store and a command of it may start side by side."""
    for file in (tmp_path / f"{number}.key" for number in range(20)):
        with ThreadPoolExecutor(8) as pool:
            boxes = list(pool.map(lambda _, file=file: LocalKey(file).wrap(b"key", b"about"), range(8)))
        assert [LocalKey(file).unwrap(box, b"about") for box in boxes] == [b"key"] * 8
