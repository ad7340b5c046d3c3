"""Signed policies and runbooks with their vectors, where the server has pgvector; without it there is nothing to retrieve."""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

DIMENSIONS = 1024
TABLE = f"""
DO $$ BEGIN
IF EXISTS (SELECT 1 FROM pg_available_extensions WHERE name = 'vector') THEN
    CREATE EXTENSION IF NOT EXISTS vector;
    CREATE SCHEMA knowledge;
    CREATE TABLE knowledge.chunk (
        source text NOT NULL,
        section text NOT NULL,
        body text NOT NULL,
        signer text NOT NULL,
        key_id text NOT NULL,
        signature bytea NOT NULL,
        embedding vector({DIMENSIONS}) NOT NULL,
        PRIMARY KEY (source, section)
    );
    GRANT USAGE ON SCHEMA knowledge TO tenuto_reader;
    GRANT SELECT ON knowledge.chunk TO tenuto_reader;
END IF;
END $$
"""


def upgrade() -> None:
    """Create the table where it can be; who reads trusts none of its rows but by their signature."""
    op.execute(TABLE)
