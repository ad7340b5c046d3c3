"""The table of what writes which files: every write by its name, as a run without faults makes it. `#` is what differs.

A write that is made and not listed, or listed and not made, fails `test_the_table_names_every_write`.
"""

from __future__ import annotations

TABLE: dict[str, str] = {
    "founding": """
        flush .trust.json.new, flush folder ., flush folder keys.new, flush keys.new/.epoch-#.key.new,
        flush keys.new/.log.key.new, flush keys.new/.root.seed.new, flush keys.new/.storage.key.new,
        flush keys.new/.trust.json.new, flush keys.new/.witness.key.new, mkdir keys.new, open .trust.json.new,
        open keys.new/.trust.json.new, rename to keys, rename to keys.new/epoch-#.key, rename to keys.new/log.key,
        rename to keys.new/root.seed, rename to keys.new/storage.key, rename to keys.new/trust.json,
        rename to keys.new/witness.key, rename to trust.json, unlink keys.new/.epoch-#.key.new,
        unlink keys.new/.log.key.new, unlink keys.new/.root.seed.new, unlink keys.new/.storage.key.new,
        unlink keys.new/.witness.key.new
    """,
    "puncturing": """
        flush folder keys, flush keys/storage.key (deleted), flush keys/storage.key.new, rename to
        keys/storage.key
    """,
    "renewing": """
        flush folder keys, flush keys/storage-#.kept.new, flush keys/storage.key (deleted), flush
        keys/storage.key.former.destroyed, flush keys/storage.key.new, rename to
        keys/storage-#.kept, rename to keys/storage.key, rename to keys/storage.key.former, rename
        to keys/storage.key.former.destroyed, unlink keys/storage-#.kept, unlink
        keys/storage-#.kept.boxes, unlink keys/storage.key.former.destroyed
    """,
    "shredding": """
        flush folder keys, flush keys/epoch-#.key.destroyed, rename to keys/epoch-#.key.destroyed,
        unlink keys/epoch-#.key.destroyed
    """,
    "registering": """
        flush folder keys, flush keys/.code-review.seed.new, flush keys/.lena.seed.new,
        rename to keys/code-review.seed, rename to keys/lena.seed, unlink keys/.code-review.seed.new,
        unlink keys/.lena.seed.new
    """,
    "rotating": """
        flush folder keys, flush keys/.code-review.seed.next.new, rename to keys/code-review.seed,
        rename to keys/code-review.seed.next, unlink keys/.code-review.seed.next.new
    """,
    "sealing": """
        flush folder log, flush folder log/checkpoints, flush folder log/tile, flush folder log/tile/#, flush
        folder log/tile/#/#.p, flush folder log/tile/entries, flush folder log/tile/entries/#.p, flush folder
        state, flush folder state/checkpoints, flush folder witness.test, flush folder
        witness.test/#.kept/checkpoints, flush log/.checkpoint.new, flush log/checkpoints/.#.new, flush
        log/tile/#/#.p/.#.new, flush log/tile/#/.#.new, flush log/tile/entries/#.p/.#.new, flush
        log/tile/entries/.#.new, flush state/.cosigned.new, flush state/.signed.json.new, flush
        state/.staged.new, flush state/checkpoints/.#.new, flush witness.test/#.kept/checkpoints/.#.new, flush
        witness.test/.#.new, mkdir log/tile/#, mkdir log/tile/#/#.p, mkdir log/tile/entries/#.p, mkdir state,
        mkdir witness.test, open log/.checkpoint.new, open log/checkpoints/.#.new, open log/tile/#/#.p/.#.new,
        open log/tile/#/.#.new, open log/tile/entries/#.p/.#.new, open log/tile/entries/.#.new, open
        state/.cosigned.new, open state/.signed.json.new, open state/.staged.new, open state/checkpoints/.#.new,
        open witness.test/#.kept/checkpoints/.#.new, open witness.test/.#.new, rename to log/checkpoint, rename
        to log/checkpoints/#, rename to log/tile/#/#, rename to log/tile/#/#.p/#, rename to log/tile/entries/#,
        rename to log/tile/entries/#.p/#, rename to state/checkpoints/#, rename to state/cosigned, rename to
        state/signed.json, rename to state/staged, rename to witness.test/#, rename to
        witness.test/#.kept/checkpoints/#, rmdir log/tile/#/#.p, rmdir log/tile/entries/#.p, unlink
        log/tile/#/#.p/#, unlink log/tile/entries/#.p/#, unlink state/staged
    """,
    "rebuilding": """
        flush folder ., flush folder log, flush folder log.aside-#, flush folder log.aside-#/tile, flush
        folder log.aside-#/tile/#, flush folder log.aside-#/tile/#/#.p, flush folder log.rebuilding,
        flush folder log.rebuilding/checkpoints, flush folder log.rebuilding/tile, flush folder
        log.rebuilding/tile/#, flush folder log.rebuilding/tile/#/#.p, flush folder
        log.rebuilding/tile/entries, flush folder log.rebuilding/tile/entries/#.p, flush folder
        log/tile, flush folder log/tile/#/#.p, flush folder log/tile/entries, flush folder
        log/tile/entries/#.p, flush log.rebuilding/.checkpoint.new, flush
        log.rebuilding/checkpoints/.#.new, flush log.rebuilding/tile/#/#.p/.#.new, flush
        log.rebuilding/tile/#/.#.new, flush log.rebuilding/tile/entries/#.p/.#.new, flush
        log.rebuilding/tile/entries/.#.new, mkdir log.aside-#, mkdir log.aside-#/tile, mkdir
        log.aside-#/tile/#, mkdir log.aside-#/tile/#/#.p, mkdir log.rebuilding, mkdir
        log.rebuilding/checkpoints, mkdir log.rebuilding/tile, mkdir log.rebuilding/tile/#, mkdir
        log.rebuilding/tile/#/#.p, mkdir log.rebuilding/tile/entries, mkdir
        log.rebuilding/tile/entries/#.p, mkdir log/tile/entries, mkdir log/tile/entries/#.p, mkdir
        memory/sealer, open log.rebuilding/.checkpoint.new, open log.rebuilding/checkpoints/.#.new, open
        log.rebuilding/tile/#/#.p/.#.new, open log.rebuilding/tile/#/.#.new, open
        log.rebuilding/tile/entries/#.p/.#.new, open log.rebuilding/tile/entries/.#.new, rename to
        log.aside-#/tile/#/#.p/#, rename to log.rebuilding/checkpoint, rename to
        log.rebuilding/checkpoints/#, rename to log.rebuilding/tile/#/#, rename to
        log.rebuilding/tile/#/#.p/#, rename to log.rebuilding/tile/entries/#, rename to
        log.rebuilding/tile/entries/#.p/#, rename to log/checkpoint, rename to log/tile/#/#.p/#, rename
        to log/tile/entries/#, rename to log/tile/entries/#.p/#, rmdir log.rebuilding
    """,
    "recording": """
        COMMIT, DELETE FROM chain, DELETE FROM message, DELETE FROM outbox, DELETE FROM refused, INSERT INTO
        chain, INSERT INTO key_news, INSERT INTO message, INSERT INTO outbox, INSERT INTO owner, INSERT OR
        IGNORE, UPDATE elsewhere SET, UPDATE inbox SET, make tables, mkdir spool
    """,
    "puttingback": """
        COMMIT, DELETE FROM chain, INSERT INTO chain, INSERT INTO outbox, VACUUM INTO ?, flush alice.db.again,
        flush folder ., mkdir ., rename to alice.db, unlink alice.db-shm, unlink alice.db-wal, unlink
        alice.db.again
    """,
    "salvaging": """
        make tables, mkdir ., rename to alice.db.damaged-#, rename to alice.db.told-#, rename to alice.db.told-#-shm,
        rename to alice.db.told-#-wal
    """,
    "seeing": """
        flush folder ., flush folder state, flush state/.seen.json.new, mkdir state, open state/.seen.json.new,
        rename to state/seen.json
    """,
    "exporting": """
        flush cursor.new, flush folder ., flush out, mkdir ., open cursor.new, open out, rename to cursor
    """,
    "bundling": """
        mkdir ., mkdir .bundle.new, mkdir .bundle.new/events, mkdir .bundle.new/payloads,
        open .bundle.new/bundle.json, open .bundle.new/checkpoint, open .bundle.new/events/#.entry,
        open .bundle.new/events/#.tlog-proof, open .bundle.new/payloads/#, open .bundle.new/policy,
        open .bundle.new/trust.json, rename to bundle
    """,
}

