"""What kind of world a seed makes: how many of each, and which troubles it knows. Drawn once, printed with a failure."""

from __future__ import annotations

from dataclasses import dataclass, fields
from random import Random

from tests.simulation.bus import Malice


@dataclass(frozen=True, slots=True)
class Temper:
    """The nature of one world.

    faults: how likely a step meets a fault at one of its writes. jumps: clocks are set wrong. losing: the bus loses records
    that it acknowledged, delays, and truncates. keys: keys in use are rotated and revoked. hostile: one author signs two
    events for one place, and a forger is about. split: the second ingest has a partition of its own.
    """

    partitions: int = 2
    agents: int = 2
    ingests: int = 1
    split: bool = False
    batch_events: int = 50
    gap_seconds: float = 30.0
    faults: float = 0.0
    malice: Malice = Malice()
    losing: bool = False
    jumps: bool = False
    keys: bool = False
    hostile: bool = False

    @classmethod
    def of(cls, draw: Random) -> Temper:
        losing = draw.random() < 0.6
        rare = (0.0, 0.03, 0.1)
        return cls(
            partitions=draw.randint(1, 3), agents=draw.randint(2, 3), ingests=draw.randint(1, 2),
            split=draw.random() < 0.3, batch_events=draw.choice((1, 3, 10, 50)), faults=draw.choice((0.0, 0.03, 0.1, 0.2)),
            malice=Malice(
                lose=draw.choice(rare) if losing else 0.0, repeat=draw.choice(rare), fail=draw.choice(rare),
                delay=draw.choice(rare) if losing else 0.0,
            ),
            losing=losing, jumps=draw.random() < 0.3, keys=draw.random() < 0.4, hostile=draw.random() < 0.5,
        )  # fmt: skip

    @property
    def strict(self) -> bool:
        """Whether every honest event must be recorded: nothing is lost for longer than a gap's bound, no key ends."""
        return not (self.losing or self.jumps or self.keys)

    def __str__(self) -> str:
        return ", ".join(f"{one.name}={getattr(self, one.name)}" for one in fields(self))
