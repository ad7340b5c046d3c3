"""When a plant is at rest: what was signed is cosigned as well, or whoever looks at it next finds step 8 missing."""

from __future__ import annotations

from pathlib import Path

from tenuto.adapters import keyfiles
from tenuto.founding import found, witness_name
from tenuto.log.checkpoint import Checkpoint, sign_checkpoint
from tenuto.log.merkle import EMPTY_ROOT
from tenuto.log.note import Cosigner
from tenuto.log.tiles import CHECKPOINT_FILE
from tenuto.settings import Settings

from tests.fire.plant import ORIGIN, Plant

EVENTS = 7


class LateWitness(Plant):
    """A plant of which nothing runs: everything is signed, and the witness cosigns only when the size is asked for the third time."""

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self.settings, self.trust = Settings(home=home), found(home, ORIGIN)
        keys, self.file = self.settings.keys, self.settings.tiles / CHECKPOINT_FILE
        self.bare = sign_checkpoint(Checkpoint(ORIGIN, EVENTS, EMPTY_ROOT), keyfiles.load_log_signer(keys, ORIGIN))
        self.witness = Cosigner(witness_name(ORIGIN), keyfiles.load_key(keys, keyfiles.WITNESS_KEY))
        self.file.parent.mkdir(parents=True)
        self.file.write_bytes(self.bare)
        self.asked, self.at_rest = 0, list[int]()

    def waiting(self) -> int:
        return 0

    def size(self) -> int:
        self.asked += 1
        if self.asked == 3:
            text = self.bare.partition(b"\n\n")[0] + b"\n"
            self.file.write_bytes(self.bare + self.witness.cosign(text, 1_700_000_000))
        return EVENTS

    def _projected(self) -> set[int]:
        return {EVENTS}

    def _messages_arrived(self) -> bool:
        self.at_rest.append(self.cosigned())
        return True


def test_a_plant_is_at_rest_once_the_witness_that_was_killed_has_cosigned_what_was_signed(tmp_path: Path) -> None:
    plant = LateWitness(tmp_path / "home")
    assert (plant.signed(), plant.cosigned()) == (EVENTS, 0)
    plant.settle()
    assert plant.at_rest == [EVENTS]
