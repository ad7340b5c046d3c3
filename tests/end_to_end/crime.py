"""Somebody with every right on the database and on the files: what such a person can do to a log that ran.

Each test finds the tables as the demonstration left them, and a copy of the published files of its own. The keys are
those of the demonstration; which of them the criminal has is said by the test.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, LiteralString

import msgspec
import psycopg
import pytest
from tenuto import header as headers
from tenuto.adapters import keyfiles
from tenuto.addresses import DATABASE
from tenuto.clock import micros, new_uuid7
from tenuto.embedded import EmbeddedPostgres
from tenuto.envelope import split_state
from tenuto.events import Event
from tenuto.founding import witness_name
from tenuto.ledger import SessionHead, entry_bytes
from tenuto.log.checkpoint import Checkpoint, sign_checkpoint
from tenuto.log.merkle import Frontier, leaf_hash
from tenuto.log.note import Cosigner
from tenuto.log.tiles import TileFolder
from tenuto.settings import Settings
from tenuto.signing import SeedSigner, sign_header
from tenuto.trust import Trust
from tenuto.verification import VerificationFailed, Verified
from tenuto.wiring import open_follower, open_reader, open_tile_follower, open_trust
from tenuto_projections.verifying import walk_log
from tenuto_projections.walked import Walked

from tests.end_to_end.tampering import compare

STRANGER = SeedSigner("code-review", bytes(range(1, 33)))
AWAY = 900_000  # a place where no event is
TABLES = ("entry", "payload", "log_head", "session_head")


class Plant:
    """The server with the log as the demonstration left it, and what every event says."""

    def __init__(self, home: Path, server: EmbeddedPostgres) -> None:
        self.home, self.url = home, server.url_of(DATABASE)
        self.events: Sequence[Verified] = open_follower(Settings(home=home, database_url=self.url)).catch_up()
        kept = "".join(f"CREATE TABLE kept.{table} AS TABLE ledger.{table};" for table in TABLES)
        self.script("CREATE SCHEMA kept;" + kept)

    def script(self, script: str) -> None:
        """Run several statements as the database's owner."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(script.encode())

    def place(self, kind: str, author: str | None = None, *, payload: bool | None = None) -> int:
        """Position of the first event of a kind."""
        return next(
            one.position for one in self.events
            if one.event.kind == kind and author in (None, one.event.author) and payload in (None, one.event.has_payload)
        )  # fmt: skip

    def last_of(self, author: str) -> Verified:
        """The last event of an author."""
        return [one for one in self.events if one.event.author == author][-1]

    def world(self, folder: Path, case: str) -> World:
        """The tables as they were, and a copy of the published files; `case` is the crime that will be done."""
        for name in ("log", "keys"):
            shutil.copytree(self.home / name, folder / name)
        shutil.copy(self.home / "trust.json", folder)
        back = "".join(f"DELETE FROM ledger.{table}; INSERT INTO ledger.{table} TABLE kept.{table};" for table in TABLES)
        self.script(f"BEGIN; {back} COMMIT")
        return World(self, Settings(home=folder, database_url=self.url), case)


