"""The edge: outside formats to feeds, feeds to outside formats. One file each, listed in ``SOURCES``."""

from connectors.source import SOURCES, Arrivals, Source, SourceError, merged, open_source
from connectors.ticked import ticked

__all__ = ["SOURCES", "Arrivals", "Source", "SourceError", "merged", "open_source", "ticked"]
