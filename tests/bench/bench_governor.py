"""What the governor costs, and how well it holds the set point on plants that it has never seen.

    .venv/bin/python tests/bench/bench_governor.py [--plants 100] [--json]

Cost: CPU time of `govern` alone at two looks a second, while a build runs on a board with nine zones. Plants: random
boards for tests/property/thermal (die 2 to 20 K, module, sink of 50 to 500 s, coarse and noisy sensors, uneven looks,
slices of 0.4, 0.8 or 1.2 s), 900 s each, in four worlds. The best work is what a controller does that knows the plant.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import statistics
import sys
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "property" / "thermal"))

from rc_plant import STEP_S, Board, Course, Die, Sensors, Weather, run

from edgeagent.thermal.governor import GovernorRules, begin, govern
from edgeagent.thermal.sense import Sense, ZoneSense

SECONDS = 900.0
ZONES = ("cpu", "gpu", "cv0", "cv1", "cv2", "soc0", "soc1", "soc2", "tj")
CALLS = 4000


def cost_us() -> float:
    """Microseconds of CPU a call: the median of five runs."""
    rules, looks = GovernorRules(), [_look(number) for number in range(CALLS)]
    runs = []
    for _ in range(5):
        state = begin(rules)
        began_s = time.process_time()
        for look in looks:
            state, _ = govern(rules, state, look, building=True)
        runs.append((time.process_time() - began_s) / CALLS * 1e6)
    return statistics.median(runs)


def _look(number: int) -> Sense:
    """A board around its set point, with everything readable."""
    celsius = 90.5 + 0.6 * math.sin(number / 3)
    zones = tuple(ZoneSense(f"{name}-thermal", celsius - index, 99.0) for index, name in enumerate(ZONES))
    return Sense(0.5 * number, zones, (), 0, 3.0, 12.0, 15.0, 4000.0, 7600.0, 0, 0.99, 1.05)


def random_board(dice: random.Random) -> Board:
    strongest_k = dice.uniform(2, 20)
    zones = tuple(
        Die(
            f"zone{number}",
            strongest_k * (1 if number == 0 else dice.uniform(0.3, 1)),
            dice.uniform(0, 4),
            dice.uniform(1.5, 4),
            99.0 - dice.choice([0, 0, 3]),
        )
        for number in range(3)
    )
    sink_tau_s = math.exp(dice.uniform(math.log(50), math.log(500)))
    low = (dice.uniform(10, 60), dice.uniform(0.5, 6), dice.uniform(4, 20), dice.uniform(5, 60), dice.uniform(2, 15))
    return Board(zones, *low, sink_tau_s)


def random_sensors(dice: random.Random, seed: int) -> Sensors:
    quantum, look_s, period_s = (
        dice.choice([0.001, 0.03, 0.1, 0.5]),
        dice.choice([0.5, 0.5, 1.0]),
        dice.choice([0.4, 0.8, 1.2]),
    )
    return Sensors(seed, dice.uniform(0, 0.1), quantum, look_s, dice.uniform(0, 0.4), period_s)


def heavy_and_light(at_s: float) -> float:
    return (1.0, 0.4, 1.0, 0.2)[int(at_s / 37) % 4]


WORLDS: dict[str, Weather] = {
    "steady air": Weather(),
    "air from 25 to 60 C in 600 s": Weather(ambient_c=lambda at_s: 25 + 35 * min(1.0, at_s / 600)),
    "pipelines add 2 K to the die at once": Weather(other=lambda at_s: 1.0 if at_s < SECONDS / 2 else 2.0),
    "phases of 37 s at 100, 40, 100 and 20 %": Weather(phase=heavy_and_light),
}


def world(name: str, weather: Weather, plants: int) -> dict[str, object]:
    """Figures over all plants; those about holding only from plants that the set point limits."""
    courses = [_course(seed, weather) for seed in range(plants)]
    limited = [course for course in courses if _is_limited(course)]
    above_s = [STEP_S * sum(moment.above_c > 1.0 for moment in course.moments) for course in courses]
    return {
        "world": name,
        "plants": plants,
        "limited": len(limited),
        "over": sum(seconds > 0 for seconds in above_s),
        "longest_over_s": round(max(above_s), 1),
        "highest_k": round(max(m.above_c for course in courses for m in course.moments), 2),
        "mean_k": round(statistics.mean(_mean(course) for course in limited), 2),
        "median_ratio": round(statistics.median(course.best_work / course.work for course in limited), 3),
        "worst_ratio": round(max(course.best_work / course.work for course in limited), 3),
    }


def _course(seed: int, weather: Weather) -> Course:
    dice = random.Random(seed)
    board, sensors = random_board(dice), random_sensors(dice, seed)
    if weather.other(SECONDS) != 1.0:
        board = replace(board, zones=tuple(replace(zone, other_k=2.0) for zone in board.zones), sink_other_k=3.0)
    return run(board, SECONDS, weather, sensors)


def _held(course: Course) -> list[float]:
    return [m.above_c for m in course.after(60.0) if 0.08 < m.best < 0.999]


def _is_limited(course: Course) -> bool:
    """The set point binds for a minute at least, and there is work to be done."""
    return len(_held(course)) * STEP_S > 60 and course.best_work > 20


def _mean(course: Course) -> float:
    return statistics.mean(_held(course))


def main() -> int:
    parser = argparse.ArgumentParser(description="What the governor costs, and how well it holds the set point.")
    parser.add_argument("--plants", type=int, default=100, help="random plants a world; 0 for the cost alone")
    parser.add_argument("--json", action="store_true")
    wish = parser.parse_args()
    call_us = cost_us()
    told = {"govern_us": round(call_us, 1), "cpu_ms_per_s_at_2_hz": round(2 * call_us / 1000, 3)}
    rows = [world(name, weather, wish.plants) for name, weather in WORLDS.items()] if wish.plants else []
    if wish.json:
        print(json.dumps({**told, "worlds": rows}, indent=2))
        return 0
    print(f"govern: {told['govern_us']} us a call, {told['cpu_ms_per_s_at_2_hz']} ms of CPU a second at 2 Hz")
    for row in rows:
        print(row)
    return 0


if __name__ == "__main__":
    sys.exit(main())
