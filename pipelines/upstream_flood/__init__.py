"""Early notices that a river will pass an official level, from its own past and from upstream."""

from pipelines.upstream_flood.linkage import upstream_flood

__all__ = ["upstream_flood"]
