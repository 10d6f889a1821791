"""Latent accident spots: places that are dangerous before the accident statistics say so."""

from pipelines.linkage import Match, minutes, records

__all__ = ["witnessed_near_misses"]

witnessed_near_misses = Match(
    name="witnessed_near_misses",
    says="road.witnessed-near-miss.v1",
    together_by="region",
    left=records("road.near-miss.v1", where=dict(kind=("hard_brake", "hard_brake_gps", "swerve"))),
    right=records("road.near-miss.v1", where=dict(kind=("report",))),
    within=minutes(10),
    within_m=50.0,
    rule="witnessed_near_misses 1",
)
