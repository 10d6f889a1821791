"""Receives records of feeds from an MQTT 5 broker: topic ``tsunagu/<feed>``, one JSON object each.

The object holds the fields of the feed as ``connectors/jsonl.py`` writes them; fields with a default in the schema may be absent.

**Delivery guarantee.** At least once, for messages of QoS 1 and 2: a message is acknowledged when its reader says so, in the order in
which messages came, and comes again until then. The session outlives this process, and the broker's own restart where it keeps its
sessions on disk. At most ``at_most`` messages are held that are not acknowledged: the broker keeps the others.

**What is lost when.** Messages of QoS 0 that come while nobody is connected. What the broker itself drops, because the session was away
for longer than ``away_at_most`` or its queue is full (mosquitto: ``max_queued_messages``, 1000 unless it is set). What was retained
before the first subscription is not read.
"""

from __future__ import annotations

import ssl
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from connectors.source import SourceError

__all__ = ["Inbox", "Message", "MqttError", "MqttSettings", "open", "settings_from"]

PREFIX = "tsunagu/"
_TRIES_EVERY_S = 1.0
_KEEPALIVE_S = 30
_TAKEN_OVER = "Session taken over"
_REFUSED = {"Bad user name or password", "Not authorized", "Client identifier not valid", "Banned", "Bad authentication method"}


class MqttError(SourceError):
    """An MQTT broker cannot be used as it was told, or refuses us."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MqttSettings:
    """Where the broker is and as whom we come.

    Attributes:
        host: the broker.
        port: of the broker; 8883 is usual with TLS, 1883 without.
        client_id: the name of the session. Of two clients of one name the newer takes the session over.
        user: name to come in with; None: none.
        password: of the user.
        ca: file of certificates (PEM) by which the broker is known; None: no TLS.
        certificate: our own, for brokers that ask for one, with its ``key``.
        key: of the certificate.
        at_most: messages that may be unacknowledged.
        away_at_most: how long the broker keeps the session while we are away.
    """

    host: str
    port: int
    client_id: str
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    at_most: int = 200
    away_at_most: timedelta = timedelta(days=7)


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A message: for which feed, its bytes, and by which number of which connection it is acknowledged."""

    feed_name: str
    payload: bytes
    number: int
    qos: int
    connection: int


def open(settings: MqttSettings, feeds: Iterable[str]) -> Inbox:
    """The messages for these feeds. The broker need not be there yet."""
    return Inbox(settings, tuple(feeds))


