"""The ledger's tables and the roles that may touch them.

Roles are the database's half of "one door in": ingest may insert entries, nobody may change or remove one, and every
other process reads. What the owner or a superuser does in spite of that, verification finds.
"""

from __future__ import annotations

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

PARTITION_LEAVES = 2**20
PARTITIONS = 16

ROLES = ("tenuto_ingest", "tenuto_reader", "tenuto_projector", "tenuto_console")

TABLES = """
CREATE SCHEMA ledger;

CREATE TABLE ledger.log_head (
    id int PRIMARY KEY CHECK (id = 1),
    tree_size bigint NOT NULL,
    frontier bytea NOT NULL,
    recorded_at timestamptz NOT NULL
) WITH (fillfactor = 20);
INSERT INTO ledger.log_head VALUES (1, 0, '', '1970-01-01T00:00:00Z');

CREATE TABLE ledger.entry (
    notification_id bigint NOT NULL CHECK (notification_id > 0),
    originator_id uuid NOT NULL,
    originator_version bigint NOT NULL,
    topic text NOT NULL,
    state bytea NOT NULL,
    recorded_at timestamptz NOT NULL,
    leaf_hash bytea NOT NULL,
    PRIMARY KEY (notification_id)
) PARTITION BY RANGE (notification_id);
CREATE INDEX ON ledger.entry (topic, notification_id);

CREATE TABLE ledger.payload (
    notification_id bigint NOT NULL,
    wrapped_key bytea NOT NULL,
    nonce bytea NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (notification_id)
) PARTITION BY RANGE (notification_id);
ALTER TABLE ledger.payload ALTER COLUMN body SET STORAGE EXTERNAL;

CREATE TABLE ledger.session_head (
    session_id uuid PRIMARY KEY,
    author text NOT NULL,
    last_seq bigint NOT NULL,
    last_header_hash bytea NOT NULL
);

CREATE TABLE ledger.tracking (
    application_name text PRIMARY KEY,
    notification_id bigint NOT NULL
);

CREATE TABLE ledger.parked (
    session_id uuid NOT NULL,
    seq bigint NOT NULL,
    record bytea NOT NULL,
    topic text NOT NULL,
    partition int NOT NULL,
    record_offset bigint NOT NULL,
    parked_at timestamptz NOT NULL,
    PRIMARY KEY (session_id, seq)
);
"""

GRANTS = """
GRANT USAGE ON SCHEMA ledger TO tenuto_ingest, tenuto_reader, tenuto_projector, tenuto_console;
GRANT SELECT ON ALL TABLES IN SCHEMA ledger TO tenuto_ingest, tenuto_reader;
GRANT SELECT ON ledger.entry, ledger.payload, ledger.log_head, ledger.session_head TO tenuto_projector, tenuto_console;
GRANT INSERT ON ledger.entry, ledger.payload TO tenuto_ingest;
GRANT INSERT, UPDATE ON ledger.session_head, ledger.tracking TO tenuto_ingest;
GRANT UPDATE ON ledger.log_head TO tenuto_ingest;
GRANT INSERT, DELETE ON ledger.parked TO tenuto_ingest;
"""


def upgrade() -> None:
    """Create tables, the first sixteen partitions (16.8 million events) and the roles."""
    for role in ROLES:
        op.execute(
            f"DO $$ BEGIN IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = '{role}')"
            f" THEN CREATE ROLE {role} LOGIN; END IF; END $$"
        )
    op.execute(TABLES)
    for table in ("entry", "payload"):
        for number in range(PARTITIONS):
            low, high = number * PARTITION_LEAVES + 1, (number + 1) * PARTITION_LEAVES + 1
            op.execute(
                f"CREATE TABLE ledger.{table}_{number:05d} PARTITION OF ledger.{table} FOR VALUES FROM ({low}) TO ({high})"
            )
    for number in range(PARTITIONS):
        op.execute(f"CREATE UNIQUE INDEX ON ledger.entry_{number:05d} (originator_id, originator_version)")
    op.execute(GRANTS)
