"""What each account may do on the bus, as a table from the keyring: nobody more than it needs, and nobody for another.

An account has the name of its author. An author writes events and reads its own inbox. Ingest reads the events and writes
nowhere, for its own events go straight into the ledger. Delivery makes and writes the inboxes, and reads them to find
where it stopped (docs/decisions/0005). Nobody deletes, nobody alters. Kafka lets whoever may read or write a topic describe
it as well, so no right of its own is given for that.

Pure: `compare` says what has to change, and `kafka_acls` asks the broker and tells it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from ..enclosure import inbox_topic
from ..errors import NotConfigured
from ..keyring import Key
from ..settings import EVENTS_TOPIC, INBOX_TOPIC_PREFIX

INGEST, DELIVERY = "ingest", "delivery"
PROCESSES = (INGEST, DELIVERY)
"""Accounts of the road, which are there before anybody is registered; also the roles that have no inbox to read."""
ADMIN, NODE = "kafka-admin", "kafka-node"
RESERVED = (ADMIN, NODE)
"""Accounts of the cluster in `deploy/kafka/`, which may do everything; no author may have their name."""
OURS = "tenuto."
PRINCIPAL = "User:"


@dataclass(frozen=True, slots=True, order=True)
class Right:
    """One access control entry of Kafka, for topics and for the cluster.

    principal: with its kind, such as `User:code-review`. resource: `topic` or `cluster`. operation: as Kafka names it, in
    small letters. prefix: whether `name` is the beginning of a topic's name. allow: False for a denial. host: `*` for any.
    """

    principal: str
    operation: str
    name: str
    prefix: bool = False
    resource: str = "topic"
    allow: bool = True
    host: str = "*"

    def __str__(self) -> str:
        """As a person reads it."""
        words = [self.principal, "may" if self.allow else "may not", self.operation, self.resource, self.name]
        return " ".join(words) + ("*" if self.prefix else "") + ("" if self.host == "*" else f" from {self.host}")

    def in_our_space(self) -> bool:
        """Whether it speaks of topics of ours only."""
        return self.resource == "topic" and self.name.startswith(OURS)

    def reaches_our_space(self) -> bool:
        """Whether it grants something on topics of ours from outside: by a wildcard, a short prefix, the whole cluster."""
        if self.in_our_space() or not self.allow:
            return False
        wide = self.name == "*" or (self.prefix and OURS.startswith(self.name))
        return self.resource == "cluster" or wide


@dataclass(frozen=True, slots=True)
class Difference:
    """What the broker lacks, what it has too much, and what a person should look at: nothing of ours touches that.

    looked_at: rights from outside our space that reach into it, and denials inside it. A denial may be somebody's brake,
    and taking it away would grant something.
    """

    missing: tuple[Right, ...]
    foreign: tuple[Right, ...]
    looked_at: tuple[Right, ...]

    def __bool__(self) -> bool:
        """Whether there is anything to change or to look at."""
        return bool(self.missing or self.foreign or self.looked_at)

    def lines(self) -> list[str]:
        """One line for each: `+` is missing, `-` is too much, `!` is for a person."""
        marked = (("+", self.missing), ("-", self.foreign), ("!", self.looked_at))
        return [f"{mark} {right}" for mark, rights in marked for right in rights]


def wanted_rights(keys: Iterable[Key]) -> frozenset[Right]:
    """Return the whole table for those of `keys` that are valid, and for the processes of the road.

    Raises NotConfigured when an author has the name of an account that is not its own: accounts are never shared.
    """
    rights = _ingest() | _delivery()
    for key in keys:
        if key.until is None:
            _demand_own_account(key)
            if key.role not in PROCESSES:
                rights |= _author(key.author)
    return rights


def compare(wanted: Collection[Right], found: Collection[Right]) -> Difference:
    """Return what has to change for the broker to have the wanted rights and no others on topics of ours."""
    foreign = [right for right in found if right.in_our_space() and right.allow and right not in wanted]
    denials = [right for right in found if right.in_our_space() and not right.allow]
    outside = [right for right in found if right.reaches_our_space()]
    missing = [right for right in wanted if right not in found]
    return Difference(tuple(sorted(missing)), tuple(sorted(foreign)), tuple(sorted([*denials, *outside])))


def _author(name: str) -> frozenset[Right]:
    account = PRINCIPAL + name
    return frozenset({Right(account, "write", EVENTS_TOPIC), Right(account, "read", inbox_topic(name))})


def _ingest() -> frozenset[Right]:
    return frozenset({Right(PRINCIPAL + INGEST, "read", EVENTS_TOPIC)})


def _delivery() -> frozenset[Right]:
    operations = ("create", "read", "write")
    return frozenset(Right(PRINCIPAL + DELIVERY, one, INBOX_TOPIC_PREFIX, prefix=True) for one in operations)


def _demand_own_account(key: Key) -> None:
    if key.author in RESERVED:
        raise NotConfigured(f"An author is named {key.author}, like an account of the cluster. Register it by another name.")
    process = key.role if key.role in PROCESSES else key.author
    if process in PROCESSES and (key.author, key.role) != (process, process):
        raise NotConfigured(
            f"The author {key.author} has the role {key.role}; the account {process} belongs to the process of that name, "
            "and accounts are not shared. Register the author by another name or role."
        )
