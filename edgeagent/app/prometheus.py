"""The endpoint for Prometheus: the newest numbers, on the device's loopback. Off unless a port is set.

Fed by the publisher as it publishes; the agent's loop only puts values into a dictionary, and a thread of the client
library answers. What has not been said again for a while is not given any more, so a dead camera's rate ends instead of
standing still.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import structlog

from edgeagent.app.metric_names import PREFIX, Sample, samples_of
from edgeagent.app.publisher import Publisher
from edgeagent.clock import Clock
from edgeagent.config.schema import Config
from edgeagent.fleet.envelope import Message
from edgeagent.fleet.measurements import Numbers
from edgeagent.fleet.topics import parse_topic

if TYPE_CHECKING:
    from prometheus_client.core import Metric

log = structlog.get_logger("metrics")

LOOPBACK: Final = "127.0.0.1"
COMPONENT: Final = "metrics"
LEAST_STALE_S: Final = 15.0
FORGET_NS: Final = 3600 * 10**9


@dataclass
class _Kept:
    samples: dict[tuple[str, tuple[tuple[str, str], ...]], Sample]
    at_ns: int
    ages: bool


class Metrics:
    """The newest samples of each topic. `take` on the agent's loop, `collect` on any thread."""

    def __init__(self, clock: Clock, stale_s: float) -> None:
        self._clock = clock
        self._stale_ns = round(stale_s * 1e9)
        self._lock = threading.Lock()
        self._kept: dict[str, _Kept] = {}

    def take(self, topic: str, message: Message | None) -> None:
        """A message as it is published; None for an alarm that is cleared."""
        with self._lock:
            if message is None:
                self._kept.pop(topic, None)
                return
            before = self._kept[topic].samples if topic in self._kept else {}
            found = {(s.name, s.labels): _added(before, s) for s in samples_of(parse_topic(topic), message)}
            if found:
                self._kept[topic] = _Kept(found, self._clock.monotonic_ns(), isinstance(message, Numbers))

    def samples(self) -> list[Sample]:
        """Those that still hold. A counter holds for an hour: it would seem to start anew otherwise."""
        now_ns = self._clock.monotonic_ns()
        with self._lock:
            for topic in [t for t, kept in self._kept.items() if kept.ages and now_ns - kept.at_ns > FORGET_NS]:
                del self._kept[topic]  # its camera or pipeline is gone
            return [
                sample
                for kept in self._kept.values()
                for sample in kept.samples.values()
                if sample.kind == "counter" or not kept.ages or now_ns - kept.at_ns <= self._stale_ns
            ]

    def collect(self) -> Iterator[Metric]:
        """As the client library wants it: one family for each name."""
        yield from families(self.samples())


def _added(before: dict[tuple[str, tuple[tuple[str, str], ...]], Sample], sample: Sample) -> Sample:
    if sample.kind != "increment":
        return sample
    old = before.get((sample.name, sample.labels))
    value = sample.value + (old.value if old else 0.0)
    return Sample(sample.name, value, sample.labels, "counter", sample.about)


def families(samples: Iterable[Sample]) -> Iterator[Metric]:
    """Samples by name; all of one name have the same labels."""
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    made: dict[str, Any] = {}
    for sample in samples:
        family = made.get(sample.name)
        if family is None:
            kind = CounterMetricFamily if sample.kind == "counter" else GaugeMetricFamily
            labels = [name for name, _ in sample.labels]
            family = made[sample.name] = kind(f"{PREFIX}_{sample.name}", sample.about, labels=labels)
        family.add_metric([value for _, value in sample.labels], sample.value)
    yield from made.values()


class Endpoint:
    """An open port with the numbers behind it."""

    def __init__(self, publisher: Publisher, metrics: Metrics, port: int) -> None:
        """Raises OSError for a port that is taken, ImportError where the client library is not installed."""
        from prometheus_client import CollectorRegistry, start_http_server

        registry = CollectorRegistry(auto_describe=False)
        registry.register(metrics)
        self._server, self._thread = start_http_server(port, addr=LOOPBACK, registry=registry)
        self._publisher, self._take = publisher, metrics.take
        publisher.listen(self._take)

    def close(self) -> None:
        """Waits for the library's thread, half a second at most."""
        self._publisher.unlisten(self._take)
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def open_endpoint(config: Config, publisher: Publisher, clock: Clock) -> Endpoint | None:
    """Listens where the config names a port. What stands in the way costs the numbers only; health tells it."""
    port = config.metrics.prometheus_port
    if port is None:
        publisher.forget(COMPONENT)
        return None
    metrics = Metrics(clock, max(LEAST_STALE_S, 3 * config.power.sample_interval_s))
    try:
        endpoint = Endpoint(publisher, metrics, port)
    except ImportError:
        _not_open(publisher, "prometheus-client is not installed (install.sh brings it, or edgeagent[metrics])")
        return None
    except OSError as error:
        _not_open(publisher, f"port {port} on {LOOPBACK}: {(error.strerror or str(error)).lower()}")
        return None
    publisher.note(COMPONENT, "ok")
    log.info("metrics", url=f"http://{LOOPBACK}:{port}/metrics")
    return endpoint


def _not_open(publisher: Publisher, reason: str) -> None:
    log.error("metrics", reason=reason)
    publisher.note(COMPONENT, "degraded", f"no endpoint for Prometheus: {reason}")
