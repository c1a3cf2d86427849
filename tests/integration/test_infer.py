"""The infer child as a real process: what it says is what the engine says, for every frame that it owes."""

from __future__ import annotations

import base64
import functools
import itertools
import json
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from test_build_kit import Camera, Running

from edgeagent.engine.graft import graft_bundle
from edgeagent.inference.messages import (
    INFER_WORDS,
    AfterEngine,
    InferStart,
    LoadPipeline,
    OnChange,
    Pace,
    PipelineStart,
    RegionPart,
    RingInput,
    SetPace,
    SnapshotWish,
    Tracking,
)
from edgeagent.inference.result_line import cut_result, is_result
from edgeagent.inference.session import open_session
from edgeagent.supervise.messages import Stop
from edgeagent.vision.detections import Candidates
from edgeagent.vision.letterbox import fit_letterbox, map_to_source
from edgeagent.vision.nms import select_detections

sys.path.append(str(Path(__file__).parents[1] / "unit" / "engine"))
from engine_kit import Net, noise_frames, write_bundle

NET = Net(width=64, height=64, classes=3, strides=(4, 8))
FRAMES = noise_frames(24, 64, 64)
LEFT = RegionPart(name="left", include=True, corners=((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0)))
WIDE = fit_letterbox(128, 96, 64, 64)  # the source frames that the ring's frames stand for


