"""Which OCSF class each kind of event becomes, and why; one function per subject.

| subject | class | reason |
| --- | --- | --- |
| session, run, deployment, exercise | Application Lifecycle 6002 | a process, workflow, artifact or attack starts, stops, is replaced |
| key, reviewer, passkey, hold, `policy.changed` | Entity Management 3004 | who may act, and by which rules, changes: one class for all |
| tool, `policy.decided`, approval, spotcheck | API Activity 6003 + security_control | one story, one class: see below |
| decision | API Activity 6003 + ai_operation | a model was called and answered; its name has a place there |
| state | Datastore Activity 6005 | a store of data, and who reads, writes or is refused: see `ocsf_keeping` |
| message | API Activity 6003 | one author hands something to another through the ledger |
| alert, drift, record, an exercise that no control stopped | Detection Finding 2004 | somebody must look; one finding keeps one `finding_info.uid` |
| secret | Data Security Finding 2006 | the same, for data that is where it must not be |
| `record.purged`, retention | Datastore Activity 6005 | payloads, or rows that are in an archive, were deleted on purpose |

The call, what held it, who cleared it and what became of it are told apart by disposition and joined by the name of the
call or approval in `api.request.uid`. Authorize Session and User Access Management were not taken for approvals: they
speak of standing privileges, and an approval here is good for one call. A tool call's activity is its stage, under our
own name, never create, read or delete: the tool's name is its author's choice, and a deletion must not pass as a read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tenuto.events import (
    AlertAcknowledged,
    AlertClosed,
    AlertRaised,
    ApprovalAssigned,
    ApprovalConsumed,
    ApprovalDenied,
    ApprovalExpired,
    ApprovalGranted,
    ApprovalListed,
    ApprovalOpened,
    ApprovalRequested,
    ApprovalRevoked,
    ApprovalSigned,
    ApprovalViewed,
    DecisionMade,
    DeploymentHealthy,
    DeploymentQuarantined,
    DeploymentRolledBack,
    DeploymentStarted,
    DeploymentUnhealthy,
    DriftDetected,
    DriftReverted,
    Event,
    KeyRegistered,
    KeyRevoked,
    KeyRotated,
    MessageDelivered,
    MessageRefused,
    MessageSent,
    PolicyChanged,
    PolicyDecided,
    RecordEquivocation,
    RecordGap,
    RecordLost,
    RecordPurged,
    RecordRefused,
    RecordSpooled,
    RecordUnaccounted,
    RunFinished,
    RunStarted,
    SecretLeaked,
    SecretPurged,
    SecretRotated,
    SessionClosed,
    SessionOpened,
    SpotcheckDrawn,
    SpotcheckSigned,
    ToolFailed,
    ToolFinished,
    ToolReconciled,
    ToolRequested,
    ToolStarted,
    ToolUnknown,
)

from .ocsf_classes import (
    API_ACTIVITY,
    APPLICATION_LIFECYCLE,
    DATA_SECURITY_FINDING,
    DATASTORE_ACTIVITY,
    DETECTION_FINDING,
    ENTITY_MANAGEMENT,
    VERDICTS,
    Mapped,
    NotMapped,
)
from .ocsf_exercises import exercise_mapped
from .ocsf_keeping import epoch_mapped, hold_mapped, retention_mapped, state_mapped
from .ocsf_people import passkey_mapped, reviewer_mapped

SERVICE = "tenuto"
WAITS, SEEN, PASSED = ("Observed", "Delayed"), ("Observed", "Logged"), ("Allowed", "Allowed")
UNDER_ATTACK = frozenset({"wrong_origin", "unknown_key", "revoked_key", "signature", "entitlement", "replayed"})
"""Reasons for a refusal that no honest author produces by accident."""


def mapped(event: Event) -> Mapped:
    """Return what this event is in OCSF; raises NotMapped, which stops the process, for a kind without a mapping."""
    return SUBJECTS[event.kind.partition(".")[0]](event)


def _session(event: Event) -> Mapped:
    match event:
        case SessionOpened(author=author, software=software):
            name, _, version = software.partition("/")
            return _life("Start", uid=author, name=name, version=version)
        case SessionClosed(author=author, outcome=outcome):
            severity, status = ("Informational", "Success") if outcome == "completed" else ("Low", "Failure")
            return _life("Stop", uid=author, name=author, severity=severity, status=status)
    return epoch_mapped(event)


def _run(event: Event) -> Mapped:
    match event:
        case RunStarted(run=run, workflow=workflow, head=head):
            return _life("Start", uid=run or workflow, name=workflow, version=head or "")
        case RunFinished(author=author, run=run, outcome=outcome):
            status = "Success" if outcome == "succeeded" else "Failure"
            severity = {"succeeded": "Informational", "refused": "Medium", "failed": "Low"}[outcome]
            return _life("Stop", uid=run or author, name=run or author, severity=severity, status=status)
    raise NotMapped(event.kind)


def _deployment(event: Event) -> Mapped:
    match event:
        case DeploymentStarted(deployment=uid, environment=environment, artifact=artifact):
            return _life("Install", uid=uid, name=environment, version=artifact)
        case DeploymentHealthy(deployment=uid):
            return _life("Start", uid=uid, name=uid)
        case DeploymentUnhealthy(deployment=uid):
            return _life("Unhealthy", uid=uid, name=uid, severity="Medium", status="Failure")
        case DeploymentRolledBack(deployment=uid, artifact=artifact):
            return _life("Update", uid=uid, name=uid, version=artifact, severity="Medium")
        case DeploymentQuarantined(deployment=uid):
            cut_off = ("Denied", "Quarantined")
            return _life("Disable", uid=uid, name=uid, severity="High", control=cut_off)
    raise NotMapped(event.kind)


def _key(event: Event) -> Mapped:
    match event:
        case KeyRegistered(subject=subject, subject_key_id=key, role=role, owner=owner, insecure_demo=insecure):
            data = {"role": role, "owner": owner, "public_key": event.public_key, "insecure_demo": insecure}
            return _entity("Enroll", severity="Medium" if insecure else "Low", entity=_key_of(subject, key, data))
        case KeyRotated(subject=subject, old_key_id=old, subject_key_id=new, public_key=public_key):
            after = _key_of(subject, new, {"public_key": public_key})
            return _entity("Update", severity="Low", entity=_key_of(subject, old, {}), entity_result=after)
        case KeyRevoked(subject=subject, subject_key_id=key, reason=reason):
            severity = "High" if reason == "compromised" else "Medium"
            return _entity("Unenroll", severity=severity, entity=_key_of(subject, key, {"reason": reason}))
    return epoch_mapped(event)


def _policy(event: Event) -> Mapped:
    match event:
        case PolicyDecided(call=call, effect=effect, rules=rules, bundle=bundle, engine=engine, obligation=obligation):
            control = PASSED if obligation == "none" else WAITS
            denied = effect == "deny"
            policy = {"uid": bundle, "name": engine, "type": "bundle", "data": {"rules": list(rules)}}
            return _call(
                "Decide", event.kind, call, severity="Medium" if denied else "Informational",
                control=("Denied", "Blocked") if denied else control, policy=policy,
                authorizations=[{"decision": effect, "policy": policy}],
            )  # fmt: skip
        case PolicyChanged(old_bundle=old, bundle=new):
            before = {"type_id": 5, "type": "Policy", "name": "policy", "policy": {"uid": old or new}}
            after = {**before, "policy": {"uid": new}}
            return _entity("Update", severity="Medium", entity=before, entity_result=after)
    raise NotMapped(event.kind)


def _tool(event: Event) -> Mapped:
    match event:
        case ToolRequested(call=call, tool=tool, resource=resource):
            return _call("Request", tool, call, resource=resource, status="Unknown", control=WAITS)
        case ToolStarted(call=call, tool=tool, resource=resource):
            return _call("Start", tool, call, resource=resource, status="Unknown", control=PASSED)
        case ToolFinished(call=call, tool=tool, milliseconds=milliseconds):
            return _call("Finish", tool, call, control=PASSED, duration=milliseconds)
        case ToolFailed(call=call, tool=tool, why=why):
            stopped = {"refused": ("Denied", "Blocked"), "not_approved": ("Denied", "Unauthorized")}
            control = stopped.get(why, ("Allowed", "Error"))
            severity = "Medium" if why in stopped else "Low"
            return _call("Fail", tool, call, severity=severity, status="Failure", control=control, error=why)
        case ToolUnknown(call=call, tool=tool):
            return _call("Lose", tool, call, severity="High", status="Unknown", control=("Allowed", "Error"))
        case ToolReconciled(agent=agent, call=call, tool=tool, outcome=outcome):
            status = "Failure" if outcome == "not_done" else "Success"
            return _call("Reconcile", tool, call, resource=agent, severity="Medium", status=status, control=SEEN)
    raise NotMapped(event.kind)


def _approval(event: Event) -> Mapped:
    match event:
        case ApprovalListed(approval=name, digest=digest):
            return _call("Create", event.kind, name, resource=name, resource_uid=digest, control=SEEN)
        case ApprovalRequested(approval=name, tool=tool, resource=resource):
            return _call("Create", tool, name, resource=resource, status="Unknown", control=WAITS)
        case ApprovalAssigned(approval=name, reviewer=reviewer):
            return _call("Update", event.kind, name, resource=reviewer, status="Unknown", control=WAITS)
        case ApprovalOpened(approval=name):
            return _call("Read", event.kind, name, control=SEEN)
        case ApprovalViewed(approval=name, milliseconds=milliseconds):
            return _call("Read", event.kind, name, control=SEEN, duration=milliseconds)
        case ApprovalSigned(approval=name, decision=decision):
            said = {"approve": "Approved", "deny": "Rejected", "withdraw": "Access Revoked"}[decision]
            return _call("Update", event.kind, name, control=("Observed", said))
        case ApprovalGranted(approval=name):
            return _call("Update", event.kind, name, control=("Allowed", "Approved"))
        case ApprovalDenied(approval=name):
            return _call("Update", event.kind, name, severity="Low", status="Failure", control=("Denied", "Rejected"))
        case ApprovalExpired(approval=name):
            control = ("Denied", "Unauthorized")
            return _call("Update", event.kind, name, severity="Low", status="Failure", control=control)
        case ApprovalConsumed(approval=name):
            return _call("Delete", event.kind, name, control=PASSED)
        case ApprovalRevoked(approval=name):
            control = ("Denied", "Access Revoked")
            return _call("Delete", event.kind, name, severity="Low", control=control)
    raise NotMapped(event.kind)


def _spotcheck(event: Event) -> Mapped:
    match event:
        case SpotcheckDrawn(approval=name):
            return _call("Create", event.kind, name, control=SEEN)
        case SpotcheckSigned(approval=name, finding="agree"):
            return _call("Update", event.kind, name, control=("Observed", "Approved"))
        case SpotcheckSigned(approval=name):
            control = ("Observed", "Rejected")
            return _call("Update", event.kind, name, severity="High", status="Failure", control=control)
    raise NotMapped(event.kind)


def _decision(event: Event) -> Mapped:
    match event:
        case DecisionMade(subject=subject, subject_digest=digest, verdict=verdict, model=model, diverges=diverges):
            provider, _, name = model.rpartition(":")
            return _call(
                "Decide", event.kind, str(event.id), resource=subject, resource_uid=digest, ocsf_profile="ai_operation",
                severity="Medium" if diverges else "Informational", status_detail=verdict,
                ai_model={"name": name, "uid": model, "ai_provider": provider or "unknown"},
            )  # fmt: skip
    raise NotMapped(event.kind)


def _message(event: Event) -> Mapped:
    match event:
        case MessageSent(to=to):
            return _call("Create", event.kind, str(event.id), resource=to)
        case MessageDelivered(position=position):
            return _call("Read", event.kind, str(event.id), resource=f"position {position}")
        case MessageRefused(position=position, reason=reason):
            return _call(
                "Read", event.kind, str(event.id), resource=f"position {position}", severity="High", status="Failure",
                control=("Denied", "Blocked"), error=reason,
            )  # fmt: skip
    raise NotMapped(event.kind)


def _alert(event: Event) -> Mapped:
    match event:
        case AlertRaised(alert=name, detector=detector, version=version, rule=rule, score=score, suspect=suspect):
            analytic = {"uid": rule, "name": detector, "version": version, "type": "Other", "type_id": 99}
            ids = [str(evidence) for evidence in event.evidence]
            related = [{"uid": uid} for uid in ids]
            return _finding(
                "Create", name, rule, severity=event.severity.capitalize(), is_alert=True, confidence_score=score // 10,
                info={"analytic": analytic, "related_events": related, "related_events_count": len(ids)},
                evidences=[{"actor": {"user": {"name": suspect}}, "data": {"events": ids}}],
            )  # fmt: skip
        case AlertAcknowledged(alert=name):
            return _finding("Update", name, name, status="In Progress")
        case AlertClosed(alert=name, finding=finding):
            verdict = {
                "true_positive": "True Positive", "false_positive": "False Positive", "accepted_risk": "Security Risk"
            }[finding]  # fmt: skip
            return _finding(
                "Close", name, name, status="Resolved", more_profiles=("incident",), verdict=verdict,
                verdict_id=VERDICTS[verdict],
            )  # fmt: skip
    raise NotMapped(event.kind)


def _drift(event: Event) -> Mapped:
    match event:
        case DriftDetected(stack=stack, baseline=baseline, resources=count):
            evidence = [{"data": {"stack": stack, "baseline": baseline, "resources": count}}]
            title = f"{stack} differs from its approved baseline"
            return _finding("Create", f"{stack}:{baseline}", title, severity="High", is_alert=True, evidences=evidence)
        case DriftReverted(stack=stack, baseline=baseline):
            return _finding("Close", f"{stack}:{baseline}", f"{stack} is as its baseline", status="Resolved")
    raise NotMapped(event.kind)


def _secret(event: Event) -> Mapped:
    match event:
        case SecretLeaked(fingerprint=uid, secret_type=secret, place=place):
            found = [{"name": place, "type": secret, "role_id": 3, "role": "Affected"}]
            return _leak("Create", uid, severity="High", resources=found)
        case SecretRotated(fingerprint=uid):
            return _leak("Update", uid, status="In Progress")
        case SecretPurged(fingerprint=uid):
            return _leak("Close", uid, status="Resolved")
    raise NotMapped(event.kind)


def _record(event: Event) -> Mapped:
    match event:
        case RecordRefused(record_sha256=uid, reason=reason, topic=topic, partition=partition, offset=offset):
            data = {"topic": topic, "partition": partition, "offset": offset, "claimed_author": event.claimed_author}
            severity = "High" if reason in UNDER_ATTACK else "Medium"
            return _suspicion(uid, f"A record was refused: {reason}", severity, data)
        case RecordEquivocation(gap_session=session, at_seq=seq, claimed_author=author):
            data = {"claimed_author": author, "headers": [event.recorded_header, event.other_header]}
            return _suspicion(f"{session}:{seq}", "One author signed two histories", "Critical", data)
        case RecordGap(gap_session=session, first_seq=first, last_seq=last):
            data = {"first_seq": first, "last_seq": last}
            return _suspicion(f"{session}:{first}", "Events of a session never arrived", "Medium", data)
        case RecordLost(lost_session=session, first_seq=first, last_seq=last):
            data = {"first_seq": first, "last_seq": last}
            return _suspicion(f"{session}:{first}", "An author lost events of its own", "High", data)
        case RecordUnaccounted(lost_session=session, last_seq=last):
            data = {"last_seq": last}
            return _suspicion(f"{session}:{last}", "An author's spool is gone and a session has no end", "High", data)
        case RecordSpooled(id=uid, why=why, events=events, bytes_max=size, periods=periods):
            data = {"why": why, "events": events, "bytes_max": size, "periods": periods}
            data |= {"since": event.since.isoformat(), "until": event.until.isoformat()}
            return _suspicion(str(uid), "An author had to keep events back", "Low", data)
        case RecordPurged(log_origin=origin):
            attributes = {
                "database": {"name": origin, "type": "append-only log", "type_id": 99}, "type": "Database", "type_id": 1
            }  # fmt: skip
            return Mapped(DATASTORE_ACTIVITY, "Delete", attributes, "Medium")
    raise NotMapped(event.kind)


SUBJECTS: Mapping[str, Callable[[Event], Mapped]] = {
    "session": _session, "key": _key, "run": _run, "decision": _decision, "message": _message, "tool": _tool,
    "policy": _policy, "approval": _approval, "reviewer": reviewer_mapped, "passkey": passkey_mapped,
    "spotcheck": _spotcheck, "alert": _alert, "secret": _secret,
    "deployment": _deployment, "drift": _drift, "record": _record, "hold": hold_mapped,
    "retention": retention_mapped, "exercise": exercise_mapped, "state": state_mapped,
}  # fmt: skip


def _life(activity: str, *, uid: str, name: str, version: str = "", **more: Any) -> Mapped:
    """The life of something that runs, known as `uid`; `more` is severity, status, control."""
    app = {"uid": uid, "name": name} | ({"version": version} if version else {})
    return Mapped(APPLICATION_LIFECYCLE, activity, {"app": app}, **more)


def _entity(activity: str, *, severity: str, **attributes: Any) -> Mapped:
    return Mapped(ENTITY_MANAGEMENT, activity, attributes, severity)


def _key_of(subject: str, key_id: str, data: Mapping[str, Any]) -> dict[str, Any]:
    user = {"name": subject, "uid": subject, "credential_uid": key_id}
    entity = {"uid": key_id, "name": subject, "type": "Signing key", "type_id": 99, "user": user}
    return {**entity, "data": dict(data)} if data else entity


def _call(activity: str, operation: str, uid: str, **more: Any) -> Mapped:
    """An API call named `uid`; `more` is severity, status, control, ocsf_profile, and attributes of the class."""
    own = {name: more.pop(name) for name in ("severity", "status", "control") if name in more}
    api: dict[str, Any] = {"operation": operation, "service": {"name": SERVICE}, "request": {"uid": uid}}
    profiles = (more.pop("ocsf_profile"),) if "ocsf_profile" in more else ()
    resource, resource_uid, error = (more.pop(name, None) for name in ("resource", "resource_uid", "error"))
    if error is not None:
        api["response"] = {"error": error}
    if resource is not None:
        target = {"name": resource, "role": "Target", "role_id": 1}
        more["resources"] = [target if resource_uid is None else {**target, "uid": resource_uid}]
    return Mapped(API_ACTIVITY, activity, {"api": api, **more}, profiles=profiles, **own)


def _finding(activity: str, uid: str, title: str, **more: Any) -> Mapped:
    """A finding that is followed under `uid`; `more` is severity, status, and attributes of the class."""
    own = {name: more.pop(name) for name in ("severity", "status") if name in more}
    own.setdefault("status", "New")
    profiles = more.pop("more_profiles", ())
    info = {"uid": uid, "title": title, **more.pop("info", {})}
    return Mapped(DETECTION_FINDING, activity, {"finding_info": info, **more}, profiles=profiles, **own)


def _suspicion(uid: str, title: str, severity: str, data: Mapping[str, Any]) -> Mapped:
    shown = {name: value for name, value in data.items() if value is not None}
    return _finding("Create", uid, title, severity=severity, is_alert=True, evidences=[{"data": shown}])


def _leak(activity: str, uid: str, *, severity: str = "Informational", status: str = "New", **more: Any) -> Mapped:
    info = {"uid": uid, "title": "A secret is where it must not be"}
    return Mapped(DATA_SECURITY_FINDING, activity, {"finding_info": info, **more}, severity, status)
