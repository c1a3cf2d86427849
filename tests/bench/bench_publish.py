"""The cost of publishing, as text and as one line of JSON: `python tests/bench/bench_publish.py [messages]`.

The budget: at most 300 us of CPU for encoding and publishing a result of 20 detections, network thread included. What
else a frame costs is measured by `edgeagent bench` (docs/bench.md).
"""

from __future__ import annotations

import json
import sys

from edgeagent.fleet.bench import measure_publish_cost

BUDGET_US = 300.0


def main() -> int:
    figures = measure_publish_cost(messages=int(sys.argv[1]) if len(sys.argv) > 1 else 3000)
    for name, value in figures.items():
        print(f"{name:24} {value}")
    print(json.dumps(figures))
    return 0 if float(figures["cpu_us_per_message"]) <= BUDGET_US else 1


if __name__ == "__main__":
    sys.exit(main())
