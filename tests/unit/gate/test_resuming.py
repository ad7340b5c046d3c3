"""Going on with a request that people answered: only with what they were asked for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tenuto.gate import ActionRefused

from tests.unit.gate.road import ACTION, ASKS, RUN, Road, Tool, open_gate

OTHER: dict[str, Any] = {
    "digest": "e" * 64, "tool": "terraform.destroy", "resource": "stack:bank", "subject": "terraform.state",
    "risks": ("production", "deletion"), "initiator": "otto",
}  # fmt: skip


@pytest.mark.parametrize("what", OTHER)
def test_a_granted_request_lets_no_other_action_run(what: str):
    road, tool = Road(), Tool()
    gate = open_gate(road, ASKS)
    asked = gate.request(ACTION, run=RUN)
    road.approve("lena", asked)
    with pytest.raises(ActionRefused, match=f"another {what} in"):
        gate.resume(asked, replace(ACTION, **{what: OTHER[what]}), tool)
    assert tool.touched == 0
    assert "approval.consumed" not in road.kinds()
    assert road.kinds()[-1] == "tool.failed"
