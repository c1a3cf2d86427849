"""What the infer desk makes of engines that were taken out, of canaries, and of children that ended themselves.

The child is not there: its words are handed in, and what would be sent to it is kept.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from random import Random
from types import SimpleNamespace
from typing import Any

import anyio
import pytest
from test_publisher import Memory

from edgeagent.app.cameras import Camera
from edgeagent.app.infer_news import InferSettings
from edgeagent.app.infer_row import InferRow
from edgeagent.app.publisher import Publisher
from edgeagent.app.served import Served
from edgeagent.camera.spec import SyntheticSpec
from edgeagent.clock import ManualClock
from edgeagent.config.pipeline_table import PipelineSettings
from edgeagent.fleet.envelope import Stamp
from edgeagent.fleet.topics import Topics
from edgeagent.inference.messages import InferStart, InferStats, Loaded, LoadPipeline, NoNumbers, RunFailed
from edgeagent.supervise.messages import Message
from edgeagent.supervise.supervisor import ChildState

CANARY = (0.9, 0.8, 0.1)


class Hall:
    """One pipeline."""

    def __init__(self) -> None:
        clock, self.link = ManualClock(), Memory()
        publisher = Publisher(self.link, Topics("lab", "one"), Stamp("boot-1", clock.wall_ms), clock, results_qos=0)
        self.publisher = publisher
        self.camera = Camera("belt", SyntheticSpec(), [(32, 32)], publisher, clock, Random(1))
        settings = PipelineSettings(camera="belt", model="parts", priority=7)
        ring = next(iter(self.camera.rings.values()))
        self.served = Served("parts", settings, self.camera, ring, ["bolt"], "parts")
        self.row = InferRow([self.served], InferSettings(1, 3.0, 60.0), publisher, clock, Random(1))
        self.desk = self.row.desks["cpu"]
        self.sent: list[Any] = []
        self.told: list[tuple[str, ...]] = []
        self.desk.supervisor.send = self._send  # type: ignore[method-assign]
        news = self.row.news
        news.run_failed = lambda served, engine, text: self.told.append(("run", served.name, engine, text))
        news.crash = lambda engine, text: self.told.append(("crash", engine, text))
        news.idle = lambda pipeline: self.told.append(("idle", pipeline))

    async def _send(self, message: Message) -> None:
        self.sent.append(message)

    def serve(self, key: str, *, canary: tuple[float, ...] = CANARY) -> LoadPipeline:
        """An engine comes and is loaded; what was sent for it."""
        manifest: Any = SimpleNamespace(key=key, backend="onnxruntime", placement="cpu", network=None)
        anyio.run(self.row.serve, "parts", manifest, f"/store/{key}")
        self.says(Loaded(pipeline="parts", engine=key, load_s=0.1, canary=canary))
        word = self.sent[-1]
        assert isinstance(word, LoadPipeline)
        return word

    def says(self, word: Message) -> None:
        self.desk._take(word.line())

    def runs_on(self) -> str:
        """The engine that results are attributed to, "" for none."""
        return self.served.running.engine if self.served.running else ""

    def events(self, kind: str) -> list[dict[str, Any]]:
        found = [json.loads(payload) for _, payload, _, _ in self.link.sent if payload]
        return [payload for payload in found if payload.get("type") == kind]

    def component(self, name: str) -> str | None:
        return self.publisher.component(name)


@pytest.fixture
def hall() -> Iterator[Hall]:
    made = Hall()
    yield made
    made.camera.close()


def taken_out(engine: str, back_to: str = "") -> RunFailed:
    return RunFailed(pipeline="parts", engine=engine, back_to=back_to, code="engine_run", text="it raised")


def test_after_a_way_back_results_are_those_of_the_engine_before_and_a_new_child_gets_that_one(hall: Hall) -> None:
    hall.serve("good")
    hall.serve("bad")
    assert hall.runs_on() == "bad"
    hall.says(taken_out("bad", back_to="good"))
    assert hall.runs_on() == "good" and hall.served.loaded
    first = hall.desk._spec().first
    assert isinstance(first, InferStart)
    assert [start.engine for start in first.pipelines] == ["good"]
    (event,) = hall.events("engine-taken-out")
    assert (event["severity"], event["facts"]["engine"], event["facts"]["code"]) == ("error", "bad", "engine_run")
    assert "the engine before, good, serves again" in event["text"]
    assert hall.component("engine/parts") == "degraded"
    assert hall.told == [("run", "parts", "bad", "it raised")], "no word of an idle pipeline"


def test_the_summary_tells_what_failed_and_what_was_torn_over_all_lives_of_the_child(hall: Hall) -> None:
    hall.serve("good")
    ring = hall.served.ring.id
    told = []
    for failed, torn in ((2, 1), (3, 1)):
        hall.says(InferStats(frames=0, dropped={}, torn={ring: torn}, invalid=0, failed={"parts": failed}))
        hall.row.measure()
        told.append(hall.link.last("s/belt/parts"))
    hall.desk._spec()
    hall.says(InferStats(frames=0, dropped={}, torn={ring: 4}, invalid=0))
    hall.row.measure()
    told.append(hall.link.last("s/belt/parts"))
    assert [(summary["failed"], summary["torn"]) for summary in told] == [(2, 1), (1, 0), (0, 4)]


def test_without_a_way_back_the_pipeline_has_no_engine(hall: Hall) -> None:
    hall.serve("bad")
    hall.says(taken_out("bad"))
    assert hall.runs_on() == "" and not hall.served.loaded and hall.served.start is None
    assert hall.component("engine/parts") == "failed"
    assert hall.told == [("idle", "parts"), ("run", "parts", "bad", "it raised")]


def test_an_engine_that_was_replaced_meanwhile_is_only_blamed(hall: Hall) -> None:
    """Its successor was sent before its end was heard."""
    hall.serve("bad")
    manifest: Any = SimpleNamespace(key="next", backend="onnxruntime", placement="cpu", network=None)
    anyio.run(hall.row.serve, "parts", manifest, "/store/next")
    hall.says(taken_out("bad"))
    assert hall.served.start is not None and hall.served.start.engine == "next"
    hall.says(Loaded(pipeline="parts", engine="next", load_s=0.1))
    assert hall.runs_on() == "next"


def test_what_an_engine_first_said_of_its_canary_goes_with_it_to_every_child(hall: Hall) -> None:
    assert hall.serve("e").pipeline.canary == (), "nobody has asked it yet"
    assert hall.serve("e", canary=(0.1,)).pipeline.canary == CANARY
    first = hall.desk._spec().first
    assert isinstance(first, InferStart)
    assert [start.canary for start in first.pipelines] == [CANARY]
    assert (first.max_delay_ms, first.canary_s, first.pipelines[0].priority) == (3.0, 60.0, 7)


def test_an_engine_without_numbers_is_an_event(hall: Hall) -> None:
    hall.serve("sick")
    hall.says(NoNumbers(pipeline="parts", engine="sick"))
    (event,) = hall.events("engine-no-numbers")
    assert event["severity"] == "warning" and event["facts"]["engine"] == "sick"


@pytest.mark.parametrize(
    ("code", "signal", "blamed"),
    [("gpu_lost", 0, True), ("engine_stuck", 0, True), ("", 11, True), ("hung", 0, False), ("protocol", 0, False)],
)
def test_a_child_that_ended_itself_because_of_an_engine_counts_as_its_crash(
    hall: Hall, code: str, signal: int, blamed: bool
) -> None:
    hall.serve("e")
    hall.desk._child_changed(ChildState("infer-cpu", "waiting", "why", code=code, signal=signal))
    assert hall.told == ([("crash", "e", "why")] if blamed else [])
    assert hall.runs_on() == ""
