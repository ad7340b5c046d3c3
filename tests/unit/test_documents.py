"""Payload documents of ours go round, newer ones are still read, and what is none is refused."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tenuto.documents import (
    DOCUMENTS,
    Account,
    AlertNote,
    ApprovalCard,
    Arguments,
    Document,
    Finding,
    Handover,
    PlannedChange,
    PolicyQuestion,
    PullRequest,
    Reason,
    Result,
    Review,
    from_payload,
    media_type,
    readable,
    to_payload,
)
from tenuto.errors import Refused

CHANGE = PullRequest(repository="shop", title="Metrics", author="dana", base="a" * 40, head="b" * 40, files=("app.py",))
FINDING = Finding(tool="bandit", rule="B602", severity="high", file="app.py", line=7, message="shell=True")
PLANNED = PlannedChange(address="x.y", type="x", actions=("create",), after={"port": 8080, "tags": ["a"]})
EXAMPLES: list[Document] = [
    CHANGE,
    Review(prompt="Is this safe?", response="yes", reasoning="…", findings=(FINDING,), diff="+ é\n"),
    ApprovalCard(
        title="t", sentence="One bucket is made.", pull_request=CHANGE, changes=(PLANNED,), findings=(FINDING,)
    ),
    Reason(text="The plan is the one we spoke about."),
    Handover(pull_request=CHANGE, verdict="approve"),
    Arguments(values={"image": "sha256:…", "replicas": 3, "flags": [True, None]}),
    PolicyQuestion(role="agent", subject="terraform.plan", risks=("iam", "deletion"), initiator="mara"),
    Result(text="ok", values={"seconds": 1.5}),
    AlertNote(sentence="Too many.", figures={"rate": 4.0}),
    Account(goal="A forged message.", seen="It was refused.", stops=("M27: refused",), lacking=("podman",)),
]


def test_there_is_an_example_of_every_document() -> None:
    assert {type(one) for one in EXAMPLES} == set(DOCUMENTS)


@pytest.mark.parametrize("document", EXAMPLES, ids=lambda one: type(one).__name__)
def test_a_document_survives_its_payload_and_the_payload_its_document(document: Document) -> None:
    media, payload = to_payload(document)
    again = from_payload(payload, type(document))
    assert again == document
    assert to_payload(again) == (media, payload)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)
@given(st.dictionaries(st.text(max_size=8), json_values, max_size=4))
def test_arguments_of_any_shape_survive(values: dict[str, Any]) -> None:
    document = Arguments(values=values)
    assert from_payload(to_payload(document)[1], Arguments) == document


def test_media_types_are_distinct_and_written_with_dashes() -> None:
    assert media_type(ApprovalCard) == "application/vnd.tenuto.approval-card+json"
    assert len({media_type(one) for one in DOCUMENTS}) == len(DOCUMENTS)


def test_a_media_type_fits_into_a_header() -> None:
    from tenuto.events.base import MediaType

    for one in DOCUMENTS:
        assert msgspec.convert(media_type(one), MediaType)


def test_a_newer_author_may_say_more() -> None:
    assert from_payload(b'{"text":"yes","mood":"good"}', Reason) == Reason(text="yes")


@pytest.mark.parametrize("payload", [None, b"", b"{", b"[]", b"{}", b'{"text":7}', b"\xff"])
def test_a_payload_that_is_not_the_document_is_refused(payload: bytes | None) -> None:
    with pytest.raises(Refused, match="not a Reason") as caught:
        from_payload(payload, Reason)
    assert caught.value.reason == "payload"


@pytest.mark.parametrize(
    ("media", "payload", "shown"),
    [
        ("application/json", b'{"a":1}', {"a": 1}),
        ("application/json", b"{broken", "{broken"),
        ("text/plain", b"caf\xc3\xa9", "café"),
        ("text/plain", b"\xff", "\ufffd"),
        (None, b"x", "x"),
        ("text/plain", None, None),
    ],
)
def test_any_payload_can_be_shown(media: str | None, payload: bytes | None, shown: Any) -> None:
    assert readable(media, payload) == shown


@settings(deadline=None)
@given(st.binary(max_size=100))
def test_showing_a_payload_never_fails(payload: bytes) -> None:
    for media in ("application/json", "text/plain", None):
        readable(media, payload)
