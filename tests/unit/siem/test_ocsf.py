"""Every kind of event is a valid event of OCSF."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from jsonschema import Draft202012Validator
from ocsf_json_schema import OcsfJsonSchema, OcsfJsonSchemaEmbedded, get_ocsf_schema, get_packaged_versions
from tenuto import header as headers
from tenuto.errors import Refused
from tenuto.events import EVENT_CLASSES, KINDS, Event
from tenuto.keyring import Key
from tenuto.verification import Verified
from tenuto_projections.siem import ocsf
from tenuto_projections.siem.ocsf_classes import (
    ACTIONS,
    CLASSES,
    DISPOSITIONS,
    OCSF_VERSION,
    SEVERITIES,
    VERDICTS,
    OcsfClass,
)
from tenuto_projections.siem.ocsf_subjects import SUBJECTS, mapped

from tests.unit.events.strategies import events
from tests.unit.projections.written import START

from .chronicle import RUN, chronicle

KEY = Key("infra", "k", bytes(32), "agent", "ann", insecure_demo=False, since=0)


@cache
def schema() -> dict[str, Any]:
    return get_ocsf_schema(OCSF_VERSION)


@cache
def validator(key: str, profiles: tuple[str, ...]) -> Draft202012Validator:
    embedded = OcsfJsonSchemaEmbedded(OcsfJsonSchema(schema()))
    return Draft202012Validator(embedded.get_class_schema(key, list(profiles)))


def faults(record: dict[str, Any]) -> list[str]:
    """What the schema has against it, under the profiles that it names itself."""
    key = next(one.key for one in CLASSES if one.uid == record["class_uid"])
    check = validator(key, tuple(sorted(record["metadata"]["profiles"])))
    return [f"{error.json_path}: {error.message}" for error in check.iter_errors(record)]


def of(event: Event) -> dict[str, Any]:
    header = headers.encode(event)
    verified = Verified(3, START, event, header, bytes(64), headers.header_hash(header), bytes(32), KEY)
    return ocsf.record(verified, 9, payload=False, version="1")


@pytest.fixture(scope="module")
def verified() -> list[Verified]:
    return chronicle().verified()


@pytest.fixture(scope="module")
def records(verified: list[Verified]) -> list[dict[str, Any]]:
    return [ocsf.record(one, 99, payload=True, version="1") for one in verified]


def test_the_schema_is_the_newest_that_the_package_carries() -> None:
    versions = [tuple(int(part) for part in name.split(".")) for name in get_packaged_versions() if "-" not in name]
    assert OCSF_VERSION == ".".join(str(part) for part in max(versions))


def test_the_chronicle_has_every_kind(records: list[dict[str, Any]]) -> None:
    assert {record["metadata"]["event_code"] for record in records} == set(KINDS)


def test_every_event_of_the_chronicle_is_valid_ocsf(records: list[dict[str, Any]]) -> None:
    found = {record["metadata"]["event_code"]: faults(record) for record in records}
    assert {kind: sentences for kind, sentences in found.items() if sentences} == {}


def test_the_check_finds_an_attribute_that_ocsf_does_not_know(records: list[dict[str, Any]]) -> None:
    assert faults({**records[0], "operaton": "x"})
    assert faults({**records[0], "severity_id": "high"})


@pytest.mark.parametrize("cls", EVENT_CLASSES, ids=lambda cls: cls.__struct_config__.tag)
def test_every_kind_maps_and_is_valid_whatever_its_fields_hold(cls: type[Event]) -> None:
    @settings(max_examples=5, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(events(cls))
    def check(event: Event) -> None:
        try:
            headers.encode(event)
        except Refused:
            return  # over the limit; such a header never gets this far
        assert faults(of(event)) == []

    check()


def test_no_subject_is_mapped_that_is_not_in_the_vocabulary() -> None:
    assert set(SUBJECTS) == {kind.partition(".")[0] for kind in KINDS}


@pytest.mark.parametrize("one", CLASSES, ids=lambda one: one.key)
def test_every_number_and_name_of_a_class_is_that_of_the_schema(one: OcsfClass) -> None:
    found = schema()["classes"][one.key]
    assert (found["uid"], found["caption"], found["category_name"]) == (one.uid, one.name, one.category_name)
    assert found["category_uid"] == one.category_uid
    attributes = found["attributes"]
    for ours, attribute in ((one.activities, "activity_id"), (one.statuses, "status_id"), (SEVERITIES, "severity_id"),
                            (ACTIONS, "action_id"), (DISPOSITIONS, "disposition_id")):  # fmt: skip
        theirs = {entry["caption"]: int(number) for number, entry in attributes[attribute]["enum"].items()}
        assert ours.items() <= theirs.items()
    if "verdict_id" in attributes:
        theirs = {entry["caption"]: int(number) for number, entry in attributes["verdict_id"]["enum"].items()}
        assert VERDICTS.items() <= theirs.items()


def by_kind(records: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    return next(record for record in records if record["metadata"]["event_code"] == kind)


def test_what_was_held_cleared_blocked_and_let_through_shows_in_the_disposition(records: list[dict[str, Any]]) -> None:
    said = {
        "tool.requested": "Delayed", "approval.signed": "Approved", "approval.granted": "Approved",
        "approval.denied": "Rejected", "tool.started": "Allowed", "tool.failed": "Unauthorized",
        "approval.revoked": "Access Revoked", "deployment.quarantined": "Quarantined", "message.refused": "Blocked",
    }  # fmt: skip
    assert {kind: by_kind(records, kind)["disposition"] for kind in said} == said


def test_one_finding_keeps_its_name_from_the_alert_to_its_end(records: list[dict[str, Any]]) -> None:
    for kinds in (("alert.raised", "alert.acknowledged", "alert.closed"), ("drift.detected", "drift.reverted"),
                  ("secret.leaked", "secret.rotated", "secret.purged")):  # fmt: skip
        told = [by_kind(records, kind) for kind in kinds]
        assert len({record["finding_info"]["uid"] for record in told}) == 1
        assert (told[0]["activity_name"], told[-1]["activity_name"]) == ("Create", "Close")


def test_an_event_carries_time_place_and_proof(records: list[dict[str, Any]], verified: list[Verified]) -> None:
    record = by_kind(records, "decision.made")
    event = next(one for one in verified if one.event.kind == "decision.made")
    assert record["time"] == int(event.recorded_at.timestamp() * 1000)
    assert record["metadata"]["uid"] == str(event.event.id)
    assert (record["metadata"]["sequence"], record["metadata"]["log_name"]) == (event.position, event.event.log_origin)
    assert record["metadata"]["correlation_uid"] == RUN
    assert record["metadata"]["tags"] == [{"name": "threat", "value": "T4"}, {"name": "mitigation", "value": "M12"}]
    assert record["raw_data"].encode() == event.header
    assert record["unmapped"]["tenuto"]["leaf"] == event.leaf.hex()
    assert record["unmapped"]["tenuto"]["checkpoint_size"] == 99
    assert record["ai_model"] == {"name": "gpt-5", "uid": "openai:gpt-5", "ai_provider": "openai"}


def test_what_an_insecure_demo_key_signed_is_labelled(records: list[dict[str, Any]]) -> None:
    assert by_kind(records, "approval.signed")["metadata"]["labels"] == ["insecure_demo_key"]
    assert "labels" not in by_kind(records, "tool.started")["metadata"]


def test_an_author_cannot_hide_an_event_by_its_own_clock() -> None:
    @settings(max_examples=20, deadline=None, database=None)
    @given(events(KINDS["tool.unknown"]))
    def check(event: Event) -> None:
        assert of(event)["time"] == int(START.timestamp() * 1000)

    check()


def test_a_refusal_that_no_honest_author_causes_is_severe() -> None:
    @settings(max_examples=25, deadline=None, database=None)
    @given(events(KINDS["record.refused"]))
    def check(event: Event) -> None:
        severe = event.reason in ("signature", "entitlement", "replayed", "unknown_key", "revoked_key", "wrong_origin")  # type: ignore[attr-defined]
        assert mapped(event).severity == ("High" if severe else "Medium")

    check()
