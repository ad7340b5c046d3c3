"""The read model of who may sign: logins, passkeys, and how each reviewer signs."""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE read_model.login (
    identity text NOT NULL,
    reviewer text NOT NULL,
    since bigint NOT NULL,
    until bigint,
    PRIMARY KEY (identity)
);

CREATE TABLE read_model.passkey (
    credential text NOT NULL,
    reviewer text NOT NULL,
    credential_id text NOT NULL,
    web_origin text NOT NULL,
    offered timestamptz NOT NULL,
    owner text,
    since bigint,
    until bigint,
    PRIMARY KEY (credential)
);

CREATE TABLE read_model.signer (
    reviewer text NOT NULL,
    owner text NOT NULL,
    active boolean NOT NULL,
    passkey_only boolean NOT NULL,
    keys int NOT NULL,
    PRIMARY KEY (reviewer)
);
"""

NAMES = ("login", "passkey", "signer")


def upgrade() -> None:
    """Create the tables and give the roles of migration 0001 the rights that they have on the others."""
    op.execute(TABLES)
    for name in NAMES:
        op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON read_model.{name} TO tenuto_projector")
        op.execute(f"GRANT SELECT ON read_model.{name} TO tenuto_console, tenuto_reader")
