"""What the sealer publishes carries its witnesses' cosignatures; one that is away costs an alarm."""

from __future__ import annotations

from pathlib import Path

import pytest
from tenuto.log.tiles import TileFolder
from tenuto.log.witnessing import parse_policy, verify_policy

from tests.unit.sealers_home import LOG, ORIGIN, Bridge, Home, near


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def test_the_published_note_carries_the_cosignatures(home: Home, tmp_path: Path) -> None:
    first, second = (Bridge(near(tmp_path, name, home.clock)) for name in ("w1.example", "w2.example"))
    keys = f"log {LOG.vkey}\nwitness a {first.verifier.vkey}\nwitness b {second.verifier.vkey}\n"
    policy = parse_policy(keys + "group both all a b\nquorum both\n")
    for _ in range(3):
        home.ledger.write(100)
        sealed = home.seal([first, second])
        assert sealed is not None
        assert sealed.cosigned_by == ("w1.example", "w2.example")
        assert sealed.alarms == ()
        note = TileFolder(home.log).published()
        assert note is not None
        assert verify_policy(note, policy, ORIGIN) == sealed.checkpoint


def test_a_witness_that_is_away_does_not_stop_sealing_and_cosigns_when_it_is_back(
    home: Home, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = (Bridge(near(tmp_path, name, home.clock)) for name in ("w1.example", "w2.example"))
    first.away = True
    home.ledger.write(5)
    with home.sealer([first, second]) as sealer:
        sealed = sealer.seal()
        assert sealed is not None
        assert sealed.cosigned_by == ("w2.example",)
        assert sealed.alarms == ("No cosignature by w1.example over 5 entries: it is away.",)
        assert sealed.alarms[0] in caplog.text
        home.ledger.write(5)
        second_step = sealer.seal()
        assert second_step is not None
        assert second_step.cosigned_by == ("w2.example",)
        first.away = False
        assert sealer.seal() is None
        home.clock.pass_seconds(5)
        sealed = sealer.seal()
        assert sealed is not None
        assert sealed.checkpoint.size == 10
        assert sealed.cosigned_by == ("w1.example", "w2.example")
        assert sealer.seal() is None


def test_after_a_restart_the_cosignatures_already_had_are_kept(home: Home, tmp_path: Path) -> None:
    first, second = (Bridge(near(tmp_path, name, home.clock)) for name in ("w1.example", "w2.example"))
    second.away = True
    home.ledger.write(5)
    home.seal([first, second])
    first.away, second.away = True, False
    sealed = home.seal([first, second])
    assert sealed is not None
    assert sealed.cosigned_by == ("w1.example", "w2.example")
