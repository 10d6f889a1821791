"""Latent accident spots: places that are dangerous before the accident statistics say so."""

from pipelines.latent_accident_spots.judge import SpotRule
from pipelines.linkage import Match, Route, Tally, as_of, hours, minutes, records

__all__ = ["latent_accident_spots", "near_misses_by_place", "witnessed_near_misses"]

DAY = hours(24)
EVER, FIVE_YEARS = 36525 * DAY, 1900 * DAY
"""An episode is told from its beginning, however long ago that was; of probes, the years that are counted and two more."""
WITNESSED_WITHIN_M = 50.0

latent_accident_spots = Tally(
    name="latent_accident_spots",
    says="road.spot.v1",
    together_by="region",
    given=dict(
        accidents=records("road.accident.v1", reach=EVER),
        near_misses=records("road.near-miss.v1", reach=FIVE_YEARS),
        passes=records("road.passes.v1", reach=FIVE_YEARS),
        years=as_of("road.accident-year.v1"),
        model=as_of("road.spot-model.v1", read="all"),
    ),
    every=DAY,
    rule=SpotRule(),
)

near_misses_by_place = Route(
    name="near_misses_by_place",
    says="road.near-miss-by-place.v1",
    together_by="region",
    records=records("road.near-miss.v1"),
    by="shard",
    resolution=5,
    halo_m=WITNESSED_WITHIN_M,
)

witnessed_near_misses = Match(
    name="witnessed_near_misses",
    says="road.witnessed-near-miss.v1",
    together_by="shard",
    left=records("road.near-miss-by-place.v1", where=dict(home=(True,), kind=("hard_brake", "hard_brake_gps", "swerve"))),
    right=records("road.near-miss-by-place.v1", where=dict(kind=("report",))),
    within=minutes(10),
    within_m=WITNESSED_WITHIN_M,
    rule="witnessed_near_misses 1",
)
