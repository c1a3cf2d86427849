"""Lose the GPU by an engine that reads where there is no memory, and say what came of it: `lose_gpu.py PLAN`.

Prints `{"first": code, "line": ..., "after": code}`: of the batch that did it and of the one after; then closes.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from edgeagent.errors import EngineError
from edgeagent.inference.tensorrt_session import TensorRtSession

NOWHERE = 0x7F00_0000_0000


def code_of(session: TensorRtSession, frame: np.ndarray) -> tuple[str, str]:
    try:
        session.submit([frame])
        session.collect()
    except EngineError as error:
        return error.error_code, error.line()
    return "none", ""


def main(plan: Path) -> None:
    session = TensorRtSession(plan, graphs=False, depth=1)
    frame = np.zeros((session.height, session.width, 3), np.uint8)
    session.run(frame[None])
    loaded = session._plan
    assert loaded is not None
    assert session._contexts._of[1].object.set_tensor_address(loaded.input, NOWHERE)
    first, line = code_of(session, frame)
    after, _ = code_of(session, frame)
    session.close()
    print(json.dumps({"first": first, "line": line, "after": after}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
