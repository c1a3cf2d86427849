"""Engines that change places, fail, or answer otherwise than they did: the infer child as a real process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_build_kit import Camera, Running
from test_infer import check_word, feeding, loaded, pipeline
from test_plans_kit import FAILS_FROM, frame_of, write_plan

from edgeagent.inference.messages import InferStart, LoadPipeline, RingInput, TakeSnapshot
from edgeagent.vision.letterbox import fit_letterbox

SAME = fit_letterbox(64, 64, 64, 64)
BYTES = [10, 60, 110, 160, 200, 240]
FRAMES = [frame_of(byte) for byte in BYTES]


@pytest.fixture
def camera() -> Iterator[Camera]:
    with Camera(FRAMES, SAME) as made:
        yield made


@pytest.fixture
def plan(tmp_path: Path) -> Callable[..., str]:
    return lambda name, **values: write_plan(tmp_path / name, **values)


def start(
    folder: Path, cameras: Camera | dict[str, Camera], *pipelines: Any, canary_s: float = 0.0, **values: Any
) -> Running:
    named = cameras if isinstance(cameras, dict) else {"cam": cameras}
    rings = [RingInput(id=name, fd=one.fd, wake_fd=one.wake_fd) for name, one in named.items()]
    first = InferStart(rings=rings, pipelines=list(pipelines), threads=1, canary_s=canary_s, **values)
    fds = [fd for one in named.values() for fd in (one.fd, one.wake_fd)]
    return Running("edgeagent.inference.infer_child", first, fds, folder / "stderr")


def look(plan: str, name: str = "look", **values: Any) -> Any:
    return pipeline(plan, name, **{"min_score": 0.0, **values})


def byte_of(result: dict[str, Any]) -> int:
    """The first byte of the frame that the result is of."""
    return round(result["detections"][0]["score"] * 255)


def left_of(result: dict[str, Any]) -> float:
    return float(min(one["box"][0] for one in result["detections"]))


def ask(child: Running, camera: Camera, byte: int) -> dict[str, Any]:
    """Show a frame and wait for its result."""
    number = camera.put(frame_of(byte))
    return child.until("result", frame=number)


# going back


def test_an_engine_that_fails_at_once_gives_its_place_back_and_the_agent_is_told(
    tmp_path: Path, camera: Camera, plan: Callable[..., str]
) -> None:
    good, bad = look(plan("good")), look(plan("bad", failing=True, shift=4))
    with start(tmp_path, camera, good) as child:
        loaded(child)
        assert left_of(ask(child, camera, 10)) == 0
        child.send(LoadPipeline(pipeline=bad))
        child.until("loaded", engine="bad")
        assert left_of(ask(child, camera, 60)) == 4, "it works on frames that it can bear"
        for failed in range(1, 4):
            camera.put(frame_of(FAILS_FROM))
            child.until("stats", failed={"look": failed})
        (word,) = _said(child, "run_failed")
        assert (word["engine"], word["back_to"], word["pipeline"]) == ("bad", "good", "look")
        assert word["code"] == "engine_run" and "\n" not in word["text"]
        result = ask(child, camera, FAILS_FROM)
        assert (byte_of(result), left_of(result)) == (FAILS_FROM, 0)
        assert child.until("stats", frames=3)["failed"] == {"look": 3}
    assert "Traceback" not in child.errors
    for word in child.words:
        check_word(word)


@pytest.mark.parametrize("at_once", [True, False])
def test_new_settings_hold_for_an_engine_that_comes_back(
    tmp_path: Path, camera: Camera, plan: Callable[..., str], at_once: bool
) -> None:
    """They came with the new engine, or while it was on trial."""
    good, bad = look(plan("good")), look(plan("bad", failing=True))
    strict = bad.model_copy(update={"min_score": 0.5})
    with start(tmp_path, camera, good) as child:
        loaded(child)
        for one in [strict] if at_once else [bad, strict]:
            child.send(LoadPipeline(pipeline=one))
            child.until("loaded", engine="bad")
        for failed in range(1, 4):
            camera.put(frame_of(FAILS_FROM))
            child.until("stats", failed={"look": failed})
        assert [word["back_to"] for word in _said(child, "run_failed")] == ["good"]
        assert ask(child, camera, 60)["detections"] == []
        assert byte_of(ask(child, camera, 200)) == 200


def _said(child: Running, kind: str) -> list[dict[str, Any]]:
    return [word for word in child.words if word["kind"] == kind]


def test_pictures_that_are_asked_for_come_whatever_serves_by_then(
    tmp_path: Path, camera: Camera, plan: Callable[..., str]
) -> None:
    """Two ask at once, and other settings come before the next frame does; then an engine goes with one that was asked
    of it."""
    good, bad = look(plan("good")), look(plan("bad", failing=True))
    with start(tmp_path, camera, good) as child:
        loaded(child)
        for asked, drawn in ((1, False), (2, True)):
            child.send(TakeSnapshot(pipeline="look", drawn=drawn, asked=asked))
        child.send(LoadPipeline(pipeline=good.model_copy(update={"min_score": 0.001})))
        child.until("loaded")
        ask(child, camera, 60)
        child.until("snapshot", asked=2)
        assert [(one["frame"], one["asked"], one["drawn"]) for one in _said(child, "snapshot")] == [
            (1, 1, False), (1, 2, True),
        ]  # fmt: skip
        child.send(LoadPipeline(pipeline=bad))
        child.until("loaded", engine="bad")
        child.send(TakeSnapshot(pipeline="look", drawn=False, asked=3))
        for failed in range(1, 4):
            camera.put(frame_of(FAILS_FROM))
            child.until("stats", failed={"look": failed})
        ask(child, camera, 60)
        assert child.until("snapshot", asked=3)["frame"] == 5
        ask(child, camera, 60)
        child.until("stats", frames=3)
    assert len(_said(child, "snapshot")) == 3


def test_an_engine_without_numbers_gives_its_place_back(
    tmp_path: Path, camera: Camera, plan: Callable[..., str]
) -> None:
    with start(tmp_path, camera, look(plan("good"))) as child:
        loaded(child)
        child.send(LoadPipeline(pipeline=look(plan("sick", no_numbers=True))))
        child.until("loaded", engine="sick")
        for byte in BYTES[:3]:
            assert ask(child, camera, byte)["detections"] == []
        assert child.until("run_failed", engine="sick")["back_to"] == "good"
        assert byte_of(ask(child, camera, 60)) == 60
    assert len(_said(child, "no_numbers")) == 1, "told once"


def test_an_engine_that_fails_with_nothing_before_it_leaves_its_pipeline_and_can_be_loaded_anew(
    tmp_path: Path, camera: Camera, plan: Callable[..., str]
) -> None:
    bad = look(plan("bad", failing=True))
    with start(tmp_path, camera, bad, look(plan("well"), "other")) as child:
        loaded(child, pipeline="other")
        for number in range(1, 4):
            camera.put(frame_of(FAILS_FROM))
            child.until("result", pipeline="other", frame=number)
        assert [(word["pipeline"], word["back_to"]) for word in _said(child, "run_failed")] == [("look", "")]
        camera.put(frame_of(10))
        child.until("result", pipeline="other", frame=4)
        child.send(LoadPipeline(pipeline=bad))
        child.until("loaded", pipeline="look")
        camera.put(frame_of(60))
        child.until("result", pipeline="look", frame=5)
    seen = [word["frame"] for word in _said(child, "result") if word["pipeline"] == "look"]
    assert seen in ([4, 5], [5])
    assert "Traceback" not in child.errors


def test_single_failures_are_counted_and_survived(tmp_path: Path, camera: Camera, plan: Callable[..., str]) -> None:
    with start(tmp_path, camera, look(plan("touchy", failing=True))) as child:
        loaded(child)
        for failed in range(1, 7):
            camera.put(frame_of(FAILS_FROM))
            child.until("stats", failed={"look": failed})
            ask(child, camera, 10)
    assert not _said(child, "run_failed")


def test_words_that_come_along_with_the_first_one_are_heard(
    tmp_path: Path, camera: Camera, plan: Callable[..., str]
) -> None:
    """In one piece, as from an agent whose engine is ready at once."""
    one = look(plan("one"))

    class Both(InferStart):
        def line(self) -> bytes:
            return super().line() + LoadPipeline(pipeline=one).line()

    rings = [RingInput(id="cam", fd=camera.fd, wake_fd=camera.wake_fd)]
    first = Both(rings=rings, pipelines=[], threads=1)
    with Running("edgeagent.inference.infer_child", first, [camera.fd, camera.wake_fd], tmp_path / "stderr") as child:
        child.until("loaded")


# canaries


def test_an_engine_that_answers_otherwise_than_when_it_was_loaded_is_taken_out(
    tmp_path: Path, camera: Camera, plan: Callable[..., str]
) -> None:
    moody, steady = look(plan("moody", random=True)), look(plan("steady"), "other")
    with start(tmp_path, camera, moody, steady, canary_s=0.2) as child:
        word = child.until("run_failed")
        assert (word["engine"], word["code"], word["back_to"]) == ("moody", "engine_canary", "")
        camera.put(frame_of(10))
        child.until("result", pipeline="other")
        for _ in range(3):
            child.until("stats")
    assert [word["engine"] for word in _said(child, "run_failed")] == ["moody"]


def test_a_canary_is_asked_in_the_midst_of_frames_and_disturbs_none(
    tmp_path: Path, camera: Camera, plan: Callable[..., str]
) -> None:
    count = 2000
    camera.writer.begin_pass()
    with start(tmp_path, camera, look(plan("steady")), canary_s=0.01) as child, feeding(camera, count):
        child.until("result", frame=count)
    assert [word["frame"] for word in _said(child, "result")] == list(range(1, count + 1))
    assert not _said(child, "run_failed")


def test_another_process_compares_with_what_the_engine_said_first(
    tmp_path: Path, camera: Camera, plan: Callable[..., str]
) -> None:
    one = look(plan("engine"))
    with start(tmp_path, camera, one) as child:
        said = child.until("loaded")["canary"]
    assert len(said) > 4
    with start(tmp_path, camera, one.model_copy(update={"canary": tuple(said)})) as child:
        assert child.until("loaded")["canary"] == said
    plan("engine", shift=8)
    with start(tmp_path, camera, one.model_copy(update={"canary": tuple(said)})) as child:
        assert "is not what it was" in child.until("load_failed")["text"]


# one engine for many


def test_pipelines_with_one_engine_share_its_runs(tmp_path: Path, camera: Camera, plan: Callable[..., str]) -> None:
    one = plan("one")
    names = ["a", "b", "c"]
    with start(tmp_path, camera, *(look(one, name) for name in names)) as child:
        loaded(child, pipeline="c")
        for number, byte in enumerate(BYTES, start=1):
            camera.put(frame_of(byte))
            for name in names:
                assert byte_of(child.until("result", pipeline=name, frame=number)) == byte
        stats = child.until("stats", frames=3 * len(BYTES))
    assert stats["batches"] == len(BYTES)


def test_cameras_share_a_batch_and_unused_places_are_counted(
    tmp_path: Path, camera: Camera, plan: Callable[..., str]
) -> None:
    """Two cameras and an engine of four places that waits for the second: half of its places stay empty."""
    one, rounds = plan("four", batch=4), 20
    with Camera(FRAMES, SAME) as door:
        looks = [look(one, "belt"), look(one, "gate", ring="door")]
        with start(tmp_path, {"cam": camera, "door": door}, *looks, max_delay_ms=1000.0) as child:
            loaded(child, pipeline="gate")
            for number in range(1, rounds + 1):
                camera.put(frame_of(number))
                door.put(frame_of(100 + number))
                for name, byte in (("belt", number), ("gate", 100 + number)):
                    assert byte_of(child.until("result", pipeline=name, frame=number)) == byte
            stats = child.until("stats", frames=2 * rounds)
    assert (stats["batches"], stats["unused"]) == (rounds, 2 * rounds)


def test_a_frame_does_not_wait_longer_than_it_may_for_another_camera(
    tmp_path: Path, camera: Camera, plan: Callable[..., str]
) -> None:
    one = plan("two", batch=2)
    with Camera(FRAMES, SAME) as door:
        looks = [look(one, "belt"), look(one, "gate", ring="door")]
        with start(tmp_path, {"cam": camera, "door": door}, *looks, max_delay_ms=50.0) as child:
            loaded(child, pipeline="gate")
            for byte in BYTES:
                assert byte_of(ask(child, camera, byte)) == byte
            stats = child.until("stats", frames=len(BYTES))
    assert stats["unused"] == len(BYTES)
    waits = [word["wait_ms"] for word in _said(child, "result")]
    assert min(waits) >= 50, "it gave the other camera its chance"


def test_frames_are_never_mixed_up_when_cameras_overrun_a_slow_engine(
    tmp_path: Path, camera: Camera, plan: Callable[..., str]
) -> None:
    """The writer laps the engine many times a frame: what is torn is left out, what is reported is right."""
    slow = look(plan("slow", work=12))
    with start(tmp_path, camera, slow) as child:
        loaded(child)
        with camera.running(every_s=0.0005):
            for _ in range(40):
                child.until("result")
    for result in _said(child, "result"):
        assert byte_of(result) == BYTES[(result["frame"] - 1) % len(BYTES)]
    assert np.all(np.diff([word["frame"] for word in _said(child, "result")]) > 0)
