"""Read models made after the drop are those that were made before it."""

from __future__ import annotations

from sqlalchemy import Engine, create_engine
from tenuto.clock import SystemClock
from tenuto.migrating import sqlalchemy_url
from tenuto.trust import load_trust
from tenuto.wiring import open_follower, role_url
from tenuto_projections.projection import Positions, Projector, digest, rebuild
from tenuto_projections.running import all_projections, catch_up
from tenuto_projections.walked import Walked

from tests.retention.site import Site


def projector(site: Site, engine: Engine) -> Projector:
    follower = open_follower(site.settings, payloads=True, role="tenuto_projector")
    walked = Walked(load_trust(site.home), opens_payloads=True)
    return Projector(follower, engine, all_projections(), Positions(), clock=SystemClock(), walked=walked)


def digests(engine: Engine) -> list[str]:
    with engine.begin() as connection:
        return [digest(connection, projection) for projection in all_projections()]


def test_read_models_rebuilt_from_the_archives_are_the_same(site: Site) -> None:
    engine = create_engine(sqlalchemy_url(role_url(site.settings, "tenuto_projector")))
    try:
        running = projector(site, engine)
        assert running.catch_up() == site.size()
        site.apply()
        assert running.catch_up() > 0  # the events about the retention itself, by a projector that never stopped
        live = digests(engine)
        for projection in all_projections():
            rebuild(engine, projection, Positions())
        assert digests(engine) != live
        assert catch_up(lambda: projector(site, engine)) == site.size()
        assert digests(engine) == live
    finally:
        engine.dispose()
