"""Attacks with what leaked already (T3): log in with a password that was said aloud, and read what was purged.

The payload that holds it was signed into the real ledger, by an author without the output filter. What answers are the parts
that answer everywhere: the secret watch, a real rotation at a real OpenBao, and a purge that two people approved.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tenuto.action import ActionRefused
from tenuto.adapters.keytreefile import KeyTreeFile
from tenuto.documents import Reason
from tenuto.errors import Busy, Refused
from tenuto.events import ApprovalRevoked, Event, MessageSent, RecordPurged, RecordRefused, SecretRotated
from tenuto.ledger import Recorded
from tenuto.purging import Asked, Purging
from tenuto.verification import Verified, open_stored
from tenuto.wiring import open_follower, open_purging, open_reader

from ..secrets import SecretScanner
from ..secrets.live import Live
from ..secrets.response import LeakResponse
from ..secrets.rotation import OpenBaoRotator
from ..secrets.watching import SecretWatch
from .forging import Chain
from .ground import RANGE_AGENT, RANGE_POLICY, Ground
from .reviews import approve
from .scenario import Scenario, Seen, Stop
from .vault_range import ROLE, ROTATE, VaultRange

FILE_BYTES_MAX = 64 * 1024 * 1024
REFUSAL_SECONDS = 30.0
KIND = "database-password"


@dataclass(frozen=True, slots=True)
class Spilled:
    """A secret in a payload of the ledger, and a keeper who may have it purged."""

    ground: Ground
    keeper: str
    secret: str
    at: Verified

    @contextmanager
    def purging(self) -> Iterator[Purging]:
        """The keeper's way to purge, under the range's own policy."""
        with open_purging(self.ground.settings, self.keeper, policies=(RANGE_POLICY,)) as purging:
            yield purging

    def payload(self) -> bytes:
        """What the ledger still gives of it."""
        found = open_follower(self.ground.settings).catch_up()
        return next((one.payload or b"" for one in found if one.position == self.at.position), b"")

    def stored(self) -> Recorded:
        """The row as it lies in the database, as a dump takes it with it."""
        reader = open_reader(self.ground.settings)
        try:
            return next(iter(reader.read(self.at.position, 1)))
        finally:
            reader.close()

    def opened(self, row: Recorded) -> bytes:
        """What the storage key of this moment makes of a row, b"" when it opens nothing."""
        try:
            return open_stored(row, self.at.event, KeyTreeFile(self.ground.settings.keys)) or b""
        except Refused:
            return b""


def stolen_password(ground: Ground) -> Seen:
    """Read a password in a message and log in with it, after the guard has looked."""
    with VaultRange(ground.folder / "vault") as vault:
        password = vault.password()
        spilled = _spilled(ground, password)
        if not vault.opens(password):
            return Seen(reached=False, sentence="The password did not open anything before it leaked either.")
        rotator = OpenBaoRotator(vault.bao.address, vault.bao.token(ROTATE).encode())
        _guard(spilled, rotator)
        opens, current = vault.opens(password), vault.opens(vault.password())
    rotated = ground.wait_for(lambda one: isinstance(one.event, SecretRotated) and one.event.author == spilled.keeper)
    if opens:
        return Seen(reached=True, sentence="The leaked password still opens the database.")
    if rotated is None or not current:
        return Seen(reached=False, sentence="The leaked password opens nothing, and neither does any other.")
    leaked = rotated.event.cause
    told = "OpenBao gave the role another password; a login with the leaked one is refused by Postgres, one with the new one is not."
    found = Stop("M10", "The watch over the ledger found it by its keyed fingerprint.", leaked)
    return Seen(reached=False, sentence="The login fails.", stops=(Stop("M11", told, (*leaked, rotated.event.id)), found))


def read_after_purge(ground: Ground) -> Seen:
    """Read a secret after its purge: through the ledger, from a row of an older dump, and in every file of this home."""
    spilled = _spilled(ground, secrets.token_hex(24))
    dump = spilled.stored()
    if spilled.secret.encode() not in spilled.opened(dump):
        return Seen(reached=False, sentence="The secret could not be read before the purge either.")
    with spilled.purging() as purging:
        asked = _asked(spilled, purging)
        approve(ground, asked.request, *ground.newcomers("reviewer", 2))
        purging.apply(asked.request.approval)
    purged = ground.wait_for(lambda one: isinstance(one.event, RecordPurged) and one.event.approval == asked.request.approval)
    places = [place for place, there in (
        ("the ledger", bool(spilled.payload())), ("a row of an older dump", bool(spilled.opened(dump))),
        *((str(file), True) for file in _files_with(ground.settings.home, spilled.secret.encode())),
    ) if there]  # fmt: skip
    if places or purged is None:
        return Seen(bool(places), f"It is still in {', '.join(places)}." if places else "No purge is on record.")
    told = "Its key is destroyed: neither the ledger nor a row of an older dump opens, and no file of this home holds it."
    stops = tuple(Stop(control, told, (purged.event.id,)) for control in ("M21", "R3"))
    return Seen(reached=False, sentence="The secret is nowhere, and the event verifies.", stops=stops)


def purge_unasked(ground: Ground) -> Seen:
    """Have evidence disappear without anybody's consent: apply a purge that nobody approved, and say that it is done."""
    spilled = _spilled(ground, secrets.token_hex(24))
    with spilled.purging() as purging:
        asked, said = _asked(spilled, purging), ""
        try:
            purging.apply(asked.request.approval)
        except (Busy, ActionRefused) as refusal:
            said = str(refusal)
        lie = _lie(spilled, asked)
        refused = ground.wait_for(lambda one: _names(one.event, lie), REFUSAL_SECONDS)
        _withdraw(purging, asked)
    if spilled.secret.encode() not in spilled.payload() or not said:
        return Seen(reached=True, sentence="The payload is gone, and nobody had agreed.")
    if refused is None:
        return Seen(reached=False, sentence=f"It is still there, but the lie was not refused on record. {said}")
    told = f"Ingest computes that nobody granted it and refuses to have it purged on record; the keeper was told: {said}"
    return Seen(reached=False, sentence="The payload is where it was.", stops=(Stop("M21", told, (refused.event.id,)),))