class Inbox:
    """A session at the broker; ``connection`` counts how often it was taken up. Not for use by two threads."""

    def __init__(self, settings: MqttSettings, feeds: tuple[str, ...]) -> None:
        self._settings, self._feeds = settings, feeds
        self._client = _client(settings)
        self._client.on_connect, self._client.on_disconnect, self._client.on_message = self._came_in, self._fell_out, self._received
        self._client.on_subscribe = self._subscribed
        self._messages: list[Message] = []
        self._refusal: str | None = None
        self._waits, self._leaves, self._connected, self._try_at = False, False, False, 0.0
        self.connection = 0
        self._client.connect_async(settings.host, settings.port, _KEEPALIVE_S, clean_start=False, properties=_session(settings))

    def read(self, wait_s: float) -> list[Message]:
        """What has come, at once if anything has; nothing after a while. Takes the session up again when it was lost.

        Raises:
            MqttError: the broker refuses us, or somebody else has taken the session over.
        """
        if self._client.socket() is None and not self._connecting(wait_s):
            return []
        self._turn(wait_s)
        while self._messages and len(self._messages) < self._settings.at_most:
            before = len(self._messages)
            self._turn(0.0)
            if len(self._messages) == before:
                break
        messages, self._messages = self._messages, []
        return messages

    @property
    def connected(self) -> bool:
        """Whether the broker has let us in and knows what we want to hear."""
        return self._connected

    def acknowledge(self, message: Message) -> None:
        """Lets the broker forget a message. One of an earlier connection comes again, and can be acknowledged then."""
        if message.connection == self.connection and message.qos:
            self._client.ack(message.number, message.qos)

    def close(self) -> None:
        """Leaves; the broker keeps the session and what was not acknowledged."""
        self._leaves = True
        if self._client.socket() is not None:
            self._client.disconnect()
            self._client.loop(0.1)

    def _turn(self, wait_s: float) -> None:
        """One turn of the client, which hears at most one message."""
        if self._client.loop(wait_s) != MQTTErrorCode.MQTT_ERR_SUCCESS:
            self._messages.clear()
        if self._refusal is not None:
            raise MqttError(self._refusal)

    def _connecting(self, wait_s: float) -> bool:
        """Asks for a connection, from time to time; whether there is one."""
        left_s = self._try_at - time.monotonic()
        if left_s > 0:
            time.sleep(min(wait_s, left_s))
            return False
        self._try_at = time.monotonic() + _TRIES_EVERY_S
        try:
            self._client.reconnect()
        except ssl.SSLCertVerificationError as fault:
            raise MqttError(
                f"MQTT broker {self._at} must be known by ca (got {fault.verify_message!r}): give the authority's file"
            ) from fault
        except OSError as fault:
            if not self._waits:
                print(f"ingest: waits for the MQTT broker {self._at} ({fault})", file=sys.stderr, flush=True)
            self._waits = True
            return False
        return True

    @property
    def _at(self) -> str:
        return f"{self._settings.host}:{self._settings.port}"

    def _came_in(self, client: Client, _: Any, flags: ConnectFlags, reason: ReasonCode, __: Properties | None) -> None:
        if not reason.is_failure:
            self._waits = False
            options = SubscribeOptions(qos=1, retainHandling=SubscribeOptions.RETAIN_DO_NOT_SEND)
            client.subscribe([(PREFIX + name, options) for name in self._feeds])
        elif str(reason) in _REFUSED:
            self._refusal = f"MQTT broker {self._at} must let us in (got {str(reason)!r}): check user, password and client_id"

    def _subscribed(self, _: Client, __: Any, ___: int, reasons: list[ReasonCode], ____: Properties | None) -> None:
        refused = [PREFIX + name for name, reason in zip(self._feeds, reasons, strict=True) if reason.is_failure]
        if refused:
            self._refusal = f"MQTT broker {self._at} must let us read {PREFIX}+ (got a refusal of {', '.join(refused)}): give the right to"
        else:
            print(f"ingest: receives from the MQTT broker {self._at}", file=sys.stderr, flush=True)
        self._connected = not refused

    def _fell_out(self, _: Client, __: Any, ___: DisconnectFlags, reason: ReasonCode, ____: Properties | None) -> None:
        if self._connected and not self._leaves:
            print(f"ingest: lost the MQTT broker {self._at} ({reason})", file=sys.stderr, flush=True)
        self.connection += 1
        self._connected = False
        self._messages.clear()
        if str(reason) == _TAKEN_OVER:
            self._refusal = (
                f"MQTT session {self._settings.client_id} must be ours alone (got: somebody has taken it over): stop the other ingest"
            )

    def _received(self, _: Client, __: Any, message: MQTTMessage) -> None:
        name = message.topic.removeprefix(PREFIX)
        held = Message(feed_name=name, payload=bytes(message.payload), number=message.mid, qos=message.qos, connection=self.connection)
        self._messages.append(held)


def _client(settings: MqttSettings) -> Client:
    client = Client(CallbackAPIVersion.VERSION2, client_id=settings.client_id, protocol=MQTTProtocolVersion.MQTTv5, manual_ack=True)
    if settings.user is not None:
        client.username_pw_set(settings.user, settings.password)
    if settings.ca is not None:
        ours = [None if each is None else str(each) for each in (settings.certificate, settings.key)]
        client.tls_set(str(settings.ca), certfile=ours[0], keyfile=ours[1])
    return client


def _session(settings: MqttSettings) -> Properties:
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.SessionExpiryInterval = int(settings.away_at_most.total_seconds())
    properties.ReceiveMaximum = settings.at_most
    return properties


_FILES = {"ca", "certificate", "key"}


def settings_from(told: Mapping[str, str], host: str, port: int, client_id: str) -> MqttSettings:
    """Settings with what a file or the environment tells: ``user``, ``password``, ``ca``, ``certificate``, ``key``, ``client_id``.

    Raises:
        MqttError: a name is unknown. Values are never told: they may be secret.
    """
    odd = sorted(told.keys() - _FILES - {"user", "password", "client_id"})
    if odd:
        raise MqttError(f"settings of MQTT must be user, password, ca, certificate, key or client_id (got {odd[0]!r}): see docs/live.md")
    given: dict[str, Any] = {name: Path(value) if name in _FILES else value for name, value in told.items()}
    return replace(MqttSettings(host=host, port=port, client_id=client_id), **given)
