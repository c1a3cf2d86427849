"""What is there for dashboards beside the messages: the endpoint for Prometheus, and Home Assistant's discovery."""

from __future__ import annotations

from pathlib import Path

from edgeagent.app.home_assistant import HomeAssistant
from edgeagent.app.prometheus import Endpoint, open_endpoint
from edgeagent.app.publisher import Link, Publisher
from edgeagent.clock import Clock
from edgeagent.config.schema import Config
from edgeagent.fleet.topics import Topics


class Dashboards:
    """For the event loop only; `tick` about once a second. The inbox listens to `topics_of_others`."""

    def __init__(self, config: Config, publisher: Publisher, link: Link, topics: Topics, clock: Clock) -> None:
        self._config = config
        self._publisher = publisher
        self._link = link
        self._topics = topics
        self._clock = clock
        self._home: HomeAssistant | None = None
        self._endpoint: Endpoint | None = None

    def start(self) -> None:
        config = self._config
        state_dir = Path(config.device.state_dir)
        self._home = HomeAssistant(config, self._link, self._topics, state_dir, self._clock)
        self._publisher.listen(self._home.hear, self._home.again)
        self._endpoint = open_endpoint(config, self._publisher, self._clock)

    def apply(self, config: Config) -> None:
        """Another config from now on; nothing happens where its tables are the same."""
        old, self._config = self._config, config
        if (old.metrics, old.home_assistant) != (config.metrics, config.home_assistant):
            self.stop()
            self.start()

    def take(self, topic: str, payload: bytes) -> None:
        """A message of another program."""
        if self._home is not None and topic == self._home.birth_topic and payload == b"online":
            self._home.again()

    def tick(self) -> None:
        if self._home is not None:
            self._home.tick()

    def stop(self) -> None:
        """Waits for the endpoint's thread, half a second at most."""
        if self._home is not None:
            self._publisher.unlisten(self._home.hear)
            self._home = None
        if self._endpoint is not None:
            self._endpoint.close()
            self._endpoint = None