@pytest.fixture(scope="module")
def plans(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    folder = tmp_path_factory.mktemp("plans")

    def put(name: str, net: Net, change: Callable[[onnx.ModelProto], None] = lambda model: None) -> None:
        model = graft_bundle(write_bundle(folder / f"{name}-model", net))
        change(model)
        (folder / name).write_bytes(model.SerializeToString())

    put("first", NET)
    put("second", Net(width=64, height=64, classes=3, strides=(4, 8), seed=1))
    put("small", Net(width=32, height=32))
    put("nan", NET, no_numbers)
    (folder / "junk").write_bytes(b"this is no engine")
    return lambda name: str(folder / name)


def no_numbers(model: onnx.ModelProto) -> None:
    """Break a weight as a bad download would."""
    bias = next(tensor for tensor in model.graph.initializer if tensor.name.endswith("stem_bias"))
    bias.CopyFrom(onnx.numpy_helper.from_array(np.full(8, np.nan, np.float32), bias.name))


@pytest.fixture
def camera() -> Iterator[Camera]:
    with Camera(FRAMES, WIDE) as made:
        yield made


def pipeline(plan: str, name: str = "look", **values: Any) -> PipelineStart:
    common: dict[str, Any] = {
        "ring": "cam",
        "backend": "onnxruntime",
        "engine": plan.rpartition("/")[2],
        "classes": ["a", "b", "c"],
        "keep": None,
        "min_score": 0.6,
        "iou": 0.5,
        "max_detections": 300,
        "min_interval_s": 0.0,
    }
    return PipelineStart(pipeline=name, plan=plan, **{**common, **values})


def start(
    folder: Path,
    cameras: Camera | dict[str, Camera],
    *pipelines: PipelineStart,
    paces: tuple[Pace, ...] = (),
    **ring: Any,
) -> Running:
    named = cameras if isinstance(cameras, dict) else {"cam": cameras}
    rings = [RingInput(id=name, fd=one.fd, wake_fd=one.wake_fd, **ring) for name, one in named.items()]
    first = InferStart(rings=rings, pipelines=list(pipelines), threads=1, paces=paces)
    fds = [fd for one in named.values() for fd in (one.fd, one.wake_fd)]
    return Running("edgeagent.inference.infer_child", first, fds, folder / "stderr")


def loaded(child: Running, **values: object) -> None:
    """Wait for the engine, then for the loop's first report: from here on every frame is looked at."""
    child.until("loaded", **values)
    child.until("stats")


@functools.cache
def candidates(plan: str, frame: bytes) -> Candidates:
    with closing(open_session("onnxruntime", Path(plan), 1)) as session:
        return session.run(np.frombuffer(frame, np.uint8).reshape(1, 64, 64, 3))[0]


def expected(start: PipelineStart, frame: np.ndarray) -> np.ndarray:
    """Rows (class id, score, x1, y1, x2, y2) in source pixels, computed here."""
    found = candidates(start.plan, frame.tobytes())
    keep = None if start.keep is None else frozenset(start.keep)
    chosen = select_detections(found, min_score=start.min_score, iou=start.iou, limit=start.max_detections, keep=keep)
    table = np.column_stack([chosen.class_ids, chosen.scores, map_to_source(chosen.boxes, WIDE)])
    return table[(table[:, 4] > table[:, 2]) & (table[:, 5] > table[:, 3])]


def check_word(word: dict[str, Any]) -> None:
    """As the agent hears it."""
    line = json.dumps(word, separators=(",", ":")).encode()
    assert cut_result(line)[0].found == word["found"] if is_result(line) else INFER_WORDS.validate_json(line)


def rows(result: dict[str, Any]) -> np.ndarray:
    """Rows as `expected` gives them, rounded for the wire."""
    found = [[one["class_id"], one["score"], *one["box"]] for one in result["detections"]]
    assert len(found) == result["found"]
    return np.array(found, float).reshape(-1, 6)


def assert_same(found: np.ndarray, wanted: np.ndarray) -> None:
    """To the last decimal that the wire has."""
    np.testing.assert_allclose(found[:, :2], wanted[:, :2], atol=0.00051)
    np.testing.assert_allclose(found[:, 2:], wanted[:, 2:], atol=0.051)


# what a result says


def test_results_are_those_of_the_engine_in_source_pixels(
    tmp_path: Path, camera: Camera, plans: Callable[[str], str]
) -> None:
    look = pipeline(plans("first"))
    with start(tmp_path, camera, look) as child:
        loaded(child)
        for number, frame in enumerate(FRAMES[:8], start=1):
            before = time.monotonic_ns()
            camera.put(frame)
            result = child.until("result")
            assert (result["pipeline"], result["frame"]) == ("look", number)
            assert (result["width"], result["height"]) == (128, 96)
            assert before <= result["capture_ns"] <= time.monotonic_ns()
            assert min(result["ring_ms"], result["wait_ms"], result["engine_ms"], result["post_ms"]) > 0
            want = expected(look, frame)
            assert len(want) > 3
            assert_same(rows(result), want)
            assert rows(result)[:, 2:].min() >= 0
            assert (rows(result)[:, 4:] >= rows(result)[:, 2:4]).all(), "rounding may leave no width"
            assert (rows(result)[:, [2, 4]] <= 128).all() and (rows(result)[:, [3, 5]] <= 96).all()
    assert child.errors == ""
    for word in child.words:
        check_word(word)


@pytest.mark.parametrize(
    "values",
    [{"min_score": 0.9}, {"min_score": 1.0}, {"keep": [1]}, {"keep": []}, {"max_detections": 2}, {"iou": 0.05}],
    ids=str,
)
def test_each_pipeline_keeps_what_it_was_told_to(
    tmp_path: Path, camera: Camera, plans: Callable[[str], str], values: dict[str, Any]
) -> None:
    every, some = pipeline(plans("first"), "every"), pipeline(plans("first"), "some", **values)
    with start(tmp_path, camera, every, some) as child:
        loaded(child, pipeline="some")
        camera.put(FRAMES[0])
        all_rows = rows(child.until("result", pipeline="every"))
        kept = rows(child.until("result", pipeline="some"))
    assert_same(kept, expected(some, FRAMES[0]).reshape(-1, 6))
    assert len(kept) < len(all_rows)


def test_a_result_for_every_nth_frame_where_fewer_are_wanted(
    tmp_path: Path, camera: Camera, plans: Callable[[str], str]
) -> None:
    """A camera of 30 frames a second whose clock trembles, and 10 results a second on average."""
    slow = pipeline(plans("first"), "slow", min_interval_s=0.1)
    frames = 61
    trembling = np.random.default_rng(3).uniform(-0.004, 0.004, frames)
    with start(tmp_path, camera, slow, pipeline(plans("first"), "every")) as child:
        loaded(child, pipeline="every")
        seen = []
        for number in range(frames):
            np.copyto(camera.writer.start(), FRAMES[0])
            capture_ns = 10**12 + int((number / 30 + trembling[number]) * 1e9)
            camera.writer.publish(capture_ns, 1_700_000_000_000, WIDE)
            child.until("result", pipeline="every", frame=number + 1)
        seen = [word["capture_ns"] for word in child.words if word.get("pipeline") == "slow" and "frame" in word]
    assert 19 <= len(seen) <= 21, "2 s of camera"
    assert min(np.diff(seen)) > 0.05e9


# which frames get one


@contextmanager
def feeding(camera: Camera, count: int) -> Iterator[threading.Thread]:
    """A thread that writes `count` frames as a file played once: never further ahead than the ring is long."""
    behind = threading.Event()
    stop = threading.Event()

    def feed() -> None:
        for number in range(count):
            while camera.writer.backlog() >= camera.writer.layout.slots:
                if stop.is_set():
                    return
                behind.wait(0.001)
            camera.put(FRAMES[number % len(FRAMES)])

    thread = threading.Thread(target=feed)
    thread.start()
    try:
        yield thread
    finally:
        stop.set()
        thread.join()


def test_a_lossless_ring_gives_every_frame_once_and_in_order(
    tmp_path: Path, camera: Camera, plans: Callable[[str], str]
) -> None:
    count = 300
    camera.writer.begin_pass()
    with start(tmp_path, camera, pipeline(plans("first"))) as child, feeding(camera, count):
        child.until("result", frame=count)
        child.send(Stop())
        child.rest()
    frames = [word["frame"] for word in child.words if word["kind"] == "result"]
    assert frames == list(range(1, count + 1))
    assert all(word["dropped"] == {"cam": 0} for word in child.words if word["kind"] == "stats")


def test_frames_before_the_pass_are_a_rehearsal(tmp_path: Path, camera: Camera, plans: Callable[[str], str]) -> None:
    with start(tmp_path, camera, pipeline(plans("first")), lossless_only=True) as child:
        loaded(child)
        for frame in FRAMES[:3]:
            camera.put(frame)
        child.until("stats")
        camera.writer.begin_pass()
        camera.put(FRAMES[5])
        result = child.until("result")
    assert result["frame"] == 4
    assert [word["frame"] for word in child.words if word["kind"] == "result"] == [4]


def test_no_frame_of_a_lossless_ring_is_lost_when_the_child_is_killed(
    tmp_path: Path, camera: Camera, plans: Callable[[str], str]
) -> None:
    """A frame counts as consumed after its result is sent: at the seam one may come twice, none is left out."""
    count, lives = 400, []
    look = pipeline(plans("first"))
    camera.writer.begin_pass()
    with feeding(camera, count):
        for results in (60, 1, 90):
            with start(tmp_path, camera, look) as child:
                for _ in range(results):
                    child.until("result")
                child.signal(signal.SIGKILL)
                child.rest()
                lives.append([word["frame"] for word in child.words if word["kind"] == "result"])
        with start(tmp_path, camera, look) as child:
            child.until("result", frame=count)
            lives.append([word["frame"] for word in child.words if word["kind"] == "result"])
    assert lives[0][0] == 1 and lives[-1][-1] == count
    for life in lives:
        assert life == list(range(life[0], life[-1] + 1))
    for before, after in itertools.pairwise(lives):
        assert before[-1] <= after[0] <= before[-1] + 1, "a gap, or more than one frame twice"


def test_frames_nobody_looked_at_are_counted(tmp_path: Path, camera: Camera, plans: Callable[[str], str]) -> None:
    with start(tmp_path, camera, pipeline(plans("first"))) as child:
        loaded(child)
        camera.put(FRAMES[0])
        child.until("result", frame=1)
        child.signal(signal.SIGSTOP)
        for frame in FRAMES[:6]:
            camera.put(frame)
        child.signal(signal.SIGCONT)
        child.until("result", frame=7)
        assert child.until("stats", frames=2)["dropped"] == {"cam": 5}
    assert [word["frame"] for word in child.words if word["kind"] == "result"] == [1, 7]


# pipelines that shed


def put_frames(
    child: Running, camera: Camera, first: int, last: int, *, fps: float = 30.0, watch: str = "every"
) -> None:
    """Frames number `first` to `last` of a camera, each looked at by the pipeline `watch` before the next one comes."""
    for number in range(first, last + 1):
        np.copyto(camera.writer.start(), FRAMES[number % len(FRAMES)])
        camera.writer.publish(10**12 + int(number / 30 * 1e9), 1_700_000_000_000, WIDE)
        child.until("result", pipeline="every", frame=number)


def seen_by(child: Running, name: str) -> list[int]:
    return [word["frame"] for word in child.words if word["kind"] == "result" and word["pipeline"] == name]


def paced(child: Running, camera: Camera, pace: Pace) -> None:
    """Send a pace and wait until it holds: words are heard in order, so the load after it is answered after it."""
    child.send(SetPace(pace=pace))
    child.send(LoadPipeline(pipeline=pipeline("nowhere", "nobody")))
    child.until("load_failed", pipeline="nobody")


@pytest.mark.parametrize(
    ("share", "frames"),
    [
        (0.5, [1, 3, 5, 7, 9, 11]),
        (0.25, [1, 5, 9]),
        (0.75, [1, 3, 4, 5, 7, 8, 9, 11, 12]),
        (0.0, []),
    ],
)
def test_a_pipeline_runs_for_its_share_of_the_frames_evenly_and_the_rest_is_shed(
    tmp_path: Path, camera: Camera, plans: Callable[[str], str], share: float, frames: list[int]
) -> None:
    looks = [pipeline(plans("first"), "some"), pipeline(plans("first"), "every")]
    with start(tmp_path, camera, *looks, paces=(Pace(pipeline="some", share=share),)) as child:
        loaded(child, pipeline="every")
        put_frames(child, camera, 1, 12)
        stats = child.until("stats", frames=12 + len(frames))
    assert seen_by(child, "some") == frames
    assert stats["shed"] == {"some": 12 - len(frames), "every": 0}
    assert stats["dropped"] == {"cam": 0}, "what is shed is no drop"


def test_a_share_is_one_of_what_the_settings_want(tmp_path: Path, camera: Camera, plans: Callable[[str], str]) -> None:
    """10 results a second of a camera of 30, and half of that: not the half of 30, which would change nothing."""
    some = pipeline(plans("first"), "some", min_interval_s=0.1)
    looks = [some, pipeline(plans("first"), "every")]
    with start(tmp_path, camera, *looks, paces=(Pace(pipeline="some", share=0.5),)) as child:
        loaded(child, pipeline="every")
        put_frames(child, camera, 1, 60)
        stats = child.until("stats", frames=60 + len(seen_by(child, "some")))
    assert seen_by(child, "some") == [1, 7, 13, 19, 25, 31, 37, 43, 49, 55]
    assert stats["shed"]["some"] == 10


def test_results_a_second_can_be_bounded(tmp_path: Path, camera: Camera, plans: Callable[[str], str]) -> None:
    looks = [pipeline(plans("first"), "some"), pipeline(plans("first"), "every")]
    with start(tmp_path, camera, *looks, paces=(Pace(pipeline="some", per_s=5.0),)) as child:
        loaded(child, pipeline="every")
        put_frames(child, camera, 1, 60)
    assert seen_by(child, "some") == [1, 7, 13, 19, 25, 31, 37, 43, 49, 55]


def test_a_pace_changes_at_once_without_a_reload_and_outlives_an_engine(
    tmp_path: Path, camera: Camera, plans: Callable[[str], str]
) -> None:
    looks = [pipeline(plans("first"), "some"), pipeline(plans("first"), "every")]
    with start(tmp_path, camera, *looks) as child:
        loaded(child, pipeline="every")
        put_frames(child, camera, 1, 3)
        paced(child, camera, Pace(pipeline="some", share=0.5))
        put_frames(child, camera, 4, 7)
        child.send(LoadPipeline(pipeline=pipeline(plans("second"), "some")))
        child.until("loaded", pipeline="some", engine="second")
        put_frames(child, camera, 8, 11)
        paced(child, camera, Pace(pipeline="some", share=0.0))
        put_frames(child, camera, 12, 14)
        paced(child, camera, Pace(pipeline="some"))
        put_frames(child, camera, 15, 16)
        stats = child.until("stats", frames=16 + 9)
    assert seen_by(child, "some") == [1, 2, 3, 4, 6, 8, 10, 15, 16]
    assert stats["shed"]["some"] == 7
    assert len([word for word in child.words if word["kind"] == "loaded"]) == 3


def test_a_frame_that_is_shed_costs_no_engine_run_even_where_nobody_else_looks(
    tmp_path: Path, camera: Camera, plans: Callable[[str], str]
) -> None:
    with start(tmp_path, camera, pipeline(plans("first")), paces=(Pace(pipeline="look", share=0.0),)) as child:
        loaded(child)
        for number in (1, 2, 3):
            camera.put(FRAMES[number])
            stats = child.until("stats", shed={"look": number})
        assert stats["frames"] == 0 and stats["dropped"] == {"cam": 0}
        child.send(SetPace(pace=Pace(pipeline="look")))
        camera.put(FRAMES[4])
        child.until("result", frame=4)
    assert seen_by(child, "look") == [4]


def test_of_a_file_played_once_no_frame_is_shed_and_a_pause_makes_its_writer_wait(
    tmp_path: Path, camera: Camera, plans: Callable[[str], str]
) -> None:
    count = 200
    camera.writer.begin_pass()
    with start(tmp_path, camera, pipeline(plans("first")), paces=(Pace(pipeline="look", share=0.25),)) as child:
        with feeding(camera, count):
            child.until("result", frame=50)
            paced(child, camera, Pace(pipeline="look", share=0.0))
            held = max(seen_by(child, "look"))
            for _ in range(2):
                child.until("stats")
            assert max(seen_by(child, "look")) == held
            child.send(SetPace(pace=Pace(pipeline="look")))
            child.until("result", frame=count)
    assert seen_by(child, "look") == list(range(1, count + 1))


# engines come and go


def test_an_engine_is_replaced_without_a_frame_lost(
    tmp_path: Path, camera: Camera, plans: Callable[[str], str]
) -> None:
    count = 600
    one, two = pipeline(plans("first")), pipeline(plans("second"))
    camera.writer.begin_pass()
    with start(tmp_path, camera, one) as child, feeding(camera, count):
        child.until("result", frame=50)
        child.send(LoadPipeline(pipeline=two))
        child.until("loaded", engine="second")
        last = max(word["frame"] for word in child.words if word["kind"] == "result")
        child.until("result", frame=count)
    results = [word for word in child.words if word["kind"] == "result"]
    assert [result["frame"] for result in results] == list(range(1, count + 1))
    assert 50 <= last < count
    for result in results:
        want = expected(one if result["frame"] <= last else two, FRAMES[(result["frame"] - 1) % len(FRAMES)])
        assert_same(rows(result), want)


def test_an_engine_that_comes_while_the_writer_waits_for_its_reader(
    tmp_path: Path, camera: Camera, plans: Callable[[str], str]
) -> None:
    """The ring is full and its eventfd read: nothing but the loading itself can start the work."""
    with start(tmp_path, camera) as child:
        child.until("stats")
        camera.writer.begin_pass()
        for frame in FRAMES[:4]:
            camera.put(frame)
        child.until("stats")
        child.send(LoadPipeline(pipeline=pipeline(plans("first"))))
        child.until("result", frame=4)
    assert [word["frame"] for word in child.words if word["kind"] == "result"] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("plan", "values", "says"),
    [
        ("junk", {}, "does not load the engine"),
        ("missing", {}, "does not load the engine"),
        ("small", {}, "takes 32x32"),
        ("first", {"backend": "tensorflow"}, "no inference backend"),
        ("first", {"ring": "door"}, "there is no ring 'door'"),
    ],
)
def test_an_engine_that_does_not_load_leaves_the_others_alone(
    tmp_path: Path, camera: Camera, plans: Callable[[str], str], plan: str, values: dict[str, Any], says: str
) -> None:
    good, bad = pipeline(plans("first"), "good"), pipeline(plans(plan), "bad", **values)
    with start(tmp_path, camera, bad, good) as child:
        failed = child.until("load_failed")
        assert (failed["pipeline"], failed["engine"]) == ("bad", plan)
        assert says in failed["text"] and "\n" not in failed["text"]
        loaded(child, pipeline="good")
        camera.put(FRAMES[0])
        child.until("result", pipeline="good", frame=1)
        child.send(LoadPipeline(pipeline=pipeline(plans(plan), "good", **values)))
        child.until("load_failed", pipeline="good")
        camera.put(FRAMES[1])
        result = child.until("result", pipeline="good", frame=2)
        assert_same(rows(result), expected(good, FRAMES[1]))
    assert child.errors == ""


