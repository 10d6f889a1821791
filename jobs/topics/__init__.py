"""``tsunagu topics``: the topics of a cluster, as the feeds' schema files and the linkages that read them want them.

``plan`` prints what differs and changes nothing; like ``diff`` it ends with exit code 0 where nothing does, 1 where something
does. ``apply`` makes it so; it may be run again, and twice at once. What would lose records, or tear apart what lies together, is
refused as a whole before anything is changed (exit code 3). What is not ours is left alone.
"""

from jobs.topics.steps import Topics, apply, plan
from jobs.topics.wanted import Topic, wanted

__all__ = ["Topic", "Topics", "apply", "plan", "wanted"]
