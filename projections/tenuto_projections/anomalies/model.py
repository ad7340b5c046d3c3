"""What no rule names: a message unlike those that this ledger's own history holds.

The score of a message is its distance from the nearest messages of the history, in units of each feature's spread. That
is plain, has no seed, and says what stands out. An isolation forest over the same rows found only half to two thirds of
simulated messages of an odd size, where this finds all: one odd number among twelve is diluted.

The alarm threshold is a quantile of the newest third of the history, which the distances are not taken from (split
conformal prediction): benign messages like those raise an alarm at FALSE_POSITIVE_RATE, and with too few of them to say
so the model keeps silent. It is fitted anew from the ledger at every start, so there is no file to trust.

What teaches it can be poisoned. Nothing of the last hour teaches, since people and rules may still object; neither does
what an author sent within an hour of a rule's finding about it, or of an outlier that a person confirmed.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from tenuto.events import AlertClosed
from tenuto.verification import Verified

from .brake import Brake
from .features import FEATURES, Measure, Message, from_verified
from .finding import RULES, Finding, found, said

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Rows = NDArray[np.float64]

MODEL_DETECTOR, MODEL_VERSION = "message-model", "1"
FALSE_POSITIVE_RATE = 0.005
CALIBRATION_MIN = math.ceil(1 / FALSE_POSITIVE_RATE) - 1
"""Fewer than 199 cannot tell a one-in-200 event from the rest."""
FIT_MIN = 200
MESSAGES_MIN = FIT_MIN + CALIBRATION_MIN
HISTORY_MESSAGES_MAX = 5_000
REFIT_MESSAGES_MIN = 100
"""The model is fitted anew when a tenth more messages came, but so many at least and a whole history at most."""
WARM_UP_MESSAGES = 50
"""The first messages are all new to a ledger, so what is measured on them says nothing."""
QUARANTINE = timedelta(hours=1)
SPAN_MIN = timedelta(days=3)
"""A shorter history has not seen every hour of a day, and each new hour would look like an attack."""

_NEIGHBOURS = 5
_SPREAD_MIN = 0.1
_DISTANCE_MIN = 1.0
"""However alike the history is, a message within one spread of it is no outlier."""
_NAMED_FEATURES = 2


@dataclass(frozen=True, slots=True)
class Trained:
    """A fitted model. size: how many messages taught it. threshold: the distance above which a message is an outlier.

    calibration: the sorted distances of the held-out messages.
    """

    scaler: Any
    neighbours: Any
    middle: Rows
    calibration: list[float]
    threshold: float
    size: int

    @property
    def version(self) -> str:
        """What an alert names: our version, how many messages taught it, and by which library."""
        import sklearn  # type: ignore[import-untyped]

        return f"{MODEL_VERSION}/{self.size}/scikit-learn-{sklearn.__version__}"

    def distances(self, rows: Rows | Sequence[Sequence[float]]) -> list[float]:
        """Return each row's mean distance from its nearest neighbours."""
        away, _ = self.neighbours.kneighbors(self.scaler.transform(rows))
        return [float(distance) for distance in away.mean(axis=1)]

    def rarity(self, distance: float) -> float:
        """Return the share of benign messages that are at least so far away (the conformal p-value, never zero)."""
        beyond = len(self.calibration) - bisect_left(self.calibration, distance)
        return (beyond + 1) / (len(self.calibration) + 1)

    def standing_out(self, row: Sequence[float]) -> list[str]:
        """Return the names of the features that make the row odd: without which it would be nearest to the history."""
        variants = [[*row[:index], float(self.middle[index]), *row[index + 1 :]] for index in range(len(row))]
        ranked = sorted(zip(self.distances(variants), FEATURES, strict=True))
        return [name for _, name in ranked[:_NAMED_FEATURES]]


