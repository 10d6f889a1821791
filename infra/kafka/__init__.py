"""One Kafka broker on this machine, without Docker."""

from infra.kafka.broker import Broker, BrokerError, BrokerSettings

__all__ = ["Broker", "BrokerError", "BrokerSettings"]
