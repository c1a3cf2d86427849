"""A pipeline that comes from another infer child or goes to one: the child as a real process, the test as the agent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from test_build_kit import Camera
from test_infer import feeding, loaded
from test_infer_switch import look, start
from test_plans_kit import FAILS_FROM, frame_of, write_plan

from edgeagent.inference.messages import LoadPipeline, Pace, Release, SetPace, TakeOver
from edgeagent.vision.letterbox import fit_letterbox


@pytest.fixture
def camera() -> Iterator[Camera]:
    with Camera([frame_of(10)], fit_letterbox(64, 64, 64, 64)) as made:
        yield made


@pytest.fixture
def plan(tmp_path: Path) -> Callable[..., str]:
    return lambda name, **values: write_plan(tmp_path / name, **values)


def frames(child: Any, pipeline: str) -> list[int]:
    return [word["frame"] for word in child.words if word["kind"] == "result" and word["pipeline"] == pipeline]


def test_one_that_waits_is_warm_looks_at_nothing_and_begins_behind_what_was_looked_at(
    tmp_path: Path, camera: Camera, plan: Callable[..., str]
) -> None:
    with start(tmp_path, camera, look(plan("other"), "other"), look(plan("it"), "it", waits=True)) as child:
        child.until("warm", pipeline="it", engine="it")
        for number in (1, 2, 3):
            camera.put(frame_of(10))
            child.until("result", pipeline="other", frame=number)
        child.send(TakeOver(pipeline="it", came_to=3))
        child.until("loaded", pipeline="it")
        camera.put(frame_of(10))
        child.until("result", pipeline="it", frame=4)
    assert frames(child, "it") == [4]


def test_one_that_may_begin_before_its_engine_is_there_begins_when_it_is(
    tmp_path: Path, camera: Camera, plan: Callable[..., str]
) -> None:
    with start(tmp_path, camera) as child:
        child.until("stats")
        child.send(LoadPipeline(pipeline=look(plan("it", ballast_mb=50), "it", waits=True)))
        child.send(TakeOver(pipeline="it", came_to=1))
        camera.put(frame_of(10))
        child.until("loaded", pipeline="it")
        camera.put(frame_of(10))
        child.until("result", pipeline="it", frame=2)
    assert frames(child, "it") == [2] and not [word for word in child.words if word["kind"] == "warm"]


def test_one_that_goes_says_how_far_it_has_come_and_nothing_after_that(
    tmp_path: Path, camera: Camera, plan: Callable[..., str]
) -> None:
    with start(tmp_path, camera, look(plan("one"), "goes"), look(plan("two"), "stays")) as child:
        loaded(child, pipeline="stays")
        child.send(SetPace(pace=Pace(pipeline="goes", share=1.0)))
        for number in (1, 2):
            camera.put(frame_of(10))
            child.until("result", pipeline="goes", frame=number)
        child.send(Release(pipeline="goes"))
        assert child.until("released", pipeline="goes")["came_to"] == 2
        camera.put(frame_of(10))
        child.until("result", pipeline="stays", frame=3)
        stats = child.until("stats")
        assert set(stats["looked"]) == {"stays"} and "goes" not in stats["shed"], "it will count from nothing"
        child.send(LoadPipeline(pipeline=look(plan("one"), "goes")))
        child.until("loaded", pipeline="goes")
        camera.put(frame_of(10))
        child.until("result", pipeline="goes", frame=4)
    assert frames(child, "goes")[:2] == [1, 2]


def test_what_an_engine_cost_one_that_goes_is_not_counted_again_when_it_is_back(
    tmp_path: Path, camera: Camera, plan: Callable[..., str]
) -> None:
    goes = look(plan("one", failing=True), "goes")
    with start(tmp_path, camera, goes, look(plan("two"), "stays")) as child:
        loaded(child, pipeline="stays")
        camera.put(frame_of(FAILS_FROM))
        child.until("stats", failed={"goes": 1})
        child.send(Release(pipeline="goes"))
        child.until("released", pipeline="goes")
        camera.put(frame_of(20))  # which it may look at when it comes
        child.until("result", pipeline="stays", frame=2)
        child.send(LoadPipeline(pipeline=goes))
        child.until("loaded", pipeline="goes")
        camera.put(frame_of(10))
        child.until("result", pipeline="goes", frame=3)
        assert child.until("stats")["failed"] == {}
        camera.put(frame_of(FAILS_FROM))
        child.until("stats", failed={"goes": 1})


def test_words_about_a_pipeline_that_is_not_there_do_no_harm(
    tmp_path: Path, camera: Camera, plan: Callable[..., str]
) -> None:
    with start(tmp_path, camera, look(plan("one"), "here")) as child:
        loaded(child)
        child.send(TakeOver(pipeline="stranger", came_to=7))
        child.send(Release(pipeline="stranger"))
        assert child.until("released", pipeline="stranger")["came_to"] == 0
        camera.put(frame_of(10))
        child.until("result", pipeline="here", frame=1)
    assert child.errors == ""


def test_in_a_pass_the_writer_waits_no_longer_for_one_that_has_gone(
    tmp_path: Path, camera: Camera, plan: Callable[..., str]
) -> None:
    """It was paused, and so was the whole file."""
    slow = look(plan("slow", work=60), "slow")
    with start(tmp_path, camera, slow, look(plan("quick"), "quick")) as child:
        loaded(child, pipeline="quick")
        camera.writer.begin_pass()
        with feeding(camera, 12):
            child.until("result", pipeline="quick", frame=4)
            child.send(SetPace(pace=Pace(pipeline="slow", share=0.0)))
            child.until("stats")
            child.until("stats")
            child.send(Release(pipeline="slow"))
            child.until("released", pipeline="slow")
            child.until("result", pipeline="quick", frame=12)
    assert frames(child, "quick") == list(range(1, 13))
