"""The read model of reviewing: pieces, coverage, assignments, what waits, and who has room."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE read_model.review_pieces (
    approval text NOT NULL,
    pieces text NOT NULL,
    fault text NOT NULL,
    PRIMARY KEY (approval)
);

CREATE TABLE read_model.review_coverage (
    approval text NOT NULL,
    reviewer text NOT NULL,
    digest text NOT NULL,
    milliseconds text NOT NULL,
    missing int NOT NULL,
    sentence text NOT NULL,
    PRIMARY KEY (approval, reviewer)
);

CREATE TABLE read_model.review_assignment (
    position bigint NOT NULL,
    approval text NOT NULL,
    reviewer text NOT NULL,
    why text NOT NULL,
    at timestamptz NOT NULL,
    live boolean NOT NULL,
    sentence text,
    PRIMARY KEY (position)
);
CREATE INDEX review_assignment_live ON read_model.review_assignment (live, position);

CREATE TABLE read_model.review_waiting (
    approval text NOT NULL,
    until timestamptz,
    sentence text NOT NULL,
    PRIMARY KEY (approval)
);

CREATE TABLE read_model.reviewer (
    reviewer text NOT NULL,
    owner text NOT NULL,
    roles text NOT NULL,
    shift text NOT NULL,
    active boolean NOT NULL,
    cap int NOT NULL,
    on_desk int NOT NULL,
    decided text NOT NULL,
    PRIMARY KEY (reviewer)
);
"""

NAMES = ("review_pieces", "review_coverage", "review_assignment", "review_waiting", "reviewer")


def upgrade() -> None:
    """Create the tables and give the roles of migration 0001 the rights that they have on the others."""
    op.execute(TABLES)
    for name in NAMES:
        op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON read_model.{name} TO tenuto_projector")
        op.execute(f"GRANT SELECT ON read_model.{name} TO tenuto_console, tenuto_reader")
