"""The TensorRT session on a real GPU: graphs, lent memory, batches that overlap, memory, a lost GPU."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parent))
from gpu_kit import report, require_gpu
from session_kit import (
    SIDE,
    Ring,
    detector_plan,
    distinct_frames,
    gpu_used_mb,
    mean_plan,
    resident_mb,
    ring,
    same,
    sharing_gpu,
)

from edgeagent.inference.cuda import open_gpu
from edgeagent.inference.tensorrt_session import TensorRtSession
from edgeagent.vision.detections import Candidates

pytestmark = pytest.mark.timeout(900)
FRAMES, MANY = 1000, 20_000


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    require_gpu()
    return detector_plan(tmp_path_factory.mktemp("plan"), 7)


@pytest.fixture(scope="module")
def reference(plan: Path) -> list[Candidates]:
    """What the plainest way says: no graph, nothing lent, one batch at a time."""
    with closing(TensorRtSession(plan, graphs=False, depth=1)) as session:
        return [session.run(picture[None])[0] for picture in distinct_frames(FRAMES)]


def through(session: TensorRtSession, lent: Ring) -> Iterator[Candidates]:
    """All the frames through the ring's slots, as many under way as the session takes."""
    under_way = 0
    for number, picture in enumerate(distinct_frames(FRAMES)):
        if under_way == session.depth:
            yield from session.collect()
            under_way -= 1
        slot = lent.frames[number % len(lent.frames)]
        slot[:] = picture
        session.submit([slot])
        under_way += 1
    for _ in range(under_way):
        yield from session.collect()


def test_the_reference_tells_frames_apart(reference: list[Candidates]) -> None:
    different = sum(not same(one, two) for one, two in pairwise(reference))
    assert different == FRAMES - 1
    assert all(np.isfinite(found.scores).all() and np.isfinite(found.boxes).all() for found in reference)


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("graphs", [True, False], ids=["graph", "enqueue"])
@pytest.mark.parametrize("lent", ["not lent", "copied", "in place"])
def test_every_way_says_the_same_bit_for_bit(
    lent: str, graphs: bool, depth: int, plan: Path, reference: list[Candidates]
) -> None:
    gpu = sharing_gpu() if lent == "in place" else None
    with ExitStack() as stack:
        slots = stack.enter_context(ring(4))
        session = stack.enter_context(closing(TensorRtSession(plan, graphs=graphs, depth=depth, gpu=gpu)))
        if lent != "not lent":
            session.lend(slots.memory)
        found = list(through(session, slots))
        report("ways", lent=lent, graphs=graphs, depth=depth, how=session.how)
        assert session.how.startswith("a CUDA graph") == graphs
        assert "copied twice" not in session.how
        if graphs:
            in_place = math.lcm(depth, 4) if lent == "in place" else 0  # pairs of a set and a slot
            assert sum(len(io.graphs) for io in session._all) == depth + in_place
    assert len(found) == FRAMES
    wrong = [number for number, (one, two) in enumerate(zip(found, reference, strict=True)) if not same(one, two)]
    assert not wrong


def test_two_engines_beside_each_other_over_one_ring(plan: Path, reference: list[Candidates]) -> None:
    """As while one engine takes the place of another; the first to come goes first."""
    with ring(4) as slots:
        one, two = TensorRtSession(plan), TensorRtSession(plan)
        for session in (one, two):
            session.lend(slots.memory)
        for number, picture in zip(range(50), distinct_frames(50), strict=True):
            slots.frames[number % 4][:] = picture
            for session in (one, two):
                session.submit([slots.frames[number % 4]])
            assert all(same(session.collect()[0], reference[number]) for session in (one, two))
        one.close()
        slots.frames[0][:] = next(distinct_frames(1))
        two.submit([slots.frames[0]])
        assert same(two.collect()[0], reference[0])
        two.close()


@pytest.mark.parametrize("lent", ["not lent", "copied", "in place"])
def test_memory_stays_as_it_is_over_many_frames(lent: str, plan: Path) -> None:
    picture = next(distinct_frames(1))
    with ExitStack() as stack:
        slots = stack.enter_context(ring(4))
        gpu = sharing_gpu() if lent == "in place" else None
        session = stack.enter_context(closing(TensorRtSession(plan, gpu=gpu)))
        if lent != "not lent":
            session.lend(slots.memory)
        for slot in slots.frames:
            slot[:] = picture
        marks = []
        for number in range(MANY + 1):
            if number in (MANY // 10, MANY):
                marks.append((resident_mb(), gpu_used_mb()))
            session.submit([slots.frames[number % 4]])
            session.collect()
    (resident, used), (resident_later, used_later) = marks
    report(
        "memory", lent=lent, frames=MANY, resident_mb=round(resident, 1), later_mb=round(resident_later, 1),
        gpu_mb=round(used, 1), gpu_later_mb=round(used_later, 1),
    )  # fmt: skip
    assert resident_later <= resident * 1.01
    assert used_later <= used


def test_what_was_opened_is_given_back(plan: Path) -> None:
    used = []
    with ring(4) as slots:
        for _ in range(12):
            with closing(TensorRtSession(plan)) as session:
                session.lend(slots.memory)
                session.submit([slots.frames[0]])  # closed in the middle
            used.append(gpu_used_mb())
    report("reopened", gpu_mb=used)
    assert used[-1] <= used[2] + 1


def test_a_batch_of_several_with_lent_and_other_frames(tmp_path: Path) -> None:
    require_gpu()
    with ring(2, side=64) as slots, closing(TensorRtSession(mean_plan(tmp_path, 3))) as session:
        assert session.height == 32
        session.lend(slots.memory)
        lent = [slot[:32] for slot in slots.frames]
        for value in range(80):
            lent[0][:], lent[1][:] = value, value + 2
            session.submit([lent[0], np.full((32, 64, 3), value + 1, np.uint8), lent[1]])
            scores = [float(found.scores[0]) * 255 for found in session.collect()]
            np.testing.assert_allclose(scores, [value, value + 1, value + 2], rtol=1e-4, atol=1e-4)


def test_a_lost_gpu_is_told_as_such_and_the_process_can_end(plan: Path) -> None:
    """In a process of its own, which cannot use the GPU afterwards."""
    command = [sys.executable, str(Path(__file__).parent / "lose_gpu.py"), str(plan)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    told = json.loads(done.stdout.splitlines()[-1]) if done.stdout else {}
    report("lost", **told, exit=done.returncode)
    assert done.returncode == 0, done.stderr
    assert told["first"] == "gpu_lost" and told["after"] == "gpu_lost"
    with closing(TensorRtSession(plan)) as session:  # this process still can
        assert len(session.run(np.zeros((1, SIDE, SIDE, 3), np.uint8))) == 1
    assert open_gpu().name()