def test_an_engine_that_gives_no_numbers_is_counted_and_survived(
    tmp_path: Path, camera: Camera, plans: Callable[[str], str]
) -> None:
    with start(tmp_path, camera, pipeline(plans("nan"), "sick"), pipeline(plans("first"), "well")) as child:
        loaded(child, pipeline="well")
        for number, frame in enumerate(FRAMES[:3], start=1):
            camera.put(frame)
            assert child.until("result", pipeline="sick", frame=number)["detections"] == []
            assert len(child.until("result", pipeline="well", frame=number)["detections"]) > 3
        assert child.until("stats", frames=6)["invalid"] == 3
    assert child.errors == ""


# fairness and ends


def test_a_ring_that_always_has_a_next_frame_starves_no_other(
    tmp_path: Path, camera: Camera, plans: Callable[[str], str]
) -> None:
    with Camera(FRAMES, WIDE) as other:
        camera.writer.begin_pass()
        looks = [pipeline(plans("first"), "file"), pipeline(plans("first"), "live", ring="door")]
        with start(tmp_path, {"cam": camera, "door": other}, *looks) as child, feeding(camera, 100_000):
            child.until("result", pipeline="file", frame=5)
            other.put(FRAMES[0])
            child.until("result", pipeline="live", frame=1)
            at = max(word["frame"] for word in child.words if word.get("pipeline") == "file" and "frame" in word)
    assert at < 1000


