"""The role of the notifier: it reads events as they were signed, and neither a payload nor a read model."""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

ROLE = "tenuto_notifier"
GRANTS = f"""
GRANT USAGE ON SCHEMA ledger TO {ROLE};
GRANT SELECT ON ledger.entry, ledger.log_head TO {ROLE};
"""


def upgrade() -> None:
    """Create the role and give it the right to read headers."""
    op.execute(
        f"DO $$ BEGIN IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = '{ROLE}')"
        f" THEN CREATE ROLE {ROLE} LOGIN; END IF; END $$"
    )
    op.execute(GRANTS)
