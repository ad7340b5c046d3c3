"""Bring a database to the newest schema. Forward only: what was recorded is never migrated away."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy
from alembic import command
from alembic.config import Config

from .adapters.partitions import prepare
from .errors import NotConfigured


def migrate(url: str) -> None:
    """Run all outstanding migrations on `url` (a libpq URL of the owning role), and make the next partitions in time.

    May be repeated harmlessly. Raises Busy while another process makes or drops partitions.
    """
    engine = sqlalchemy.create_engine(sqlalchemy_url(url), poolclass=sqlalchemy.NullPool)
    config = Config()
    config.set_main_option("script_location", str(migrations_folder()))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    prepare(url)


def migrations_folder() -> Path:
    """Where the migrations are: inside the installed package, or at the root of a checkout."""
    here = Path(__file__).resolve()
    for folder in (here.parent / "migrations", here.parents[2] / "migrations"):
        if (folder / "env.py").is_file():
            return folder
    raise NotConfigured(f"The migrations are neither in {here.parent} nor in {here.parents[2]}; reinstall tenuto.")


def sqlalchemy_url(url: str) -> str:
    """Name the driver: SQLAlchemy's dialect for psycopg 3."""
    return "postgresql+psycopg://" + url.split("://", 1)[1]
