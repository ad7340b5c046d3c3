"""Chance and time under one seed: whatever the product asks the machine for comes from here, so that a run can be repeated.

Keys, nonces and salts are drawn from the seed, waiting moves the simulated time, and nothing else is replaced: both lie at
the border to a library or to the machine.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from unittest import mock
from uuid import UUID

from nacl import bindings
from tenuto import accounting, delivery, drain, mailbox, recorder

from tests import written
from tests.doubles import START

WAITS = (accounting, delivery, drain, mailbox, recorder)
FIRST_ID = 0x01900000_0000_7000_8000_000000000000


class SimulatedTime:
    """The one time of a world, in seconds since its beginning. Stands in for the module `time` where the product waits."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def monotonic(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds


@dataclass
class ProcessClock:
    """The clock of one machine: the world's time, and by how much it is wrong there."""

    time: SimulatedTime
    wrong_by: float = 0.0

    def now(self) -> datetime:
        return START + timedelta(seconds=self.time.seconds + self.wrong_by)


class Dice:
    """Streams of chance under one seed. Each user has its own, so that one more draw of one changes nothing for others."""

    def __init__(self, seed: int) -> None:
        self.seed, self._ids = seed, 0

    def of(self, name: str) -> Random:
        return Random(f"{self.seed}/{name}")

    def new_id(self) -> UUID:
        """Ids in order, as UUIDv7 are."""
        self._ids += 1
        return UUID(int=FIRST_ID + self._ids)


@contextmanager
def governed(dice: Dice, time: SimulatedTime) -> Iterator[None]:
    """Let keys, nonces and salts be drawn from the seed, and waiting move the simulated time."""
    draw = dice.of("secrets")

    def keypair() -> tuple[bytes, bytes]:
        return bindings.crypto_box_seed_keypair(draw.randbytes(32))

    def seal(message: bytes, recipient: bytes) -> bytes:
        """libsodium's sealed box, with a key pair of ours."""
        public, secret = keypair()
        nonce = hashlib.blake2b(public + recipient, digest_size=24).digest()
        return public + bindings.crypto_box(message, nonce, recipient, secret)

    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(secrets, "token_bytes", draw.randbytes))
        stack.enter_context(mock.patch.object(bindings, "crypto_box_keypair", keypair))
        stack.enter_context(mock.patch.object(bindings, "crypto_box_seal", seal))
        stack.enter_context(mock.patch.object(written, "new_id", dice.new_id))
        for module in WAITS:
            stack.enter_context(mock.patch.object(module, "time", time))
        before = logging.root.manager.disable
        logging.disable(logging.CRITICAL)
        stack.callback(logging.disable, before)
        yield
