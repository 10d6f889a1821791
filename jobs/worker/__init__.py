"""The worker: linkages live on Kafka, in processes of one consumer group."""

from jobs.worker.member import Member
from jobs.worker.metrics import Metrics, serve
from jobs.worker.seat import SeatSettings

__all__ = ["Member", "Metrics", "SeatSettings", "serve"]
