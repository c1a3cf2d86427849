"""`edgeagent demo`: the whole main job on one machine, in one command.

A virtual Jetson, an embedded broker and a real agent are started; the demo then only watches, over MQTT, as any
dashboard would. Nothing is left behind: no process, no shared memory, no file outside its state directory.
"""

from __future__ import annotations

import os
import queue
import shlex
import signal
import sys
import time
from pathlib import Path
from random import Random
from types import FrameType
from typing import TYPE_CHECKING

from edgeagent.camera.spec import describe_source
from edgeagent.clock import SystemClock
from edgeagent.errors import EdgeAgentError, OperatorError
from edgeagent.fleet.envelope import MessageError
from edgeagent.fleet.link import MqttLink
from edgeagent.fleet.link_types import LinkEvent, LinkSettings, Lost, Message, Refused, TlsSettings
from edgeagent.fleet.messages import parse_message
from edgeagent.fleet.topics import TopicError, Topics
from edgeagent.fleet.url import Broker, parse_broker_url
from edgeagent.simulate.board import make_board
from edgeagent.simulate.demo_processes import (
    AgentDied,
    Processes,
    start_agent,
    start_broker,
    start_plant,
    start_power_helper,
    why_ended,
)
from edgeagent.simulate.demo_report import Cost, agent_cost, make_report, summary_text, write_report
from edgeagent.simulate.demo_setup import (
    FLEET,
    HELPER_SOCKET,
    WORKED,
    DemoOptions,
    broker_protocol,
    checked_source,
    instance,
    run_directory,
    write_config,
)
from edgeagent.simulate.demo_state import DemoState

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live

REFRESH_S = 0.25
FIRST_RESULT_S = 180.0


