"""The life of infrastructure state: who read it, who wrote which version, what was refused, and which version is vouched for.

State says what Terraform believes to exist, and it holds secrets. Whoever changes it decides what the next plan does (T8).
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from .base import Count, Event, GitRevision, Hash, Name

StateRefusal = Literal[
    "credentials", "rights", "second_factor", "not_locked", "locked", "checksum", "malformed", "lineage", "serial", "key_away"
]
"""credentials: unknown, wrong or revoked. rights: known, and may not do this. second_factor: a person without a fresh code.
not_locked, locked: a write or unlock without the lock that is held now. checksum, malformed: the body is not what was sent,
or is no state. lineage, serial: another state's history, or not newer than what is kept. key_away: the key that protects the
state at rest cannot be used, and nothing is kept or handed out in clear."""


class StateAccessed(Event, frozen=True, kw_only=True, tag="state.accessed"):
    """The state store let `principal` read, lock or unlock `state`; `break`: a person took a lock away from its holder.

    serial, digest: the version that was read, none where there was no state yet.
    """

    state: Name
    operation: Literal["read", "lock", "unlock", "break"]
    principal: Name
    serial: Count | None = None
    digest: Hash | None = None


class StateWritten(Event, frozen=True, kw_only=True, tag="state.written"):
    """The state store kept a new version of `state`, written by `principal` under `lock`.

    version: counts from 1. serial: Terraform's own number. digest, previous: SHA-256 of this version and of the one before,
    zeros where there was none.
    """

    state: Name
    principal: Name
    version: Annotated[int, msgspec.Meta(ge=1, lt=2**53)]
    serial: Count
    digest: Hash
    previous: Hash
    lock: Name


class StateRefused(Event, frozen=True, kw_only=True, tag="state.refused"):
    """The state store refused; `principal` is whom the credentials belong to, or none where they belong to nobody."""

    state: Name
    operation: Literal["read", "write", "lock", "unlock", "break"]
    reason: StateRefusal
    principal: Name | None = None


class StateAttested(Event, frozen=True, kw_only=True, tag="state.attested"):
    """An agent vouches for a version of `state`: it is what its apply of the plan `plan` left, for the commit `revision`.

    The next plan is made only from a version that is vouched for (M32).
    """

    state: Name
    serial: Count
    digest: Hash
    plan: Hash
    revision: GitRevision
