"""One step of disorder: somebody does something, with a fault at one of its writes, or the world itself changes."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from tenuto.settings import EVENTS_TOPIC, INBOX_TOPIC_PREFIX

from tests.faults.points import Fault

if TYPE_CHECKING:
    from tests.simulation.world import World

WRITES_MAX = 12
JUMP_SECONDS_MAX = 7200.0


def disorder(world: World, draw: Random) -> None:
    """Take one step."""
    world.time.seconds += draw.choice((0.0, 0.05, 0.2, 0.5))
    world.bus.release()
    world.bus.malice = world.temper.malice
    world.bury()
    if draw.random() < 0.05:
        change_the_world(world, draw)
        return
    groups = (world.honest, world.ingests, [world.sealer], [world.delivery], world.readers, world.hostile)
    # Before ingest's own key is registered a forged record holds up what lies behind it, the registration among it.
    weights = (14, 8, 3, 3, 2, 2 if world.hostile and world.watch.is_registered("ingest") else 0)
    process = draw.choice(draw.choices(groups, weights)[0])
    if draw.random() < world.temper.faults / 10:
        world.counts["killed between steps"] += 1
        world.say(f"{process.name}: killed")
        process.die()
        return
    if process is not world.root and process in world.honest and not world.watch.is_registered(process.name):
        return
    world.attempt(process, a_fault(world, draw))


def a_fault(world: World, draw: Random) -> Fault | None:
    """Perhaps a fault, at one of the next step's first writes."""
    if draw.random() >= world.temper.faults:
        return None
    return Fault(at=int(draw.expovariate(1 / 3)) % WRITES_MAX, persisted=draw.random() < 0.5, dies=draw.random() < 0.7)


def change_the_world(world: World, draw: Random) -> None:
    """Something happens that is nobody's step."""
    happenings = [bus_goes_or_comes, database_goes_or_comes, witness_goes_or_comes, time_passes, inbox_is_lost]
    if world.temper.losing:
        happenings += [topic_is_truncated, topic_is_lost, beginning_is_lost]
    if world.temper.jumps:
        happenings.append(clock_jumps)
    happening = draw.choice(happenings)
    happening(world, draw)
    world.counts[happening.__name__.replace("_", " ")] += 1


def bus_goes_or_comes(world: World, draw: Random) -> None:
    world.bus.away = not world.bus.away and draw.random() < 0.5
    world.say(f"bus away: {world.bus.away}")


def database_goes_or_comes(world: World, draw: Random) -> None:
    world.database_away = not world.database_away and draw.random() < 0.5
    world.say(f"database away: {world.database_away}")


def witness_goes_or_comes(world: World, draw: Random) -> None:
    witness = draw.choice(world.witnesses)
    witness.away = not witness.away
    world.say(f"{witness.verifier.name} away: {witness.away}")


def time_passes(world: World, draw: Random) -> None:
    seconds = draw.choice((1.0, 6.0)) if world.temper.strict else draw.choice((1.0, 6.0, 40.0))
    world.time.seconds += seconds
    world.say(f"{seconds} s pass")


def clock_jumps(world: World, draw: Random) -> None:
    name = draw.choice(sorted(world._clocks))
    world.clock(name).wrong_by = draw.choice((-3600.0, -5.0, 0.0, 5.0, 90.0, JUMP_SECONDS_MAX))
    world.say(f"the clock of {name} is wrong by {world.clock(name).wrong_by}")


def inbox_is_lost(world: World, draw: Random) -> None:
    """A whole inbox is gone; delivery fills it again."""
    if world.bus.away:
        return
    name = INBOX_TOPIC_PREFIX + draw.choice(sorted(one.name for one in world.honest))
    if name in world.bus._topics:
        world.bus.make_anew(name)
        world.say(f"{name} is lost")


def topic_is_lost(world: World, draw: Random) -> None:
    """The topic of events is made anew, empty."""
    if world.bus.away or draw.random() < 0.5:
        return
    world.bus.make_anew(EVENTS_TOPIC)
    world.say("the topic of events is lost")


def topic_is_truncated(world: World, draw: Random) -> None:
    """The last records of a partition are gone, and its identity stays: an election that was not clean."""
    if world.bus.away:
        return
    number, count = draw.randrange(world.temper.partitions), draw.randint(1, 6)
    world.bus.lose_tail(EVENTS_TOPIC, number, count)
    world.say(f"partition {number} loses its last {count} records")


def beginning_is_lost(world: World, draw: Random) -> None:
    """The first records of a partition are gone, read or not."""
    if world.bus.away:
        return
    number, count = draw.randrange(world.temper.partitions), draw.randint(1, 6)
    world.bus.lose_beginning(EVENTS_TOPIC, number, count)
    world.say(f"partition {number} loses its first {count} records")
