"""Every way to touch a bundle is refused, with the step and the event, or shows in its report."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import msgspec
import pytest
from tenuto.bundle import Asked, BundleRefused, Listed, Manifest, Report, layout
from tenuto.bundle.head import signed_by_log
from tenuto.bundle.layout import files_of, parse_manifest
from tenuto.errors import Refused
from tenuto.events import RecordPurged, ToolStarted
from tenuto.verification import VerificationFailed
from tenuto_projections.bundled import report_record

from tests.unit.bundle.world import LOG, POLICY, World, leave_out, manifest_of, purge, relist, revoke, tell_run
from tests.unit.projections.story import call, vote
from tests.unit.projections.written import DIGEST

FLIPS_OF_AN_EVENTS_FILE, FLIPS_OF_A_TOP_FILE = 6, 60


def place_of(world: World, kind: str, number: int = 0) -> int:
    return [place for place, event in enumerate(world.ledger.events) if event.kind == kind][number]


def fails(world: World, folder: Path, step: int, position: int | None, **how: object) -> str:
    """The one step and event that the refusal names; returns its sentence."""
    with pytest.raises(VerificationFailed) as caught:
        world.verify(folder, **how)  # type: ignore[arg-type]
    assert (caught.value.step, caught.value.position) == (step, position), str(caught.value)
    return str(caught.value)


def shown(report: Report) -> bytes:
    return msgspec.json.encode(report_record(report))


def test_no_byte_of_any_file_can_be_changed_unseen(world: World) -> None:
    seen = world.tiles.published()
    assert seen is not None
    tell_run(world.ledger, "r3")
    world.seal()
    folder = world.bundle(payloads=True, since=seen)
    sound = {trusting: shown(world.verify(folder, trusting=trusting)) for trusting in (True, False)}
    chance = random.Random(7)
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        data = file.read_bytes()
        flips = FLIPS_OF_A_TOP_FILE if file.parent == folder else FLIPS_OF_AN_EVENTS_FILE
        places = {0, len(data) - 1, *(chance.randrange(len(data)) for _ in range(flips))} if data else ()
        for place in places:
            file.write_bytes(data[:place] + bytes([data[place] ^ 1 << chance.randrange(8)]) + data[place + 1 :])
            trusting = chance.random() < 0.5
            try:
                assert shown(world.verify(folder, trusting=trusting)) != sound[trusting], f"{file.name} byte {place}"
            except Refused:
                continue
        file.write_bytes(data)
    assert shown(world.verify(folder)) == sound[True]


def test_no_file_can_be_missing_empty_or_one_byte_longer(world: World) -> None:
    folder = world.bundle(payloads=True)
    for name in files_of(manifest_of(folder), extends=False):
        file, data = folder / name, (folder / name).read_bytes()
        file.unlink()
        with pytest.raises(BundleRefused, match="missing"):
            world.verify(folder)
        for changed in (b"", data + b"\n"):
            file.write_bytes(changed)
            with pytest.raises(Refused):
                world.verify(folder)
        file.write_bytes(data)
    assert world.verify(folder)


def test_a_file_at_its_limit_is_read_and_one_above_is_refused(world: World) -> None:
    folder = world.bundle(payloads=True)
    for name, limit in files_of(manifest_of(folder), extends=False).items():
        file, data = folder / name, (folder / name).read_bytes()
        for size, larger in ((limit, False), (limit + 1, True)):
            file.write_bytes(data.ljust(size, b"x"))
            with pytest.raises(Refused) as caught:
                world.verify(folder)
            assert ("is larger than" in str(caught.value)) is larger, name
        file.write_bytes(data)


def test_a_manifest_lists_as_many_events_as_allowed_and_not_one_more() -> None:
    for count in (layout.EVENTS_MAX, layout.EVENTS_MAX + 1):
        events = tuple(Listed(position=place, why="asked") for place in range(count))
        manifest = Manifest(format=1, origin="o", asked=layout.Asked(run="r"), events=events)
        data = manifest.to_bytes()
        assert len(data) <= layout.MANIFEST_BYTES_MAX
        if count == layout.EVENTS_MAX:
            assert parse_manifest(data) == manifest
        else:
            with pytest.raises(BundleRefused, match="<= 100000"):
                parse_manifest(data)


def test_an_omitted_registration_is_a_hole_or_an_unknown_key(world: World) -> None:
    """In the middle of the root's session it leaves a hole; with all that follow left out too, a key is missing."""
    folder = world.bundle()
    registered = [place for place, event in enumerate(world.ledger.events) if event.kind == "key.registered"]
    infra = next(place for place in registered if getattr(world.ledger.events[place], "subject", "") == "infra")
    leave_out(folder, infra)
    assert "does not follow" in fails(world, folder, 4, registered[registered.index(infra) + 1])
    for place in registered:
        if place > infra:
            leave_out(folder, place)
    assert "No key" in fails(world, folder, 2, place_of(world, "tool.requested"))


