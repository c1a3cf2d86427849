"""Which accelerator's child a pipeline goes to. The children are not there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random
from types import SimpleNamespace
from typing import Any

import anyio
import pytest
from test_publisher import Memory

from edgeagent.app.cameras import Camera
from edgeagent.app.infer_news import InferSettings
from edgeagent.app.infer_row import InferRow
from edgeagent.app.line import only_accelerator
from edgeagent.app.publisher import Publisher
from edgeagent.app.served import Served
from edgeagent.board.dla import DlaAnswer
from edgeagent.camera.spec import SyntheticSpec
from edgeagent.clock import ManualClock
from edgeagent.config.pipeline_table import PipelineSettings
from edgeagent.fleet.envelope import Stamp
from edgeagent.fleet.topics import Topics
from edgeagent.inference.accelerators import ACCELERATORS, accelerator_of
from edgeagent.inference.messages import PipelineStart


class Hall:
    """Pipelines as camera/name; they look at rings of one size."""

    def __init__(self, *pipelines: str) -> None:
        clock, self.link = ManualClock(), Memory()
        publisher = Publisher(self.link, Topics("lab", "one"), Stamp("boot-1", clock.wall_ms), clock, results_qos=0)
        names = sorted({one.split("/")[0] for one in pipelines})
        self.cameras = {name: Camera(name, SyntheticSpec(), [(32, 32)], publisher, clock, Random(1)) for name in names}
        self.served = {one.split("/")[1]: self._served(*one.split("/")) for one in pipelines}
        self.row = InferRow(list(self.served.values()), InferSettings(1), publisher, clock, Random(1))
        self.row.dla_cores = 2

    def _served(self, camera: str, name: str) -> Served:
        settings = PipelineSettings(camera=camera, model="parts")
        return Served(name, settings, self.cameras[camera], self.cameras[camera].rings[32, 32], ["bolt"], "parts")

    def serve(self, name: str, key: str, placement: str, core: int | None = None) -> str | None:
        manifest: Any = SimpleNamespace(key=key, backend="tensorrt", placement=placement, network=None)
        anyio.run(lambda: self.row.serve(name, manifest, f"/store/{key}", dla_core=core))
        return self.served[name].at


@pytest.fixture
def halls() -> Iterator[Callable[..., Hall]]:
    made: list[Hall] = []

    def make(*pipelines: str) -> Hall:
        made.append(Hall(*pipelines))
        return made[-1]

    yield make
    for hall in made:
        for camera in hall.cameras.values():
            camera.close()


def test_the_emptiest_core_is_taken_and_one_that_was_named_is_taken_in_any_case(halls: Callable[..., Hall]) -> None:
    hall = halls("gate/a", "yard/b", "door/c", "hall/d")
    assert hall.serve("a", "e", "dla", core=0) == "dla0"
    assert hall.serve("b", "e", "dla") == "dla1"
    assert hall.serve("c", "e", "dla", core=1) == "dla1"
    assert hall.serve("d", "e", "dla") == "dla0"
    assert hall.row.names() == ["infer/dla0", "infer/dla1"]


def test_what_shares_each_run_stays_together_and_what_is_on_a_core_stays_there(halls: Callable[..., Hall]) -> None:
    hall = halls("gate/a", "gate/b", "gate/c", "yard/d")
    assert [hall.serve(name, "e", "dla") for name in ("a", "b")] == ["dla0", "dla0"]
    assert hall.serve("c", "other", "dla") == "dla1"
    assert hall.serve("c", "e", "dla") == "dla1", "another engine for it is no reason to move"
    assert hall.serve("d", "gpu-e", "gpu") == "gpu"


def test_with_one_core_all_go_there(halls: Callable[..., Hall]) -> None:
    hall = halls("gate/a", "yard/b")
    hall.row.dla_cores = 1
    assert [hall.serve(name, "e", "dla") for name in ("a", "b")] == ["dla0", "dla0"]


def test_a_pipeline_that_does_not_run_yet_goes_to_another_child_at_once(halls: Callable[..., Hall]) -> None:
    hall = halls("gate/a")
    hall.serve("a", "e", "dla")
    assert hall.serve("a", "f", "gpu") == "gpu"
    assert hall.served["a"].leaves is None and hall.row.names() == ["infer/gpu"]


def test_the_only_child_there_can_be_is_there_from_the_start(halls: Callable[..., Hall]) -> None:
    hall = halls("gate/a")
    hall.row.keep("gpu")
    assert hall.row.names() == ["infer/gpu"]
    hall.row.change([], InferSettings(1))
    hall.row.keep("gpu")
    assert hall.row.names() == [], "without a pipeline there is none"


def test_where_there_is_a_choice_no_child_is_there_before_its_engine() -> None:
    def only(backend: str, answer: Any) -> str | None:
        site: Any = SimpleNamespace(backend=backend, dla=DlaAnswer(answer, None, ""))
        return only_accelerator(site)

    assert only("onnxruntime", "yes") == "cpu"
    assert [only("tensorrt", answer) for answer in ("no", "yes", "unknown")] == ["gpu", None, None]


def test_every_accelerator_is_some_engine_s() -> None:
    common: dict[str, Any] = {
        "pipeline": "p", "ring": "r", "plan": "", "engine": "e", "classes": [], "keep": None, "min_score": 0,
        "iou": None, "max_detections": 1, "min_interval_s": 0,
    }  # fmt: skip
    ways = [("onnxruntime", None), ("tensorrt", None), ("tensorrt", 0), ("tensorrt", 1)]
    found = [accelerator_of(PipelineStart(backend=backend, dla_core=core, **common)) for backend, core in ways]
    assert tuple(found) == ACCELERATORS
