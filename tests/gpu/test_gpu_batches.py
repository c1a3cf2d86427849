"""Engines for several frames at once on a real GPU: each number of frames says what an engine for one says."""

from __future__ import annotations

import sys
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest

sys.path.append(str(Path(__file__).parent))
from gpu_kit import Subject, make, prepare_conveyor, report, require_gpu
from session_kit import gpu_used_mb, resident_mb

from edgeagent.engine.batching import with_batch
from edgeagent.engine.build.compare import compare
from edgeagent.inference.session import Frames, open_session
from edgeagent.inference.tensorrt_session import TensorRtSession
from edgeagent.vision.detections import Candidates

BATCH = 4
FORMS = ["qdq", "fp16", "calibrated", "entropy", "fp32"]
ALIKE = {"fp32": 0.99, "fp16": 0.97}  # agreement of two engines of a form; each may choose other kernels
INT8_ALIKE = 0.90
pytestmark = pytest.mark.timeout(900)


@dataclass(frozen=True)
class Pair:
    """Plans of one form for one frame and for 1 to BATCH."""

    form: str
    one: Path
    several: Path
    frames: list[np.ndarray]


@pytest.fixture(scope="module")
def subjects(tmp_path_factory: pytest.TempPathFactory) -> tuple[Subject, Subject]:
    require_gpu()
    folder = tmp_path_factory.mktemp("subjects")
    one = prepare_conveyor(folder)
    plain, qdq = folder / "several.onnx", folder / "several-qdq.onnx"
    for source, target in ((one.plain, plain), (one.qdq, qdq)):
        onnx.save(with_batch(onnx.load(str(source)), BATCH, fixed=False), str(target))
    # scales are measured on the network of one frame, as the build child does it
    return one, Subject(f"conveyor-x{BATCH}", plain, qdq, one.to_calibrate, one.held_out, one.plain)


@pytest.fixture(scope="module", params=FORMS)
def pair(
    request: pytest.FixtureRequest, subjects: tuple[Subject, Subject], tmp_path_factory: pytest.TempPathFactory
) -> Pair:
    folder, form = tmp_path_factory.mktemp("plans"), request.param
    one = make(subjects[0], form, folder / "one.plan")
    several = make(subjects[1], form, folder / "several.plan", BATCH)
    report("batch build", form=form, one_s=round(one.seconds, 1), several_s=round(several.seconds, 1))
    return Pair(form, one.plan, several.plan, subjects[0].held_out)


def through(session: TensorRtSession, frames: list[Frames], count: int) -> list[Candidates]:
    """All frames, so many at once."""
    found = []
    for at in range(0, len(frames), count):
        session.submit(frames[at : at + count])
        found += session.collect()
    return found


def test_each_number_of_frames_says_what_the_engine_for_one_says(pair: Pair) -> None:
    with closing(open_session("tensorrt", pair.one, 1)) as session:
        wanted = through(session, pair.frames, 1)
    with closing(TensorRtSession(pair.several)) as session:
        assert (session.batch, session.pads) == (BATCH, False)
        by_count = {count: through(session, pair.frames, count) for count in range(1, BATCH + 1)}
    values = {count: compare(found, wanted, 0.0, 0.0).value for count, found in by_count.items()}
    among = {count: compare(found, by_count[1], 0.0, 0.0).value for count, found in by_count.items()}
    equal = {
        count: all(
            np.array_equal(one, two)
            for ours, theirs in zip(found, by_count[1], strict=True)
            for one, two in zip(vars(ours).values(), vars(theirs).values(), strict=True)
        )
        for count, found in by_count.items()
    }
    report("batch agreement", form=pair.form, with_one=values, among_themselves=among, bit_for_bit=equal)
    assert min(values.values()) >= ALIKE.get(pair.form, INT8_ALIKE)
    assert min(among.values()) >= ALIKE["fp16"]


def test_a_frames_place_in_its_batch_changes_nothing(pair: Pair) -> None:
    frames = pair.frames[:BATCH]
    with closing(TensorRtSession(pair.several)) as session:
        turned = [through(session, [*frames[at:], *frames[:at]], BATCH) for at in range(BATCH)]
    for at, found in enumerate(turned):
        back = [found[(number - at) % BATCH] for number in range(BATCH)]
        assert compare(back, turned[0], 0.0, 0.0).value >= ALIKE["fp32"]


def test_each_number_has_its_graph_and_what_it_takes(pair: Pair) -> None:
    """Figures only, but for the graph: how long a frame takes in batches of each size, with copies."""
    with closing(TensorRtSession(pair.several)) as session:
        assert session.how.startswith("a CUDA graph") or "cuda-bindings" in session.how
        taken = {count: frame_us(session, pair.frames, count) for count in range(1, BATCH + 1)}
        how = session.how
    with closing(open_session("tensorrt", pair.one, 1)) as session:
        alone = frame_us(session, pair.frames, 1)
    report("batch speed", form=pair.form, how=how, engine_for_one_us=alone, us_a_frame=taken)


def frame_us(session: TensorRtSession, frames: list[Frames], count: int, passes: int = 300) -> float:
    batch = frames[:count]
    best = float("inf")
    for _ in range(3):
        began = time.perf_counter()
        session.submit(batch)
        for _ in range(passes):
            session.submit(batch)
            session.collect()
        session.collect()
        best = min(best, (time.perf_counter() - began) * 1e6 / (passes + 1) / count)
    return round(best, 1)


def test_batches_of_all_sizes_for_long_take_no_more_memory(pair: Pair) -> None:
    with closing(TensorRtSession(pair.several)) as session:
        for _ in range(100):
            through(session, pair.frames, 3)
        before, before_gpu = resident_mb(), gpu_used_mb()
        for number in range(1500):
            count = 1 + number % BATCH
            session.submit(pair.frames[:count])
            assert len(session.collect()) == count
        assert resident_mb() - before < 8 and gpu_used_mb() - before_gpu < 8


def test_opening_and_closing_gives_everything_back(pair: Pair) -> None:
    TensorRtSession(pair.several).close()
    before = gpu_used_mb()
    for _ in range(5):
        TensorRtSession(pair.several).close()
    assert gpu_used_mb() - before < 8
