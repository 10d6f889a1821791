"""Ids of schemas from a registry that speaks Confluent's interface, for partners who read with nothing but such a registry.

The schema of a feed is registered under ``<feed>-value`` when the first record is written. Reading knows the registry's ids and
those of the repo itself (``schemas/versions.py``), so that a topic which holds both stays readable; the repo's lie so high that
they never meet.

**Delivery guarantee.** An id is taken as unknown only when the registry has said so. While it does not answer, reading and writing
stop with an error: a record must not end as unreadable because a server was away.

**What is lost when.** Nothing. What a registry said of an id holds for good; that it knows none is asked again after half a minute.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from functools import cache
from typing import Any, TypeVar

from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.error import SchemaRegistryError

from connectors.kafka import KafkaSettings
from connectors.wire import REPO, Ids
from schemas.feeds import feed
from schemas.versions import FIRST_ID

__all__ = ["RegistryError", "RegistryIds", "ids_of"]

ANSWERS_WITHIN_S = 10
UNKNOWN_FOR_S = 30.0
UNKNOWN_AT_MOST = 65536
"""So many unknown ids are remembered; more of them are no mistake but an attack on the memory."""

_NOT_FOUND = 40403
Told = TypeVar("Told")


class RegistryError(RuntimeError):
    """A registry does not answer, or refuses a schema."""


@cache
def _of(url: str) -> RegistryIds:
    return RegistryIds(url)


def ids_of(settings: KafkaSettings) -> Ids:
    """What schema ids mean on a cluster: what its registry says, or the repo where it has none."""
    return _of(settings.registry) if settings.registry else REPO


class RegistryIds:
    """Ids as one registry tells them; see ``connectors.wire.Ids``.

    Args:
        url: of the registry, for example ``http://127.0.0.1:8080/apis/ccompat/v7``.
        more: further settings of Confluent's client, for example of TLS.

    Raises:
        RegistryError: what is given is no address.
    """

    def __init__(self, url: str, more: Mapping[str, Any] | None = None) -> None:
        self._url, self._settings = url, {"url": url, "timeout": ANSWERS_WITHIN_S, **(more or {})}
        self._asked(lambda _: None)
        self._written: dict[str, int] = {}
        self._schemas: dict[int, Mapping[str, Any]] = {}
        self._unknown: dict[int, float] = {}

    def write(self, feed_name: str) -> int:
        """The id of the feed's current schema, which is registered if it is not yet.

        Raises:
            RegistryError: the registry does not answer, or refuses the schema.
        """
        if feed_name not in self._written:
            schema = Schema(json.dumps(feed(feed_name).schema, ensure_ascii=False), "AVRO")
            self._written[feed_name] = self._asked(lambda client: client.register_schema(f"{feed_name}-value", schema))
        return self._written[feed_name]

    def schema(self, feed_name: str, schema_id: int) -> Mapping[str, Any] | None:
        """The schema of that id, if it is one of records of this feed.

        Raises:
            RegistryError: the registry does not answer.
        """
        if schema_id >= FIRST_ID:
            return REPO.schema(feed_name, schema_id)
        schema = self._found(schema_id)
        return schema if schema is not None and _full_name(schema) == _full_name(feed(feed_name).schema) else None

    def _found(self, schema_id: int) -> Mapping[str, Any] | None:
        if schema_id in self._schemas:
            return self._schemas[schema_id]
        if time.monotonic() - self._unknown.get(schema_id, -UNKNOWN_FOR_S) < UNKNOWN_FOR_S:
            return None
        told = self._asked(lambda client: _told(client, schema_id))
        if told is None:
            if len(self._unknown) >= UNKNOWN_AT_MOST:
                self._unknown.clear()
            self._unknown[schema_id] = time.monotonic()
        else:
            self._schemas[schema_id] = told
        return told

    def _asked(self, question: Callable[[SchemaRegistryClient], Told]) -> Told:
        """Questions are so rare that none is worth a connection left open."""
        try:
            with closing(SchemaRegistryClient(self._settings)) as client:
                return question(client)
        except SchemaRegistryError as fault:
            raise RegistryError(f"registry {self._url} must accept what it is asked (got {fault}): ask who runs it") from fault
        except (ValueError, TypeError) as fault:
            raise RegistryError(
                f"registry must be given by its address (got {self._url!r}: {fault}): for example http://127.0.0.1:8080"
            ) from fault
        except Exception as fault:  # what the client's HTTP library raises is not declared
            raise RegistryError(f"registry {self._url} must answer (got {fault}): see that it runs, then start again") from fault


def _told(client: SchemaRegistryClient, schema_id: int) -> Mapping[str, Any] | None:
    """The schema of an id; empty where it is none of Avro records; None: the registry knows no such id."""
    try:
        found = client.get_schema(schema_id)
    except SchemaRegistryError as fault:
        if fault.error_code == _NOT_FOUND:
            return None
        raise
    schema = json.loads(found.schema_str or "null") if found.schema_type in (None, "AVRO") else {}
    return schema if isinstance(schema, dict) else {}


def _full_name(schema: Mapping[str, Any]) -> str:
    name, space = str(schema.get("name", "")), schema.get("namespace")
    return name if "." in name or not space else f"{space}.{name}"