@pytest.mark.parametrize("how", ["stop", "term"])
@pytest.mark.parametrize("busy", [False, True])
def test_it_ends_within_a_second(
    tmp_path: Path, camera: Camera, plans: Callable[[str], str], how: str, busy: bool
) -> None:
    if busy:
        camera.writer.begin_pass()
    with start(tmp_path, camera, pipeline(plans("first"))) as child, feeding(camera, 100_000 if busy else 0):
        child.until("result", frame=20) if busy else loaded(child)
        if how == "stop":
            child.send(Stop())
        else:
            child.signal(signal.SIGTERM)
        child.rest()
        assert child.wait() == (0 if how == "stop" else -signal.SIGTERM)
    assert child.errors == ""


def test_it_ends_with_the_agent(tmp_path: Path, camera: Camera, plans: Callable[[str], str]) -> None:
    with start(tmp_path, camera, pipeline(plans("first"))) as child:
        loaded(child)
        child._ours.close()
        assert child.wait(10) == 1
    assert child.errors == ""


# after the engine


def test_a_still_scene_is_told_once_and_counted_and_a_change_at_once(
    tmp_path: Path, camera: Camera, plans: Callable[[str], str]
) -> None:
    quiet = pipeline(plans("first"), "quiet", after=AfterEngine(change=OnChange(moved=0.1, heartbeat_s=3600.0)))
    with start(tmp_path, camera, quiet, pipeline(plans("first"), "every")) as child:
        loaded(child, pipeline="every")
        for number in range(1, 8):
            camera.put(FRAMES[0] if number < 6 else FRAMES[9])
            child.until("result", pipeline="every", frame=number)
        stats = child.until("stats", frames=14)
    assert seen_by(child, "quiet") == [1, 6]
    assert stats["looked"] == {"quiet": 7, "every": 7} and stats["unchanged"] == {"quiet": 5}


