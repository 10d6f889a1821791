"""The same rule on the same input, done with other frameworks: one program for each, run in an environment of its own.

A peer calls a function for each record. The most that it can do for our rule is to give our engine one record at a time, one engine for
each region, all of it in memory: their own stores of state hold a value for a key and write it anew with each record, and the past of
a region is some megabytes. So a peer that is started again has forgotten what it knew; that is not measured here.
"""

__all__: list[str] = []
