"""Two accelerators' children on one camera: what each sees and counts, what a death costs the other, and moves."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

import anyio
import pytest
from infer_row_kit import Stage, Writer, on_stage
from test_capture_kit import write_video
from test_plans_kit import write_plan

from edgeagent.camera.spec import FileSpec
from edgeagent.inference.accelerators import Accelerator
from edgeagent.inference.messages import Pace

Plans = Callable[..., str]


@pytest.fixture
def plan(tmp_path: Path) -> Plans:
    return lambda name, **values: write_plan(tmp_path / name, **values)


async def look(stage: Stage, writer: Writer, count: int, *pipelines: str) -> list[int]:
    """Show so many frames, each when the one before was seen by all of these pipelines (none named: by all)."""
    shown = []
    for _ in range(count):
        shown.append(writer.put())
        await stage.until_seen(shown[-1], *pipelines)
    return shown


def test_both_see_every_frame_of_one_ring_and_count_for_themselves(plan: Plans) -> None:
    async def scene() -> None:
        stage = Stage("near", "far")
        async with on_stage(stage) as writer:
            await stage.serve("near", plan("one"), "cpu")
            assert stage.row.names() == ["infer/cpu"] and stage.pid("dla0") is None, "none that nobody needs"
            await stage.serve("far", plan("two"), "dla0")
            assert stage.row.names() == ["infer/cpu", "infer/dla0"]
            shown = await look(stage, writer, 40)
            await stage.said.until(lambda: stage.health() == {"cpu": "ok", "dla0": "ok"})
            stage.row.measure()
            assert stage.frames("near") == stage.frames("far") == shown
            assert [stage.said.last[f"s/belt/{name}"]["results"] for name in ("near", "far")] == [40, 40]
            assert stage.said.last["s/belt/far"]["dropped"] == stage.camera.state.dropped == 0
            assert stage.pid("cpu") != stage.pid("dla0")

    anyio.run(scene)


def test_frames_that_one_does_not_come_to_are_its_own_loss(plan: Plans) -> None:
    """The slow one stands still while the fast one goes on."""

    async def scene() -> None:
        stage = Stage("fast", "slow")
        async with on_stage(stage) as writer:
            await stage.serve("fast", plan("one"), "cpu")
            await stage.serve("slow", plan("two"), "dla1")
            await look(stage, writer, 2)
            stage.kill("dla1", signal.SIGSTOP)
            await look(stage, writer, 10, "fast")
            stage.kill("dla1", signal.SIGCONT)
            await stage.until_seen(12)
            await stage.said.until(lambda: stage.row.desks["dla1"].dropped(stage.ring.id) == 9)
            stage.row.measure()
            assert stage.frames("fast") == list(range(1, 13)) and stage.frames("slow") == [1, 2, 12]
            dropped = {name: stage.said.last[f"s/belt/{name}"]["dropped"] for name in ("fast", "slow")}
            assert dropped == {"fast": 0, "slow": 9}
            assert stage.camera.measure()["dropped"] == 9

    anyio.run(scene)


@pytest.mark.parametrize(("victim", "other"), [("dla0", "cpu"), ("cpu", "dla0")])
def test_one_is_killed_and_the_other_loses_nothing(plan: Plans, victim: str, other: str) -> None:
    async def scene() -> None:
        stage = Stage("cpu", "dla0")
        async with on_stage(stage) as writer:
            for name in ("cpu", "dla0"):
                await stage.serve(name, plan(f"on-{name}"), name)  # type: ignore[arg-type]
            await look(stage, writer, 5)
            pid = stage.pid(other)  # type: ignore[arg-type]
            stage.kill(victim)  # type: ignore[arg-type]
            await stage.said.until(lambda: stage.health()[victim] == "failed")
            await look(stage, writer, 20, other)
            assert stage.health()[other] == "ok" and stage.served[other].running is not None
            await stage.until_runs(victim, f"on-{victim}")
            await look(stage, writer, 5)
            assert stage.frames(other) == list(range(1, 31))
            assert stage.frames(victim)[:5] == [1, 2, 3, 4, 5] and stage.frames(victim)[-5:] == list(range(26, 31))
            assert stage.frames(victim) == sorted(set(stage.frames(victim)))
            assert stage.pid(other) == pid  # type: ignore[arg-type]
            assert [event["facts"]["accelerator"] for event in stage.said.events] == [victim]
            assert stage.row.restarts == 1 and ("crash", f"on-{victim}") not in stage.told, "a kill blames nobody"

    anyio.run(scene)


def test_a_crash_blames_the_engine_of_its_own_child(plan: Plans) -> None:
    async def scene() -> None:
        stage = Stage("near", "far")
        async with on_stage(stage) as writer:
            await stage.serve("near", plan("one"), "cpu")
            await stage.serve("far", plan("two"), "dla0")
            await look(stage, writer, 1)
            stage.kill("dla0", signal.SIGSEGV)
            await stage.said.until(lambda: ("crash", "two") in stage.told)
            await stage.until_runs("far", "two")
            stage.kill("cpu", signal.SIGSEGV)
            await stage.said.until(lambda: ("crash", "one") in stage.told)
            assert [word for word in stage.told if word[0] == "crash"] == [("crash", "two"), ("crash", "one")]

    anyio.run(scene)


# moves


def test_a_pipeline_moves_without_a_frame_lost_and_the_child_that_nobody_needs_ends(plan: Plans) -> None:
    async def scene() -> None:
        stage = Stage("look")
        async with on_stage(stage) as writer:
            await stage.serve("look", plan("here"), "cpu")
            await look(stage, writer, 5)
            await stage.serve("look", plan("there", ballast_mb=40), "dla0", wait=False)
            shown = 5
            while stage.served["look"].running is None or stage.served["look"].running.engine != "there":
                shown = (await look(stage, writer, 1))[0]
            await look(stage, writer, 5)
            assert stage.frames("look") == list(range(1, shown + 6)), "none lost, none twice, in order"
            assert stage.engines("look") == ["here", "there"]
            await stage.said.until(lambda: stage.health() == {"dla0": "ok"})
            await stage.said.until(lambda: stage.pid("cpu") is None)
            stage.row.measure()
            assert stage.said.last["s/belt/look"]["dropped"] == 0

    anyio.run(scene)


def test_it_moves_there_and_back_and_what_was_counted_goes_on(plan: Plans) -> None:
    """The child that it comes back to has lived on for another pipeline."""

    async def scene() -> None:
        stage = Stage("look", "stays", tracking=True)
        async with on_stage(stage) as writer:
            await stage.serve("look", plan("here"), "cpu")
            await stage.serve("stays", plan("stays"), "cpu")
            await look(stage, writer, 3)
            await stage.serve("look", plan("there"), "dla0")
            await look(stage, writer, 3)
            before = stage.served["look"].last_track
            await stage.serve("look", plan("here"), "cpu")
            await look(stage, writer, 3)
            assert stage.engines("look") == ["here", "there", "here"]
            assert stage.frames("look") == stage.frames("stays") == list(range(1, 10))
            assert stage.served["look"].last_track > before, "things it cannot know get numbers of their own"
            assert stage.pid("dla0") is None or not stage.row.desks["dla0"].pipelines
            assert stage.row.restarts == 0

    pytest.importorskip("lap", reason="the extra tracking is not installed")
    anyio.run(scene)


def test_an_engine_that_does_not_load_there_leaves_the_one_here_at_work(plan: Plans, tmp_path: Path) -> None:
    async def scene() -> None:
        stage = Stage("look")
        (tmp_path / "junk").write_bytes(b"this is no engine")
        async with on_stage(stage) as writer:
            await stage.serve("look", plan("here"), "cpu")
            await look(stage, writer, 3)
            await stage.serve("look", str(tmp_path / "junk"), "dla0", wait=False)
            await stage.said.until(lambda: ("load_failed", "look", "junk") in stage.told)
            await look(stage, writer, 3)
            assert stage.frames("look") == list(range(1, 7)) and stage.engines("look") == ["here"]
            await stage.said.until(lambda: stage.pid("dla0") is None)
            await stage.serve("look", plan("next"), "dla0")
            await look(stage, writer, 3)
            assert stage.engines("look") == ["here", "next"]

    anyio.run(scene)


def test_the_child_that_it_goes_to_dies_on_the_way_and_the_one_here_goes_on(plan: Plans) -> None:
    async def scene() -> None:
        stage = Stage("look")
        async with on_stage(stage) as writer:
            await stage.serve("look", plan("here"), "cpu")
            await look(stage, writer, 3)
            await stage.serve("look", plan("there", ballast_mb=200), "dla0", wait=False)
            await stage.said.until(lambda: stage.pid("dla0") is not None)
            stage.kill("dla0", signal.SIGSEGV)
            await stage.said.until(lambda: ("crash", "there") in stage.told)
            assert stage.served["look"].running is not None and stage.served["look"].running.engine == "here"
            await look(stage, writer, 3)
            await stage.until_runs("look", "there")
            await look(stage, writer, 3)
            assert stage.frames("look") == sorted(set(stage.frames("look")))
            assert stage.engines("look") == ["here", "there"]

    anyio.run(scene)


def test_the_child_that_it_leaves_dies_on_the_way_and_the_other_takes_over(plan: Plans) -> None:
    async def scene() -> None:
        stage = Stage("look")
        async with on_stage(stage) as writer:
            await stage.serve("look", plan("here"), "cpu")
            await look(stage, writer, 3)
            await stage.serve("look", plan("there", ballast_mb=200), "dla0", wait=False)
            stage.kill("cpu")
            await stage.until_runs("look", "there")
            await look(stage, writer, 3)
            assert stage.frames("look") == [1, 2, 3, 4, 5, 6] and stage.engines("look") == ["here", "there"]
            await stage.said.until(lambda: stage.pid("cpu") is None)

    anyio.run(scene)


def test_it_comes_back_before_it_has_gone(plan: Plans) -> None:
    async def scene() -> None:
        stage = Stage("look")
        async with on_stage(stage) as writer:
            await stage.serve("look", plan("here"), "cpu")
            await look(stage, writer, 3)
            await stage.serve("look", plan("there", ballast_mb=200), "dla0", wait=False)
            await stage.serve("look", plan("better"), "cpu")
            await look(stage, writer, 3)
            assert stage.frames("look") == list(range(1, 7)) and stage.engines("look") == ["here", "better"]
            await stage.said.until(lambda: stage.pid("dla0") is None)
            assert stage.row.names() == ["infer/cpu"]

    anyio.run(scene)


def test_an_engine_that_fails_there_at_once_leaves_the_pipeline_without_one(plan: Plans) -> None:
    """There is no way back over the border of a process: the agent is told and looks for an engine anew."""

    async def scene() -> None:
        stage = Stage("look")
        async with on_stage(stage) as writer:
            await stage.serve("look", plan("here"), "cpu")
            await look(stage, writer, 3)
            await stage.serve("look", plan("there", failing=True, fails_from=100), "dla0")
            await stage.said.until(lambda: writer.put(200) and ("run_failed", "look", "there") in stage.told)
            assert ("idle", "look") in stage.told and stage.served["look"].start is None
            await stage.serve("look", plan("here"), "cpu")
            await look(stage, writer, 3)

    anyio.run(scene)


def test_the_engine_before_that_serves_again_has_the_settings_of_today(plan: Plans) -> None:
    async def scene() -> None:
        stage = Stage("look")
        async with on_stage(stage) as writer:
            await stage.serve("look", plan("here"), "cpu")
            await look(stage, writer, 3)
            await stage.serve("look", plan("next", failing=True, fails_from=100), "cpu")
            served = stage.served["look"]
            served.settings = served.settings.model_copy(update={"max_detections": 7})
            await stage.row.resettle("look")
            await stage.said.until(lambda: served.loaded)
            await stage.said.until(lambda: writer.put(200) and ("run_failed", "look", "next") in stage.told)
            assert served.start is not None and (served.start.engine, served.start.max_detections) == ("here", 7)

    anyio.run(scene)


def test_an_engine_in_quarantine_is_given_to_no_child_and_the_one_here_goes_on(plan: Plans) -> None:
    async def scene() -> None:
        stage = Stage("look")
        async with on_stage(stage) as writer:
            await stage.serve("look", plan("here"), "cpu")
            await look(stage, writer, 3)
            await stage.serve("look", plan("there", ballast_mb=200), "dla0", wait=False)
            await stage.said.until(lambda: stage.pid("dla0") is not None)
            stage.kill("dla0", signal.SIGSEGV)
            await stage.said.until(lambda: ("crash", "there") in stage.told)
            assert [served.name for served in stage.row.stop_serving("there")] == ["look"]
            await look(stage, writer, 3)
            assert stage.frames("look") == list(range(1, 7)) and stage.engines("look") == ["here"]
            await stage.said.until(lambda: stage.row.names() == ["infer/cpu"] and stage.pid("dla0") is None)

    anyio.run(scene)


# restarts and other settings


def test_one_child_is_begun_anew_on_demand_and_the_other_notices_nothing(plan: Plans) -> None:
    async def scene() -> None:
        stage = Stage("near", "far")
        async with on_stage(stage) as writer:
            await stage.serve("near", plan("one"), "cpu")
            await stage.serve("far", plan("two"), "dla0")
            await look(stage, writer, 3)
            pids = stage.pid("cpu"), stage.pid("dla0")
            desk = stage.row.desk_of("far")
            assert desk is not None
            assert [served.name for served in await desk.renew()] == ["far"]
            await look(stage, writer, 5, "near")
            await stage.said.until(lambda: stage.served["far"].loaded and stage.pid("dla0") not in (None, pids[1]))
            await look(stage, writer, 3)
            assert stage.frames("near") == list(range(1, 12)) and stage.pid("cpu") == pids[0]
            assert stage.row.restarts == 0

    anyio.run(scene)


def test_other_settings_begin_all_of_them_anew_with_what_they_had(plan: Plans) -> None:
    async def scene() -> None:
        stage = Stage("near", "far")
        async with on_stage(stage) as writer:
            await stage.serve("near", plan("one"), "cpu")
            await stage.serve("far", plan("two"), "dla1")
            await look(stage, writer, 3)
            pids = stage.pid("cpu"), stage.pid("dla1")
            await stage.again()
            await stage.said.until(lambda: all(served.running for served in stage.served.values()))
            assert None not in (after := (stage.pid("cpu"), stage.pid("dla1"))) and not set(after) & set(pids)
            await look(stage, writer, 3)
            assert stage.row.names() == ["infer/cpu", "infer/dla1"]

    anyio.run(scene)


def test_what_a_pipeline_may_do_goes_with_it_and_a_picture_comes_from_where_it_is(plan: Plans) -> None:
    async def scene() -> None:
        stage, taken = Stage("near", "far"), []
        async with on_stage(stage) as writer:
            await stage.serve("near", plan("one"), "cpu")
            await stage.serve("far", plan("two"), "cpu")
            await look(stage, writer, 2)
            await stage.row.pace(Pace(pipeline="far", share=0.0))
            await stage.serve("far", plan("three"), "dla0")
            await look(stage, writer, 5, "near")
            await stage.said.until(lambda: stage.served["far"].shed)
            assert stage.frames("far") == [1, 2], "it is paused there, too"
            await stage.row.pace(Pace(pipeline="far", share=1.0))
            await stage.row.ask_snapshot("far", drawn=False, on_taken=taken.append)
            await look(stage, writer, 2)
            await stage.said.until(lambda: taken)
            assert taken[0].pipeline == "far" and taken[0].frame in stage.frames("far")

    anyio.run(scene)


# files played once


def file_stage(folder: Path, frames: int, *pipelines: str) -> Stage:
    path = write_video(folder / "belt.avi", frames)
    return Stage(*pipelines, source=FileSpec(path=str(path), mode="once", pace="fastest"))


def of_the_pass(stage: Stage, pipeline: str) -> list[int]:
    """Its frames, counted from the begin of the pass."""
    before = stage.ring.newest - stage.ring.passed
    return [frame - before for frame in stage.frames(pipeline)]


async def played(stage: Stage) -> None:
    """Until the file has ended and every result of it is out."""
    await stage.said.until(stage.camera.told_end)


def test_a_file_played_once_gives_every_frame_to_both_however_slow_one_is(plan: Plans, tmp_path: Path) -> None:
    async def scene() -> None:
        stage = file_stage(tmp_path, 200, "fast", "slow")
        async with on_stage(stage, captures=True):
            await stage.serve("fast", plan("one"), "cpu")
            await stage.serve("slow", plan("two", work=40), "dla0")
            await stage.camera.begin()
            await played(stage)
            stage.row.measure()
            assert of_the_pass(stage, "fast") == of_the_pass(stage, "slow") == list(range(1, 201))
            assert stage.camera.measure()["dropped"] == 0

    anyio.run(scene)


@pytest.mark.parametrize("victim", ["cpu", "dla0"])
def test_in_a_pass_the_file_waits_for_a_child_that_was_killed(
    plan: Plans, tmp_path: Path, victim: Literal["cpu", "dla0"]
) -> None:
    """The frame that was under way may come twice from the next child; none is missing."""

    async def scene() -> None:
        stage = file_stage(tmp_path, 300, "cpu", "dla0")
        async with on_stage(stage, captures=True):
            for where in ("cpu", "dla0"):
                await stage.serve(where, plan(f"on-{where}"), where)  # type: ignore[arg-type]
            await stage.camera.begin()
            await stage.said.until(lambda: len(stage.frames(victim)) > 40)
            stage.kill(victim)
            await played(stage)
            (other,) = {"cpu", "dla0"} - {victim}
            assert of_the_pass(stage, other) == list(range(1, 301))
            assert sorted(set(of_the_pass(stage, victim))) == list(range(1, 301))
            assert stage.row.restarts == 1

    anyio.run(scene)


@asynccontextmanager
async def a_pass(stage: Stage, writer: Writer) -> AsyncIterator[None]:
    """Frames as fast as they are taken for as long as the block runs; at its end all results are there."""
    writer.put()  # the rehearsal
    writer.ends.begin_pass()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_write_pass, stage, writer)
        yield
        tasks.cancel_scope.cancel()
    await stage.said.until(lambda: stage.ring.drained)
    await stage.until_seen(stage.ring.newest)


async def _write_pass(stage: Stage, writer: Writer) -> None:
    while True:
        await stage.said.until(lambda: writer.ends.backlog() < stage.ring.layout.slots)
        writer.put()
        await anyio.lowlevel.checkpoint()


def whole(stage: Stage) -> list[int]:
    return list(range(1, stage.ring.passed + 1))


@pytest.mark.parametrize("beside", ["", "here", "there", "both"])
def test_in_the_middle_of_a_pass_a_pipeline_moves_and_loses_nothing(plan: Plans, tmp_path: Path, beside: str) -> None:
    """`beside`: where others read the same file meanwhile, at another speed."""

    async def scene() -> None:
        others = [name for name in ("here", "there") if beside in (name, "both")]
        stage = file_stage(tmp_path, 1, "look", *others)
        async with on_stage(stage) as writer:
            if "here" in others:
                await stage.serve("here", plan("slow", work=5), "cpu")
            if "there" in others:
                await stage.serve("there", plan("quick"), "dla0")
            await stage.serve("look", plan("first"), "cpu")
            async with a_pass(stage, writer):
                for number, where in enumerate(("dla0", "cpu", "dla0", "dla1")):
                    await stage.said.until(lambda count=number + 1: len(stage.engines("look")) == count)
                    await stage.serve("look", plan(f"next{number}"), where)  # type: ignore[arg-type]
                await stage.said.until(lambda: len(stage.engines("look")) == 5)
            assert {name: of_the_pass(stage, name) for name in ("look", *others)} == dict.fromkeys(
                ("look", *others), whole(stage)
            )
            assert stage.engines("look") == ["first", "next0", "next1", "next2", "next3"]

    anyio.run(scene)


def test_pipelines_of_one_engine_move_together_in_the_middle_of_a_pass(plan: Plans, tmp_path: Path) -> None:
    async def scene() -> None:
        stage = file_stage(tmp_path, 1, "one", "two")
        async with on_stage(stage) as writer:
            for name in ("one", "two"):
                await stage.serve(name, plan("first"), "cpu")
            async with a_pass(stage, writer):
                await stage.said.until(lambda: len(stage.frames("one")) > 20)
                for name in ("one", "two"):
                    await stage.serve(name, plan("next"), "dla0", wait=False)
                for name in ("one", "two"):
                    await stage.said.until(lambda name=name: stage.engines(name) == ["first", "next"])
            assert of_the_pass(stage, "one") == of_the_pass(stage, "two") == whole(stage)

    anyio.run(scene)


@pytest.mark.parametrize("victim", ["leaves", "gets"])
def test_in_a_pass_a_death_on_the_way_loses_nothing(plan: Plans, tmp_path: Path, victim: str) -> None:
    """The frame that was under way may come twice, from the next child; none is missing."""

    async def scene() -> None:
        stage = file_stage(tmp_path, 1, "look", "stays")
        async with on_stage(stage) as writer:
            await stage.serve("look", plan("here"), "cpu")
            await stage.serve("stays", plan("stays"), "dla1")
            async with a_pass(stage, writer):
                await stage.said.until(lambda: len(stage.frames("look")) > 20)
                await stage.serve("look", plan("there", ballast_mb=100), "dla0", wait=False)
                where: Accelerator = "cpu" if victim == "leaves" else "dla0"
                await stage.said.until(lambda: stage.pid(where) is not None)
                stage.kill(where)
                await stage.said.until(lambda: stage.engines("look") == ["here", "there"])
            assert sorted(set(of_the_pass(stage, "look"))) == of_the_pass(stage, "stays") == whole(stage)

    anyio.run(scene)


def test_a_child_that_dies_before_the_first_frame_of_a_pass_leaves_all_of_it(plan: Plans, tmp_path: Path) -> None:
    """Its pipeline joins others of its engine who are further on, and is given the frames that they have had."""

    async def scene() -> None:
        stage = file_stage(tmp_path, 1, "look", "stays")
        shared = plan("shared")
        async with on_stage(stage) as writer:
            await stage.serve("look", plan("here", work=50), "cpu")
            await stage.serve("stays", shared, "dla0")
            stage.kill("cpu", signal.SIGSTOP)
            async with a_pass(stage, writer):
                await stage.said.until(lambda: len(stage.frames("stays")) == stage.ring.layout.slots)
                stage.kill("cpu")
                await stage.serve("look", shared, "dla0")
            assert stage.engines("look") == ["shared"]
            assert of_the_pass(stage, "look") == of_the_pass(stage, "stays") == whole(stage)

    anyio.run(scene)
