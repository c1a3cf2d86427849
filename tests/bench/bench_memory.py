"""Builds that want more memory than there is: does each end in a smaller build or a clear refusal, beside inference?

    .venv/bin/python tests/bench/bench_memory.py [--runs 20] [--json]

Real processes that take real memory; the real desk, governor, policy and ledger. As root, and where control groups of
version 1 are mounted, the kernel enforces the limit; elsewhere the table says so, and what would have been killed is
told from the memory that was left.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).parent.parent / "integration"))

import anyio
import structlog
from test_memory_kit import Appetite, Ended, SmallDevice, memory_group


def draw(rng: Random) -> tuple[float, Appetite]:
    """A limit in MB, and a build that wants more: by its workspace or, in one of five, whatever it is given."""
    limit_mb = rng.uniform(1200, 2600)
    base_mb = limit_mb * (rng.uniform(1.05, 1.5) if rng.random() < 0.2 else rng.uniform(0.1, 0.3))
    return limit_mb, Appetite(round(base_mb), round(rng.uniform(2.4, 4.0), 2), round(rng.uniform(150, 700)))


def one(number: int) -> tuple[dict[str, object], Ended]:
    limit_mb, appetite = draw(Random(number))
    with tempfile.TemporaryDirectory() as folder, memory_group(limit_mb) as group:
        ended = anyio.run(SmallDevice(Path(folder), limit_mb, appetite, group).run)
    kind = "smaller build" if ended.built and ended.cancels else "built" if ended.built else "refused"
    asked = {"limit_mb": round(limit_mb), "wants": str(appetite), "kernel_limit": group is not None}
    return {"run": number, **asked, "end": kind, **asdict(ended), "least_mb": round(ended.least_mb)}, ended


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    rows, good = [], 0
    for number in range(options.runs):
        row, ended = one(number)
        rows.append(row)
        fine = ended.infer_survived and ended.least_mb > 0 and "build_killed" not in ended.codes
        good += fine and row["end"] in ("smaller build", "refused")
        if not options.json:
            print(f"{number:3} limit {row['limit_mb']:5} MB  wants {row['wants']:<16} {row['end']:<14}"
                  f"{ended.attempts} attempts, {ended.cancels} cancelled, {row['least_mb']:5} MB left at the least,"
                  f" infer {'alive' if ended.infer_survived else 'DEAD'}", flush=True)  # fmt: skip
    if options.json:
        print(json.dumps(rows, indent=1))
    else:
        how = "the kernel" if all(row["kernel_limit"] for row in rows) else "the readings only"
        print(f"{good} of {len(rows)} ended in a smaller build or a refusal, infer alive; limit kept by {how}")
    return 0 if good == len(rows) else 1


if __name__ == "__main__":
    sys.exit(main())
