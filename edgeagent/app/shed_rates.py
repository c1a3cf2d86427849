"""How many results a second a pipeline has with nothing shed, and with what the ladder leaves it. Pure."""

from __future__ import annotations

from edgeagent.app.served import Served
from edgeagent.thermal.ladder import Grant


def full_rate(served: Served) -> float | None:
    """The pipeline's results a second with nothing shed, as far as that is known."""
    rates = [served.settings.max_results_per_s, served.camera.state.opened.fps if served.camera.state.opened else None]
    return min((rate for rate in rates if rate), default=None)


def expected_rate(served: Served, granted: Grant) -> float | None:
    """The results a second that are left; None where nothing is given up or the full rate is not known."""
    full = full_rate(served)
    if full is None or granted.limits == (1.0, None):
        return None
    return min(full * granted.share, granted.per_s if granted.per_s is not None else full)
