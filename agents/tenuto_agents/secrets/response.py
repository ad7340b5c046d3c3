"""What happens when a secret leaked: it goes on record, somebody is told, it is rotated, and its purge is asked for.

Each step stands for itself. A rotation that fails is the worst news, so it is an alert of its own; the leak stays on record
without `secret.rotated`, and whoever reads the log sees that the value still opens what it opened (M11, M21).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, Protocol
from uuid import UUID

from tenuto.clock import NewId, new_uuid7
from tenuto.documents import AlertNote, Document
from tenuto.errors import TenutoError
from tenuto.events import AlertRaised, Event, SecretLeaked, SecretPurged, SecretRotated
from tenuto.events.alert import Severity
from tenuto.recorder import Recorder

from ..text import as_name
from .live import Live
from .outgoing import Leak, OutputFilter
from .rotation import RotationFailed, Rotator
from .scanning import SecretScanner

DETECTOR, VERSION = "secrets", "1"
log = logging.getLogger(__name__)


class Door(Protocol):
    """The author's way into the ledger; a `Recorder`."""

    author: str

    def record(self, kind: type[Any], *, document: Document | None = None, **fields: Any) -> Any:
        """Put one event on record."""
        ...


def filter_of(recorder: Recorder, scanner: SecretScanner, new_id: NewId = new_uuid7) -> OutputFilter:
    """Put the output filter before everything that `recorder` records from now on, and return it (M8)."""
    outgoing = OutputFilter(scanner, lambda leak: _told(record_leak(recorder, leak, new_id, refs=("T3", "M8"))))
    recorder.screen_payloads(outgoing.screen)
    return outgoing


def _told(leaked: SecretLeaked) -> None:
    log.warning("A secret (%s, %s) was kept from leaving in %s.", leaked.secret_type, leaked.fingerprint[:8], leaked.place)


def record_leak(door: Door, leak: Leak, new_id: NewId, *, refs: tuple[str, ...]) -> SecretLeaked:
    """Put a leak and its alert on record; the event holds the fingerprint, never the secret."""
    leaked: SecretLeaked = door.record(
        SecretLeaked, run=leak.run, refs=refs, secret_type=as_name(leak.kind), fingerprint=leak.fingerprint, place=leak.place
    )
    sentence = f"A secret ({leak.kind}, fingerprint {leak.fingerprint[:8]}) was found in {leak.place}."
    _alert(door, leaked, "secret.leaked", sentence, new_id, severity="high")
    return leaked


class LeakResponse:
    """Answers leaks in the name of one author."""

    def __init__(
        self, door: Door, live: Mapping[str, Live], *, rotator: Rotator | None, ask_purge: Callable[[int], str], new_id: NewId
    ) -> None:
        """`live` says what can be rotated; `ask_purge` asks people to clear the purge of a position and names the request."""
        self._door, self._live, self._rotator = door, live, rotator
        self._ask_purge, self._new_id = ask_purge, new_id

    def leaked(self, leak: Leak, *, position: int | None = None) -> None:
        """Record, alert, rotate, and ask for the purge of the payload at `position` if the secret lies in one."""
        event = record_leak(self._door, leak, self._new_id, refs=("T3", "M10"))
        self._rotate(event)
        if position is not None:
            try:
                log.warning("The purge of position %s is asked for: %s.", position, self._ask_purge(position))
            except TenutoError as error:
                self._alarm(event, "secret.purge_not_asked", f"The purge of position {position} could not be asked for: {error}")

    def purged(self, fingerprint: str, target: UUID, purge: Event) -> None:
        """Record that the payload which held the secret is unreadable now."""
        self._door.record(SecretPurged, run=purge.run, cause=(purge.id,), refs=("T3", "M21"), fingerprint=fingerprint, target=target)

    def _rotate(self, leaked: SecretLeaked) -> None:
        live = self._live.get(leaked.fingerprint)
        if live is None or not live.role or self._rotator is None:
            self._alarm(leaked, "secret.not_rotatable", "No rotator knows this secret; somebody has to replace it by hand.")
            return
        try:
            self._rotator.rotate(live.role)
        except RotationFailed as failure:
            self._alarm(leaked, "secret.rotation_failed", f"The leaked secret was not rotated and still works. {failure}")
            return
        self._door.record(
            SecretRotated, run=leaked.run, cause=(leaked.id,), refs=("T3", "M11", "M21"), secret_type=leaked.secret_type,
            fingerprint=leaked.fingerprint,
        )  # fmt: skip

    def _alarm(self, leaked: SecretLeaked, rule: str, sentence: str) -> None:
        _alert(self._door, leaked, rule, sentence, self._new_id, severity="critical")


def _alert(door: Door, leaked: SecretLeaked, rule: str, sentence: str, new_id: NewId, *, severity: Severity) -> None:
    door.record(
        AlertRaised, document=AlertNote(sentence=sentence), run=leaked.run, cause=(leaked.id,), refs=leaked.refs,
        alert=f"secret-{new_id()}", detector=DETECTOR, version=VERSION, rule=rule, severity=severity, score=1000,
        suspect=leaked.run or door.author, evidence=(leaked.id,),
    )  # fmt: skip
