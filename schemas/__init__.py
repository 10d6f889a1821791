"""Feeds: what lies in a topic, told by its schema file."""

from schemas.feeds import ENVELOPE, Feed, FeedError, feed, feed_names

__all__ = ["ENVELOPE", "Feed", "FeedError", "feed", "feed_names"]
