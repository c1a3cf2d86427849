"""ONNX Runtime on one thread, and what it takes. For a neighbour's process, before the neighbour is imported."""

from __future__ import annotations

import itertools
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import onnxruntime


class Engine(onnxruntime.InferenceSession):
    """Every session of the process. `inside_s`: CPU time of all runs so far."""

    inside_s = 0.0

    def __init__(self, path_or_bytes: Any, sess_options: Any = None, providers: Any = None, **more: Any) -> None:
        options = sess_options or onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        super().__init__(path_or_bytes, options, providers=["CPUExecutionProvider"], **more)

    def run(self, *given: Any, **more: Any) -> Any:
        return _timed(super().run, *given, **more)

    def run_with_iobinding(self, *given: Any, **more: Any) -> Any:
        return _timed(super().run_with_iobinding, *given, **more)


def _timed(run: Callable[..., Any], *given: Any, **more: Any) -> Any:
    began_s = time.thread_time()
    try:
        return run(*given, **more)
    finally:
        Engine.inside_s += time.thread_time() - began_s


def install() -> None:
    onnxruntime.InferenceSession = Engine


class Account:
    """CPU time a frame: `mark` after each. The first frames, which warm everything up, are left out."""

    WARM = 3

    def __init__(self) -> None:
        self._marks: list[tuple[float, float, int]] = []

    def mark(self, found: int) -> None:
        self._marks.append((time.process_time(), Engine.inside_s, found))

    def tell(self, version: str) -> None:
        taken = [
            (whole_s - before_s, inside_s - inside_before_s)
            for (before_s, inside_before_s, _), (whole_s, inside_s, _) in itertools.pairwise(
                self._marks[self.WARM - 1 :]
            )
        ]
        told = {
            "version": version,
            "frames": len(taken),
            "outside_us": round(1e6 * statistics.median(whole_s - inside_s for whole_s, inside_s in taken), 1),
            "engine_us": round(1e6 * statistics.median(inside_s for _, inside_s in taken), 1),
            "found": round(statistics.mean(found for _, _, found in self._marks[self.WARM :]), 1),
        }
        print(json.dumps(told))
