"""The part of the Open Cybersecurity Schema Framework that the export speaks, as numbers with their names.

Taken from OCSF 1.8.0 (schema.ocsf.io) and compared with the whole schema by a test, so that no number can be mistyped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

OCSF_VERSION = "1.8.0"
OTHER = 99
"""An activity that the class has no word for; it goes under its own name."""

SEVERITIES = {"Informational": 1, "Low": 2, "Medium": 3, "High": 4, "Critical": 5}
ACTIONS = {"Allowed": 1, "Denied": 2, "Observed": 3}
DISPOSITIONS = {
    "Allowed": 1, "Blocked": 2, "Quarantined": 3, "Approved": 8, "Delayed": 14, "Logged": 17, "Access Revoked": 24,
    "Rejected": 25, "Unauthorized": 26, "Error": 27,
}  # fmt: skip
VERDICTS = {"False Positive": 1, "True Positive": 2, "Security Risk": 8}
_OUTCOMES = {"Unknown": 0, "Success": 1, "Failure": 2}
_PROGRESS = {"New": 1, "In Progress": 2, "Resolved": 4}


@dataclass(frozen=True, slots=True)
class OcsfClass:
    """A class of events: its numbers, the activities we use of it, and the profiles whose attributes we fill.

    profiles: `host` where the class has no actor of its own; `security_control` where it is said what a control did.
    """

    uid: int
    key: str
    name: str
    category_uid: int
    category_name: str
    activities: Mapping[str, int]
    statuses: Mapping[str, int] = field(default_factory=lambda: _OUTCOMES)
    profiles: tuple[str, ...] = ()
    has_source: bool = False


API_ACTIVITY = OcsfClass(
    6003, "api_activity", "API Activity", 6, "Application Activity",
    {"Create": 1, "Read": 2, "Update": 3, "Delete": 4}, has_source=True,
)  # fmt: skip
APPLICATION_LIFECYCLE = OcsfClass(
    6002, "application_lifecycle", "Application Lifecycle", 6, "Application Activity",
    {"Install": 1, "Start": 3, "Stop": 4, "Disable": 7, "Update": 8}, profiles=("host",),
)  # fmt: skip
DATASTORE_ACTIVITY = OcsfClass(
    6005, "datastore_activity", "Datastore Activity", 6, "Application Activity", {"Read": 1, "Write": 5, "Delete": 7},
    has_source=True,
)  # fmt: skip
ENTITY_MANAGEMENT = OcsfClass(
    3004, "entity_management", "Entity Management", 3, "Identity & Access Management",
    {"Create": 1, "Update": 3, "Delete": 4, "Enroll": 6, "Unenroll": 7},
)  # fmt: skip
DETECTION_FINDING = OcsfClass(
    2004, "detection_finding", "Detection Finding", 2, "Findings", {"Create": 1, "Update": 2, "Close": 3}, _PROGRESS,
    profiles=("host",),
)  # fmt: skip
DATA_SECURITY_FINDING = OcsfClass(
    2006, "data_security_finding", "Data Security Finding", 2, "Findings", {"Create": 1, "Update": 2, "Close": 3},
    _PROGRESS,
)  # fmt: skip

class NotMapped(LookupError):
    """A kind of the vocabulary has no OCSF class: a defect of `ocsf_subjects` or `ocsf_keeping`."""


CLASSES = (
    API_ACTIVITY, APPLICATION_LIFECYCLE, DATASTORE_ACTIVITY, ENTITY_MANAGEMENT, DETECTION_FINDING,
    DATA_SECURITY_FINDING,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Mapped:
    """What one event is in OCSF; `ocsf.record` adds what all events have.

    activity: a word of the class, or our own (then OTHER). attributes: what only this class has.
    control: what a control did, as action and disposition, where one did something.
    """

    ocsf: OcsfClass
    activity: str
    attributes: Mapping[str, Any]
    severity: str = "Informational"
    status: str = "Success"
    control: tuple[str, str] | None = None
    profiles: tuple[str, ...] = ()

    @property
    def activity_id(self) -> int:
        """The number of the activity in its class."""
        return self.ocsf.activities.get(self.activity, OTHER)

    @property
    def severity_id(self) -> int:
        """1 (informational) to 5 (critical)."""
        return SEVERITIES[self.severity]
