"""``tsunagu bench match``: our match beside Flink SQL, Kafka Streams, Quix Streams and Faust, on the same two inputs."""

from jobs.bench.match.run import run

__all__ = ["run"]
