"""The role of the keeper: it deletes payloads that a purge was granted for, and can do nothing else here."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0002"
branch_labels = None
depends_on = None

ROLE = "tenuto_keeper"
GRANTS = f"""
GRANT USAGE ON SCHEMA ledger TO {ROLE};
GRANT SELECT (notification_id), DELETE ON ledger.payload TO {ROLE};
"""


def upgrade() -> None:
    """Create the role and give it the one right."""
    op.execute(
        f"DO $$ BEGIN IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = '{ROLE}')"
        f" THEN CREATE ROLE {ROLE} LOGIN; END IF; END $$"
    )
    op.execute(GRANTS)
