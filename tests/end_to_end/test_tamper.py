"""Whatever is changed in the database or in the published files of a log that ran, `tenuto verify` finds it, and says where.

The criminal is the database's owner, a superuser; in the later tests he has keys of the log as well.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import psycopg
import pytest
from tenuto import header as headers
from tenuto.addresses import DATABASE
from tenuto.clock import new_uuid7
from tenuto.embedded import EmbeddedPostgres
from tenuto.events import Event
from tenuto.log.tiles import join_bundle, split_bundle
from tenuto.signing import sign_header
from tenuto.wiring import open_reader
from tenuto_projections import verifying

from tests.end_to_end.conftest import Demonstrated, copy_of, tenuto
from tests.end_to_end.crime import STRANGER, Plant, World, flipped, forged
from tests.end_to_end.tampering import case_of


@pytest.fixture(scope="module")
def plant(demonstrated: Demonstrated, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    home = copy_of(demonstrated.copy, tmp_path_factory.mktemp("crime") / "home")
    with EmbeddedPostgres(home / "postgres", durable=False) as server:
        yield Plant(home, server)


@pytest.fixture
def world(plant: Plant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> World:
    monkeypatch.setattr(verifying, "COSIGNATURE_SECONDS_MAX", 0.0)  # nobody will cosign here any more
    return plant.world(tmp_path, case_of(request.node.name))


def test_the_log_as_it_was_left_verifies_twice_and_as_files(world: World) -> None:
    assert world.verify()
    assert world.verify()
    assert world.verify_files()


# The rows of events.


def test_a_changed_word_in_a_header(world: World, plant: Plant) -> None:
    place = plant.place("decision.made")
    state = plant.events[place].header + plant.events[place].signature
    world.set_state(place, state.replace(b'"verdict":"approve"', b'"verdict":"comment"'))
    world.fails(3, place)


def test_a_header_that_is_no_header_any_more(world: World, plant: Plant) -> None:
    place = plant.place("decision.made")
    world.set_state(place, flipped(plant.events[place].header + plant.events[place].signature, 0))
    world.fails(1, place)


@pytest.mark.parametrize("byte", [-1, -33, -64])
def test_one_bit_of_a_signature(world: World, plant: Plant, byte: int) -> None:
    place = plant.place("tool.started")
    state = plant.events[place].header + plant.events[place].signature
    world.set_state(place, flipped(state, len(state) + byte))
    world.fails(3, place)


@pytest.mark.parametrize(
    ("assignment", "said"),
    [
        ("leaf_hash = set_byte(leaf_hash, 0, 255 - get_byte(leaf_hash, 0))", "leaf hash"),
        ("topic = 'tool.finished'", "kind"),
        ("originator_id = gen_random_uuid()", "session"),
        ("originator_version = originator_version + 1000", "sequence number"),
    ],
)
def test_a_column_that_only_repeats_what_the_event_says(world: World, plant: Plant, assignment: str, said: str) -> None:
    place = plant.place("tool.started")
    world.script(f"UPDATE ledger.entry SET {assignment} WHERE notification_id = {place + 1}")
    world.fails(6, place, said)


def test_a_time_that_the_ledger_never_stamped(world: World, plant: Plant) -> None:
    place = len(plant.events) - 1
    world.script(f"UPDATE ledger.entry SET recorded_at = recorded_at + '1 us' WHERE notification_id = {place + 1}")
    world.fails(6, place, "published tiles")


def test_a_time_before_that_of_the_event_before(world: World, plant: Plant) -> None:
    place = plant.place("run.finished")
    world.script(f"UPDATE ledger.entry SET recorded_at = recorded_at - '1 day'::interval WHERE notification_id = {place + 1}")
    world.fails(6, place, "runs back")


def test_two_neighbours_that_changed_places(world: World, plant: Plant) -> None:
    place = plant.place("tool.requested")
    assert plant.events[place].event.session == plant.events[place + 1].event.session
    world.swap(place, place + 1)
    world.rewrite_derived(len(plant.events))
    world.fails(4, place)


def test_two_events_of_different_authors_that_changed_places(world: World, plant: Plant) -> None:
    """Each chain is unbroken and each signature holds: only the tree says in which order they came."""
    place = next(
        one.position
        for one, other in zip(plant.events[20:], plant.events[21:], strict=False)
        if one.event.session != other.event.session and not one.event.has_payload and not other.event.has_payload
    )
    world.swap(place, place + 1)
    world.rewrite_derived(len(plant.events))
    world.fails(6, place, "published tiles")


def test_an_event_that_is_gone_from_the_middle(world: World, plant: Plant) -> None:
    place = plant.place("policy.decided")
    world.script(f"DELETE FROM ledger.entry WHERE notification_id = {place + 1}")
    world.fails(6, place, f"position {place} is missing")


def test_a_tail_that_is_gone(world: World, plant: Plant) -> None:
    world.drop_from(50)
    world.fails(6, 50, f"signed {len(plant.events)} events, the ledger ends after 50")


def test_a_tail_that_is_gone_with_every_trace_in_the_database(world: World, plant: Plant) -> None:
    """As after restoring an old backup: the database agrees with itself, but the log has signed more."""
    world.drop_from(50)
    world.rewrite_derived(50)
    world.fails(6, 50, f"signed {len(plant.events)} events")


# What lies beside events.


@pytest.mark.parametrize("column", ["body", "nonce", "wrapped_key"])
def test_one_bit_of_a_payload(world: World, plant: Plant, column: str) -> None:
    place = plant.place("decision.made")
    world.script(
        f"UPDATE ledger.payload SET {column} = set_byte({column}, 5, get_byte({column}, 5) # 1)"
        f" WHERE notification_id = {place + 1}"
    )
    world.fails(5, place)


def test_a_payload_that_is_gone_without_a_purge(world: World, plant: Plant) -> None:
    place = plant.place("approval.signed")
    world.sql("DELETE FROM ledger.payload WHERE notification_id = %s", place + 1)
    world.fails(5, place, "no purge is on record")


def test_two_payloads_that_changed_places(world: World, plant: Plant) -> None:
    one, other = plant.place("decision.made"), plant.place("approval.signed")
    world.swap_payloads(one, other)
    world.fails(5, one)


@pytest.mark.parametrize("beyond", [False, True])
def test_a_payload_beside_an_event_that_has_none_or_beside_no_event(world: World, plant: Plant, beyond: bool) -> None:
    place = len(plant.events) + 7 if beyond else plant.place("tool.started", payload=False)
    world.sql("INSERT INTO ledger.payload VALUES (%s, '\\x00', '\\x00', '\\x00')", place + 1)
    world.fails(5, None if beyond else place)


# Forged events.


@pytest.fixture
def forgery(plant: Plant) -> Event:
    """A stranger says that the run ended well once more, in the name of an agent and at the right place of its session."""
    return forged(plant.events[plant.place("run.finished")].event, plant.last_of("deployment"), STRANGER)


def test_an_event_signed_by_a_stranger_at_the_end_with_everything_made_to_fit(
    world: World, plant: Plant, forgery: Event
) -> None:
    size = len(plant.events)
    world.insert(size, forgery, STRANGER)
    world.rewrite_derived(size + 1)
    world.fails(2, size, "No key")


def test_an_event_signed_by_a_stranger_in_the_name_of_a_known_key(world: World, plant: Plant, forgery: Event) -> None:
    size, key = len(plant.events), plant.last_of("deployment").key.key_id
    world.insert(size, msgspec.structs.replace(forgery, key_id=key), STRANGER)
    world.rewrite_derived(size + 1)
    world.fails(3, size)


def test_an_event_behind_the_last_one_that_is_counted(world: World, plant: Plant, forgery: Event) -> None:
    """Nobody reads it, but it would stop ingest at the next event."""
    world.insert(len(plant.events), forgery, STRANGER)
    world.fails(6, len(plant.events), "behind the last one")


def test_an_event_between_two_others(world: World, plant: Plant) -> None:
    place = plant.place("approval.requested")
    opened = plant.events[plant.place("session.opened", "code-review")].event
    session = msgspec.structs.replace(opened, session=new_uuid7(), id=new_uuid7(), key_id=STRANGER.key_id)
    world.make_room(place)
    world.insert(place, session, STRANGER)
    world.script(
        f"UPDATE ledger.entry SET recorded_at = '{plant.events[place].recorded_at}' WHERE notification_id = {place + 1}"
    )
    world.rewrite_derived(len(plant.events) + 1)
    world.fails(2, place)


def test_another_public_key_under_the_name_of_an_agent(world: World, plant: Plant) -> None:
    place = plant.place("key.registered")
    event = plant.events[place].event
    swapped = {"subject_key_id": STRANGER.key_id, "public_key": STRANGER.public_key.hex()}
    header = headers.encode(msgspec.structs.replace(event, **swapped))
    for signature in (plant.events[place].signature, sign_header(STRANGER, header)):
        world.set_state(place, header + signature)
        world.fails(3, place)


# Rows that are derived from the events.


@pytest.mark.parametrize(
    ("assignment", "position"),
    [
        ("tree_size = tree_size + 1", "size"),
        ("tree_size = tree_size - 1", None),
        ("frontier = set_byte(frontier, 9, get_byte(frontier, 9) # 1)", None),
        ("frontier = ''", None),
        ("tree_size = 0, frontier = ''", None),
    ],
)
def test_a_head_row_that_counts_or_folds_otherwise(
    world: World, plant: Plant, assignment: str, position: str | None
) -> None:
    world.script(f"UPDATE ledger.log_head SET {assignment}")
    world.fails(6, len(plant.events) if position else None, "head row")


@pytest.mark.parametrize("shift", ["+ '1 us'::interval", "- '1 us'::interval", "+ '10 years'::interval"])
def test_a_head_row_with_another_time(world: World, plant: Plant, shift: str) -> None:
    """From which later events would get a time that nobody's clock has shown."""
    world.script(f"UPDATE ledger.log_head SET recorded_at = recorded_at {shift}")
    world.fails(6, len(plant.events) - 1, "time in the head row")