def test_of_a_file_played_once_a_frame_without_news_is_consumed_too(
    tmp_path: Path, camera: Camera, plans: Callable[[str], str]
) -> None:
    count = 120
    nothing = AfterEngine(change=OnChange(moved=0.1, heartbeat_s=3600.0))
    quiet = pipeline(plans("first"), "quiet", keep=[], after=nothing)
    camera.writer.begin_pass()
    with start(tmp_path, camera, quiet) as child, feeding(camera, count):
        child.until("stats", looked={"quiet": count}, unchanged={"quiet": count - 1})
    assert seen_by(child, "quiet") == [1]


def test_things_get_numbers_and_the_numbers_go_on_over_a_swap_and_a_new_child(
    tmp_path: Path, camera: Camera, plans: Callable[[str], str]
) -> None:
    pytest.importorskip("lap", reason="the extra tracking is not installed")
    tracked = AfterEngine(tracking=Tracking(low_score=0.1, lost_s=5.0), regions=(LEFT,), region_names=True)
    look = pipeline(plans("first"), after=tracked)
    with start(tmp_path, camera, look) as child:
        loaded(child)
        results = [put_one(child, camera, number) for number in (1, 2, 3)]
        child.send(LoadPipeline(pipeline=look.model_copy(update={"engine": "again"})))
        child.until("loaded", engine="again")
        results.append(put_one(child, camera, 4))
    numbers = [tracks(result) for result in results]
    assert set(numbers[0]) == {0} and len(numbers[0]) > 3
    assert numbers[1] == numbers[2] == numbers[3] and sorted(numbers[1]) == sorted(set(numbers[1]))
    assert all(one["regions"] == ["left"] and one["box"][0] < 64 for result in results for one in result["detections"])
    last = results[-1]["last_track"]
    assert last >= max(numbers[1])
    later = tracked.model_copy(update={"tracking": Tracking(low_score=0.1, lost_s=5.0, first_id=last + 1)})
    with start(tmp_path, camera, pipeline(plans("first"), after=later)) as child:
        loaded(child)
        put_one(child, camera, 5)
        assert min(tracks(put_one(child, camera, 6))) > last