def test_an_omitted_revocation_leaves_a_hole_in_the_roots_session(world: World) -> None:
    revoke(world.ledger, "eve")
    revoke(world.ledger, "ann")
    world.seal()
    folder = world.bundle()
    leave_out(folder, len(world.ledger.events) - 2)
    assert "does not follow" in fails(world, folder, 4, len(world.ledger.events) - 1)


def test_an_event_signed_after_its_keys_revocation_is_refused(world: World) -> None:
    """Ingest would refuse it; a bundle does not take its word."""
    revoke(world.ledger, "infra")
    call(world.ledger, run="r1")
    world.seal()
    place = len(world.ledger.events) - 4
    folder = bundle_unchecked(world)
    assert "revoked" in fails(world, folder, 2, place)


def bundle_unchecked(world: World) -> Path:
    """A bundle of all events, made by somebody who verifies nothing."""
    from tenuto.log.proof import LogProof, inclusion_proof

    folder, note = world.path / "unchecked", world.tiles.published()
    assert note is not None
    (folder / "events").mkdir(parents=True)
    entries = world.ledger.entries
    events = tuple(Listed(position=one.position, why="asked") for one in entries)
    asked = layout.Asked(since=entries[0].recorded_at)
    files = {
        "bundle.json": Manifest(format=1, origin=world.trust.origin, asked=asked, events=events).to_bytes(),
        "trust.json": layout.spelled(world.trust), "policy": world.trust.policy.encode(), "checkpoint": note,
    }  # fmt: skip
    for one in entries:
        proof = inclusion_proof(one.position, len(entries), world.tiles)
        files[layout.entry_file(one.position)] = one.entry
        files[layout.proof_file(one.position)] = LogProof(one.position, proof, note).to_text()
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


def test_the_unchecked_bundle_of_a_sound_log_holds(world: World) -> None:
    assert world.verify(bundle_unchecked(world))


def test_swapped_entries_are_refused_even_with_their_proofs(world: World) -> None:
    folder = world.bundle()
    one, other = (folder / "events" / f"{place_of(world, kind)}" for kind in ("tool.started", "tool.finished"))
    swap(one.with_suffix(".entry"), other.with_suffix(".entry"))
    assert "does not lead to the root" in fails(world, folder, 6, int(one.name))
    swap(one.with_suffix(".tlog-proof"), other.with_suffix(".tlog-proof"))
    assert f"is for entry {other.name}" in fails(world, folder, 6, int(one.name))


def test_an_event_that_names_another_predecessor_breaks_its_chain(world: World) -> None:
    session, seq, _ = world.ledger._heads["infra"]
    world.ledger._heads["infra"] = session, seq, "1" * 64
    call(world.ledger, run="r1")
    world.seal()
    assert "names another predecessor" in fails(world, bundle_unchecked(world), 4, len(world.ledger.events) - 4)


def test_a_session_that_another_author_goes_on_with_is_refused(world: World) -> None:
    world.ledger._heads["eve"] = world.ledger._heads["infra"]
    vote(world.ledger, "eve", approval="a-r1")
    world.seal()
    assert "may not write in it" in fails(world, bundle_unchecked(world), 4, len(world.ledger.events) - 1)


def test_a_swapped_proof_is_refused_by_the_position_it_names(world: World) -> None:
    folder = world.bundle()
    places = [place_of(world, kind) for kind in ("tool.started", "tool.finished")]
    swap(*(folder / layout.proof_file(place) for place in places))
    assert f"is for entry {places[1]}" in fails(world, folder, 6, places[0])


