"""The same match done with other frameworks: what ``tsunagu bench match`` measures beside us.

Each is a program of its own that knows nothing of tsunagu, run in an environment of its own. ``flink`` and ``streams`` are Java, built by
Maven into ``build/peers``; ``quix_streams`` and ``faust_streaming`` are Python. They print ``begin`` when they have begun, ``done`` when
the last pair is written, and wait to be ended.
"""

from infra.peers.maven import PeerError, built

__all__ = ["PeerError", "built"]
