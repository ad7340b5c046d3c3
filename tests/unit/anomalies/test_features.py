"""What is measured on a message, and that nothing later changes it."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import timedelta

from tenuto_projections.anomalies.features import FEATURES, GAP_SECONDS_MAX, Measure, Message, from_verified

from .road_story import new_ledger, send, whole_run
from .traffic import MONDAY, benign


def measured(messages: list[Message]) -> list[dict[str, float]]:
    measure = Measure()
    return [dict(zip(FEATURES, measure.take(message), strict=True)) for message in messages]


NOTE = Message("ann", "bob", "chat", MONDAY + timedelta(hours=6), 1000, "r1", 2)


def test_a_row_has_one_finite_number_for_each_feature() -> None:
    rows = measured(benign(300, seed=1))
    assert all(math.isfinite(value) for row in rows for value in row.values())


def test_the_first_message_is_new_in_every_respect() -> None:
    (row,) = measured([NOTE])
    assert row["author_gap"] == row["run_gap"] == math.log1p(GAP_SECONDS_MAX)
    assert row["author_pace"] == row["run_messages"] == 0
    assert row["causes"] == math.log1p(2)
    assert (round(row["hour_sin"], 6), round(row["hour_cos"], 6)) == (1, 0)


def test_gaps_pace_and_place_in_the_run_come_from_the_messages_before() -> None:
    later = replace(NOTE, at=NOTE.at + timedelta(seconds=10))
    other_run = replace(later, at=later.at + timedelta(seconds=5), run="r2")
    _, second, third = measured([NOTE, later, other_run])
    assert second["author_gap"] == second["run_gap"] == math.log1p(10)
    assert (second["author_pace"], second["run_messages"]) == (math.log1p(1), math.log1p(1))
    assert (third["author_gap"], third["run_gap"]) == (math.log1p(5), math.log1p(GAP_SECONDS_MAX))
    assert third["run_messages"] == 0


def test_what_was_never_seen_is_rarer_than_what_is_usual() -> None:
    usual = [replace(NOTE, at=NOTE.at + timedelta(minutes=number)) for number in range(50)]
    strange = replace(NOTE, at=usual[-1].at + timedelta(minutes=1), receiver="eve", topic="secret")
    rows = measured([*usual, usual[-1], strange])
    for feature in ("pair_rarity", "topic_rarity", "follow_rarity"):
        assert rows[-1][feature] > rows[-2][feature] + 3


def test_a_length_is_judged_by_its_topic() -> None:
    usual = [replace(NOTE, length=900 + number) for number in range(100)]
    rows = measured([*usual, replace(NOTE, length=900_000), replace(NOTE, topic="dump", length=900_000)])
    assert rows[-2]["length_of_topic"] > 10
    assert rows[-1]["length_of_topic"] == 0


def test_a_row_does_not_depend_on_what_comes_later() -> None:
    messages = benign(200, seed=3)
    assert measured(messages)[:120] == measured(messages[:120])


def test_only_messages_are_measured_and_by_the_ledgers_time() -> None:
    ledger = new_ledger()
    whole_run(ledger)
    send(ledger, "mallory", None, "chat.note", None, size=17)
    messages = [message for verified in ledger.verified() if (message := from_verified(verified)) is not None]
    assert [message.topic for message in messages] == [
        "review.requested", "review.verdict", "infrastructure.applied", "chat.note"
    ]  # fmt: skip
    last = ledger.entries[-1]
    assert messages[-1] == Message("mallory", "", "chat.note", last.recorded_at, 17, None, 0)
