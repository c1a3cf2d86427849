"""Asks whether a broker answers, beside a running connection to another one.

On a thread of its own, because DNS, TCP and TLS block; it ends by itself within the settings' timeouts, at most twice
as many where the broker's MQTT version is not known. It connects as a client of its own name, `<client id>-probe`,
without a session and a will, and leaves at once: with our own id a cluster would end the running connection. A broker
that refuses that name answers, too: whether it takes us is seen when we come.
"""

from __future__ import annotations

import selectors
import threading
from typing import Final

from paho.mqtt.client import Client

from edgeagent.clock import Clock
from edgeagent.fleet.attempts import Attempts, kind_of_refusal
from edgeagent.fleet.client import connect_client, make_client
from edgeagent.fleet.link_types import Address, LinkSettings, Protocol

_STEP_S: Final = 0.5
_NS: Final = 1_000_000_000


class Probe:
    """One question to one broker. `answers` is None until it is known."""

    def __init__(self, settings: LinkSettings, address: Address, attempts: Attempts, clock: Clock) -> None:
        self._settings = settings
        self._address = address
        self._clock = clock
        spoken = attempts.spoken
        auto: tuple[Protocol, ...] = ("5", "3.1.1") if spoken is None else (spoken,)
        self._protocols = auto if settings.protocol == "auto" else (settings.protocol,)
        self.answers: bool | None = None
        self._thread = threading.Thread(target=self._run, name="edgeagent-mqtt-probe", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def join(self, timeout_s: float) -> None:
        self._thread.join(timeout_s)

    def _run(self) -> None:
        found = False
        try:
            found = any(self._ask(protocol) for protocol in self._protocols)
        finally:
            self.answers = found

    def _ask(self, protocol: Protocol) -> bool:
        client = make_client(self._settings, self._address, protocol, f"{self._settings.client_id}-probe", clean=True)
        said: list[int] = []
        client.on_connect = lambda _c, _d, _f, reason, _p: said.append(reason.value)
        ending = connect_client(client, self._settings, self._address, protocol, self._clock, clean=True)
        if ending is not None:
            return False
        self._wait(client, said)
        client.disconnect()
        sock = client.socket()
        if sock is not None:
            sock.close()
        return bool(said) and (said[0] == 0 or kind_of_refusal(said[0]) == "refused")

    def _wait(self, client: Client, said: list[int]) -> None:
        until_ns = self._clock.monotonic_ns() + round(self._settings.connack_timeout_s * _NS)
        with selectors.DefaultSelector() as selector:
            selector.register(client.socket(), selectors.EVENT_READ)  # type: ignore[arg-type]
            while not said and client.socket() is not None and self._clock.monotonic_ns() < until_ns:
                if client.want_write():
                    client.loop_write()
                if selector.select(_STEP_S):
                    client.loop_read()
