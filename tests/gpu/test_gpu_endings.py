"""How builds and loads end that do not go well, on a real GPU: cancelled, killed, out of memory, damaged."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parent))
from gpu_kit import Subject, make, prepare_conveyor, report, require_gpu

from edgeagent.engine.build.outcome import Ending, classify
from edgeagent.engine.store import EngineStore

HERE = Path(__file__).parent
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    require_gpu()
    return prepare_conveyor(tmp_path_factory.mktemp("subject"))


def start(subject: Subject, form: str, plan: Path, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(HERE / "build_once.py"), str(subject.network(form)), form, str(plan), *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def last_word(process: subprocess.Popen[str]) -> dict[str, Any]:
    out, _ = process.communicate(timeout=400)
    found: dict[str, Any] = json.loads(out.splitlines()[-1]) if out.strip() else {}
    return found


def wait_for(process: subprocess.Popen[str], phase: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if json.loads(line).get("phase") == phase:
            return
    raise AssertionError(f"the build ended before it was {phase}")


@pytest.mark.parametrize("phase", ["building", "calibrating"])
def test_a_cancelled_build_ends_at_once_and_leaves_nothing(phase: str, subject: Subject, tmp_path: Path) -> None:
    np.save(tmp_path / "pictures.npy", np.stack(subject.to_calibrate))
    form = "calibrated" if phase == "calibrating" else "fp16"
    began = time.monotonic()
    process = start(subject, form, tmp_path / "plan", f"--cancel-at={phase}", f"--pictures={tmp_path / 'pictures.npy'}")
    told = last_word(process)
    assert told == {"cancelled": True} and process.returncode == 0
    assert not (tmp_path / "plan").exists()
    report("cancel", phase=phase, seconds=round(time.monotonic() - began, 1))


def test_a_killed_build_counts_as_a_crash_where_memory_was_there_and_the_next_one_succeeds(
    subject: Subject, tmp_path: Path
) -> None:
    process = start(subject, "fp16", tmp_path / "plan", "--tell")
    wait_for(process, "building")
    time.sleep(1.0)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL and not (tmp_path / "plan").exists()
    assert classify(Ending(exit_code=process.returncode, oom_kills=0)) == "crash"
    assert classify(Ending(exit_code=process.returncode, oom_kills=1)) == "out_of_memory"
    assert "built" in last_word(start(subject, "fp16", tmp_path / "plan"))
    report("kill", exit_code=process.returncode)


@pytest.fixture
def little_memory() -> Iterator[None]:
    """The GPU with all but a little of its memory taken. The rest holds a context and not a builder's kernels."""
    from edgeagent.inference.cuda import open_gpu

    gpu = open_gpu()
    taken = []
    with gpu:
        while gpu.memory().free_mb > 900:
            size = max(64, min(4096, gpu.memory().free_mb - 850))
            taken.append(gpu.driver.mem_alloc(size << 20))
        report("memory taken", free_mb=gpu.memory().free_mb, total_mb=gpu.memory().total_mb)
    yield
    with gpu:
        for block in taken:
            block.free()


@pytest.mark.usefixtures("little_memory")
def test_a_gpu_that_is_full_is_out_of_memory(subject: Subject, tmp_path: Path) -> None:
    told = last_word(start(subject, "fp16", tmp_path / "plan"))
    report("full GPU", **told)
    assert told.get("error") == "out_of_memory", told


def test_a_tiny_workspace_makes_an_engine_or_says_what_it_lacks(subject: Subject, tmp_path: Path) -> None:
    told = last_word(start(subject, "fp16", tmp_path / "plan", "--workspace=1"))
    report("workspace of 1 MB", **told)
    assert "built" in told or told["error"] in ("out_of_memory", "unsupported_layer")


def test_a_damaged_plan_is_refused_before_it_is_loaded(subject: Subject, tmp_path: Path) -> None:
    from engine_kit import KEY, put_entry

    plan = make(subject, "fp16", tmp_path / "plan").plan.read_bytes()
    store = EngineStore(tmp_path / "engines")
    entry = put_entry(store, KEY, plan, backend="tensorrt", placement="gpu", precision="fp16", quantisation="none")
    assert store.find(KEY) is not None
    damaged = bytearray(plan)
    damaged[len(damaged) // 2] ^= 1
    entry.plan_path.write_bytes(damaged)
    assert store.find(KEY) is None
    for name, content in {"empty": b"", "cut": plan[: len(plan) // 2], "text": b"no plan\n" * 100}.items():
        (tmp_path / name).write_bytes(content)
        np.save(tmp_path / "pictures.npy", np.stack(subject.held_out[:1]))
        command = [
            sys.executable,
            str(HERE / "run_once.py"),
            *map(str, (tmp_path / name, tmp_path / "pictures.npy", "-")),
        ]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
        told = json.loads(done.stdout.splitlines()[-1]) if done.stdout.strip() else {"exit": done.returncode}
        report("no plan", kind=name, **told)
        assert told.get("error") == "engine_load", done.stderr
