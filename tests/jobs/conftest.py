"""What tests of several commands stand on."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from confluent_kafka.admin import AdminClient

from connectors.kafka import KafkaSettings
from infra.kafka import Broker


@pytest.fixture
def live(kafka: Broker) -> Iterator[KafkaSettings]:
    """The live namespace of the broker, empty again afterwards: all other tests keep to drills."""
    live = KafkaSettings(brokers=kafka.bootstrap)
    yield live
    admin = AdminClient(live.client())
    mine = [name for name in admin.list_topics(timeout=60).topics if not name.startswith(("drill.", "__"))]
    for done in admin.delete_topics(mine).values() if mine else ():
        done.result(60)
    while set(mine) & admin.list_topics(timeout=60).topics.keys():  # the broker forgets them a little later
        time.sleep(0.05)
