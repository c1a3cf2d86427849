"""`edgeagent simulate heat`: does the governor hold what it promises? Scenarios, controllers, one table.

Each scenario runs with the governor, without, and with an on-off controller, and is compared with the best that its
plant allows. By default with real processes and signals (`heat_real`), `accelerate` times as fast as the wall clock;
with `virtual` in virtual time (`heat_model`), in seconds.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from edgeagent.errors import OperatorError
from edgeagent.simulate.heat_control import CONTROLLERS
from edgeagent.simulate.heat_figures import Figures, figures_of, render_table
from edgeagent.simulate.heat_model import Run, run_ideal, run_virtual
from edgeagent.simulate.heat_picture import check_picture, write_picture
from edgeagent.simulate.heat_plot import plot
from edgeagent.simulate.heat_real import run_real
from edgeagent.simulate.heat_scenarios import SCENARIOS, Scenario, find_scenario
from edgeagent.simulate.heat_steer import SteerMaker, sense_steer


@dataclass(frozen=True)
class HeatOptions:
    """What the command line asked for. Empty names: all of them.

    `governor` makes what steers a real run; by default the governor on its own, without the agent's desk around it.
    """

    scenarios: Sequence[str] = ()
    controllers: Sequence[str] = ()
    virtual: bool = False
    accelerate: float = 10.0
    png: Path | None = None
    as_json: bool = False
    plots: bool = True
    governor: SteerMaker | None = None


def run_heat(options: HeatOptions, tell: Callable[[str], None] | None = None) -> tuple[int, str]:
    """Exit code and text; 1 when a promise does not hold. `tell` gets a line a run while it lasts.

    Raises OperatorError for a name that does not exist, and for a picture that cannot be written.
    """
    scenarios = _scenarios(options.scenarios)
    if options.png is not None:
        check_picture(options.png)
    shown: list[tuple[Scenario, list[Run]]] = []
    rows: list[Figures] = []
    for scenario in scenarios:
        runs = _runs(scenario, options, tell or _tell)
        rows += _figures(scenario, runs)
        shown.append((scenario, runs))
    if options.png is not None:
        write_picture(options.png, shown)
    code = 1 if any(row.broken for row in rows) else 0
    if options.as_json:
        return code, json.dumps([asdict(row) for row in rows], indent=2)
    plots = [plot(scenario, runs) for scenario, runs in shown] if options.plots else []
    return code, "\n\n".join([*plots, render_table(rows)])


def _scenarios(names: Sequence[str]) -> list[Scenario]:
    found = [(name, find_scenario(name)) for name in names]
    if unknown := [name for name, scenario in found if scenario is None]:
        raise OperatorError(
            f"there is no scenario called {unknown[0]!r}",
            mend=f"names: {', '.join(scenario.name for scenario in SCENARIOS)}",
            code="heat-scenario",
        )
    return [scenario for _, scenario in found if scenario is not None] or list(SCENARIOS)


def _runs(scenario: Scenario, options: HeatOptions, tell: Callable[[str], None]) -> list[Run]:
    """Of the controllers that are asked for, and the ideal last."""
    runs = []
    for name in options.controllers or CONTROLLERS:
        tell(f"{scenario.name}: {name} ...")
        if options.virtual:
            runs.append(run_virtual(scenario, name, CONTROLLERS[name]()))
        else:
            runs.append(run_real(scenario, name, _steer(name, options), options.accelerate))
    return [*runs, run_ideal(scenario)]


def _steer(name: str, options: HeatOptions) -> SteerMaker:
    """A governed run is steered as an agent steers, the others by their controller."""
    if name == "governor" and options.governor is not None:
        return options.governor
    return sense_steer(CONTROLLERS[name]())


def _figures(scenario: Scenario, runs: Sequence[Run]) -> list[Figures]:
    by_name = {run.controller: run for run in runs}
    optimum_s = by_name["ideal"].wall_s
    return [figures_of(scenario, run, optimum_s, by_name.get("on-off")) for run in runs]


def _tell(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