def test_a_head_row_of_an_older_day(world: World) -> None:
    """The one from which the sealer would go on as if the rest had never been."""
    with closing(open_reader(world.settings)) as reader:
        now = reader.head()
    world.rewrite_derived(40)
    world.script("DELETE FROM ledger.session_head")
    with closing(open_reader(world.settings)) as reader:
        assert reader.head() != now
    world.fails(6, None, "head row")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger.session_head SET last_seq = last_seq + 1 WHERE author = 'deployment'",
        "UPDATE ledger.session_head SET last_seq = last_seq - 1 WHERE author = 'deployment'",
        "UPDATE ledger.session_head SET author = 'pipeline' WHERE author = 'deployment'",
        "UPDATE ledger.session_head SET last_header_hash = sha256('x') WHERE author = 'deployment'",
        "DELETE FROM ledger.session_head WHERE author = 'deployment'",
        "INSERT INTO ledger.session_head VALUES (gen_random_uuid(), 'deployment', 3, sha256('x'))",
    ],
)
def test_a_session_head_that_is_not_that_of_the_last_event(world: World, statement: str) -> None:
    world.script(statement)
    world.fails(4, None, "stored head of session")


# The checkpoint.


def test_one_bit_of_the_checkpoint(world: World) -> None:
    note = world.checkpoint.read_bytes()
    for start in (0, note.index(b"\n\n") - 9, note.index("— ".encode()) + 60):
        place = next(place for place in range(start, len(note)) if chr(note[place] ^ 1).isalnum())  # base64 still
        world.checkpoint.write_bytes(flipped(note, place))
        world.fails(7)


