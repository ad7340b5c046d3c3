"""A read model does not depend on where pages end, where a process was restarted, or when it was built."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tenuto.verification import Verified
from tenuto_projections.projection import Projection, digest
from tenuto_projections.running import all_projections

from .story import MOVES, tell
from .written import apply_in_pages, memory_engine

STORIES = st.lists(st.sampled_from(sorted(MOVES)), max_size=25)


def digests(events: Sequence[Verified], page_events: int, restart_at: int = 0) -> list[str]:
    models = all_projections()
    engine = memory_engine(*(model.tables for model in models))
    with engine.begin() as connection:
        for model in models:
            apply_in_pages(connection, model, events[:restart_at], page_events)
        restarted = all_projections() if restart_at else models
        for model in restarted:
            model.fold(events[:restart_at])
            apply_in_pages(connection, model, events[restart_at:], page_events)
        found = [digest(connection, model) for model in restarted]
    engine.dispose()
    return found


@given(STORIES, st.integers(1, 40), st.data())
@settings(max_examples=50, deadline=None)
def test_rebuild_equals_live_wherever_pages_end_and_processes_restart(
    story: list[str], page_events: int, data: st.DataObject
) -> None:
    events = tell(*story).verified()
    restart_at = data.draw(st.integers(0, len(events)))
    assert digests(events, page_events, restart_at) == digests(events, 500)


def test_a_rebuild_after_a_purge_equals_the_model_that_saw_the_payloads() -> None:
    ledger = tell("start", "request", "approve", "alert")
    before = ledger.verified()
    MOVES["purge"](ledger)
    after = ledger.verified()
    live = [*before, *after[len(before) :]]
    assert any(verified.payload for verified in before)
    assert not any(verified.payload for verified in after)
    assert digests(live, 7) == digests(after, 500)


@pytest.mark.parametrize("name", [model.name for model in all_projections()])
def test_the_digest_of_a_model_changes_with_its_rows(name: str) -> None:
    place = [model.name for model in all_projections()].index(name)
    fuller = tell("start", "request", "assign", "approve", "alert", "refuse", "lose", "bind").verified()
    assert digests(tell().verified(), 500)[place] != digests(fuller, 500)[place]


def test_what_was_folded_and_not_applied_leaves_no_row() -> None:
    events = tell("start", "request").verified()
    models: tuple[Projection, ...] = all_projections()
    engine = memory_engine(*(model.tables for model in models))
    with engine.begin() as connection:
        empty = [digest(connection, model) for model in models]
        for model in models:
            model.fold(events)
        assert [digest(connection, model) for model in models] == empty
    engine.dispose()
