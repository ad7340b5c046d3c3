"""The vocabulary is closed, without doubles, and every word of it may be said by somebody."""

from __future__ import annotations

import re
from typing import get_args

import pytest
import tenuto.events
from tenuto.events import EVENT_CLASSES, KINDS, Event
from tenuto.events.key import Role
from tenuto.events.record import RefusalReason
from tenuto.keyring import ENTITLED


def subclasses(cls: type[Event]) -> set[type[Event]]:
    return {one for direct in cls.__subclasses__() for one in {direct, *subclasses(direct)}}


def test_every_event_class_is_in_the_vocabulary_once() -> None:
    assert subclasses(Event) == set(EVENT_CLASSES)
    assert len(KINDS) == len(EVENT_CLASSES)


@pytest.mark.parametrize("cls", EVENT_CLASSES, ids=lambda cls: cls.__name__)
def test_a_kind_is_subject_and_past_tense_and_named_like_its_class(cls: type[Event]) -> None:
    kind = str(cls.__struct_config__.tag)
    assert re.fullmatch(r"[a-z]+\.[a-z]+(_[a-z]+)*", kind)
    assert kind.title().replace(".", "").replace("_", "") == cls.__name__
    assert cls.__module__ == f"tenuto.events.{kind.partition('.')[0]}"


@pytest.mark.parametrize("cls", EVENT_CLASSES, ids=lambda cls: cls.__name__)
def test_every_kind_has_a_sentence(cls: type[Event]) -> None:
    assert cls.__doc__, f"{cls.__name__} needs a docstring: it becomes its entry in docs/events.md."
    assert cls.__doc__.split("\n\n")[0].strip().endswith("."), "the docstring begins with a sentence"


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_may_be_written_by_somebody(kind: str) -> None:
    assert any(kind in row for row in ENTITLED.values()), f"No role may write {kind}; see ENTITLED in keyring.py."


def test_no_role_is_entitled_to_a_kind_that_does_not_exist() -> None:
    assert {kind for row in ENTITLED.values() for kind in row} <= set(KINDS)
    assert set(ENTITLED) == set(get_args(Role))


def test_every_reason_for_a_refusal_is_a_word_that_fits_a_name() -> None:
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", reason) for reason in get_args(RefusalReason))


def test_the_package_exports_every_class_by_name() -> None:
    assert {cls.__name__ for cls in EVENT_CLASSES} <= set(tenuto.events.__all__)