def swap(one: Path, other: Path) -> None:
    kept = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(kept)


def test_the_payload_of_another_event_is_refused(world: World) -> None:
    folder = world.bundle(payloads=True)
    asked, signed = (place_of(world, kind) for kind in ("approval.requested", "approval.signed"))
    shutil.copy(folder / layout.payload_file(signed), folder / layout.payload_file(asked))
    assert "not the one that the signed header commits to" in fails(world, folder, 5, asked)


def test_a_payload_beside_an_event_that_commits_to_none_is_refused(world: World) -> None:
    folder = world.bundle(payloads=True)
    asked, finished = (place_of(world, kind) for kind in ("approval.requested", "tool.finished"))
    shutil.copy(folder / layout.payload_file(asked), folder / layout.payload_file(finished))
    assert world.verify(folder).unknown == (layout.payload_file(finished),)
    relist(folder, lambda one: msgspec.structs.replace(one, payload=True) if one.position == finished else one)
    assert "commits to none" in fails(world, folder, 5, finished)


def test_an_older_or_a_newer_checkpoint_in_its_place_is_refused(world: World) -> None:
    older = world.tiles.published()
    assert older is not None
    tell_run(world.ledger, "r1")
    world.seal()
    folder = world.bundle()
    (folder / "checkpoint").write_bytes(older)
    assert "another checkpoint" in fails(world, folder, 6, 0)


def test_a_bundle_that_ends_before_the_checkpoint_seen_last_is_refused(world: World) -> None:
    folder = world.bundle()
    tell_run(world.ledger, "r3")
    newer = world.seal()
    assert "does not show" in fails(world, folder, 9, None, since=newer)


def test_a_bundle_that_begins_at_another_checkpoint_than_the_one_seen_is_refused(world: World) -> None:
    first = world.tiles.published()
    tell_run(world.ledger, "r3")
    second = world.seal()
    tell_run(world.ledger, "r4")
    world.seal()
    folder = world.bundle(since=first)
    assert "begins at another checkpoint" in fails(world, folder, 9, None, since=second)


def test_an_earlier_checkpoint_carries_nothing_that_nobody_checks(world: World) -> None:
    folder = world.bundle(since=world.tiles.published())
    shutil.copyfile(folder / "checkpoint", folder / "checkpoint.first")
    assert "more than the log's own signature" in fails(world, folder, 9, None)


def test_a_forked_log_does_not_extend_the_checkpoint_seen(world: World, tmp_path: Path) -> None:
    seen = world.tiles.published()
    fork = World(tmp_path / "fork", world.ledger)
    fork.ledger.entries[-1], fork.ledger.entries[-2] = fork.ledger.entries[-2], fork.ledger.entries[-1]
    del fork.ledger.entries[-2:]
    del fork.ledger.events[-2:]
    fork.seal()
    folder = fork.bundle()
    first = signed_by_log((folder / "checkpoint").read_bytes(), fork.trust)
    (folder / "checkpoint.first").write_bytes(first)
    (folder / "consistency.proof").write_bytes(b"")
    assert fork.verify(folder)
    fails(fork, folder, 9, None, since=seen)


def test_a_foreign_signature_missing_witness_and_a_foreign_policy_are_told_apart(world: World) -> None:
    folder = world.bundle()
    note = (folder / "checkpoint").read_bytes()
    lines = note.splitlines(keepends=True)
    (folder / "checkpoint").write_bytes(b"".join(lines[:-1]))
    assert "lacks a cosignature of one" in fails(world, folder, 8, None)
    (folder / "checkpoint").write_bytes(b"".join([*lines[:-2], lines[-1]]))
    assert "not signed by any key that counts" in fails(world, folder, 7, None)
    (folder / "checkpoint").write_bytes(note)
    (folder / "policy").write_text(f"log {LOG.vkey}\nquorum none\n")
    with pytest.raises(BundleRefused, match="is not the policy"):
        world.verify(folder)