def test_a_checkpoint_of_an_older_day_after_a_newer_one_was_seen(world: World) -> None:
    assert world.verify()
    world.checkpoint.write_bytes(world.cosign(world.older_checkpoint(40)))
    world.fails(9, None, "only 40 are now")
    world.fails(9, None, "only 40 are now", files=True)


def test_an_older_checkpoint_that_was_never_surpassed_here_leaves_the_rest_unsigned(
    world: World, capsys: pytest.CaptureFixture[str], plant: Plant
) -> None:
    """Not a crime that anybody could see from here: so it stood that day, and the rest is said to be unsigned."""
    world.checkpoint.write_bytes(world.cosign(world.older_checkpoint(40)))
    assert world.verify()
    assert f'"unsigned":{len(plant.events) - 40}' in capsys.readouterr().out


def test_a_checkpoint_that_is_gone_after_it_was_seen(world: World) -> None:
    assert world.verify()
    world.checkpoint.unlink()
    world.fails(9)


def test_a_checkpoint_without_its_cosignature(world: World) -> None:
    note = world.checkpoint.read_bytes()
    world.checkpoint.write_bytes(b"".join(note.splitlines(keepends=True)[:-1]))
    world.fails(8)
    world.fails(8, files=True)


def test_a_history_that_was_cut_by_somebody_who_has_the_log_key_but_not_the_witness(world: World) -> None:
    world.drop_from(50)
    world.rewrite_derived(50)
    shutil.rmtree(world.settings.tiles / "tile")
    world.checkpoint.write_bytes(world.older_checkpoint(50))
    world.fails(8)


