"""The shedding desk between a governor that the test plays and an infer child that is not there."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Awaitable, Callable, Iterator
from random import Random
from types import SimpleNamespace
from typing import Any

import anyio
import pytest
from test_publisher import Memory

from edgeagent.app.cameras import Camera
from edgeagent.app.infer_news import InferSettings
from edgeagent.app.infer_row import InferRow
from edgeagent.app.inference import InferDesk
from edgeagent.app.lesser_engines import Lesser
from edgeagent.app.publisher import Publisher
from edgeagent.app.served import Served
from edgeagent.app.shed_possible import LOOK_AGAIN_S
from edgeagent.app.shed_words import ShedWords
from edgeagent.app.shedding import SheddingDesk
from edgeagent.camera.messages import CaptureStats, Opened, SetShare
from edgeagent.camera.spec import FileSpec, SourceSpec, SyntheticSpec
from edgeagent.clock import ManualClock
from edgeagent.config.pipeline_table import PipelineSettings
from edgeagent.errors import EngineError
from edgeagent.fleet.envelope import Stamp
from edgeagent.fleet.topics import Topics
from edgeagent.inference.messages import InferStats, Loaded, LoadPipeline, SetPace
from edgeagent.inference.result_line import Head, result_line
from edgeagent.thermal.governor import Level, Reason, Verdict

CLASSES = ["bolt", "nut"]


class Store:
    """Engines that are there: (model, placement) -> key; everything else is not."""

    def __init__(self) -> None:
        self.has: dict[tuple[str, str], str] = {}
        self.asked: list[tuple[str, str]] = []
        self.answers = threading.Event()
        self.answers.set()

    def find(self, served: Served, model: str, placement: str) -> Lesser:
        self.asked.append((model, placement))
        self.answers.wait(20)
        key = self.has.get((model, placement))
        if key is None:
            raise EngineError(f"no engine of {model or served.model} for {placement or 'the GPU'} is ready", code="x")
        return Lesser(engine(key), model or served.model, ("screw", *CLASSES) if model else tuple(CLASSES))


class BoardPower:
    def __init__(self) -> None:
        self.why_not = ""
        self.fails = ""
        self.done: list[str] = []
        self.answers = anyio.Event()
        self.answers.set()

    async def why_not_lower(self, intent: str) -> str:
        return self.why_not

    async def lower(self, intent: str) -> str:
        self.done.append(f"lower to {intent}")
        await self.answers.wait()
        return self.fails

    def raise_again(self) -> None:
        self.done.append("raise")


class Watch:
    def __init__(self) -> None:
        self.asked: dict[str, float | None] = {}
        self.forgotten: list[str] = []

    def ask(self, pipeline: str, fps: float | None) -> None:
        self.asked[pipeline] = fps

    def forget(self, pipeline: str) -> None:
        self.forgotten.append(pipeline)


def engine(key: str) -> Any:
    manifest = SimpleNamespace(key=key, backend="onnxruntime", placement="cpu", network=None)
    return SimpleNamespace(
        entry=SimpleNamespace(manifest=manifest, plan_path=f"/store/{key}"), candidate=SimpleNamespace(dla_core=0)
    )


class Hall:
    """Cameras and pipelines without processes; what would be sent to them is kept in `sent`."""

    def __init__(self, **pipelines: dict[str, Any]) -> None:
        self.clock, self.link = ManualClock(), Memory()
        self.publisher = Publisher(
            self.link, Topics("lab", "one"), Stamp("boot-1", self.clock.wall_ms), self.clock, results_qos=0
        )
        self.sent: list[tuple[str, Any]] = []
        self.store, self.power, self.watch = Store(), BoardPower(), Watch()
        self.cameras: dict[str, Camera] = {}
        self.served = [self._pipeline(name, dict(values)) for name, values in pipelines.items()]
        self.infer = InferRow(self.served, InferSettings(1), self.publisher, self.clock, Random(1))
        self._hear(self.child.supervisor, "infer")
        words = ShedWords(self.publisher, self.clock)
        self.desk = SheddingDesk(
            self.served, self.infer, self.store, self.power, self.watch, words, self.clock, plugins=()
        )

    @property
    def child(self) -> InferDesk:
        return self.infer.desks["cpu"]

    def _pipeline(self, name: str, values: dict[str, Any]) -> Served:
        camera = self._camera(values.pop("camera", "belt"), values.pop("source", SyntheticSpec()))
        settings = PipelineSettings(camera=camera.name, model="parts", **values)
        return Served(name, settings, camera, next(iter(camera.rings.values())), CLASSES, "parts")

    def _camera(self, name: str, source: SourceSpec) -> Camera:
        if name not in self.cameras:
            camera = Camera(name, source, [(32, 32)], self.publisher, self.clock, Random(1))
            camera.state.opened = Opened(width=640, height=480, fps=20.0)
            self._hear(camera.supervisor, name)
            self.cameras[name] = camera
        return self.cameras[name]

    def _hear(self, supervisor: Any, name: str) -> None:
        async def send(message: Any) -> None:
            self.sent.append((name, message))

        supervisor.send = send

    def close(self) -> None:
        for camera in self.cameras.values():
            camera.close()

    def play(self, scene: Callable[[], Awaitable[None]]) -> None:
        """With the desk's loop running, and every pipeline served by its own engine."""

        async def whole() -> None:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self.desk.run)
                await settle()
                for served in self.served:
                    await self.desk.serve(served.name, engine(f"home-{served.name}"))
                    self.loaded(served.name)
                await scene()
                tasks.cancel_scope.cancel()

        anyio.run(whole)

    def loaded(self, name: str) -> None:
        start = next(served for served in self.served if served.name == name).start
        assert start is not None
        self.child._take(Loaded(pipeline=name, engine=start.engine, load_s=0.1).line())

    async def look(self, level: Level = "hot", allowance: float = 0.0, seconds: float = 20) -> None:
        """Verdicts for so long, and what follows from them carried out."""
        told = Verdict(level, 0.0, allowance, Reason("heat", "tj is 2.0 C above its set point"))
        for _ in range(int(seconds // 2) + 1):
            self.desk.take(told)
            await settle()
            self.clock.advance(2)

    def paces(self) -> list[tuple[str, float, float | None]]:
        words = [word.pace for _, word in self.sent if isinstance(word, SetPace)]
        return [(pace.pipeline, pace.share, pace.per_s) for pace in words]

    def events(self, kind: str) -> list[dict[str, Any]]:
        return [json.loads(payload) for topic, payload, _, _ in self.link.sent if topic == f"e/{kind}"]

    def engines(self) -> list[str]:
        return [word.pipeline.engine for _, word in self.sent if isinstance(word, LoadPipeline)]


async def settle() -> None:
    """Let the desk's loop come to rest; a look into the store is a worker thread's."""
    for _ in range(3):
        await anyio.wait_all_tasks_blocked()
        await anyio.to_thread.run_sync(os.getpid)


@pytest.fixture
def halls() -> Iterator[Callable[..., Hall]]:
    made: list[Hall] = []

    def make(**pipelines: dict[str, Any]) -> Hall:
        made.append(Hall(**pipelines))
        return made[-1]

    yield make
    for hall in made:
        hall.close()


def test_heat_lowers_the_rate_in_steps_and_calm_gives_it_back(halls: Callable[..., Hall]) -> None:
    hall = halls(p={"shed": ["rate 50%", "rate 5/s", "pause"]})

    async def scene() -> None:
        await hall.look("hot", 0.0, 40)
        assert hall.paces() == [("p", 0.5, None), ("p", 0.5, 5.0), ("p", 0.0, 5.0)]
        await hall.look("nominal", 1.0, 200)
        assert hall.paces()[3:] == [("p", 0.5, 5.0), ("p", 0.5, None), ("p", 1.0, None)]

    hall.play(scene)


def test_every_step_is_an_event_and_the_state_says_why_and_since_when(halls: Callable[..., Hall]) -> None:
    hall = halls(p={"shed": ["rate 50%", "pause"], "priority": 3})

    async def scene() -> None:
        begun_ms = hall.clock.wall_ms()
        await hall.look("hot", 0.4, 2)
        state = hall.link.last("shedding/p")
        assert (state["state"], state["share_percent"], state["steps"]) == ("shed", 50.0, ["rate 50%"])
        assert (state["code"], state["reason"]) == ("heat", "tj is 2.0 C above its set point")
        assert (state["since_ts"], state["priority"], state["critical"]) == (begun_ms, 3, False)
        health = {c["name"]: c for c in hall.link.last("health")["components"]}["pipeline/p"]
        assert health["health"] == "degraded"
        assert health["reason"] == "sheds rate 50%: tj is 2.0 C above its set point"
        hall.infer.measure()
        assert hall.link.last("s/belt/p")["share_percent"] == 50.0
        assert hall.link.last("s/belt/p")["shed_s"] == 4.0
        await hall.look("hot", 0.0, 20)
        assert hall.link.last("shedding/p")["state"] == "paused"
        await hall.look("nominal", 1.0, 200)
        assert hall.link.last("shedding/p") | {"ts": 0, "seq": 0} == {
            "schema": "edgeagent.shedding/1", "session": "boot-1", "ts": 0, "seq": 0, "pipeline": "p",
            "state": "full", "share_percent": 100.0, "steps": [], "code": "", "reason": "", "unavailable": [],
            "priority": 3, "critical": False,
        }  # fmt: skip
        assert {c["name"]: c for c in hall.link.last("health")["components"]}["pipeline/p"]["health"] == "ok"
        hall.infer.measure()
        assert hall.link.last("s/belt/p")["shed_s"] == 0.0

    hall.play(scene)
    assert [(e["facts"]["step"], e["severity"]) for e in hall.events("shed")] == [
        ("rate 50%", "warning"), ("pause", "warning"),
    ]  # fmt: skip
    restored = hall.events("restored")
    assert [event["facts"]["step"] for event in restored] == ["pause", "rate 50%"]
    assert all(event["facts"]["lasted_s"] >= 60 for event in restored)
    states = [topic for topic, *_ in hall.link.sent if topic == "shedding/p"]
    assert len(states) == 5, "said when it changes, not with every look"


def test_a_critical_pipeline_keeps_its_floor_and_the_other_camera_is_hardly_read(halls: Callable[..., Hall]) -> None:
    hall = halls(gate={"critical": True, "camera": "door"}, yard={})

    async def scene() -> None:
        await hall.look("critical", 0.0, 120)
        assert {name: share for name, share, _ in hall.paces()} == {"gate": 0.25, "yard": 0.0}
        assert hall.link.last("shedding/gate")["state"] == "shed"
        shares = [(name, word.share) for name, word in hall.sent if isinstance(word, SetShare)]
        assert shares == [("belt", 0.05)], "a frame a second of twenty"
        assert (hall.watch.asked["gate"], hall.watch.asked["yard"]) == (5.0, 0.0)
        hall.cameras["belt"]._take(CaptureStats(frames=1, unusable=0, read_ms=1.0, shed=19).line())
        hall.child._take(InferStats(frames=0, dropped={}, torn={}, invalid=0, shed={"yard": 1}).line())
        hall.infer.measure()
        assert hall.link.last("s/belt/yard")["shed"] == 20
        await hall.look("nominal", 1.0, 600)
        assert {name: share for name, share, _ in hall.paces()} == {"gate": 1.0, "yard": 1.0}
        assert [word.share for _, word in hall.sent if isinstance(word, SetShare)][-1] == 1.0
        assert hall.watch.asked == {"gate": None, "yard": None}

    hall.play(scene)


def test_a_restarted_child_is_told_again_and_what_was_shed_goes_on_counting(halls: Callable[..., Hall]) -> None:
    hall = halls(p={"shed": ["rate 50%", "pause"]})

    async def scene() -> None:
        await hall.look("hot", 0.5, 2)
        hall.child._take(InferStats(frames=1, dropped={}, torn={}, invalid=0, shed={"p": 7}).line())
        first = hall.child._spec().first
        assert [(pace.pipeline, pace.share) for pace in first.paces] == [("p", 0.5)]  # type: ignore[attr-defined]
        hall.child._take(InferStats(frames=1, dropped={}, torn={}, invalid=0, shed={"p": 2}).line())
        assert hall.served[0].shed == 9
        await hall.look("hot", 0.0, 12)
        assert hall.cameras["belt"]._spec().first.share == 0.05  # type: ignore[attr-defined]

    hall.play(scene)


def test_a_smaller_model_that_is_ready_serves_meanwhile_and_results_name_it(halls: Callable[..., Hall]) -> None:
    hall = halls(p={"shed": ["model tiny", "pause"], "classes": ["nut"]})
    hall.store.has[("tiny", "")] = "small"

    async def scene() -> None:
        await hall.look("nominal", 1.0, 4)
        await hall.look("hot", 0.5, 2)
        assert hall.engines() == ["home-p", "small"]
        start = hall.served[0].start
        assert start is not None and (start.classes, start.keep) == (["screw", "bolt", "nut"], [2])
        assert see(hall)["model"] == "parts", "until it is loaded, results are the old engine's"
        hall.loaded("p")
        seen = see(hall)
        assert (seen["model"], seen["engine"]) == ("tiny", "small")
        await hall.look("nominal", 1.0, 100)
        hall.loaded("p")
        assert hall.engines() == ["home-p", "small", "home-p"]
        assert see(hall)["model"] == "parts"
        assert hall.watch.forgotten == ["p", "p", "p"], "another engine has another usual rate"

    hall.play(scene)


def see(hall: Hall) -> dict[str, Any]:
    """A result without detections, as it goes onto MQTT."""
    head = Head(
        frame=1, capture_ns=hall.clock.monotonic_ns(), capture_ms=1_700_000_000_000, width=9, height=9,
        ring_ms=1, wait_ms=1, engine_ms=1, post_ms=1, found=0, last_track=0,
    )  # fmt: skip
    hall.child._take(result_line(head, '"p"', b"[]").rstrip())
    return hall.link.last("r/belt/p")


def test_steps_that_are_not_to_be_had_are_passed_over_and_said_so_before_it_is_hot(halls: Callable[..., Hall]) -> None:
    hall = halls(p={"shed": ["placement dla", "power low-power", "rate 50%"]})
    hall.power.why_not = "power.intent is not set, so the board's power is left as it is"

    async def scene() -> None:
        await hall.look("nominal", 1.0, 4)
        assert hall.link.last("shedding/p")["unavailable"] == [
            "placement dla: no engine of parts for dla is ready",
            "power low-power: power.intent is not set, so the board's power is left as it is",
        ]
        await hall.look("hot", 0.5, 2)
        assert hall.paces() == [("p", 0.5, None)]
        assert "placement dla: no engine of parts" in hall.events("shed")[0]["facts"]["passed"]
        hall.store.has[("", "dla")] = "small"
        await hall.look("warm", 1.0, 2 * LOOK_AGAIN_S + 10)
        assert [line[:9] for line in hall.link.last("shedding/p")["unavailable"]] == ["power low"]
        await hall.look("hot", 0.5, 2)
        assert hall.engines() == ["home-p", "small"], "what has come meanwhile is used"

    hall.play(scene)


def test_an_engine_that_does_not_run_is_given_up_and_the_next_step_is_taken(halls: Callable[..., Hall]) -> None:
    hall = halls(p={"shed": ["placement dla", "rate 50%"]})
    hall.store.has[("", "dla")] = "small"

    async def scene() -> None:
        await hall.look("nominal", 1.0, 4)
        await hall.look("hot", 0.5, 0)
        assert hall.engines() == ["home-p", "small"]
        hall.infer.stop_serving("small")  # it is in quarantine
        await hall.desk.serve("p", engine("home-p"))
        assert hall.engines() == ["home-p", "small", "home-p"]
        assert hall.events("shed-failed")[0]["facts"]["reason"] == "its engine did not run"
        await hall.look("hot", 0.5, 4)
        assert hall.paces() == [("p", 0.5, None)]
        assert hall.engines()[3:] == []
        assert hall.link.last("shedding/p")["unavailable"] == ["placement dla: its engine did not run"]

    hall.play(scene)


def test_an_engine_that_is_gone_by_the_time_it_is_wanted_costs_its_own_step_and_no_later_one(
    halls: Callable[..., Hall],
) -> None:
    """The store takes its time to say so, and the next step is taken meanwhile."""
    hall = halls(p={"shed": ["model small", "placement dla"]})
    hall.store.has = {("small", ""): "small", ("", "dla"): "dla"}

    async def scene() -> None:
        await hall.look("nominal", 1.0, 4)
        hall.store.answers.clear()
        await hall.look("hot", 0.0, 0)
        assert hall.store.asked[-1] == ("small", "")
        del hall.store.has["small", ""]
        hall.clock.advance(10)
        await hall.look("hot", 0.0, 0)
        assert [event["facts"]["step"] for event in hall.events("shed")] == ["model small", "placement dla"]
        hall.store.answers.set()
        with anyio.fail_after(20):
            while not hall.events("shed-failed") or hall.engines()[-1] != "dla":  # its threads take their time
                await settle()
        assert [event["facts"]["step"] for event in hall.events("shed-failed")] == ["model small"]
        assert hall.engines()[-1] == "dla"

    hall.play(scene)


def test_a_new_engine_of_its_own_waits_while_a_lesser_one_serves(halls: Callable[..., Hall]) -> None:
    hall = halls(p={"shed": ["model tiny"]})
    hall.store.has[("tiny", "")] = "small"

    async def scene() -> None:
        await hall.look("nominal", 1.0, 4)
        await hall.look("hot", 0.0, 2)
        await hall.desk.serve("p", engine("newer"))
        assert hall.engines() == ["home-p", "small"]
        await hall.look("nominal", 1.0, 100)
        assert hall.engines() == ["home-p", "small", "newer"]

    hall.play(scene)


def test_the_boards_power_is_lowered_once_and_raised_again(halls: Callable[..., Hall]) -> None:
    hall = halls(a={"shed": ["power low-power"]}, b={"shed": ["power low-power", "rate 50%"]})

    async def scene() -> None:
        await hall.look("nominal", 1.0, 4)
        await hall.look("hot", 0.0, 60)
        assert hall.power.done == ["lower to low-power"]
        await hall.look("nominal", 1.0, 300)
        assert hall.power.done == ["lower to low-power", "raise"]

    hall.play(scene)


def test_power_that_cannot_be_lowered_is_told_and_not_tried_again_for_a_while(halls: Callable[..., Hall]) -> None:
    hall = halls(p={"shed": ["power low-power", "rate 50%"]})
    hall.power.fails = "the helper does not answer"

    async def scene() -> None:
        await hall.look("nominal", 1.0, 4)
        await hall.look("hot", 0.5, 40)
        assert hall.power.done == ["lower to low-power", "raise"]
        assert hall.paces() == [("p", 0.5, None)]
        assert hall.events("shed-failed")[0]["facts"]["reason"] == "the helper does not answer"

    hall.play(scene)


def test_power_that_cannot_be_lowered_and_is_not_to_be_any_more_by_then(halls: Callable[..., Hall]) -> None:
    """The board takes its time to say so, and it has been calm meanwhile."""
    hall = halls(p={"shed": ["power low-power", "rate 50%"]})
    hall.power.fails = "the helper is not there"

    async def scene() -> None:
        await hall.look("nominal", 1.0, 4)
        hall.power.answers = anyio.Event()
        await hall.look("hot", 0.0, 0)
        await hall.look("nominal", 1.0, 90)
        hall.power.answers.set()
        await settle()
        assert hall.power.done == ["lower to low-power", "raise"]
        await hall.look("hot", 0.0, 0)
        assert hall.power.done[2:] == ["lower to low-power", "raise"]

    hall.play(scene)
    assert len(hall.events("shed-failed")) == 1


def test_power_that_could_not_be_lowered_a_moment_after_the_start_is_asked_for_again_soon(
    halls: Callable[..., Hall],
) -> None:
    hall = halls(p={"shed": ["power low-power", "rate 50%"]})
    hall.power.why_not = "the power intent is not in force"

    async def scene() -> None:
        await hall.look("hot", 0.5, 2)
        assert hall.link.last("shedding/p")["unavailable"] == ["power low-power: the power intent is not in force"]
        hall.power.why_not = ""
        await hall.look("hot", 0.5, 8)
        assert hall.link.last("shedding/p")["unavailable"] == []

    hall.play(scene)


def test_a_rate_that_gives_up_nothing_is_passed_over(halls: Callable[..., Hall]) -> None:
    hall = halls(p={"shed": ["rate 5/s", "rate 1/s"], "max_results_per_s": 2.0})

    async def scene() -> None:
        await hall.look("hot", 0.5, 40)
        assert hall.paces() == [("p", 1.0, 1.0)]
        assert hall.link.last("shedding/p")["unavailable"] == ["rate 5/s: it gives 2 results a second as it is"]

    hall.play(scene)


def test_since_when_is_the_same_in_every_message_whatever_the_clock_does(halls: Callable[..., Hall]) -> None:
    hall = halls(p={"shed": ["rate 50%", "rate 25%", "pause"]})

    async def scene() -> None:
        await hall.look("hot", 0.0, 4)
        first = hall.link.last("shedding/p")["since_ts"]
        hall.clock.set_wall(hall.clock.wall_ms() + 3_600_000)
        await hall.look("hot", 0.0, 60)
        last = hall.link.last("shedding/p")
        assert (last["state"], last["since_ts"]) == ("paused", first)
        await hall.look("nominal", 1.0, 900)
        assert "since_ts" not in hall.link.last("shedding/p")

    hall.play(scene)


def test_of_a_file_played_once_no_frame_is_left_out(halls: Callable[..., Hall]) -> None:
    hall = halls(p={"source": FileSpec(path="/a.mp4", mode="once"), "shed": ["rate 50%", "pause"]})

    async def scene() -> None:
        await hall.look("nominal", 1.0, 4)
        assert hall.link.last("shedding/p")["unavailable"] == [
            "rate 50%: its camera plays a file once: no frame of it is left out"
        ]
        await hall.look("hot", 0.0, 60)
        assert hall.paces() == [("p", 0.0, None)]
        assert [word for _, word in hall.sent if isinstance(word, SetShare)] == []

    hall.play(scene)
