"""The model finds what was planted, keeps its false-positive rate on what was not, and is silent until it may judge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

import pytest
from tenuto.events import AlertClosed, MessageSent
from tenuto_projections.anomalies.brake import FINDINGS_PER_HOUR_MAX
from tenuto_projections.anomalies.features import FEATURES, Measure, Message
from tenuto_projections.anomalies.finding import Finding, found
from tenuto_projections.anomalies.model import (
    CALIBRATION_MIN,
    FALSE_POSITIVE_RATE,
    HISTORY_MESSAGES_MAX,
    MESSAGES_MIN,
    QUARANTINE,
    SPAN_MIN,
    MessageModel,
    train,
)

from tests.unit.projections.written import ORIGIN, uuid

from .traffic import benign

KNOWN = 1_200


@dataclass(frozen=True)
class Seen:
    """As much of a `Verified` as the model looks at."""

    position: int
    recorded_at: datetime
    event: object


def seen(position: int, message: Message) -> Seen:
    event = MessageSent(
        v=1, log_origin=ORIGIN, author=message.author, key_id="k", session=uuid("s"), seq=0, prev="0" * 64,
        at=message.at, id=uuid(position), run=message.run, to=message.receiver, topic=message.topic,
        payload_len=message.length, cause=(UUID(int=1),) * message.causes,
    )  # fmt: skip
    return Seen(position, message.at, event)


def closed(position: int, at: datetime, alert: str, finding: str) -> Seen:
    event = AlertClosed(
        v=1, log_origin=ORIGIN, author="bob", key_id="k", session=uuid("b"), seq=0, prev="0" * 64, at=at,
        id=uuid("closed", position), alert=alert, finding=finding,
    )  # fmt: skip
    return Seen(position, at, event)


def looked(messages: Sequence[Message], page: int = 200) -> tuple[MessageModel, list[Finding]]:
    model, events = MessageModel(), [seen(position, message) for position, message in enumerate(messages)]
    findings = [
        finding
        for start in range(0, len(events), page)
        for finding in model.take(events[start : start + page])  # type: ignore[arg-type]
    ]
    return model, findings


HISTORY = benign(KNOWN, seed=7)
LAST = HISTORY[-1].at
VERDICT = Message("code-review", "infrastructure", "review.verdict", LAST + timedelta(minutes=5), 2_500, "odd", 1)
REQUEST = Message("pipeline", "code-review", "review.requested", LAST + timedelta(minutes=3), 900, "odd", 1)

PLANTED: dict[str, list[Message]] = {
    "a huge verdict": [REQUEST, replace(VERDICT, length=900_000)],
    "an almost empty verdict": [REQUEST, replace(VERDICT, length=2)],
    "a request in the middle of the night": [replace(REQUEST, at=LAST.replace(hour=3) + timedelta(days=1))],
    "a known author on a topic of another": [REQUEST, replace(VERDICT, topic="infrastructure.applied")],
    "a known author to another receiver": [REQUEST, replace(VERDICT, receiver="deployment")],
    "fifteen handovers in fifteen seconds": [
        Message("infrastructure", "deployment", "infrastructure.applied", LAST + timedelta(minutes=5, seconds=second),
                3_200, "odd", 1) for second in range(15)
    ],
}  # fmt: skip


@pytest.mark.parametrize("planted", PLANTED.values(), ids=PLANTED.keys())
def test_a_planted_outlier_is_found(planted: list[Message]) -> None:
    _, findings = looked([*HISTORY, *planted])
    hits = [finding for finding in findings if finding.position >= KNOWN]
    assert hits and hits[-1].position == KNOWN + len(planted) - 1
    last = hits[-1]
    assert (last.rule, last.detector, last.suspect) == ("outlier", "message-model", planted[-1].author)
    assert last.alert == f"message-model/outlier/{last.position}"
    assert last.evidence == (uuid(last.position),)
    assert last.score >= 1000 * (1 - FALSE_POSITIVE_RATE) - 1
    assert last.figures["distance"] > last.figures["threshold"]


def test_what_stands_out_is_said_in_words_and_figures() -> None:
    _, findings = looked([*HISTORY, REQUEST, replace(VERDICT, length=900_000)])
    last = findings[-1]
    assert FEATURES["length_of_topic"] in last.sentence
    assert last.figures["length_of_topic"] > 5
    assert last.version.startswith("1/") and "/scikit-learn-" in last.version


@pytest.mark.parametrize("seed", [11, 12, 13])
def test_benign_messages_stay_near_the_stated_false_positive_rate(seed: int) -> None:
    _, findings = looked(benign(4_000, seed))
    judged = 4_000 - 600
    assert len(findings) <= 2 * FALSE_POSITIVE_RATE * judged


def test_over_many_benign_messages_the_false_positive_rate_is_the_stated_one() -> None:
    total = sum(len(looked(benign(3_000, seed))[1]) for seed in range(20, 28))
    assert 0 < total <= 1.25 * FALSE_POSITIVE_RATE * 8 * 2_500


@pytest.mark.parametrize("page", [1, 7, 500])
def test_where_pages_begin_and_end_makes_no_difference(page: int) -> None:
    messages = [*HISTORY[:800], *PLANTED["fifteen handovers in fifteen seconds"]]
    assert looked(messages, page)[1] == looked(messages)[1]


def test_below_the_minimum_the_model_keeps_silent_and_says_so() -> None:
    model, findings = looked([*HISTORY[: MESSAGES_MIN - 1], replace(REQUEST, length=999_999)])
    assert findings == []
    assert "keeps silent" in model.state and f"of the {MESSAGES_MIN} messages" in model.state


def test_with_enough_messages_it_says_by_how_many_it_judges() -> None:
    model, _ = looked(HISTORY)
    assert "judges by 1,0" in model.state and "0.5%" in model.state


def rows_of(messages: Sequence[Message]) -> list[list[float]]:
    measure = Measure()
    return [measure.take(message) for message in messages]


def test_training_takes_the_minimum_and_refuses_one_less() -> None:
    rows = rows_of(HISTORY[:MESSAGES_MIN])
    assert train(rows[1:]) is None
    trained = train(rows)
    assert trained is not None
    assert (trained.size, len(trained.calibration)) == (MESSAGES_MIN, CALIBRATION_MIN)


def test_the_rarity_of_a_distance_is_a_share_that_is_never_zero() -> None:
    trained = train(rows_of(HISTORY[:MESSAGES_MIN]))
    assert trained is not None
    assert trained.rarity(-1.0) == 1.0
    assert trained.rarity(1e9) == 1 / (CALIBRATION_MIN + 1)
    assert trained.rarity(trained.calibration[-1]) == 2 / (CALIBRATION_MIN + 1)


def test_messages_that_are_all_alike_make_no_alarm_of_a_trifle() -> None:
    start = HISTORY[0].at
    alike = [Message("ann", "bob", "chat", start + timedelta(minutes=9 * number), 900) for number in range(800)]
    _, findings = looked([*alike, replace(alike[-1], at=alike[-1].at + timedelta(minutes=9, seconds=2), length=905)])
    assert [finding.position for finding in findings] == []


def test_a_history_that_has_not_seen_every_hour_yet_does_not_judge() -> None:
    start = HISTORY[0].at
    quick = [replace(message, at=start + timedelta(minutes=3 * number)) for number, message in enumerate(HISTORY)]
    model, findings = looked(quick)
    assert findings == []
    assert model._teaching > MESSAGES_MIN
    assert f"over at least {SPAN_MIN.days} days" in model.state


def test_many_outliers_of_one_author_are_braked_like_any_rule() -> None:
    flood = [replace(VERDICT, at=VERDICT.at + timedelta(seconds=number), length=900_000) for number in range(60)]
    _, findings = looked([*HISTORY, *flood])
    assert len([finding for finding in findings if finding.position >= KNOWN]) == FINDINGS_PER_HOUR_MAX
    assert "not raised again" in findings[-1].sentence


def test_no_more_than_the_limit_of_history_is_kept() -> None:
    model = MessageModel()
    model._history.extend(range(HISTORY_MESSAGES_MAX + 1))  # type: ignore[arg-type]
    assert len(model._history) == HISTORY_MESSAGES_MAX


def teaching(verdict: str | None = None, *, rule: str = "burst", by_rule: bool = True) -> int:
    """How many messages teach the last model, after a finding about the pipeline that a person closed so, or not."""
    model, at = MessageModel(), HISTORY[300].at
    for position, message in enumerate(HISTORY[:700]):
        event = seen(position, message)
        alarm = by_rule and position == 300
        earlier = [found(rule, event, "x", suspect="pipeline")] if alarm else []  # type: ignore[arg-type]
        model.take([event], earlier)  # type: ignore[list-item]
        if verdict is not None and position == 301:
            model.take([closed(position, at, f"message-rules/{rule}/300", verdict)])  # type: ignore[list-item]
    return model._teaching


def test_what_a_suspect_sent_around_a_finding_does_not_teach() -> None:
    around = [
        message
        for message in HISTORY
        if message.author == "pipeline" and abs(message.at - HISTORY[300].at) <= QUARANTINE
    ]
    assert around
    assert teaching() == teaching(by_rule=False) - len(around)


def test_a_false_alarm_teaches_after_all_and_a_trifle_too() -> None:
    everything = teaching(by_rule=False)
    assert teaching("false_positive") == teaching("accepted_risk") == everything
    assert teaching("true_positive") == teaching()
    assert teaching(rule="clock_behind") == everything


def test_an_outlier_that_a_person_confirmed_no_longer_teaches() -> None:
    model, findings = looked([*HISTORY, REQUEST, replace(VERDICT, length=900_000)])
    alert = findings[-1].alert
    model.take([closed(KNOWN + 2, LAST, alert, "true_positive")])  # type: ignore[list-item]
    assert model._suspicions[alert] == ("code-review", VERDICT.at)
    model.take([closed(KNOWN + 3, LAST, alert, "false_positive")])  # type: ignore[list-item]
    assert alert not in model._suspicions


def test_nothing_of_the_last_hour_teaches() -> None:
    start = HISTORY[0].at
    quick = [replace(message, at=start + timedelta(seconds=2 * number)) for number, message in enumerate(HISTORY)]
    model, findings = looked(quick)
    assert findings == []
    assert model._teaching == 0
