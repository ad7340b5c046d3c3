"""The read model of the red team's exercises, and of the work that names controls."""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE read_model.exercise (
    exercise text NOT NULL,
    scenario text NOT NULL,
    verdict text NOT NULL,
    refs text NOT NULL,
    held text NOT NULL,
    evidence text NOT NULL,
    at timestamptz NOT NULL,
    position bigint NOT NULL,
    milliseconds bigint NOT NULL,
    PRIMARY KEY (exercise)
);
CREATE INDEX exercise_scenario ON read_model.exercise (scenario, position);

CREATE TABLE read_model.threat_work (
    ref text NOT NULL,
    events bigint NOT NULL,
    at timestamptz NOT NULL,
    position bigint NOT NULL,
    kind text NOT NULL,
    PRIMARY KEY (ref)
);
"""

NAMES = ("exercise", "threat_work")


def upgrade() -> None:
    """Create the tables and give the roles of migration 0001 the rights that they have on the others."""
    op.execute(TABLES)
    for name in NAMES:
        op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON read_model.{name} TO tenuto_projector")
        op.execute(f"GRANT SELECT ON read_model.{name} TO tenuto_console, tenuto_reader")
