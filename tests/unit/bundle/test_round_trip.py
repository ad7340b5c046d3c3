"""From a log to a folder and to a stranger: what is in a bundle, and what its report says."""

from __future__ import annotations

import base64
import hashlib
from datetime import timedelta
from pathlib import Path

import pytest
from tenuto.bundle import Asked, BundleFolder, BundleRefused, Report, layout, verify_bundle
from tenuto.errors import NotConfigured
from tenuto.events import RecordGap
from tenuto.log.note import NoteSigner
from tenuto.verification import STEPS, VerificationFailed
from tenuto_projections import bundling
from tenuto_projections.replay.links import NothingFound

from tests.unit.bundle.world import ORIGIN, World, leave_out, purge, revoke, tell_run
from tests.unit.projections.story import new_ledger, vote


def why(report: Report, reason: str) -> list[str]:
    return [verified.event.kind for listed, verified in report.events if listed.why == reason]


def done(report: Report) -> list[int]:
    return [taken.step for taken in report.steps if taken.done]


def test_a_run_comes_with_its_votes_and_the_whole_key_history(world: World) -> None:
    report = world.verify(world.bundle())
    assert why(report, "asked") == [
        "run.started", "tool.requested", "policy.decided", "tool.started", "tool.finished", "approval.requested",
        *["approval.viewed"] * 2, "approval.signed", "approval.consumed", "run.finished",
    ]  # fmt: skip
    assert why(report, "cause") == ["policy.decided"]
    assert why(report, "key") == ["session.opened", *["key.registered"] * 10]
    assert [taken.step for taken in report.steps] == list(STEPS)
    assert done(report) == [1, 2, 3, 6, 7, 8]
    assert (report.unknown, report.trusted) == ((), True)


def test_one_event_comes_with_its_causes_back_to_the_roots(world: World) -> None:
    place = next(number for number, event in enumerate(world.ledger.events) if event.kind == "tool.finished")
    for number, name in enumerate((str(place), str(world.ledger.events[place].id))):
        report = world.verify(world.bundle(f"bundle-{number}", Asked(event=name)))
        assert why(report, "asked") == ["tool.finished"]
        assert why(report, "cause") == ["tool.requested", "policy.decided", "tool.started"]


def test_a_time_range_is_that_of_the_ledgers_clock_and_both_ends_belong_to_it(world: World) -> None:
    first, last = world.ledger.entries[21].recorded_at, world.ledger.entries[26].recorded_at
    report = world.verify(world.bundle(asked=Asked(since=first, until=last)))
    assert [listed.position for listed, _ in report.events if listed.why == "asked"] == list(range(21, 27))
    assert [listed.position for listed, _ in report.events if listed.why == "edge"] == [20, 27]
    assert report.remarks[0].startswith("No event of the time range, up to the checkpoint, was left out.")


def test_a_time_range_to_the_end_of_the_log_needs_no_neighbour_there(world: World) -> None:
    report = world.verify(world.bundle(asked=Asked(since=world.ledger.entries[30].recorded_at)))
    assert [listed.position for listed, _ in report.events if listed.why == "edge"] == [29]
    assert report.remarks[0].startswith("No event of the time range, up to the checkpoint, was left out.")


@pytest.mark.parametrize("left_out", [20, 21, 23, 26, 27])
def test_a_time_range_with_something_left_out_is_not_called_whole(world: World, left_out: int) -> None:
    """The first two and the last two are the edges and the outermost events, the other one lies between."""
    first, last = world.ledger.entries[21].recorded_at, world.ledger.entries[26].recorded_at
    folder = world.bundle(asked=Asked(since=first, until=last))
    leave_out(folder, left_out)
    try:
        assert "That no other one belongs to the answer" in world.verify(folder).remarks[0]
    except BundleRefused as refusal:
        assert "at the edge of no time range" in str(refusal) or "is no event's cause" in str(refusal)


def test_a_gap_on_record_in_the_roots_session_comes_with_the_key_history(world: World) -> None:
    session, seq, prev = world.ledger._heads["root"]
    world.ledger.open("ingest")
    world.ledger.write("ingest", RecordGap, gap_session=session, first_seq=seq + 1, last_seq=seq + 1)
    world.ledger._heads["root"] = session, seq + 1, prev
    revoke(world.ledger, "eve")
    world.seal()
    assert why(world.verify(world.bundle()), "key")[-2:] == ["record.gap", "key.revoked"]


