"""Build one engine with our backend in a process of its own: `build_once.py NETWORK FORM PLAN [OPTION...]`.

    --pictures=FILE.npy     to calibrate with
    --workspace=MB          of the builder
    --cancel-at=PHASE       want the build no longer once this phase was told
    --tell                  print each new phase as a line

Prints what came of it as one line of JSON: `{"built": bytes}`, `{"error": code, "line": ...}` or `{"cancelled": true}`.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import numpy as np
from gpu_kit import FORMS, level

from edgeagent.engine.build.backend import BackendJob, BuilderOptions
from edgeagent.engine.build.report import Cancelled
from edgeagent.engine.build.tensorrt.backend import TensorRtBackend
from edgeagent.errors import EngineError


class Watcher:
    def __init__(self, cancel_at: str, aloud: bool) -> None:
        self._cancel_at, self._aloud = cancel_at, aloud
        self._phase = ""
        self._since_s = 0.0

    def tell(self, phase: str, percent: float, text: str) -> None:
        if phase != self._phase:
            self._phase, self._since_s = phase, time.monotonic()
            if self._aloud:
                print(json.dumps({"phase": phase}), flush=True)

    def pause(self, seconds: float) -> None:
        time.sleep(seconds)
        if self._phase == self._cancel_at and time.monotonic() - self._since_s > 1.0:
            raise Cancelled


def main(network: str, form: str, plan: str, *options: str) -> None:
    given = dict(option.lstrip("-").partition("=")[::2] for option in options)
    job = BackendJob(
        network=Path(network),
        variant=FORMS[form],
        plan=Path(plan),
        pictures=list(np.load(given["pictures"])) if "pictures" in given else (),
        options=BuilderOptions(
            threads=4,
            optimization_level=level(),
            workspace_mb=int(given["workspace"]) if "workspace" in given else None,
        ),
    )
    try:
        TensorRtBackend().build(job, Watcher(given.get("cancel-at", ""), "tell" in given))
        told: dict[str, object] = {"built": job.plan.stat().st_size}
    except Cancelled:
        told = {"cancelled": True}
    except EngineError as error:
        told = {"error": error.error_code, "line": error.line(), "facts": error.facts}
    print(json.dumps(told), flush=True)
    os._exit(0)  # as the build child does: a builder of 8.6 works on behind a cancelled build


if __name__ == "__main__":
    main(*sys.argv[1:])
