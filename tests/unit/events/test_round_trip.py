"""Round trips that go round, over the whole vocabulary."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tenuto import header as headers
from tenuto.events import EVENT_CLASSES, HEADER_BYTES_MAX, Event

from tests.unit.events.strategies import events

quick = settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


@pytest.mark.parametrize("cls", EVENT_CLASSES, ids=lambda cls: cls.__struct_config__.tag)
def test_every_event_survives_its_header_and_every_header_its_event(cls: type[Event]) -> None:
    @quick
    @given(events(cls))
    def goes_round(event: Event) -> None:
        try:
            header = headers.encode(event)
        except headers.HeaderRefused as refusal:
            assert refusal.reason == "oversized", str(refusal)
            return
        assert header.startswith(b'{"kind":"%s",' % event.kind.encode())
        assert len(header) <= HEADER_BYTES_MAX
        again = headers.decode(header)
        assert again == event
        assert type(again) is cls
        assert headers.encode(again) == header

    goes_round()


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_any_other_bytes_are_refused_and_nothing_else_is_raised(noise: bytes) -> None:
    with pytest.raises(headers.HeaderRefused):
        headers.decode(noise)
