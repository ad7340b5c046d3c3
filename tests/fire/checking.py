"""What must be true of a plant that came to rest, whatever was done to it before. Each check says what it found instead."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
from sqlalchemy import Engine, create_engine
from sqlalchemy.pool import NullPool
from tenuto.adapters.keytreefile import KeyTreeFile
from tenuto.clock import SystemClock
from tenuto.events import RecordEquivocation, RecordGap, RecordRefused
from tenuto.migrating import migrate, sqlalchemy_url
from tenuto.settings import Settings
from tenuto.supervising import environment
from tenuto.verification import Verified
from tenuto.wiring import open_follower, role_url
from tenuto_projections import copies
from tenuto_projections.projection import Positions, Projector, digest
from tenuto_projections.running import all_projections, catch_up
from tenuto_projections.walked import Walked

from tests.check_ledger import check_ledger
from tests.fire.plant import AUTHORS, ROAD, Plant, own_ends

COMMAND_SECONDS_MAX = 240


def check_plant(plant: Plant, *, evidence: bool = False) -> list[Verified]:
    """Everything that a plant at rest owes; returns the events. With `evidence` gaps and refusals may be on record."""
    with ThreadPoolExecutor(3) as checking:
        live = checking.submit(verify_command, plant.settings)
        published = checking.submit(verify_published, plant)
        models = checking.submit(check_read_models, plant)
        events = check_events(plant, evidence=evidence)
        live.result()
        published.result()
        models.result()
    return events


def check_events(plant: Plant, *, evidence: bool = False) -> list[Verified]:
    """The total checker; nothing is there twice; what an author was told stands there, at the place that it was told."""
    check_parts(plant)
    reader = plant.reader()
    try:
        verified = check_ledger(reader, plant.trust, storage_key=KeyTreeFile(plant.settings.keys))
    finally:
        reader.close()
    twice = [name for name, times in Counter(one.event.id for one in verified).items() if times > 1]
    assert not twice, f"these events are there twice: {twice}"
    found = {str(one.event.id): one for one in verified}
    for author in AUTHORS:
        lines = plant.noted(author)
        took = {line["took"]: line for line in lines if "took" in line}
        lost = [line for name, line in took.items() if name not in found]
        assert not lost, f"{author} took {len(lost)} events that are not in the ledger, the first: {lost[0]}"
        for name, line in took.items():
            assert state_of(found[name]) == line["state"], f"the event {name} is not the one that {author} signed"
        for line in lines:
            if "receipt" in line:
                position = found[line["receipt"]].position
                assert position == line["position"], f"{line} but the event stands at {position}"
    trouble = [one.event for one in verified if isinstance(one.event, (RecordGap, RecordRefused, RecordEquivocation))]
    assert evidence or not trouble, f"nothing went wrong with any record, and yet: {trouble}"
    return verified


def check_parts(plant: Plant) -> None:
    """No part had a defect, and none ended by itself in a way that nobody expected."""
    assert not own_ends(plant), "\n".join(own_ends(plant))
    for name in (*ROAD, *AUTHORS):
        said = (plant.home / "logs" / f"{name}.log").read_text("utf-8", "replace")
        assert "Traceback" not in said, f"{name} had a defect:\n{said[said.index('Traceback') :][:4000]}"


def state_of(verified: Verified) -> str:
    """The hash over header and signature that an author noted when it took the event."""
    return hashlib.sha256(verified.header + verified.signature).hexdigest()


def verify_command(settings: Settings, *arguments: str) -> None:
    """`tenuto verify`, as an operator or a stranger runs it, is content."""
    command = [sys.executable, "-m", "tenuto", "verify", *arguments]
    told = dict(environment(settings)) | {"PYTHONPATH": ":".join(sys.path)}
    ended = subprocess.run(command, env=told, capture_output=True, text=True, timeout=COMMAND_SECONDS_MAX, check=False)
    assert ended.returncode == 0, f"{' '.join(command[2:])} ended with {ended.returncode}: {ended.stdout}{ended.stderr}"


def verify_published(plant: Plant) -> None:
    """What a stranger has, a copy of the published folder and the trust file, is content as well, and says the same."""
    copy = plant.home / "stranger"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(plant.settings.tiles, copy / "log", ignore=shutil.ignore_patterns(".*.new"))
    shutil.copy(plant.home / "trust.json", copy)
    stranger = Settings(home=copy / "home")
    verify_command(stranger, "--log", str(copy / "log"), "--trust", str(copy / "trust.json"))


def check_read_models(plant: Plant) -> None:
    """The read models are those of a rebuild from nothing, in a database of its own."""
    name = "rebuilt"
    with psycopg.connect(plant.postgres.url, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        connection.execute(f"CREATE DATABASE {name}")
    plant.postgres.create_vector(name)
    url = plant.postgres.url_of(name)
    migrate(url)
    opened = {"poolclass": NullPool, "execution_options": copies.options(plant.settings)}
    fresh = create_engine(sqlalchemy_url(url), **opened)
    live = create_engine(sqlalchemy_url(role_url(plant.settings, "tenuto_reader")), **opened)
    follower = open_follower(plant.settings)
    walked = Walked(plant.trust, opens_payloads=True)
    catch_up(lambda: Projector(follower, fresh, all_projections(), Positions(), clock=SystemClock(), walked=walked))
    for model, shown, rebuilt in zip(all_projections(), digests(live), digests(fresh), strict=True):
        assert shown == rebuilt, f"the read model {model.name} is not that of a rebuild"


def digests(engine: Engine) -> list[str]:
    """One hash over each read model."""
    with engine.connect() as connection:
        return [digest(connection, model) for model in all_projections()]


def copied(folder: Path, target: Path) -> Path:
    """A copy of a folder in place of whatever was at `target`, with the owners of its files."""
    shutil.rmtree(target, ignore_errors=True)
    subprocess.run(["cp", "-a", str(folder), str(target)], check=True)
    return target
