"""Load a plan in a process of its own and run pictures: `run_once.py PLAN PICTURES.npy RESULTS.npz`.

Prints `{"ran": frames}`, or `{"error": code, "line": ...}` when the plan does not load or run.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from edgeagent.errors import EngineError
from edgeagent.inference.session import open_session


def main(plan: str, pictures: str, results: str) -> None:
    try:
        session = open_session("tensorrt", Path(plan), 1)
        found = [session.run(picture[None])[0] for picture in np.load(pictures)]
        session.close()
    except EngineError as error:
        print(json.dumps({"error": error.error_code, "line": error.line()}))
        return
    np.savez(
        results,
        boxes=np.stack([one.boxes for one in found]),
        scores=np.stack([one.scores for one in found]),
        classes=np.stack([one.class_ids for one in found]),
    )
    print(json.dumps({"ran": len(found)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
