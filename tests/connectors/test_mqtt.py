"""A message comes again until it is acknowledged, through kills on both sides, and never more come than may be held."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.client import DisconnectFlags
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from connectors import mqtt
from connectors.mqtt import Inbox, Message, MqttError, MqttSettings, settings_from
from tests.connectors.mosquitto import Mosquitto, needs_mosquitto

LEVELS = "river.level.v1"
TOPIC = f"tsunagu/{LEVELS}"


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path / "mosquitto") as running:
        yield running


def settings(broker: Mosquitto, **changed: Any) -> MqttSettings:
    return replace(MqttSettings(host="127.0.0.1", port=broker.port, client_id="test"), **changed)


@contextmanager
def opened(broker: Mosquitto, **changed: Any) -> Iterator[Inbox]:
    """An inbox; the broker need not be there."""
    inbox = mqtt.open(settings(broker, **changed), [LEVELS, "river.gauge.v1"])
    try:
        yield inbox
    finally:
        inbox.close()


@contextmanager
def subscribed(broker: Mosquitto, **changed: Any) -> Iterator[Inbox]:
    """The same when the broker knows what it wants to hear."""
    with opened(broker, **changed) as inbox:
        heard(inbox, lambda found: inbox.connected)
        yield inbox


def heard(inbox: Inbox, enough: Callable[[list[Message]], bool]) -> list[Message]:
    found: list[Message] = []
    while not enough(found):
        found += inbox.read(0.1)
    return found


def payloads(found: list[Message]) -> list[bytes]:
    return [each.payload for each in found]


def numbered(count: int) -> list[tuple[str, bytes]]:
    return [(TOPIC, str(n).encode()) for n in range(count)]


@needs_mosquitto
def test_messages_come_in_order_with_their_feed(broker: Mosquitto) -> None:
    with subscribed(broker) as inbox:
        broker.publish((TOPIC, b"1"), ("tsunagu/river.gauge.v1", b"2"), ("tsunagu/else", b"3"), (TOPIC, b""))
        found = heard(inbox, lambda found: len(found) >= 3)
        assert [(each.feed_name, each.payload) for each in found] == [(LEVELS, b"1"), ("river.gauge.v1", b"2"), (LEVELS, b"")]


@needs_mosquitto
def test_what_was_not_acknowledged_comes_again_and_nothing_else(broker: Mosquitto) -> None:
    with subscribed(broker) as inbox:
        broker.publish(*numbered(10))
        found = heard(inbox, lambda found: len(found) >= 10)
        for each in found[:4]:
            inbox.acknowledge(each)
    left = [payload for _, payload in numbered(10)][4:]
    # A broker may let the session be taken up again before it has read what came with the old connection.
    while (again := still_kept(broker)) != left:
        assert again[-6:] == left


def still_kept(broker: Mosquitto) -> list[bytes]:
    """What the broker gives to who comes in and acknowledges nothing but what marks the end."""
    broker.publish((TOPIC, b"end"))
    with opened(broker) as inbox:
        found = heard(inbox, lambda found: b"end" in payloads(found))
        for each in found:
            if each.payload == b"end":
                inbox.acknowledge(each)
    return [payload for payload in payloads(found) if payload != b"end"]


@needs_mosquitto
def test_what_came_while_nobody_was_there_is_kept(broker: Mosquitto) -> None:
    with subscribed(broker):
        pass
    broker.publish(*numbered(50))
    with opened(broker) as inbox:
        found = []
        while len(found) < 50:
            for each in inbox.read(0.1):
                found.append(each.payload)
                inbox.acknowledge(each)
    assert found == [payload for _, payload in numbered(50)]


@needs_mosquitto
@pytest.mark.parametrize("end", ["stop", "kill"])
def test_the_session_outlives_the_broker(broker: Mosquitto, end: str) -> None:
    with subscribed(broker) as inbox:
        broker.publish(*numbered(10))
        assert len(heard(inbox, lambda found: len(found) >= 10)) == 10
        broker.saved()
        getattr(broker, end)()
        assert inbox.read(0.1) == []
        broker.start()
        again = heard(inbox, lambda found: len(found) >= 10)
        assert payloads(again) == [payload for _, payload in numbered(10)]


@needs_mosquitto
def test_a_message_of_a_lost_connection_is_not_acknowledged_on_the_next(broker: Mosquitto) -> None:
    with subscribed(broker) as inbox:
        broker.publish((TOPIC, b"1"))
        (old,) = heard(inbox, bool)
        broker.saved()
        broker.kill()
        broker.start()
        (new,) = heard(inbox, bool)
        assert (old.payload, new.payload, new.connection > old.connection) == (b"1", b"1", True)
        inbox.acknowledge(old)
        inbox.read(0.1)
    with opened(broker) as inbox:
        assert payloads(heard(inbox, bool)) == [b"1"]


@needs_mosquitto
def test_no_more_come_than_may_be_held(broker: Mosquitto) -> None:
    with subscribed(broker, at_most=7) as inbox:
        broker.publish(*numbered(40))
        held = heard(inbox, lambda found: len(found) >= 7)
        assert len(held + inbox.read(0.3) + inbox.read(0.3)) == 7
        found = payloads(held)
        while len(found) < 40:
            for each in held:
                inbox.acknowledge(each)
            held = inbox.read(0.1)
            found += payloads(held)
        assert found == [payload for _, payload in numbered(40)]


@needs_mosquitto
def test_what_was_retained_before_is_not_read(broker: Mosquitto) -> None:
    broker.publish((TOPIC, b"old"), retain=True)
    with subscribed(broker) as inbox:
        broker.publish((TOPIC, b"new"), retain=True)
        assert payloads(heard(inbox, bool)) == [b"new"]


@needs_mosquitto
def test_a_broker_that_comes_later_is_waited_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broker = Mosquitto(tmp_path / "mosquitto")
    with opened(broker) as inbox:
        assert [inbox.read(0.01) for _ in range(3)] == [[], [], []]
        with broker:
            heard(inbox, lambda found: inbox.connected)
        assert capsys.readouterr().err.count(f"ingest: waits for the MQTT broker 127.0.0.1:{broker.port}") == 1


@needs_mosquitto
def test_of_two_of_one_name_the_older_one_is_told(broker: Mosquitto) -> None:
    """Not by mosquitto 2.0, which only closes the connection; the word of other brokers is put in by hand."""
    with subscribed(broker) as inbox:
        reason = ReasonCode(PacketTypes.DISCONNECT, "Session taken over")
        inbox._fell_out(inbox._client, None, DisconnectFlags(True), reason, None)
        with pytest.raises(MqttError) as told:
            inbox.read(0.0)
    assert str(told.value) == "MQTT session test must be ours alone (got: somebody has taken it over): stop the other ingest"


@needs_mosquitto
def test_a_connection_that_is_lost_is_told(broker: Mosquitto, capsys: pytest.CaptureFixture[str]) -> None:
    with subscribed(broker) as first:
        with subscribed(broker):
            heard(first, lambda found: not first.connected)
        assert f"ingest: lost the MQTT broker 127.0.0.1:{broker.port}" in capsys.readouterr().err


@needs_mosquitto
def test_who_is_not_let_in_is_told_and_the_password_is_hidden(tmp_path: Path) -> None:
    (tmp_path / "mosquitto").mkdir()
    passwords = tmp_path / "mosquitto" / "passwords"
    subprocess.run(["mosquitto_passwd", "-b", "-c", str(passwords), "town", "right"], check=True, capture_output=True)
    passwords.chmod(0o644)
    with Mosquitto(tmp_path / "mosquitto", "allow_anonymous false", f"password_file {passwords}") as broker:
        with opened(broker, user="town", password="right") as inbox:
            heard(inbox, lambda found: inbox.connected)
        with opened(broker, user="town", password="wrong") as inbox, pytest.raises(MqttError) as told:
            heard(inbox, bool)
    assert str(told.value) == (
        f"MQTT broker 127.0.0.1:{broker.port} must let us in (got 'Not authorized'): check user, password and client_id"
    )
    assert "wrong" not in repr(settings(broker, user="town", password="wrong"))


def test_settings_are_taken_from_what_a_file_tells() -> None:
    told = {"user": "town", "password": "secret", "ca": "certs/ca.pem"}
    assert settings_from(told, "mqtt.example.jp", 8883, "tsunagu-live") == MqttSettings(
        host="mqtt.example.jp", port=8883, client_id="tsunagu-live", user="town", password="secret", ca=Path("certs/ca.pem")
    )
    assert settings_from({"client_id": "mine"}, "h", 1, "other").client_id == "mine"


def test_a_setting_that_is_unknown_is_refused_without_its_value() -> None:
    with pytest.raises(MqttError) as told:
        settings_from({"pasword": "secret"}, "h", 1, "c")
    assert str(told.value) == (
        "settings of MQTT must be user, password, ca, certificate, key or client_id (got 'pasword'): see docs/live.md"
    )
