"""Every statement by which the read models are written, failed in each form: `tests/faults/test_statements.py`, all of it."""

from __future__ import annotations

import pytest
from tenuto.embedded import EmbeddedPostgres

from tests.faults.test_every_write import FORMS
from tests.faults.test_statements import demand_models_survive


@pytest.mark.parametrize("form", FORMS)
def test_after_a_fault_at_any_statement_of_a_page_the_read_models_equal_a_rebuild(postgres: EmbeddedPostgres, form: str) -> None:
    demand_models_survive(postgres, form, lambda name: True)