class Demo:
    """One run: the processes, the watcher's link, and the loop that shows what it hears."""

    def __init__(self, options: DemoOptions, processes: Processes, run_dir: Path, number: int) -> None:
        self._options = options
        self._processes = processes
        self._run_dir = run_dir
        self._device = f"virtual-{options.module}" + (f"-{number}" if number > 1 else "")
        self._source = checked_source(options.source)
        self._state = DemoState()
        self._heard: queue.SimpleQueue[LinkEvent] = queue.SimpleQueue()
        self._stopping = False
        self._agent_pid = 0
        self._at_first: Cost | None = None
        self._at_end: Cost | None = None
        self._last_plain: str | None = None
        self._told_s = 0
        self._watched = False
        self._trouble = ""
        self._started_ms = time.time_ns() // 1_000_000

    def run(self) -> int:
        """Until the duration is over, the file has ended, the agent has died, or Ctrl-C. Returns the exit code."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._stop)
        broker = self._start()
        link = self._watch(broker)
        try:
            self._show(broker)
        finally:
            self._at_end = agent_cost(self._agent_pid) or self._at_end
            self._processes.stop()
            self._drain()
            link.stop()
        return self._finish()

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._stopping = True

    def _start(self) -> Broker:
        options = self._options
        board = make_board(options.module, self._run_dir / "board", seed=int.from_bytes(os.urandom(3), "big"))
        if options.broker is None:
            broker = Broker(host="127.0.0.1", port=start_broker(self._processes, options.port), tls=False)
        else:
            broker = parse_broker_url(options.broker, allow_credentials=True)
        start_plant(self._processes, board, options.ambient_c, WORKED if options.hot else 0.0)
        start_power_helper(self._processes, board, self._run_dir / HELPER_SOCKET)
        config = self._run_dir / "config.toml"
        write_config(config, options, self._source, broker, board.root, self._device)
        self._agent_pid = start_agent(self._processes, config, board.bin_dir)
        return broker

    def _watch(self, broker: Broker) -> MqttLink:
        settings = LinkSettings(
            host=broker.host,
            port=broker.port,
            client_id=f"edgeagent-demo-{os.getpid()}",
            tls=TlsSettings() if broker.tls else None,
            path=broker.path,
            username=broker.username,
            password=broker.password,
            protocol=broker_protocol(self._options),
            session_expiry_s=0,
        )
        link = MqttLink(settings, self._heard.put, SystemClock(), Random())  # noqa: S311  jitter
        link.subscribe({Topics(FLEET, self._device).everything: 0})
        link.start()
        return link

    def _show(self, broker: Broker) -> None:
        from rich.console import Console

        console = Console()
        self._watched = console.is_terminal and not self._options.headless
        if not self._watched:
            self._follow(broker, None, console)
            return
        from rich.live import Live

        with Live(console=console, refresh_per_second=4, screen=True) as live:
            self._follow(broker, live, console)

    def _follow(self, broker: Broker, live: Live | None, console: Console) -> None:
        from edgeagent.simulate.demo_view import Surroundings, draw, plain_line

        watch = _watch_line(broker, Topics(FLEET, self._device).everything)
        around = Surroundings(watch, describe_source(self._source), f"{broker.host}:{broker.port}")
        if live is None:
            console.print(
                f"device {self._device} on {around.broker}, camera {around.source}", highlight=False, soft_wrap=True
            )
            console.print(f"watch it: {watch}", highlight=False, soft_wrap=True)
        while not self._is_over():
            self._drain(wait_s=REFRESH_S)
            if live is not None:
                live.update(draw(self._state, around, self._elapsed_s(), *console.size))
                continue
            self._tell_events(console)
            line = plain_line(self._state) or self._plain_result()
            if line is not None and line != self._last_plain:
                self._last_plain = line
                console.print(line, highlight=False, soft_wrap=True)

    def _tell_events(self, console: Console) -> None:
        for event in self._state.take_news():
            if event.severity != "info" or event.type.startswith("build-"):
                console.print(f"{event.severity}: {event.text}", highlight=False, soft_wrap=True)

    def _plain_result(self) -> str | None:
        tally, status = self._state.tally, self._state.status
        if not tally.results:
            return self._trouble or None
        seconds = int(tally.last_s - (tally.first_s or 0)) // 5 * 5
        if seconds == self._told_s:
            return self._last_plain
        self._told_s = seconds
        return f"running for {seconds} s: {tally.fps:.1f} results a second, {status.state if status else '-'}"

    def _is_over(self) -> bool:
        if self._stopping or self._state.ended:
            return True
        if (code := self._processes.exited("agent")) is not None:
            raise AgentDied(why_ended(code, self._run_dir / "log"))
        if self._processes.exited("broker") is not None:
            raise EdgeAgentError("the embedded broker has ended", code="broker_died")
        self._processes.keep_alive("plant")
        self._refuse_what_cannot_come()
        first = self._state.tally.first_s
        if first is None:
            if self._options.duration_s is not None and self._elapsed_s() > FIRST_RESULT_S:
                raise EdgeAgentError(
                    f"no result within {FIRST_RESULT_S:.0f} s: {self._why_nothing()}", code="no_result"
                )
            return False
        return self._options.duration_s is not None and time.monotonic() - first >= self._options.duration_s

    def _elapsed_s(self) -> float:
        return time.monotonic() - self._options.started_s

    def _refuse_what_cannot_come(self) -> None:
        """A camera that only another --source can help, or, with nobody watching, an engine that was given up."""
        camera, given_up = self._state.camera, self._state.given_up
        if camera is not None and camera.state == "refused":
            raise OperatorError(self._why_nothing(), code="source_refused")
        if given_up is not None and not self._watched:
            raise EdgeAgentError(f"no engine: {given_up.text}", code="no_engine")

    def _why_nothing(self) -> str:
        health = self._state.health
        ill = [c.reason for c in health.components if c.health != "ok"] if health else []
        return "; ".join(ill) or self._trouble or "the agent is still starting"

    def _drain(self, wait_s: float = 0.0) -> None:
        """Take in everything heard within `wait_s`."""
        deadline = time.monotonic() + wait_s
        while True:
            try:
                event = self._heard.get(timeout=max(0.0, deadline - time.monotonic()) or 0.001)
            except queue.Empty:
                return
            self._take(event)
            if self._stopping and wait_s:
                return

    def _take(self, event: LinkEvent) -> None:
        if isinstance(event, Refused):
            self._trouble = f"the broker refused: {event.reason}"
        elif isinstance(event, Lost) and not self._stopping:
            self._trouble = f"no broker: {event.reason}"
        elif isinstance(event, Message):
            try:
                message = parse_message(event.topic, event.payload)
            except (MessageError, TopicError):
                return  # a consumer ignores what it does not know
            if event.retain and message is not None and message.ts < self._started_ms:
                return  # left on the broker by an earlier run
            self._state.apply(event.topic, message, time.monotonic())
            if self._at_first is None and self._state.tally.results:
                self._at_first = agent_cost(self._agent_pid)

    def _finish(self) -> int:
        options, state = self._options, self._state
        report = make_report(state, options.started_s, self._at_first, self._at_end)
        if options.report is not None:
            write_report(options.report, report)
        if not state.tally.results:
            raise EdgeAgentError(f"stopped before the first result: {self._why_nothing()}", code="no_result")
        sys.stdout.write(summary_text(report) + "\n")
        return 0


def _watch_line(broker: Broker, topics: str) -> str:
    user = f" -u {shlex.quote(broker.username)} -P ..." if broker.username else ""
    tls = " --tls-use-os-certs" if broker.tls else ""
    return f"mosquitto_sub -h {broker.host} -p {broker.port}{tls}{user} -v -t '{topics}'"


def run_demo(options: DemoOptions) -> int:
    """Run the demo; returns the exit code. Raises OperatorError for what cannot work, before anything is started."""
    checked_source(options.source)
    if options.report is not None:
        if not options.report.absolute().parent.is_dir():
            raise OperatorError(f"--report: there is no directory {options.report.absolute().parent}")
        if options.report.is_dir():
            raise OperatorError(f"--report: {options.report} is a directory")
    with (
        instance(options.state_dir) as number,
        run_directory(options.state_dir, number) as run_dir,
        (run_dir / "log").open("wb") as log,
    ):
        processes = Processes(log)
        try:
            return Demo(options, processes, run_dir, number).run()
        finally:
            processes.stop()