def train(rows: Sequence[Sequence[float]]) -> Trained | None:
    """Fit on the older rows and calibrate on the newest third; None for fewer than MESSAGES_MIN (399) rows."""
    if len(rows) < MESSAGES_MIN:
        return None
    import numpy as np
    from sklearn.neighbors import NearestNeighbors  # type: ignore[import-untyped]
    from sklearn.preprocessing import StandardScaler  # type: ignore[import-untyped]

    held_out = max(CALIBRATION_MIN, len(rows) // 3)
    older, newer = np.asarray(rows[:-held_out]), np.asarray(rows[-held_out:])
    scaler = StandardScaler().fit(older)
    scaler.scale_ = np.maximum(scaler.scale_, _SPREAD_MIN)
    # A tree measures each row by itself: what else is in the batch cannot change a distance in its last digit.
    neighbours = NearestNeighbors(n_neighbors=_NEIGHBOURS, algorithm="kd_tree").fit(scaler.transform(older))
    untuned = Trained(scaler, neighbours, np.median(older, axis=0), [], 0.0, len(rows))
    distances = sorted(untuned.distances(newer))
    rank = math.ceil((held_out + 1) * (1 - FALSE_POSITIVE_RATE))
    threshold = max(distances[rank - 1], _DISTANCE_MIN)
    return Trained(scaler, neighbours, untuned.middle, distances, threshold, len(rows))


@dataclass(frozen=True, slots=True)
class _Measured:
    """A message with its row, kept to teach."""

    author: str
    at: datetime
    row: list[float]


class MessageModel:
    """The detector. It measures every message, is fitted anew now and then, and judges what follows."""

    def __init__(self) -> None:
        """Start before the first event."""
        self._measure, self._brake = Measure(), Brake()
        self._history: deque[_Measured] = deque(maxlen=HISTORY_MESSAGES_MAX)
        self._waiting: list[tuple[Verified, Message, list[float]]] = []
        self._suspicions: dict[str, tuple[str, datetime]] = {}
        self._outliers: dict[str, tuple[str, datetime]] = {}
        self._trained: Trained | None = None
        self._messages = self._teaching = 0
        self._refit_at = REFIT_MESSAGES_MIN

    @property
    def state(self) -> str:
        """Say in one sentence whether the model judges."""
        if self._trained is None:
            return (
                f"The message model keeps silent: it has {self._teaching:,} of the {MESSAGES_MIN:,} messages that it"
                f" needs, over at least {SPAN_MIN.days} days and older than"
                f" {QUARANTINE.total_seconds() / 60:.0f} minutes."
            )
        share = f"{FALSE_POSITIVE_RATE:.1%}"
        return f"The message model judges by {self._trained.size:,} messages; {share} of benign ones are false alarms."

    def take(self, page: Sequence[Verified], earlier: Sequence[Finding] = ()) -> list[Finding]:
        """Judge the messages of this page; `earlier` is what the rules found in it."""
        by_position: dict[int, list[Finding]] = {}
        for finding in earlier:
            by_position.setdefault(finding.position, []).append(finding)
        findings: list[Finding] = []
        for verified in page:
            for finding in by_position.get(verified.position, ()):
                self._suspect(finding, verified.recorded_at)
            if isinstance(verified.event, AlertClosed):
                self._hear(verified.event)
            message = from_verified(verified)
            if message is not None:
                findings += self._take(verified, message)
        return findings + self._judge()

    def _take(self, verified: Verified, message: Message) -> list[Finding]:
        findings: list[Finding] = []
        if self._messages == self._refit_at:
            findings = self._judge()
            self._refit(message.at)
            pause = min(self._messages // 10, HISTORY_MESSAGES_MAX)
            self._refit_at += max(REFIT_MESSAGES_MIN, pause)
        self._messages += 1
        row = self._measure.take(message)
        if self._messages > WARM_UP_MESSAGES:
            self._history.append(_Measured(message.author, message.at, row))
            self._waiting.append((verified, message, row))
        return findings

    def _refit(self, now: datetime) -> None:
        self._forget_suspicions()
        spans: dict[str, list[datetime]] = {}
        for suspect, at in self._suspicions.values():
            spans.setdefault(suspect, []).append(at)
        teaching = [
            measured
            for measured in self._history
            if now - measured.at >= QUARANTINE
            and all(abs(measured.at - at) > QUARANTINE for at in spans.get(measured.author, ()))
        ]
        self._teaching = len(teaching)
        if teaching and teaching[-1].at - teaching[0].at >= SPAN_MIN:
            self._trained = train([measured.row for measured in teaching]) or self._trained

    def _forget_suspicions(self) -> None:
        """What is older than the history by more than the quarantine concerns none of it."""
        oldest = self._history[0].at - QUARANTINE
        for known in (self._suspicions, self._outliers):
            for alert in [alert for alert, (_, at) in known.items() if at < oldest]:
                del known[alert]

    def _judge(self) -> list[Finding]:
        waiting, self._waiting = self._waiting, []
        trained = self._trained
        if trained is None or not waiting:
            return []
        distances = trained.distances([row for _, _, row in waiting])
        findings = []
        for measured, distance in zip(waiting, distances, strict=True):
            if distance <= trained.threshold:
                continue
            finding = self._brake.passes(_outlier(trained, distance, *measured), measured[0])
            if finding is not None:
                self._outliers[finding.alert] = (finding.suspect, measured[0].recorded_at)
                findings.append(finding)
        return findings

    def _suspect(self, finding: Finding, at: datetime) -> None:
        if RULES[finding.rule].severity != "low":
            self._suspicions[finding.alert] = (finding.suspect, at)

    def _hear(self, closed: AlertClosed) -> None:
        """What a person made of an alert: a false one teaches after all, a true one does not."""
        if closed.finding != "true_positive":
            self._suspicions.pop(closed.alert, None)
        elif closed.alert in self._outliers:
            self._suspicions[closed.alert] = self._outliers[closed.alert]


def _outlier(trained: Trained, distance: float, verified: Verified, message: Message, row: list[float]) -> Finding:
    names = trained.standing_out(row)
    words = " and ".join(dict.fromkeys(FEATURES[name] for name in names))
    sentence = (
        f"{said(message.author)}'s message about {said(message.topic)} to {said(message.receiver or 'nobody')} is"
        f" unlike the {trained.size:,} messages that the model knows. What stands out is {words}."
    )
    rarity = trained.rarity(distance)
    figures = {"distance": distance, "threshold": trained.threshold, "benign_share_max": rarity}
    figures |= {name: row[list(FEATURES).index(name)] for name in names}
    finding = found("outlier", verified, sentence, figures=figures)
    score = min(999, int(1000 * (1 - rarity)))
    return replace(finding, detector=MODEL_DETECTOR, version=trained.version, score=score)