def test_the_receivers_policy_counts_not_the_bundles(world: World) -> None:
    folder = world.bundle()
    weaker = f"log {LOG.vkey}\nquorum none\n"
    (folder / "policy").write_text(weaker)
    (folder / "trust.json").write_bytes(layout.spelled(msgspec.structs.replace(world.trust, policy=weaker)))
    assert not world.verify(folder, trusting=False).steps[7].done
    report = world.verify(folder)
    assert report.steps[7].done
    assert "yours was used" in report.remarks[0]
    assert POLICY == world.trust.policy


def test_a_trust_file_with_no_keys_in_it_is_refused_and_never_crashes(world: World) -> None:
    folder = world.bundle()
    for key in ("", "zz", "00" * 32, "é" * 64):
        trust = msgspec.structs.replace(world.trust, root_public_key=key)
        (folder / "trust.json").write_bytes(layout.spelled(trust))
        fails(world, folder, 2, None, trusting=False)
    for fields in ({"log_key": "x"}, {"origin": "other.test/log"}):
        trust = msgspec.structs.replace(world.trust, **fields)
        (folder / "trust.json").write_bytes(layout.spelled(trust))
        with pytest.raises(Refused):
            world.verify(folder, trusting=False)


@pytest.mark.parametrize(
    ("kind", "claim", "sentence"),
    [
        ("session.opened", "cause", "is no event's cause here"),
        ("key.registered", "asked", "does not answer the question"),
        ("run.finished", "key", "decides nothing about keys"),
        ("run.finished", "purge", "purges nothing here"),
        ("run.finished", "edge", "stands at the edge of no time range"),
    ],
)
def test_what_a_bundle_says_of_its_events_must_be_so(world: World, kind: str, claim: str, sentence: str) -> None:
    folder, place = world.bundle(), place_of(world, kind)
    relist(folder, lambda one: msgspec.structs.replace(one, why=claim) if one.position == place else one)
    with pytest.raises(BundleRefused, match=f"position {place} `{claim}`.*{sentence}"):
        world.verify(folder)


def test_another_question_than_the_one_that_is_answered_is_refused(world: World) -> None:
    folder, moment = world.bundle(), world.ledger.entries[10].recorded_at
    for asked in (
        layout.Asked(run="r2"), layout.Asked(event="3"), layout.Asked(since=world.ledger.now), layout.Asked(until=moment)
    ):  # fmt: skip
        manifest = msgspec.structs.replace(manifest_of(folder), asked=asked)
        (folder / "bundle.json").write_bytes(manifest.to_bytes())
        with pytest.raises(BundleRefused, match="does not answer"):
            world.verify(folder)


def test_a_purge_of_something_else_is_no_purge_of_this(world: World) -> None:
    purge(world.ledger, place_of(world, "approval.signed", 1))
    world.seal()
    folder = world.bundle(asked=Asked(since=world.ledger.entries[-2].recorded_at))
    last = len(world.ledger.events) - 1
    assert isinstance(world.ledger.events[last], RecordPurged)
    relist(folder, lambda one: msgspec.structs.replace(one, why="purge") if one.position == last else one)
    with pytest.raises(BundleRefused, match="purges nothing here"):
        world.verify(folder)


def test_a_forged_signature_in_a_log_that_let_it_in_is_refused(world: World) -> None:
    event = world.ledger.write("infra", ToolStarted, call="c", tool="t", resource="r", digest=DIGEST, run="r1")
    entry = world.ledger.entries[-1]
    forged = entry.state[:-1] + bytes([entry.state[-1] ^ 1])
    world.ledger.entries[-1] = type(entry)(entry.position, entry.recorded_at, forged)
    world.seal()
    assert event.run == "r1"
    fails(world, bundle_unchecked(world), 3, entry.position)


def test_garbage_in_every_file_is_a_refusal_and_never_a_crash(world: World) -> None:
    folder, chance = world.bundle(payloads=True), random.Random(11)
    for name in files_of(manifest_of(folder), extends=False):
        file, data = folder / name, (folder / name).read_bytes()
        for _ in range(3):
            file.write_bytes(chance.randbytes(chance.randrange(1, 400)))
            with pytest.raises(Refused):
                world.verify(folder)
        file.write_bytes(data[: len(data) // 2])
        with pytest.raises(Refused):
            world.verify(folder)
        file.write_bytes(data)