def _spilled(ground: Ground, secret: str) -> Spilled:
    (keeper,) = ground.newcomers("keeper")
    sent = ground.recorder(RANGE_AGENT).record(
        MessageSent, document=Reason(text=f"log in with {secret} please"), run=f"range-{ground.new_id()}", to="nobody-here", topic="range.greeting"
    )
    return Spilled(ground, keeper, secret, ground.wait_on_record(sent))


def _guard(spilled: Spilled, rotator: OpenBaoRotator) -> None:
    """What `tenuto secret guard` does with an event, in the name of the range's keeper."""
    key = secrets.token_bytes(32)
    fingerprint = hmac.digest(key, spilled.secret.encode(), hashlib.sha256).hex()
    knowing = SecretScanner(key, {fingerprint: KIND})
    with spilled.purging() as purging:
        asked = list[Asked]()

        def ask(_: int) -> str:
            asked.append(_asked(spilled, purging))
            return asked[0].request.approval

        live = {fingerprint: Live(KIND, ROLE)}
        response = LeakResponse(purging.recorder, live, rotator=rotator, ask_purge=ask, new_id=spilled.ground.new_id)
        watch = SecretWatch(knowing, response, spilled.keeper)
        for verified in open_follower(spilled.ground.settings).catch_up():
            if verified.position == spilled.at.position:
                watch.look_at_event(verified)
        for one in asked:
            _withdraw(purging, one)
        purging.recorder.flush(REFUSAL_SECONDS)


def _asked(spilled: Spilled, purging: Purging) -> Asked:
    asked = purging.request([str(spilled.at.position)], "secret", "Red team.", "range-initiator")
    spilled.ground.wait_on_record(asked.request)
    return asked


def _withdraw(purging: Purging, asked: Asked) -> None:
    purging.recorder.record(
        ApprovalRevoked, run=asked.request.run, cause=(asked.request.id,), approval=asked.request.approval, reason="superseded"
    )


def _lie(spilled: Spilled, asked: Asked) -> bytes:
    chain = Chain(spilled.ground, spilled.ground.signer(spilled.keeper))
    chain.publish(chain.opened())
    event = chain.event(
        RecordPurged, run=asked.request.run, cause=(asked.request.id,), approval=asked.request.approval,
        positions=asked.positions, header_hashes=asked.hashes, reason="secret",
    )  # fmt: skip
    record = chain.signed(event)
    chain.publish(record)
    return record


def _names(event: Event, record: bytes) -> bool:
    return isinstance(event, RecordRefused) and event.record_sha256 == hashlib.sha256(record).hexdigest()


def _files_with(home: Path, secret: bytes) -> Iterator[Path]:
    """Every file under `home` that holds these bytes; what vanishes meanwhile holds nothing."""
    for file in sorted(home.rglob("*")):
        try:
            if file.is_file() and not file.is_symlink() and file.stat().st_size <= FILE_BYTES_MAX and secret in file.read_bytes():
                yield file.relative_to(home)
        except OSError:
            continue


def _scenario(name: str, goal: str, refs: tuple[str, ...], attack: Callable[[Ground], Seen]) -> Scenario:
    return Scenario(name, goal, ("T3", *refs), attack)


SCENARIOS = (
    _scenario("stolen-password", "A login with a password that stands in a message.", ("M10", "M11", "R3"), stolen_password),
    _scenario("read-after-purge", "A secret that was purged, from the ledger, a dump or a file.", ("M21", "R3"), read_after_purge),
    _scenario("purge-unasked", "Evidence purged without anybody's consent.", ("M21", "R5"), purge_unasked),
)
