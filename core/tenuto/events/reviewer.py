"""Who reviews, when, how much, and by which login: the roster is events, so a router can be checked by anybody."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from .base import Event, Hash, Name

ROLES_MAX = 8
DAY_MINUTES = 1440
DECISIONS_PER_HOUR_LIMIT = 1000
SPOTCHECK_SECONDS = 86_400

Minute = Annotated[int, msgspec.Meta(ge=0, lt=DAY_MINUTES)]


class ReviewerEnrolled(Event, frozen=True, kw_only=True, tag="reviewer.enrolled"):
    """The root says what a reviewer may be asked for and when; the latest of a reviewer stands.

    reviewer: the author, whose key is registered with the role reviewer. roles: such as `sre` or `security`.
    shift_start, shift_end: minutes of the day in UTC, the end not included; a shift may run past midnight, and without
    one the reviewer is always on shift. active: whether anything is routed there and any decision counts. passkey_only: no
    decision counts that was signed with a key of the reviewer's own, wherever that key lies.
    """

    reviewer: Name
    roles: Annotated[tuple[Name, ...], msgspec.Meta(max_length=ROLES_MAX)]
    shift_start: Minute | None = None
    shift_end: Minute | None = None
    active: bool = True
    passkey_only: bool = False


class ReviewerLimited(Event, frozen=True, kw_only=True, tag="reviewer.limited"):
    """The root sets how much a reviewer decides in any sliding 60 minutes, and when an unanswered request goes on.

    It holds from the next event on, for everybody, and what counted before stays counted. There is no other way to set it.

    spotcheck_seconds: how long a second look may be left open until it is overdue, for approvals that are spent from here on.
    """

    decisions_per_hour: Annotated[int, msgspec.Meta(ge=1, le=DECISIONS_PER_HOUR_LIMIT)]
    escalate_seconds: Annotated[int, msgspec.Meta(ge=10, le=86_400)] = 900
    spotcheck_seconds: Annotated[int, msgspec.Meta(ge=60, le=30 * 86_400)] = SPOTCHECK_SECONDS


class ReviewerBound(Event, frozen=True, kw_only=True, tag="reviewer.bound"):
    """An administrator says that whoever logs in with this identity is this reviewer. It says who, and permits nothing.

    identity: a hash of the provider's name and the person's subject there (`tenuto.approvals.identities`), since a header is
    kept for ever and names no accounts. The first binding of an identity stands until it is ended, and nobody binds the
    reviewer whom he himself is.
    """

    reviewer: Name
    identity: Hash


class ReviewerUnbound(Event, frozen=True, kw_only=True, tag="reviewer.unbound"):
    """From the next event on nobody is this reviewer by logging in with this identity."""

    reviewer: Name
    identity: Hash
    reason: Literal["owner_left", "compromised", "mistake", "retired"]
