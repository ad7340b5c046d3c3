"""Alembic environment: one connection handed in by `tenuto.migrating`, forward only."""

from __future__ import annotations

from alembic import context

connection = context.config.attributes["connection"]
context.configure(connection=connection, transaction_per_migration=True, version_table_schema="public")
with context.begin_transaction():
    context.run_migrations()