def tracks(result: dict[str, Any]) -> list[int]:
    """The number of each detection, 0 where it has none yet."""
    return [one.get("track", 0) for one in result["detections"]]


def put_one(child: Running, camera: Camera, number: int) -> dict[str, Any]:
    """Write one more frame, always the same picture, and wait for its result."""
    np.copyto(camera.writer.start(), FRAMES[0])
    camera.writer.publish(10**12 + int(number / 30 * 1e9), 1_700_000_000_000, WIDE)
    return child.until("result", frame=number)


def test_a_picture_is_sent_of_what_comes_into_view_and_not_again(
    tmp_path: Path, camera: Camera, plans: Callable[[str], str]
) -> None:
    wish = AfterEngine(snapshot=SnapshotWish(drawn=False, interval_s=1.0))
    with start(tmp_path, camera, pipeline(plans("first"), after=wish)) as child:
        loaded(child)
        results = [put_one(child, camera, number) for number in range(1, 61)]
        child.until("stats", frames=60)
    pictures = [word for word in child.words if word["kind"] == "snapshot"]
    assert [(one["frame"], one["found"], one["drawn"]) for one in pictures] == [(1, results[0]["found"], False)]
    shown = cv2.imdecode(np.frombuffer(base64.b64decode(pictures[0]["jpeg"]), np.uint8), cv2.IMREAD_COLOR)
    assert shown.shape == (48, 64, 3), "without the bars"
    brightness = [cv2.cvtColor(one, cv2.COLOR_BGR2GRAY).ravel() for one in (shown, FRAMES[0][8:56])]
    assert np.corrcoef(*brightness)[0, 1] > 0.9  # colours of noise do not survive a JPEG
