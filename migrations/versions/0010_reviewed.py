"""What the second looks, the reviewers and policy did: read models for three pages of the console.

The read model of reviewing gets another version and is filled again from the first event when the projector starts.
"""

from __future__ import annotations

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

REVIEWED = """
ALTER TABLE read_model.reviewer ADD COLUMN keys int NOT NULL DEFAULT 0;
ALTER TABLE read_model.reviewer ALTER COLUMN keys DROP DEFAULT;
TRUNCATE read_model.review_pieces, read_model.review_coverage, read_model.review_assignment, read_model.review_waiting,
    read_model.reviewer;
DELETE FROM read_model.tracking WHERE application_name = 'reviewing/1';

CREATE TABLE read_model.review_decision (
    position bigint NOT NULL,
    approval text NOT NULL,
    reviewer text NOT NULL,
    owner text NOT NULL,
    decision text NOT NULL,
    at timestamptz NOT NULL,
    given timestamptz NOT NULL,
    counts boolean NOT NULL,
    demanded int NOT NULL,
    opened int NOT NULL,
    shown_ms bigint NOT NULL,
    least_ms bigint NOT NULL,
    PRIMARY KEY (position)
);

CREATE TABLE read_model.spotcheck (
    approval text NOT NULL,
    position bigint NOT NULL,
    digest text NOT NULL,
    at timestamptz NOT NULL,
    approved_by text NOT NULL,
    excluded text NOT NULL,
    within int NOT NULL,
    wanted boolean NOT NULL,
    drawn boolean,
    drawn_at timestamptz,
    ticket text,
    size bigint,
    finding text NOT NULL,
    by text NOT NULL,
    signed bigint,
    signed_at timestamptz,
    event_id text,
    reason text,
    PRIMARY KEY (approval)
);
CREATE INDEX spotcheck_wanted ON read_model.spotcheck (wanted, position);
CREATE INDEX spotcheck_signed ON read_model.spotcheck (signed);

CREATE TABLE read_model.reviewer_quality (
    owner text NOT NULL,
    agreed int NOT NULL,
    disagreed int NOT NULL,
    PRIMARY KEY (owner)
);
"""

RULINGS = """
CREATE TABLE read_model.ruling (
    position bigint NOT NULL,
    call text NOT NULL,
    author text NOT NULL,
    tool text,
    resource text,
    run text,
    at timestamptz NOT NULL,
    effect text NOT NULL,
    obligation text NOT NULL,
    rules text NOT NULL,
    bundle text NOT NULL,
    engine text NOT NULL,
    PRIMARY KEY (position)
);
CREATE INDEX ruling_effect ON read_model.ruling (effect, position);

CREATE TABLE read_model.ruling_approval (
    approval text NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (approval)
);

CREATE TABLE read_model.ruling_hour (
    hour timestamptz NOT NULL,
    rule text NOT NULL,
    effect text NOT NULL,
    count int NOT NULL,
    PRIMARY KEY (hour, rule, effect)
);

CREATE TABLE read_model.ruling_bundle (
    bundle text NOT NULL,
    engine text,
    first_at timestamptz,
    last_at timestamptz,
    last bigint NOT NULL,
    decisions int NOT NULL,
    denies int NOT NULL,
    announced boolean NOT NULL,
    PRIMARY KEY (bundle)
);
CREATE INDEX ruling_bundle_last ON read_model.ruling_bundle (last);
"""

SIMILAR = "CREATE INDEX approval_action ON read_model.approval (tool, resource, position)"

NAMES = (
    "review_decision", "spotcheck", "reviewer_quality", "ruling", "ruling_approval", "ruling_hour", "ruling_bundle",
)  # fmt: skip


def upgrade() -> None:
    """Create the tables and give the roles of migration 0001 the rights that they have on the others."""
    op.execute(REVIEWED)
    op.execute(RULINGS)
    op.execute(SIMILAR)
    for name in NAMES:
        op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON read_model.{name} TO tenuto_projector")
        op.execute(f"GRANT SELECT ON read_model.{name} TO tenuto_console, tenuto_reader")
