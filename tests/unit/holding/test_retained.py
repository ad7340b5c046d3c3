"""Up to where events left the tables is a fold as well: without holes, and never beyond the event that says so."""

from __future__ import annotations

import pytest
from tenuto.events import RetentionApplied, ToolUnknown
from tenuto.retention import Retained, RetentionRefused, published_minimum
from tenuto.verification import VerificationFailed

from tests.unit.projections.written import WrittenLedger

ONE, OTHER = "a" * 64, "b" * 64


def folded(*said: tuple[int, int, int, str], size: int = 600) -> Retained:
    ledger, retained = WrittenLedger(), Retained()
    ledger.register("keeper", "keeper")
    ledger.register("infra", "agent")
    while len(ledger.entries) < size:
        ledger.write("infra", ToolUnknown, call="c", tool="t")
    for first, last, minimum, archive in said:
        ledger.write("keeper", RetentionApplied, first=first, last=last, minimum=minimum, archive=archive)
    for verified in ledger.verified():
        retained.apply(verified)
    return retained


def test_ranges_that_follow_one_another_move_the_minimum() -> None:
    retained = folded((0, 255, 256, ONE), (256, 511, 512, OTHER))
    assert retained.minimum == 512
    assert retained.archives == {(0, 255): ONE, (256, 511): OTHER}


@pytest.mark.parametrize(
    "said",
    [(256, 511, 512, ONE), (0, 255, 512, ONE), (0, 255, 255, ONE), (0, 1023, 1024, ONE), (300, 200, 201, ONE)],
    ids=["hole", "minimum-beyond", "minimum-before", "beyond-itself", "backwards"],
)
def test_what_would_leave_a_hole_or_reaches_too_far_does_not_count(said: tuple[int, int, int, str]) -> None:
    assert folded(said) == Retained()


def test_a_later_event_over_the_same_positions_names_the_archive_that_counts() -> None:
    retained = folded((0, 255, 256, ONE), (0, 255, 256, OTHER), (0, 127, 128, ONE))
    assert (retained.minimum, retained.archive_of(0, 255), retained.archive_of(0, 127)) == (256, OTHER, None)


def test_nobody_but_a_keeper_or_the_root_may_say_so() -> None:
    ledger = WrittenLedger()
    ledger.register("infra", "agent")
    ledger.write("infra", RetentionApplied, first=0, last=255, minimum=256, archive=ONE)
    with pytest.raises(VerificationFailed, match="role agent, which may not write retention.applied"):
        ledger.verified()


def test_the_published_minimum_is_one_number_and_zero_where_there_is_none(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("log")
    assert published_minimum(folder) == 0
    (folder / "minimum-index").write_bytes(b"512\n")
    assert published_minimum(folder) == 512
    for wrong in (b"", b"512", b"-1\n", b"5 12\n", b"9" * 30 + b"\n"):
        (folder / "minimum-index").write_bytes(wrong)
        with pytest.raises(RetentionRefused, match="does not hold one number"):
            published_minimum(folder)
