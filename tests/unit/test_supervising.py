"""What a supervisor tells its parts, and where the other commands find them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tenuto import supervising
from tenuto.addresses import RUNNING_FILE, SUPERVISOR, running_addresses
from tenuto.embedded import PartFailed
from tenuto.embedded.child import DirectoryLock, DirectoryTaken
from tenuto.errors import Busy, NotConfigured
from tenuto.retention import Partition
from tenuto.settings import Settings, load_settings
from tenuto.supervising import Platform, environment


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", database_url="postgresql:///x", kafka="127.0.0.1:9", console_port=8600)


def test_a_part_reads_back_exactly_the_settings_that_it_was_given(settings: Settings) -> None:
    assert load_settings(environment(settings)) == settings


def test_a_part_finds_the_files_of_its_account_from_wherever_it_runs(settings: Settings) -> None:
    given = environment(settings.model_copy(update={"kafka_ca": Path("ca.pem")}))
    assert given["TENUTO_KAFKA_CA"] == str(Path.cwd() / "ca.pem")


def test_nothing_that_the_caller_had_set_overrules_them(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENUTO_KAFKA", "elsewhere:1")
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "elsewhere:2")
    monkeypatch.setenv("TENUTO_METRICS_PORT", "7")
    monkeypatch.setenv("OPENAI_API_KEY", "kept")
    given = environment(settings)
    for name in ("TENUTO_KAFKA", "TENUTO_METRICS_PORT"):
        monkeypatch.delenv(name)  # the part has `given` and nothing else
    assert load_settings(given) == settings
    assert given["OPENAI_API_KEY"] == "kept"


@pytest.fixture
def supervised(tmp_path: Path) -> Iterator[Path]:
    """A home whose supervisor is alive: this process."""
    lock = DirectoryLock(tmp_path / SUPERVISOR)
    yield tmp_path
    lock.release()


def test_the_addresses_are_those_of_a_supervisor_that_lives(supervised: Path) -> None:
    assert running_addresses(supervised) == {}
    (supervised / RUNNING_FILE).write_text(json.dumps({"pid": 1, "kafka": "x:1"}))
    assert running_addresses(supervised)["kafka"] == "x:1"


def test_the_note_of_a_killed_supervisor_is_none_whoever_has_its_process_id_now(tmp_path: Path) -> None:
    (tmp_path / RUNNING_FILE).write_text(json.dumps({"pid": os.getpid(), "kafka": "x:1"}))
    assert running_addresses(tmp_path) == {}
    DirectoryLock(tmp_path / SUPERVISOR).release()
    assert running_addresses(tmp_path) == {}


@pytest.mark.parametrize("content", ["", "[]", "\x00", "{"])
def test_a_damaged_note_is_none(supervised: Path, content: str) -> None:
    (supervised / RUNNING_FILE).write_text(content)
    assert running_addresses(supervised) == {}


def test_a_home_that_is_in_use_is_left_alone(settings: Settings) -> None:
    lock = DirectoryLock(settings.home / SUPERVISOR)
    try:
        with pytest.raises(DirectoryTaken, match=f"process {os.getpid()}"), Platform(settings, lambda _: None):
            pass
    finally:
        lock.release()


def test_a_part_that_ended_is_named_with_its_last_words(settings: Settings) -> None:
    platform = Platform(settings, lambda _: None)
    with platform._stack:
        platform.start("ingest", "no-such-command")
        platform._parts["ingest"].wait(60)
        with pytest.raises(PartFailed, match=r"`ingest` has ended(.|\n)*no-such-command"):
            platform.demand_running()
        platform.stop("ingest")
        platform.demand_running()
        assert platform.running() == ()


def test_a_spare_part_that_ended_is_said_and_started_again_and_stops_nothing(settings: Settings) -> None:
    said: list[str] = []
    platform = Platform(settings, said.append)
    settings.home.mkdir()
    with platform._stack:
        platform.start_spare("notify", "no-such-command")
        first = platform._parts["notify"]
        first.wait(60)
        platform.demand_running()
        second = platform._parts["notify"]
        assert second is not first
        assert "`notify` has ended and is started again" in said[0]
        assert "no-such-command" in said[0]
        second.wait(60)
        platform.demand_running()
        assert platform._parts["notify"] is second, "not again before its pause is over"
        assert len(said) == 1
        platform.stop("notify")


def test_the_embedded_broker_is_not_started_for_who_demands_accounts(tmp_path: Path) -> None:
    demanding = Settings(home=tmp_path / "home", database_url="postgresql:///x", kafka_security="sasl_plaintext")
    with pytest.raises(NotConfigured, match="the embedded one knows no accounts"), Platform(demanding, print):
        pass
    assert not demanding.home.exists()


def test_the_next_partitions_are_looked_after_now_and_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    said: list[str] = []

    def prepared(url: str) -> list[Partition]:
        asked.append(url)
        if len(asked) > 1:
            raise Busy("retention is at work")
        return [Partition("00016", 4096, 8191, 0)]

    monkeypatch.setattr(supervising, "prepare", prepared)
    platform = Platform(Settings(home=tmp_path, database_url="postgresql://here/tenuto"), said.append)
    platform.make_room()
    platform.make_room()
    assert asked == ["postgresql://here/tenuto"]
    monkeypatch.setattr(supervising, "ROOM_SECONDS", 0.0)
    platform._look_at_room = 0.0
    platform.make_room()
    assert said == ["Made room for 4,096 more events.", "No room was made for new events just now: retention is at work"]
