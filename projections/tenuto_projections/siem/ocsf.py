"""One event as one OCSF 1.8.0 event; `ocsf_subjects` says which class and why, here is what all classes share.

| attribute | comes from |
| --- | --- |
| `time` | the ledger's clock, milliseconds; an author's own clock could hide an event from a search by time |
| `metadata.original_time` | the author's claim, as signed |
| `metadata.uid`, `event_code` | id and kind of the event |
| `metadata.log_name`, `sequence` | origin of the log and position in it, by which doubles and gaps are seen |
| `metadata.correlation_uid` | the run |
| `metadata.tags` | threats, mitigations, risks and rules that the event is evidence for (`T4`, `M12`) |
| `metadata.labels` | `insecure_demo_key` where the author's key is one |
| `actor` | author, its session and key; `src_endpoint` is the same author, since no network address is on record |
| `raw_data`, `raw_data_hash` | the signed header, verbatim, and its SHA-256 |
| `unmapped.tenuto` | the proof (position, leaf, checkpoint size, signature) and all that OCSF has no place for |
"""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

from tenuto.clock import micros
from tenuto.events import Event
from tenuto.keyring import Key
from tenuto.verification import Verified

from ..replay.records import stamp
from ..stages import sentence
from .jsonl import Mark, NotALine, mark_of, parsed, payload_record
from .ocsf_classes import ACTIONS, DISPOSITIONS, OCSF_VERSION, OTHER, Mapped
from .ocsf_subjects import mapped

PRODUCT = {"name": "Tenuto", "vendor_name": "Tenuto", "uid": "tenuto"}
INSECURE_DEMO_KEY = "insecure_demo_key"
SHA_256 = {"algorithm": "SHA-256", "algorithm_id": 3}
_REFS = {"T": "threat", "M": "mitigation", "R": "risk", "C": "control"}
_USER_TYPES = {"reviewer": (1, "User"), "root": (2, "Admin")}
_SERVICE_USER = (4, "Service")


def record(verified: Verified, checkpoint_size: int, *, payload: bool, version: str) -> dict[str, Any]:
    """Return the OCSF event; `version` is this software's. Validates against OCSF 1.8.0 with its own profiles."""
    event, what = verified.event, mapped(verified.event)
    source = {"name": event.author, "instance_uid": str(event.session)}
    return {
        **_classification(what),
        "time": micros(verified.recorded_at) // 1000,
        "message": sentence(event),
        "metadata": _metadata(verified, what, version),
        "actor": _actor(event, verified.key, what),
        **({"src_endpoint": source} if what.ocsf.has_source else {}),
        **{name: value for name, value in what.attributes.items() if name != "authorizations"},
        "raw_data": verified.header.decode("utf-8"),
        "raw_data_hash": {**SHA_256, "value": verified.header_hash},
        "unmapped": {"tenuto": _unmapped(verified, checkpoint_size, payload=payload)},
    }


def mark(line: bytes) -> Mark:
    """Return the mark of a written line; raises NotALine."""
    found = parsed(line)
    metadata, unmapped = found.get("metadata"), found.get("unmapped")
    proof = unmapped.get("tenuto") if isinstance(unmapped, dict) else None
    if not isinstance(metadata, dict) or not isinstance(proof, dict):
        raise NotALine("it is not a line of this export")
    return mark_of(metadata.get("log_name"), metadata.get("sequence"), proof.get("leaf"))


def _classification(what: Mapped) -> dict[str, Any]:
    of, activity_id = what.ocsf, what.activity_id
    status_id = of.statuses[what.status]
    said: dict[str, Any] = {
        "category_uid": of.category_uid, "category_name": of.category_name,
        "class_uid": of.uid, "class_name": of.name,
        "activity_id": activity_id, "activity_name": what.activity,
        "type_uid": of.uid * 100 + activity_id,
        "type_name": f"{of.name}: {'Other' if activity_id == OTHER else what.activity}",
        "severity_id": what.severity_id, "severity": what.severity,
        "status_id": status_id, "status": what.status,
    }  # fmt: skip
    if what.control is not None:
        action, disposition = what.control
        said |= {"action_id": ACTIONS[action], "action": action}
        said |= {"disposition_id": DISPOSITIONS[disposition], "disposition": disposition}
    return said


def _metadata(verified: Verified, what: Mapped, version: str) -> dict[str, Any]:
    event = verified.event
    said: dict[str, Any] = {
        "version": OCSF_VERSION,
        "product": {**PRODUCT, "version": version},
        "profiles": profiles(what),
        "uid": str(event.id), "event_code": event.kind,
        "log_name": event.log_origin, "log_provider": "tenuto", "log_version": str(event.v),
        "sequence": verified.position,
        "logged_time": micros(verified.recorded_at) // 1000,
        "original_time": stamp(event.at),
    }  # fmt: skip
    if event.run is not None:
        said["correlation_uid"] = event.run
    if event.refs:
        said["tags"] = [{"name": _REFS[ref[0]], "value": ref} for ref in event.refs]
    if verified.key.insecure_demo:
        said["labels"] = [INSECURE_DEMO_KEY]
    return said


def profiles(what: Mapped) -> list[str]:
    """Return the OCSF profiles whose attributes the event uses."""
    control = ("security_control",) if what.control is not None else ()
    return [*what.ocsf.profiles, *control, *what.profiles]


def _actor(event: Event, key: Key, what: Mapped) -> dict[str, Any]:
    type_id, type_name = _USER_TYPES.get(key.role, _SERVICE_USER)
    user = {
        "name": event.author, "uid": event.author, "type_id": type_id, "type": type_name,
        "credential_uid": event.key_id, "groups": [{"name": key.role, "type": "role"}],
    }  # fmt: skip
    actor: dict[str, Any] = {"user": user, "session": {"uid": str(event.session), "issuer": event.log_origin}}
    if "authorizations" in what.attributes:
        actor["authorizations"] = what.attributes["authorizations"]
    return actor


def _unmapped(verified: Verified, checkpoint_size: int, *, payload: bool) -> dict[str, Any]:
    header = json.loads(verified.header)
    kept = {name: value for name, value in header.items() if name not in _ELSEWHERE}
    return {
        "position": verified.position, "leaf": verified.leaf.hex(), "checkpoint_size": checkpoint_size,
        "recorded_at": stamp(verified.recorded_at), "signature": b64encode(verified.signature).decode(),
        "role": verified.key.role, "owner": verified.key.owner, "insecure_demo": verified.key.insecure_demo,
        "payload": payload_record(verified, payload=payload), "header": kept,
    }  # fmt: skip


_ELSEWHERE = frozenset({"v", "log_origin", "author", "key_id", "session", "at", "id", "kind", "run", "refs"})
"""Header fields that have a place in OCSF already."""