@dataclass
class World:
    """One copy, to be tampered with and verified."""

    plant: Plant
    settings: Settings
    case: str

    @property
    def trust(self) -> Trust:
        return open_trust(self.settings)

    @property
    def checkpoint(self) -> Path:
        return self.settings.tiles / "checkpoint"

    def sql(self, statement: LiteralString, *values: Any) -> None:
        """Run one statement as the database's owner; it must have done something."""
        with psycopg.connect(self.settings.database_url or "", autocommit=True) as connection:
            assert connection.execute(statement, values).rowcount > 0, f"nothing was changed by: {statement}"

    def verify(self) -> bool:
        """What `tenuto verify` does."""
        with closing(open_reader(self.settings)) as live:
            walked = Walked(self.trust, opens_payloads=True)
            seen = self.settings.state / "verify"
            return walk_log(open_follower(self.settings, payloads=True), walked, seen, TileFolder(self.settings.tiles), live)

    def verify_files(self) -> bool:
        """What `tenuto verify --log` does: no database."""
        tiles, walked = self.settings.tiles, Walked(self.trust, opens_payloads=False)
        follower = open_tile_follower(tiles, self.trust, self.settings)
        return walk_log(follower, walked, self.settings.state / "verify", TileFolder(tiles))

    def fails(self, step: int, position: int | None = None, sentence: str = "", *, files: bool = False) -> None:
        """Verification names this step and this position."""
        with pytest.raises(VerificationFailed) as caught:
            self.verify_files() if files else self.verify()
        assert (caught.value.step, caught.value.position) == (step, position), str(caught.value)
        assert sentence in str(caught.value)
        compare(self.case, caught.value, self.settings.home, files=files)

    def set_state(self, position: int, state: bytes) -> None:
        """Replace the stored bytes of an event and nothing else."""
        self.sql("UPDATE ledger.entry SET state = %s WHERE notification_id = %s", state, position + 1)

    def rewrite_derived(self, size: int) -> None:
        """Make leaf hashes, head row and session heads those of the first `size` events as they are stored now."""
        with closing(open_reader(self.settings)) as reader:
            entries = reader.read(0, size)
        leaves = [leaf_hash(entry.entry) for entry in entries]
        heads: dict[Any, SessionHead] = {}
        for entry in entries:
            header = split_state(entry.state)[0]
            event = headers.decode(header)
            heads[event.session] = SessionHead(event.seq, headers.header_hash(header), event.author)
        frontier = Frontier().extend(leaves)
        with psycopg.connect(self.settings.database_url or "", autocommit=True) as connection:
            for entry, leaf in zip(entries, leaves, strict=True):
                place = (leaf, entry.position + 1)
                connection.execute("UPDATE ledger.entry SET leaf_hash = %s WHERE notification_id = %s", place)
            row = (size, frontier.to_bytes())
            connection.execute("UPDATE ledger.log_head SET tree_size = %s, frontier = %s", row)
            connection.execute("DELETE FROM ledger.session_head")
            for session, head in heads.items():
                values = (session, head.author, head.seq, bytes.fromhex(head.header_hash))
                connection.execute("INSERT INTO ledger.session_head VALUES (%s, %s, %s, %s)", values)

    def drop_from(self, position: int) -> None:
        """Delete every event from `position` on, with its payload."""
        self.sql("DELETE FROM ledger.entry WHERE notification_id > %s", position)
        self.sql("DELETE FROM ledger.payload WHERE notification_id > %s", position)

    def insert(self, position: int, event: Event, signer: SeedSigner) -> None:
        """Put a signed event at a place in the database, with a right leaf hash, beside nothing else."""
        header = headers.encode(event)
        state, moment = header + sign_header(signer, header), self.plant.events[-1].recorded_at
        leaf = leaf_hash(entry_bytes(micros(moment), state))
        self.sql(
            "INSERT INTO ledger.entry (originator_id, originator_version, topic, state, notification_id, recorded_at,"
            " leaf_hash) VALUES (%s, %s, %s, %s, %s, %s, %s)",
            event.session, event.seq, event.kind, state, position + 1, moment, leaf,
        )  # fmt: skip

    def make_room(self, position: int) -> None:
        """Move every event from `position` on one place further, so that there is room for another."""
        for table in ("entry", "payload"):
            self.script(
                f"CREATE TEMP TABLE moved AS SELECT * FROM ledger.{table} WHERE notification_id > {position};"
                f"DELETE FROM ledger.{table} WHERE notification_id > {position};"
                "UPDATE moved SET notification_id = notification_id + 1;"
                f"INSERT INTO ledger.{table} SELECT * FROM moved; DROP TABLE moved;"
            )

    def script(self, script: str) -> None:
        """Run several statements as the database's owner."""
        self.plant.script(script)

    def swap(self, one: int, other: int) -> None:
        """Let two events change places, the times of the places staying what they were."""
        moved = ((one, AWAY), (other, one), (AWAY, other))
        places = "".join(
            f"UPDATE ledger.entry SET notification_id = {end + 1} WHERE notification_id = {start + 1};" for start, end in moved
        )
        times = "".join(
            f"UPDATE ledger.entry SET recorded_at = '{self.plant.events[place].recorded_at}' WHERE notification_id = {place + 1};"
            for place in (one, other)
        )
        self.script(places + times)

    def swap_payloads(self, one: int, other: int) -> None:
        """Let what lies beside two events change places."""
        moved = ((one, AWAY), (other, one), (AWAY, other))
        self.script("".join(
            f"UPDATE ledger.payload SET notification_id = {end + 1} WHERE notification_id = {start + 1};" for start, end in moved
        ))  # fmt: skip

    def older_checkpoint(self, size: int) -> bytes:
        """The note that this log signed when it had `size` events; the log key is asked once more, as it never changes."""
        signer = keyfiles.load_log_signer(self.settings.keys, self.trust.origin)
        return sign_checkpoint(Checkpoint(self.trust.origin, size, self.root(size)), signer)

    def rewrite_with_all_keys(self, position: int) -> None:
        """Let the author of one event say something else, and the log and its witness sign the tree over that."""
        was = self.plant.events[position]
        signer = keyfiles.load_signer(self.settings.keys, was.event.author)
        header = headers.encode(msgspec.structs.replace(was.event, refs=("R1",)))
        self.set_state(position, header + sign_header(signer, header))
        later = [one for one in self.plant.events[position + 1 :] if one.event.session == was.event.session]
        for one in later:
            after = headers.encode(msgspec.structs.replace(one.event, prev=headers.header_hash(header)))
            self.set_state(one.position, after + sign_header(signer, after))
            header = after
        self.rewrite_derived(len(self.plant.events))
        with closing(open_reader(self.settings)) as reader:
            entries = [entry.entry for entry in reader.read(0, len(self.plant.events))]
        shutil.rmtree(self.settings.tiles / "tile")
        tiles = TileFolder(self.settings.tiles)
        tiles.apply(tiles.extension(0, entries))
        root = Frontier().extend([leaf_hash(entry) for entry in entries]).root()
        log = keyfiles.load_log_signer(self.settings.keys, self.trust.origin)
        self.checkpoint.write_bytes(self.cosign(sign_checkpoint(Checkpoint(self.trust.origin, len(entries), root), log)))

    def root(self, size: int) -> bytes:
        """The root over the first `size` events as they were."""
        return Frontier().extend([one.leaf for one in self.plant.events[:size]]).root()

    def cosign(self, note: bytes) -> bytes:
        """Add the cosignature of the demonstration's witness."""
        cosigner = Cosigner(witness_name(self.trust.origin), keyfiles.load_key(self.settings.keys, keyfiles.WITNESS_KEY))
        return note + cosigner.cosign(note.partition(b"\n\n")[0] + b"\n", 1_790_000_000)


def flipped(data: bytes, place: int) -> bytes:
    """The same bytes with one bit changed."""
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


def forged(like: Event, after: Verified, signer: SeedSigner, **fields: Any) -> Event:
    """An event like another, continuing the session of `after`, as somebody would write it who has another key."""
    changes = {
        "author": after.event.author, "session": after.event.session, "seq": after.event.seq + 1,
        "prev": after.header_hash, "key_id": signer.key_id, "id": new_uuid7(), "cause": (),
    }  # fmt: skip
    return msgspec.structs.replace(like, **(changes | fields))