STATEMENTS = "tests/faults/test_statements.py"
RETENTION = "tests/retention/test_crashes.py"
PURGE = "tests/end_to_end/test_purge.py"
NOTIFY = "tests/end_to_end/test_notify.py"

WHO_TESTS: dict[str, str] = {
    "core/tenuto/adapters/keyfiles.py": "founding",
    "core/tenuto/adapters/keptleaves.py": "renewing",
    "core/tenuto/adapters/keyrenewal.py": "renewing",
    "core/tenuto/adapters/keytreefile.py": "puncturing",
    "core/tenuto/adapters/partitions.py": RETENTION,
    "core/tenuto/adapters/postgres.py": STATEMENTS,
    "core/tenuto/adapters/shredding.py": PURGE,
    "core/tenuto/archive/reading.py": PURGE,
    "core/tenuto/archive/writing.py": RETENTION,
    "core/tenuto/cli/kafka.py": "(a password is staged, given to the broker, and renamed, as a key is by `rotating`)",
    "core/tenuto/cli/up.py": "(makes the key files that `registering` makes)",
    "core/tenuto/delivery.py": "tests/faults/test_publishing.py",
    "core/tenuto/drain.py": "tests/faults/test_publishing.py",
    "core/tenuto/embedded/child.py": "(the embedded parts' own files; nothing of the ledger is in them)",
    "core/tenuto/embedded/postgres.py": "(the embedded parts' own files; nothing of the ledger is in them)",
    "core/tenuto/epochs.py": "shredding",
    "core/tenuto/founding.py": "founding",
    "core/tenuto/ingest.py": "tests/faults/test_append.py",
    "core/tenuto/log/durable.py": "sealing",
    "core/tenuto/log/tiles.py": "sealing",
    "core/tenuto/log/witness.py": "sealing",
    "core/tenuto/migrating.py": "(one transaction, by alembic)",
    "core/tenuto/rebuilding.py": "rebuilding",
    "core/tenuto/registering.py": "registering",
    "core/tenuto/retention.py": RETENTION,
    "core/tenuto/salvage.py": "salvaging",
    "core/tenuto/sealing.py": "sealing",
    "core/tenuto/spool.py": "recording",
    "core/tenuto/spoolfile.py": "puttingback",
    "core/tenuto/supervising.py": "(addresses, written anew at every start)",
    "core/tenuto/trust.py": "founding",
    "projections/tenuto_projections/bundling.py": "bundling",
    "projections/tenuto_projections/notify/notifying.py": NOTIFY,
    "projections/tenuto_projections/notify/outbox.py": NOTIFY,
    "projections/tenuto_projections/projection.py": STATEMENTS,
    "projections/tenuto_projections/replay/state.py": "(a database in memory, gone with the command)",
    "projections/tenuto_projections/siem/cursor.py": "exporting",
    "projections/tenuto_projections/siem/sinks.py": "exporting",
    "projections/tenuto_projections/verifying.py": "seeing",
}
"""Which module writes, and which work or file has its fault table; in brackets, why it has none."""
