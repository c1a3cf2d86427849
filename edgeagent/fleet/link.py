"""The MQTT link: one connection to a broker, kept up for the life of the agent. paho itself is in `connection.py`.

One thread of our own does everything that touches paho: it connects (which blocks for DNS, TCP and TLS), waits on the
socket, and writes. `loop_start` was not chosen, because a paho thread ends with its connection, cannot be told to try
another protocol version, and fills paho's packet list without bound behind a slow socket. With paho's documented calls
for a foreign loop (`loop_read`, `loop_write`, `loop_misc`) on one thread, a write happens at once and only there, a
slow socket shows as `want_write`, and every queue is ours and bounded. `publish` from any thread appends and wakes,
but for QoS 0 on a free socket, which is written there and then, without paho (`wire.py`).

Each connection gets a fresh paho client, so nothing of an old one is sent again behind our back: what was not
acknowledged goes back into our queue and is published anew. Delivery of QoS 1 is therefore at least once.

Of several brokers `brokers.py` decides which one is next. On a fallback the preferred one is probed (`probe.py`), and
the connection goes back to it when it answers.

This module must not know what the messages mean. Invariants: `deliver` is called from the link's thread only, and its
errors do not stop the link; no more QoS 1 messages are in flight than the broker's Receive Maximum; passwords are never
logged.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from random import Random
from typing import Final

import structlog

from edgeagent.clock import Clock, SystemClock
from edgeagent.errors import ConfigError, LinkError
from edgeagent.fleet.attempts import Ending
from edgeagent.fleet.brokers import Brokers, first_broker, next_broker, probe_delay_s
from edgeagent.fleet.connection import Connection, survive
from edgeagent.fleet.link_desk import NS, Desk
from edgeagent.fleet.link_types import (
    AckHandle,
    LinkEvent,
    LinkSettings,
    LinkStats,
    Lost,
    Outcome,
    Refused,
)
from edgeagent.fleet.outqueue import Outgoing
from edgeagent.fleet.probe import Probe

_log = structlog.get_logger(__name__)
_TICK_S: Final = 1.0
_STOPPING_TICK_S: Final = 0.05


class MqttLink:
    """Keeps the connection, sends what is published, and tells `deliver` what happens.

    Every method may be called from any thread. `deliver` is called on the link's thread and has to return at once: it
    hands over to the agent's loop and does nothing else.
    """

    def __init__(
        self,
        settings: LinkSettings,
        deliver: Callable[[LinkEvent], None],
        clock: Clock | None = None,
        rng: Random | None = None,
    ) -> None:
        self._settings = settings
        self._deliver = deliver
        self._clock = clock or SystemClock()
        self._rng = rng or Random()  # noqa: S311  # jitter, not a secret
        self._desk = Desk(settings, self._clock)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="edgeagent-mqtt", daemon=True)

    def start(self) -> None:
        """Starts connecting, and returns at once. Raises ConfigError for settings that can never work.

        Files that cannot be read now may be there later: they are told, and tried again.
        """
        if not self._settings.client_id:
            raise ConfigError("the MQTT client id is empty", mend="use the device id")
        self._thread.start()

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int,
        retain: bool,
        expiry_s: float | None = None,
        tag: int | None = None,
        correlation: bytes | None = None,
    ) -> Outcome:
        """Takes a message for sending; never waits for the network. An empty retained payload clears the topic.

        `correlation` goes along with MQTT 5. With a `tag`, Published follows when the broker has answered. Raises
        LinkError for a topic that MQTT does not allow and for a QoS other than 0 and 1.
        """
        if not topic or "+" in topic or "#" in topic or "\0" in topic or qos not in {0, 1}:
            raise LinkError(f"cannot publish on {topic!r} with QoS {qos}")
        expires_ns = None if expiry_s is None else self._clock.monotonic_ns() + round(expiry_s * NS)
        return self._desk.put(Outgoing(topic, payload, qos, retain, expires_ns, tag, correlation))

    def subscribe(self, filters: Mapping[str, int]) -> None:
        """Adds topic filters (filter -> QoS), kept up over reconnections. Subscribed tells the broker's answer."""
        self._desk.ask_filters(filters)

    def ack(self, handle: AckHandle) -> None:
        """Acknowledges a Message once it is durably stored. Ignored when its connection is gone: it comes again."""
        self._desk.ask_ack(handle)

    def stats(self) -> LinkStats:
        return self._desk.stats()

    def stop(self, final: tuple[str, bytes] | None = None) -> None:
        """Publishes `final` (topic, payload; retained, QoS 1), waits at most `drain_s` for it, and disconnects.

        When the broker confirms in time, its will is forgotten; otherwise the connection is dropped without a word, so
        that the broker says `lost` in our place. Blocks for that long: call it from a worker thread of an event loop.
        """
        if final is not None:
            self._desk.put_final(Outgoing(final[0], final[1], 1, True))
        self._stopping.set()
        self._desk.waker.wake()
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join(self._settings.drain_s + 0.5)
        if not self._thread.is_alive():
            self._desk.close()

    def _run(self) -> None:
        """The thread: one connection after another until it is stopped."""
        brokers = first_broker(self._settings)
        generation = 0
        while not self._stopping.is_set():
            generation += 1
            ending = self._live_once(brokers, generation)
            if not self._stopping.is_set():
                broker = str(self._settings.brokers[brokers.now])
                brokers, delay_s = next_broker(brokers, ending, self._settings, self._rng, self._now_s())
                self._tell_ending(ending, delay_s, broker)
                self._stopping.wait(delay_s)
        self._desk.close()

    def _now_s(self) -> float:
        return self._clock.monotonic_ns() / NS

    def _live_once(self, brokers: Brokers, generation: int) -> Ending:
        """One connection, from CONNECT to its end."""
        connection = Connection(
            self._settings,
            self._desk,
            self._tell,
            protocol=brokers.current.protocol,
            generation=generation,
            clock=self._clock,
            broker=brokers.now,
        )
        way_back = _WayBack(brokers, self._settings, self._rng, self._clock) if brokers.on_fallback else None
        if not survive(self._serve, connection, way_back):
            self._desk.count_fault()
        ending = connection.ending or Ending("lost", "a fault of our own, see the log")
        clean = ending.kind == "moved" or (connection.ending is None and self._desk.last_word_arrived())
        self._desk.offline(lost=connection.ending is not None and ending.kind != "moved")
        survive(lambda: connection.close(clean=clean))
        return ending

    def _serve(self, connection: Connection, way_back: _WayBack | None) -> None:
        connection.open()
        stop_at_ns = 0
        while connection.ending is None:
            connection.pump(_STOPPING_TICK_S if stop_at_ns else _TICK_S)
            if self._stopping.is_set():
                now_ns = self._clock.monotonic_ns()
                stop_at_ns = stop_at_ns or now_ns + round(self._settings.drain_s * NS)
                if connection.line is None or self._desk.drained() or now_ns >= stop_at_ns:
                    return
            elif way_back is not None and connection.line is not None and way_back.is_open():
                connection.move()

    def _tell_ending(self, ending: Ending, delay_s: float, broker: str) -> None:
        if ending.kind in {"refused", "unavailable", "unsupported"}:
            self._desk.count_refusal()
            self._tell(Refused(ending.reason, ending.code, delay_s, broker))
        else:
            self._tell(Lost(ending.reason, delay_s, ending.held_s > 0, ending.kind, broker))

    def _tell(self, event: LinkEvent) -> None:
        if not survive(self._deliver, event):
            self._desk.count_fault()


class _WayBack:
    """From a fallback to the preferred broker: probes it when the time has come, one probe at a time."""

    def __init__(self, brokers: Brokers, settings: LinkSettings, rng: Random, clock: Clock) -> None:
        self._brokers = brokers
        self._settings = settings
        self._rng = rng
        self._clock = clock
        self._probe: Probe | None = None
        self._due_ns = 0
        self._put_off()

    def is_open(self) -> bool:
        """Whether the preferred broker is known to answer. Never waits."""
        if self._probe is not None and self._probe.answers is not None:
            found, self._probe = self._probe.answers, None
            self._put_off()
            return found
        if self._probe is None and self._clock.monotonic_ns() >= self._due_ns:
            self._probe = Probe(self._settings, self._settings.brokers[0], self._brokers.attempts[0], self._clock)
            self._probe.start()
        return False

    def _put_off(self) -> None:
        delay_s = probe_delay_s(self._brokers, self._settings, self._rng)
        self._due_ns = self._clock.monotonic_ns() + round(delay_s * NS)
