"""The read models: tables that people look at, which can be emptied and filled again from the ledger at any time.

The projector may do anything with the rows here and nothing at all elsewhere; the console may look. That the tables are
those of `tenuto_projections` is compared by a test.
"""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TABLES = """
CREATE SCHEMA read_model;

CREATE TABLE read_model.tracking (
    application_name text PRIMARY KEY,
    notification_id bigint NOT NULL
);

CREATE TABLE read_model.run (
    run text NOT NULL,
    position bigint NOT NULL,
    described_at bigint,
    workflow text,
    started_by text NOT NULL,
    repository text,
    title text,
    author text,
    base text,
    head text,
    base_commit text,
    head_commit text,
    stage text NOT NULL,
    outcome text,
    started timestamptz NOT NULL,
    finished timestamptz,
    last_seen timestamptz NOT NULL,
    events int NOT NULL,
    insecure_demo boolean NOT NULL,
    PRIMARY KEY (run)
);
CREATE INDEX run_position ON read_model.run (position);

CREATE TABLE read_model.run_step (
    position bigint NOT NULL,
    run text NOT NULL,
    recorded_at timestamptz NOT NULL,
    author text NOT NULL,
    role text NOT NULL,
    kind text NOT NULL,
    stage text NOT NULL,
    summary text NOT NULL,
    event_id text NOT NULL,
    causes text NOT NULL,
    refs text NOT NULL,
    insecure_demo boolean NOT NULL,
    payload text NOT NULL,
    PRIMARY KEY (position)
);
CREATE INDEX run_step_event ON read_model.run_step (event_id);
CREATE INDEX run_step_run ON read_model.run_step (run, position);

CREATE TABLE read_model.approval (
    approval text NOT NULL,
    position bigint NOT NULL,
    event_id text NOT NULL,
    run text,
    subject text NOT NULL,
    digest text NOT NULL,
    tool text NOT NULL,
    resource text NOT NULL,
    author text NOT NULL,
    agent_owner text NOT NULL,
    initiator text NOT NULL,
    quorum int NOT NULL,
    approved_by int NOT NULL,
    risks text NOT NULL,
    requested timestamptz NOT NULL,
    expires timestamptz NOT NULL,
    state text NOT NULL,
    decided timestamptz,
    opened_by text NOT NULL,
    consumed_by text,
    rules text NOT NULL,
    insecure_demo boolean NOT NULL,
    payload text NOT NULL,
    title text,
    sentence text,
    card text,
    PRIMARY KEY (approval)
);
CREATE INDEX approval_run ON read_model.approval (run);
CREATE INDEX approval_state ON read_model.approval (state, position);

CREATE TABLE read_model.approval_vote (
    position bigint NOT NULL,
    approval text NOT NULL,
    event_id text NOT NULL,
    reviewer text NOT NULL,
    owner text NOT NULL,
    decision text NOT NULL,
    recorded_at timestamptz NOT NULL,
    counts boolean NOT NULL,
    rule int NOT NULL,
    sentence text NOT NULL,
    withdrawn boolean NOT NULL,
    insecure_demo boolean NOT NULL,
    reason text,
    PRIMARY KEY (position)
);
CREATE INDEX approval_vote_approval ON read_model.approval_vote (approval, position);

CREATE TABLE read_model.author (
    author text NOT NULL,
    role text NOT NULL,
    owner text NOT NULL,
    first_seen timestamptz,
    last_seen timestamptz,
    events int NOT NULL,
    session text,
    session_since timestamptz,
    software text,
    refused int NOT NULL,
    equivocations int NOT NULL,
    alerts int NOT NULL,
    PRIMARY KEY (author)
);

CREATE TABLE read_model.author_key (
    author text NOT NULL,
    key_id text NOT NULL,
    role text NOT NULL,
    owner text NOT NULL,
    insecure_demo boolean NOT NULL,
    since bigint NOT NULL,
    since_at timestamptz,
    until bigint,
    until_at timestamptz,
    ended text,
    PRIMARY KEY (author, key_id)
);

CREATE TABLE read_model.ledger_counts (
    id int NOT NULL,
    size bigint NOT NULL,
    recorded_at timestamptz NOT NULL,
    refused bigint NOT NULL,
    equivocations bigint NOT NULL,
    gaps bigint NOT NULL,
    lost bigint NOT NULL,
    purged bigint NOT NULL,
    PRIMARY KEY (id)
);

CREATE TABLE read_model.verification_tick (
    step int NOT NULL,
    state text NOT NULL,
    sentence text NOT NULL,
    noted_at timestamptz NOT NULL,
    PRIMARY KEY (step)
);

CREATE TABLE read_model.walk (
    id int NOT NULL,
    origin text NOT NULL,
    checkpoint_size bigint NOT NULL,
    root text NOT NULL,
    note text NOT NULL,
    checked_at timestamptz NOT NULL,
    PRIMARY KEY (id)
);

CREATE TABLE read_model.alert (
    alert text NOT NULL,
    position bigint NOT NULL,
    event_id text NOT NULL,
    raised timestamptz NOT NULL,
    author text NOT NULL,
    run text,
    detector text NOT NULL,
    version text NOT NULL,
    rule text NOT NULL,
    severity text NOT NULL,
    score int NOT NULL,
    suspect text NOT NULL,
    evidence text NOT NULL,
    refs text NOT NULL,
    state text NOT NULL,
    acknowledged_by text,
    acknowledged timestamptz,
    closed_by text,
    closed timestamptz,
    finding text,
    insecure_demo boolean NOT NULL,
    payload text NOT NULL,
    sentence text,
    figures text,
    PRIMARY KEY (alert)
);
CREATE INDEX alert_position ON read_model.alert (position);
CREATE INDEX alert_state ON read_model.alert (state, position);
"""

GRANTS = """
GRANT USAGE ON SCHEMA read_model TO tenuto_projector, tenuto_console, tenuto_reader;
GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON ALL TABLES IN SCHEMA read_model TO tenuto_projector;
GRANT SELECT ON ALL TABLES IN SCHEMA read_model TO tenuto_console, tenuto_reader;
"""


def upgrade() -> None:
    """Create the schema, its tables and the rights of the roles that migration 0001 made."""
    op.execute(TABLES)
    op.execute(GRANTS)
