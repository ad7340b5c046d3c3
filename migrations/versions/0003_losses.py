"""The read model of what did not get on record, or only late."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TABLE = """
CREATE TABLE read_model.loss (
    position bigint NOT NULL,
    recorded_at timestamptz NOT NULL,
    author text NOT NULL,
    kind text NOT NULL,
    session text,
    first_seq bigint,
    last_seq bigint,
    events bigint,
    since timestamptz,
    until timestamptz,
    why text,
    PRIMARY KEY (position)
);
GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON read_model.loss TO tenuto_projector;
GRANT SELECT ON read_model.loss TO tenuto_console, tenuto_reader;
"""


def upgrade() -> None:
    """Create the table."""
    op.execute(TABLE)
