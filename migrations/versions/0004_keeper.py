"""The role of the keeper, and read models whose copies of payloads are sealed.

The keeper deletes payloads that a purge was granted for, and can do nothing else here. The read models that copy from
payloads are emptied, and are filled again from the first event when the projector starts: their rows held plain text.
"""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

ROLE = "tenuto_keeper"
GRANTS = f"""
GRANT USAGE ON SCHEMA ledger TO {ROLE};
GRANT SELECT (notification_id), DELETE ON ledger.payload TO {ROLE};
"""

READ_MODELS = """
ALTER TABLE read_model.run_step ADD COLUMN purged text;
TRUNCATE read_model.run, read_model.run_step, read_model.approval, read_model.approval_vote, read_model.alert;
DELETE FROM read_model.tracking WHERE application_name IN ('runs/1', 'inbox/1', 'alerts/1');
"""


def upgrade() -> None:
    """Create the role, give it the one right, and empty the read models."""
    op.execute(
        f"DO $$ BEGIN IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = '{ROLE}')"
        f" THEN CREATE ROLE {ROLE} LOGIN; END IF; END $$"
    )
    op.execute(GRANTS)
    op.execute(READ_MODELS)
