"""The table of rights, and what differs from it; who may really do what is tried in tests/contracts/test_kafka_rights.py."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tenuto.adapters.kafka_rights import DELIVERY, INGEST, RESERVED, Right, compare, wanted_rights
from tenuto.enclosure import inbox_topic
from tenuto.errors import NotConfigured
from tenuto.keyring import ENTITLED, Key
from tenuto.settings import EVENTS_TOPIC

NAMES = st.from_regex(r"[a-z0-9][a-z0-9._:/@+-]{0,40}", fullmatch=True).filter(
    lambda name: name not in (INGEST, DELIVERY, *RESERVED)
)
READ = Right("User:a", "read", inbox_topic("a"))


def key(author: str, role: str = "agent", until: int | None = None) -> Key:
    return Key(author, author, b"", role, "owner", insecure_demo=False, since=0, until=until)


def test_an_author_writes_events_and_reads_its_own_inbox() -> None:
    added = wanted_rights([key("a")]) - wanted_rights([])
    assert added == {Right("User:a", "write", EVENTS_TOPIC), READ}


@pytest.mark.parametrize("role", sorted(ENTITLED.keys() - {INGEST, DELIVERY}))
def test_no_role_has_more_on_the_bus_than_another(role: str) -> None:
    assert wanted_rights([key("a", role)]) == wanted_rights([key("a")])


def test_an_author_without_a_valid_key_has_no_rights() -> None:
    assert wanted_rights([key("a", until=7)]) == wanted_rights([])
    assert wanted_rights([key("a", until=7), key("a")]) == wanted_rights([key("a")])


def test_the_processes_have_theirs_before_anybody_is_registered_and_none_more_when_they_are() -> None:
    own = wanted_rights([])
    assert {right.principal for right in own} == {"User:ingest", "User:delivery"}
    assert wanted_rights([key(INGEST, INGEST), key(DELIVERY, DELIVERY)]) == own
    assert not {right.operation for right in own} & {"delete", "alter", "all"}


@pytest.mark.parametrize(
    ("author", "role"), [("ingest", "agent"), ("delivery", "reviewer"), ("a", "ingest"), ("a", "delivery"), *((name, "agent") for name in RESERVED)]
)  # fmt: skip
def test_an_author_that_would_share_an_account_is_refused(author: str, role: str) -> None:
    with pytest.raises(NotConfigured, match=author):
        wanted_rights([key(author, role)])


@given(st.lists(NAMES, min_size=2, max_size=8, unique=True))
def test_no_two_authors_may_read_one_topic(names: list[str]) -> None:
    readable = [right.name for right in wanted_rights([key(name) for name in names]) if right.operation == "read"]
    assert len(readable) == len(set(readable)) == len(names) + 2


def test_what_is_as_wanted_differs_in_nothing() -> None:
    wanted = wanted_rights([key("a")])
    assert not compare(wanted, wanted)


def test_what_is_missing_and_what_is_too_much_are_told_apart() -> None:
    wider = Right("User:a", "read", "tenuto.inbox.", prefix=True)
    difference = compare({READ}, {wider})
    assert (difference.missing, difference.foreign, difference.looked_at) == ((READ,), (wider,), ())
    assert difference.lines() == ["+ User:a may read topic tenuto.inbox.a", "- User:a may read topic tenuto.inbox.*"]


@pytest.mark.parametrize(
    "right",
    [
        Right("User:*", "read", "*"),
        Right("User:x", "write", "ten", prefix=True),
        Right("User:x", "alter", "kafka-cluster", resource="cluster"),
        Right("User:x", "write", EVENTS_TOPIC, allow=False),
    ],
)
def test_what_reaches_in_from_outside_or_denies_is_left_to_a_person(right: Right) -> None:
    difference = compare((), {right})
    assert (difference.missing, difference.foreign, difference.looked_at) == ((), (), (right,))
    assert difference.lines() == [f"! {right}"]


@pytest.mark.parametrize("name", ["tenutos", "orders", "tenuto"])
def test_the_topics_of_others_are_not_ours_to_speak_of(name: str) -> None:
    assert not compare((), {Right("User:x", "all", name)})


def test_a_right_that_holds_for_one_host_is_another_right() -> None:
    assert compare({READ}, {Right("User:a", "read", inbox_topic("a"), host="192.0.2.1")}).missing == (READ,)
