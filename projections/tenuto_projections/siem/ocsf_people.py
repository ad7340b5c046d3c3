"""Who reviews, in OCSF: reviewers, their limits and their passkeys are entities that somebody manages."""

from __future__ import annotations

from typing import Any

from tenuto.events import (
    Event,
    PasskeyEnrolled,
    PasskeyOffered,
    PasskeyRevoked,
    ReviewerBound,
    ReviewerEnrolled,
    ReviewerLimited,
    ReviewerUnbound,
)

from .ocsf_classes import ENTITY_MANAGEMENT, Mapped, NotMapped


def reviewer_mapped(event: Event) -> Mapped:
    """Return what a reviewer may be asked for, or how much all of them decide, as Entity Management."""
    match event:
        case ReviewerEnrolled(reviewer=name, roles=roles, active=active, passkey_only=passkey_only):
            entity = _entity(name, "Reviewer", {"roles": roles, "active": active, "passkey_only": passkey_only})
            return Mapped(ENTITY_MANAGEMENT, "Update", {"entity": entity}, "Low")
        case ReviewerLimited(decisions_per_hour=limit, escalate_seconds=seconds):
            entity = _entity("reviewers", "Review limits", {"decisions_per_hour": limit, "escalate_seconds": seconds})
            return Mapped(ENTITY_MANAGEMENT, "Update", {"entity": entity}, "Medium")
        case ReviewerBound(reviewer=name, identity=identity):
            return Mapped(ENTITY_MANAGEMENT, "Create", {"entity": _entity(identity, "Login", {"reviewer": name})}, "Medium")
        case ReviewerUnbound(reviewer=name, identity=identity, reason=reason):
            entity = _entity(identity, "Login", {"reviewer": name, "reason": reason})
            return Mapped(ENTITY_MANAGEMENT, "Delete", {"entity": entity}, "Medium")
    raise NotMapped(event.kind)


def passkey_mapped(event: Event) -> Mapped:
    """Return the life of a passkey as Entity Management: offered, enrolled by an administrator, revoked."""
    match event:
        case PasskeyOffered(reviewer=name, credential=credential, web_origin=page):
            entity = _entity(credential, "Passkey", {"reviewer": name, "web_origin": page})
            return Mapped(ENTITY_MANAGEMENT, "Create", {"entity": entity}, "Low")
        case PasskeyEnrolled(reviewer=name, owner=owner, credential=credential):
            entity = _entity(credential, "Passkey", {"reviewer": name, "owner": owner})
            return Mapped(ENTITY_MANAGEMENT, "Update", {"entity": entity}, "Medium")
        case PasskeyRevoked(reviewer=name, credential=credential, reason=reason):
            entity = _entity(credential, "Passkey", {"reviewer": name, "reason": reason})
            return Mapped(ENTITY_MANAGEMENT, "Delete", {"entity": entity}, "Medium")
    raise NotMapped(event.kind)


def _entity(name: str, of_type: str, data: dict[str, Any]) -> dict[str, Any]:
    return {"uid": name, "name": name, "type": of_type, "type_id": 99, "data": data}
