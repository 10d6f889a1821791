"""Upstream flood: towns along one river tell each other early that the water rises."""

from pipelines.linkage import Derive, as_of, hours, past
from pipelines.upstream_flood import rain
from pipelines.upstream_flood.bulletins import BULLETIN_FEED, STATUS
from pipelines.upstream_flood.rule import EVERY, FloodRule

__all__ = ["upstream_flood"]

upstream_flood = Derive(
    name="upstream_flood",
    says="river.flood-notice.v1",
    together_by="region",
    for_each="river.gauge.v1",
    given=dict(
        levels=past("river.level.v1", value="level_m", reach=hours(48), every=EVERY),
        rain=past("weather.rain.v1", value="rain_mm", reach=rain.REACH, every=rain.EVERY, read="all"),
        gauges=as_of("river.gauge.v1", read="all"),
        model=as_of("river.flood-model.v1", read="all"),
        stations=as_of("weather.station.v1", read="all"),
        bulletins=as_of(BULLETIN_FEED, read="all", where={"status": (STATUS,)}),
        understood=as_of(BULLETIN_FEED, read="all", where={"status": (STATUS,), "standing": ("stands", "released")}),
    ),
    rule=FloodRule(),
)
