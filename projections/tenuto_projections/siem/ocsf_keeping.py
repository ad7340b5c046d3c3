"""What is kept and what goes, in OCSF: legal holds, retention, the ledger's epoch keys, and infrastructure state.

A hold is a rule that changes, as policies are; it is named by its name. An epoch is a key that comes and goes.
The store of infrastructure state is a datastore with readers and writers; breaking a lock has no word there and keeps ours.
"""

from __future__ import annotations

from typing import Any

from tenuto.events import (
    Event,
    HoldLifted,
    HoldPlaced,
    KeyEpochDestroyed,
    KeyEpochOpened,
    KeyStorageRenewed,
    RetentionApplied,
    SessionEpochFollowed,
    StateAccessed,
    StateAttested,
    StateRefused,
    StateWritten,
)

from .ocsf_classes import DATASTORE_ACTIVITY, ENTITY_MANAGEMENT, Mapped, NotMapped


def hold_mapped(event: Event) -> Mapped:
    """Return a legal hold as Entity Management: created when it is placed, deleted when it is lifted."""
    match event:
        case HoldPlaced(hold=name, run=run, first=first, last=last):
            covers = {"run": run, "first": first, "last": last}
            data = {what: value for what, value in covers.items() if value is not None}
            return Mapped(ENTITY_MANAGEMENT, "Create", {"entity": _hold(name) | ({"data": data} if data else {})}, "Medium")
        case HoldLifted(hold=name):
            return Mapped(ENTITY_MANAGEMENT, "Delete", {"entity": _hold(name)}, "Medium")
    raise NotMapped(event.kind)


def epoch_mapped(event: Event) -> Mapped:
    """Return an epoch key as Entity Management: created when it is opened, deleted when it is destroyed.

    A session that follows to an epoch reads its key. A storage key that is renewed is updated: what lies under it stays readable.
    """
    match event:
        case KeyEpochOpened(epoch=epoch, public_key=public_key):
            return Mapped(ENTITY_MANAGEMENT, "Create", {"entity": _epoch(epoch) | {"data": {"public_key": public_key}}}, "Low")
        case KeyEpochDestroyed(epoch=epoch):
            return Mapped(ENTITY_MANAGEMENT, "Delete", {"entity": _epoch(epoch)}, "Medium")
        case SessionEpochFollowed(epoch=epoch):
            return Mapped(ENTITY_MANAGEMENT, "Read", {"entity": _epoch(epoch)}, "Informational")
        case KeyStorageRenewed(renewal=renewal, kept=kept, gone=gone):
            data = {"renewal": renewal, "kept": kept, "gone": gone}
            storage = {"uid": "storage", "name": "storage", "type": "Storage key", "type_id": 99, "data": data}
            return Mapped(ENTITY_MANAGEMENT, "Update", {"entity": storage}, "Medium")
    raise NotMapped(event.kind)


def _epoch(epoch: int) -> dict[str, Any]:
    return {"uid": f"epoch-{epoch}", "name": f"epoch-{epoch}", "type": "Epoch key", "type_id": 99}


def retention_mapped(event: Event) -> Mapped:
    """Return what left the database as Datastore Activity, with the positions that an archive holds now."""
    match event:
        case RetentionApplied(log_origin=origin, first=first, last=last):
            database = {"name": origin, "type": "append-only log", "type_id": 99}
            gone = {"uid": f"{first}-{last}", "name": f"positions {first} to {last}"}
            attributes = {"database": database, "table": gone, "type": "Database", "type_id": 1}
            return Mapped(DATASTORE_ACTIVITY, "Delete", attributes, "Low")
    raise NotMapped(event.kind)


def state_mapped(event: Event) -> Mapped:
    """Return what became of infrastructure state as Datastore Activity: read, written, refused, vouched for."""
    match event:
        case StateAccessed(state=name, operation="read"):
            return Mapped(DATASTORE_ACTIVITY, "Read", _state(name, event.principal, event.digest), "Low")
        case StateAccessed(state=name, operation=operation):
            severity = "High" if operation == "break" else "Low"
            return Mapped(DATASTORE_ACTIVITY, operation.capitalize(), _state(name, event.principal, None), severity)
        case StateWritten(state=name, principal=principal, digest=digest):
            return Mapped(DATASTORE_ACTIVITY, "Write", _state(name, principal, digest), "Medium")
        case StateRefused(state=name, operation=operation, reason=reason):
            about = _state(name, event.principal or "nobody", None) | {"status_detail": reason}
            return Mapped(DATASTORE_ACTIVITY, operation.capitalize(), about, "High", status="Failure")
        case StateAttested(state=name, digest=digest):
            return Mapped(DATASTORE_ACTIVITY, "Attest", _state(name, event.author, digest), "Low")
    raise NotMapped(event.kind)


def _state(name: str, principal: str, digest: str | None) -> dict[str, Any]:
    database = {"name": name, "type": "infrastructure state", "type_id": 99}
    version = {"uid": digest, "name": name} if digest else {"name": name}
    return {"database": database, "table": version | {"desc": f"by {principal}"}, "type": "Database", "type_id": 1}


def _hold(name: str) -> dict[str, Any]:
    return {"uid": name, "name": name, "type": "Legal hold", "type_id": 99}