def test_a_bundle_of_many_events_is_read_in_pieces(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = world.bundle("whole", payloads=True)
    monkeypatch.setattr(bundling, "READ_EVENTS_MAX", 2)
    pieces = world.bundle("pieces", payloads=True)
    assert contents(folder) == contents(pieces)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_whole_log_in_a_bundle_leaves_nothing_open(world: World) -> None:
    everything = Asked(since=world.ledger.entries[0].recorded_at)
    report = world.verify(world.bundle(asked=everything, payloads=True, since=before_another_run(world)))
    assert done(report) == list(STEPS)
    assert "nothing was left out" in report.remarks[0]
    assert "no key event can be missing" in report.steps[1].sentence


def before_another_run(world: World) -> bytes:
    """The present checkpoint; afterwards the log grows by another run."""
    note = world.tiles.published()
    assert note is not None
    tell_run(world.ledger, "r3")
    world.seal()
    return note


def test_what_a_part_of_a_log_cannot_show_is_said(world: World) -> None:
    report = world.verify(world.bundle())
    assert "only the whole log shows" in report.remarks[0]
    assert "only the whole log shows" in report.steps[1].sentence
    assert "what comes before" in report.steps[3].sentence
    assert any("1 of them signed with an insecure demo key" in remark for remark in report.remarks)


def test_without_a_trust_file_of_ones_own_the_report_says_so(world: World) -> None:
    folder = world.bundle()
    report = world.verify(folder, trusting=False)
    assert not report.trusted
    assert report.fingerprint == hashlib.sha256((folder / "trust.json").read_bytes()).hexdigest()


def test_the_trust_file_of_a_bundle_is_that_of_the_home(world: World) -> None:
    world.trust.save(world.path)
    assert (world.bundle() / "trust.json").read_bytes() == (world.path / "trust.json").read_bytes()


def test_payloads_are_shown_only_when_asked_for_and_match_their_commitments(world: World) -> None:
    assert not (world.bundle() / "payloads").exists()
    folder = world.bundle("open", payloads=True)
    report = world.verify(folder)
    shown = [verified.event.kind for _, verified in report.events if verified.payload is not None]
    assert shown == ["approval.requested", "approval.signed"]
    assert done(report) == [1, 2, 3, 5, 6, 7, 8]
    assert len(list((folder / "payloads").iterdir())) == 2


def test_a_purged_payload_comes_with_its_purge(world: World) -> None:
    place = next(number for number, event in enumerate(world.ledger.events) if event.kind == "approval.signed")
    purge(world.ledger, place)
    world.seal()
    report = world.verify(world.bundle(payloads=True))
    assert why(report, "purge") == ["record.purged"]
    purged = [verified.position for _, verified in report.events if verified.purged]
    assert purged == [place]
    purge_place = len(world.ledger.events) - 1
    assert f"The payload of position {place} was purged by keeper on 2026-03-01 (position {purge_place})." in report.remarks


def test_a_payload_that_outlived_its_purge_is_remarked(world: World) -> None:
    place = next(number for number, event in enumerate(world.ledger.events) if event.kind == "approval.signed")
    kept = world.ledger.entries[place]
    purge(world.ledger, place)
    world.ledger.entries[place] = kept
    world.seal()
    assert any("and yet it is shown" in remark for remark in world.verify(world.bundle(payloads=True)).remarks)


def test_a_key_that_ended_later_is_remarked(world: World) -> None:
    revoke(world.ledger, "infra")
    world.seal()
    place = len(world.ledger.events) - 1
    remarks = world.verify(world.bundle()).remarks
    assert any(f"of infra ended at position {place}, after it had signed" in remark for remark in remarks)


def test_the_receivers_last_checkpoint_is_shown_to_be_extended(world: World) -> None:
    seen = before_another_run(world)
    folder = world.bundle(since=seen)
    for since in (seen, None):
        assert 9 in done(world.verify(folder, since=since))
    assert "compare it" in world.verify(folder).steps[8].sentence


def test_the_same_checkpoint_seen_again_needs_no_proof(world: World) -> None:
    seen = world.tiles.published()
    assert 9 in done(world.verify(world.bundle("plain"), since=seen))
    folder = world.bundle("same", since=seen)
    assert (folder / "consistency.proof").read_bytes() == b""
    assert 9 in done(world.verify(folder, since=seen))


def test_nothing_is_written_when_nothing_answers(world: World) -> None:
    with pytest.raises(NothingFound):
        world.bundle(asked=Asked(run="nonsense"))
    assert [path.name for path in world.path.iterdir()] == ["log"]


def test_a_bundle_replaces_nothing(world: World) -> None:
    folder = world.bundle()
    with pytest.raises(NotConfigured, match="is there already"):
        world.bundle()
    assert world.verify(folder)


def test_a_log_that_its_witness_has_not_cosigned_makes_no_bundle(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundling, "COSIGNATURE_SECONDS_MAX", 0.0)
    world.cosigned = False
    world.seal()
    with pytest.raises(VerificationFailed, match="Step 8"):
        world.bundle()
    assert not (world.path / "bundle").exists()


def test_more_events_than_a_bundle_holds_are_refused_by_number(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    count = len(world.verify(world.bundle()).events)
    monkeypatch.setattr(layout, "EVENTS_MAX", count)
    world.bundle("at-the-limit")
    monkeypatch.setattr(layout, "EVENTS_MAX", count - 1)
    with pytest.raises(NotConfigured, match=f"would hold {count} events"):
        world.bundle("above")


def test_a_vote_that_names_no_run_belongs_to_the_run_that_asked_for_it(world: World) -> None:
    vote(world.ledger, "eve", approval="a-r1")
    world.seal()
    assert why(world.verify(world.bundle()), "asked").count("approval.signed") == 2


def test_a_question_is_about_one_thing() -> None:
    moment = new_ledger().now
    for fields in ({}, {"run": "r1", "event": "1"}, {"run": "r1", "since": moment}, {"event": "1", "until": moment}):
        with pytest.raises(ValueError, match="about a run"):
            Asked(**fields)
    assert Asked(since=moment, until=moment + timedelta(1)).run is None


def test_every_proof_holds_under_an_independent_reading_of_rfc_6962(world: World) -> None:
    """A verifier of its own, written from the specifications and from nothing of ours."""
    folder = world.bundle()
    proofs = sorted((folder / "events").glob("*.tlog-proof"))
    assert proofs
    for file in proofs:
        head, _, note = file.read_text().partition("\n\n")
        magic, index, *lines = head.split("\n")
        assert magic == "c2sp.org/tlog-proof@v1"
        origin, size, root = note.split("\n")[:3]
        place, count = int(index.removeprefix("index ")), int(size)
        entry = (folder / "events" / f"{place}.entry").read_bytes()
        assert origin == ORIGIN
        path = [base64.b64decode(line) for line in lines]
        assert base64.b64decode(root) == climbed(hashlib.sha256(b"\0" + entry).digest(), place, count, path)


def climbed(leaf: bytes, index: int, size: int, path: list[bytes]) -> bytes:
    """RFC 6962 2.1.1 read backwards, by recursion: the last hash of the path is that of the other half."""
    if size == 1:
        assert not path
        return leaf
    half = 1 << (size - 1).bit_length() - 1
    if index < half:
        return hashlib.sha256(b"\1" + climbed(leaf, index, half, path[:-1]) + path[-1]).digest()
    return hashlib.sha256(b"\1" + path[-1] + climbed(leaf, index - half, size - half, path[:-1])).digest()


def test_a_bundle_of_another_log_is_refused_by_whoever_trusts_this_one(world: World, tmp_path: Path) -> None:
    other = World(tmp_path / "other", new_ledger(), log=NoteSigner(ORIGIN, b"another".ljust(32)))
    tell_run(other.ledger, "r1")
    other.seal()
    folder = other.bundle()
    with pytest.raises(BundleRefused, match="you trust"):
        world.verify(folder)
    assert verify_bundle(BundleFolder(folder)).trusted is False
    assert other.verify(folder)