def test_a_history_that_was_rewritten_by_everybody_together_is_found_by_whoever_saw_the_first(
    world: World, plant: Plant
) -> None:
    """Log key, witness key and an agent's own key: only a checkpoint that was kept elsewhere still contradicts it."""
    assert world.verify()
    world.rewrite_with_all_keys(plant.place("run.finished"))
    world.fails(9, None, "not those of the checkpoint seen before")


def test_a_damaged_memory_of_what_was_seen(world: World) -> None:
    assert world.verify()
    (world.settings.state / "verify" / "seen.json").write_bytes(b"{}")
    world.fails(9, None, "damaged")


# The published files.


def test_one_bit_of_a_tile(world: World) -> None:
    for tile in sorted((world.settings.tiles / "tile" / "0").rglob("*")):
        if tile.is_file():
            tile.write_bytes(flipped(tile.read_bytes(), 40))
    world.fails(6, None, "tile/0", files=True)
    world.fails(6, None, "tile/0")


def test_one_bit_of_an_entry_bundle(world: World, plant: Plant) -> None:
    """As in the database: the signature inside fails, at its position."""
    place = plant.place("tool.finished")
    for bundle in sorted((world.settings.tiles / "tile" / "entries").rglob("*")):
        if bundle.is_file():
            entries = split_bundle("bundle", bundle.read_bytes())
            if len(entries) > place:
                entries[place] = flipped(entries[place], len(entries[place]) - 1)
                bundle.write_bytes(join_bundle(entries))
    world.fails(3, place, files=True)
    world.fails(6, None, "published files")


def test_a_bundle_that_was_cut_or_is_gone(world: World) -> None:
    bundles = [path for path in sorted((world.settings.tiles / "tile" / "entries").rglob("*")) if path.is_file()]
    for bundle in bundles:
        bundle.write_bytes(bundle.read_bytes()[:-1])
    world.fails(6, 0, "ends inside", files=True)
    for bundle in bundles:
        bundle.unlink()
    world.fails(6, 0, "not in the log folder", files=True)


# The command itself.


def test_the_command_ends_with_3_and_names_step_and_position(
    demonstrated: Demonstrated, plant: Plant, tmp_path: Path
) -> None:
    home, place = copy_of(demonstrated.copy, tmp_path / "home"), plant.place("decision.made")
    sound = tenuto(home, "verify")
    assert (sound.returncode, sound.stderr) == (0, "")
    with EmbeddedPostgres(home / "postgres") as server, psycopg.connect(server.url_of(DATABASE)) as connection:
        connection.execute("DELETE FROM ledger.payload WHERE notification_id = %s", (place + 1,))
    broken = tenuto(home, "verify")
    assert (broken.returncode, broken.stdout) == (3, "")
    assert "Step 5" in broken.stderr
    assert f"position {place}" in broken.stderr
    assert f"Still good: the {place} events before it" in broken.stderr
    assert "Traceback" not in broken.stderr
    (home / "log" / "checkpoint").write_bytes(b"rubbish\n")
    offline = tenuto(home, "verify", "--log", str(home / "log"))
    assert offline.returncode == 3
    assert "Step 7" in offline.stderr
