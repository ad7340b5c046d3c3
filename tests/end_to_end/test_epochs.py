"""Epochs on the road: who sealed to the old one is still taken in, and its key goes only when nothing needs it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from tenuto.adapters import keyfiles
from tenuto.adapters.epochfolder import LOOK_SECONDS, EpochFolder
from tenuto.adapters.postgres import PostgresReader
from tenuto.documents import Reason
from tenuto.epochs import EpochInUse, Epochs
from tenuto.errors import NotConfigured
from tenuto.events import KeyEpochDestroyed, KeyEpochOpened, MessageSent, RecordRefused, SessionEpochFollowed
from tenuto.recorder import Recorder
from tenuto.registering import Enrolment
from tenuto.trust import load_trust
from tenuto.wiring import open_epochs

from tests.conftest import Database
from tests.road import Road, until

AUTHORS = (Enrolment("code-review", "agent", "team"), Enrolment("infrastructure", "agent", "team"))


@contextmanager
def epochs(road: Road) -> Iterator[Epochs]:
    with open_epochs(road.settings) as opened:
        yield opened


def say(recorder: Recorder) -> MessageSent:
    return recorder.send("code-review", "note", Reason(text="said"))


def test_an_epoch_is_opened_outlived_and_destroyed(tmp_path: Path, database: Database) -> None:
    with Road(tmp_path, database) as road:
        with road.working():
            road.register(*AUTHORS)
            old, follows = road.recorder("code-review"), road.recorder("infrastructure")
            old.follow_epochs(lambda: road.trust)  # as on another machine, which has the trust file of before
            old.wait(say(old))
            follows.wait(say(follows))
            with epochs(road) as rotating:
                with pytest.raises(NotConfigured, match="not over"):
                    rotating.destroy(1)
                assert rotating.rotate() == 2
            assert (load_trust(road.home).epoch, load_trust(road.settings.keys).epoch) == (2, 2)
            old.wait(say(old))  # ingest, which has run all the time, opens both
            with epochs(road) as destroying:
                # The one that runs on this home says so by itself, without having anything to record.
                assert until(lambda: road.events("infrastructure", SessionEpochFollowed) or None)
                with pytest.raises(EpochInUse, match="Sessions of code-review were"):
                    destroying.destroy(1)
        waiting = say(old)  # nothing carries it now: it is on the bus or in the spool, and sealed to epoch 1
        with pytest.raises(EpochInUse, match="sealed to epoch 1 that the ledger does not have"), still(road) as destroying:
            destroying._demand_unused(1, sessions_ended=True)
        with road.working():
            old.wait(waiting)
            old.close()
            with epochs(road) as destroying:
                assert until(lambda: destroyed(destroying))
                assert not destroying.destroy(1)
            assert keyfiles.epochs(road.settings.keys) == [2]
            assert [one.kind for one in road.events("root") if one.kind.startswith("key.epoch")] == [
                "key.epoch_opened", "key.epoch_destroyed",
            ]  # fmt: skip
            with road.recorder("code-review") as new:
                new.wait(say(new))
            assert len(road.events("root", KeyEpochOpened)) == len(road.events("root", KeyEpochDestroyed)) == 1
            follows.wait(say(follows))  # its session, from before the rotation, goes on after the key is gone
            follows.close()
            assert [one.epoch for one in road.events("infrastructure", SessionEpochFollowed) if isinstance(one, SessionEpochFollowed)] == [2]
            assert not road.events("ingest", RecordRefused)
            assert all(one.payload for one in road.read(payloads=True) if isinstance(one.event, MessageSent))


def destroyed(epochs: Epochs) -> bool | None:
    """Once the ledger has seen the last old session closed and its inboxes have their receipts."""
    try:
        return epochs.destroy(1)
    except EpochInUse:
        return None


@contextmanager
def still(road: Road) -> Iterator[Epochs]:
    """The root's hand on the epochs while nothing moves: its own session is not taken in either."""
    from tenuto.wiring import open_bus, open_follower, role_url

    with closing(PostgresReader(role_url(road.settings, "tenuto_reader"))) as reader:
        yield Epochs(
            home=road.home, keys=road.settings.keys, spools=road.settings.spool, root=None,  # type: ignore[arg-type]
            bus=open_bus(road.settings), reader=reader, topic="tenuto.events", seconds=1.0,
            follower=open_follower(road.settings, payloads=False),
        )  # fmt: skip


def test_ingest_sees_epochs_come_and_go(tmp_path: Path) -> None:
    keyfiles.create_folder(tmp_path / "keys")
    moment = 0.0
    folder = EpochFolder(tmp_path / "keys", now=lambda: moment)
    assert list(folder) == []
    made = keyfiles.create_key(tmp_path / "keys", keyfiles.epoch_file(1))
    (tmp_path / "keys" / "epoch-x.key").write_text("no epoch")
    moment = LOOK_SECONDS
    assert dict(folder) == {1: made}
    (tmp_path / "keys" / keyfiles.epoch_file(1)).unlink()
    moment = 2 * LOOK_SECONDS
    assert (len(folder), folder.get(1)) == (0, None)
