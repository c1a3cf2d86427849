"""Asking this machine's TensorRT for its DLA cores, in a child with a time limit: TensorRT is never imported here.

A runtime has to be made for it, which starts CUDA: that takes seconds on a device, and may hang or crash. Where this
Python has no TensorRT, nothing is started.
"""

from __future__ import annotations

from importlib.util import find_spec

from edgeagent.app.doctor_children import LIMIT_S, Asking, Probe
from edgeagent.board.dla import DlaProbe
from edgeagent.board.identity import Identity, with_dla_probe

_NOT_FOUND = "this Python has no TensorRT"


class DlaQuestion:
    """The question about one board: `ask` it once, in any thread; `stop` ends it from another."""

    def __init__(self, identity: Identity, limit_s: float = LIMIT_S) -> None:
        self._identity = identity
        self._asking = Asking("tensorrt", limit_s)

    def ask(self) -> Identity:
        """The board with TensorRT's answer, or with the reason why there is none. Takes the limit at the most."""
        return with_dla_probe(self._identity, self._probe())

    def stop(self) -> None:
        self._asking.stop()

    def _probe(self) -> DlaProbe:
        if not self._identity.same_machine:
            return DlaProbe(why_not="the board lies under another root, where this machine's TensorRT knows nothing")
        if not _is_found():
            return DlaProbe(why_not=_NOT_FOUND)
        return _told(self._asking.ask())


def _is_found() -> bool:
    """Without importing it. A mere directory of that name has no origin."""
    try:
        spec = find_spec("tensorrt")
    except (ImportError, ValueError):
        return False
    return spec is not None and spec.origin is not None


def _told(probe: Probe) -> DlaProbe:
    """A number counts however the child ended after it was told."""
    cores = probe.facts.get("num_dla_cores")
    if isinstance(cores, int) and cores >= 0:
        return DlaProbe(cores)
    if probe.missing:
        return DlaProbe(why_not=_NOT_FOUND)
    return DlaProbe(why_not=" ".join(probe.error.split()) or "TensorRT did not say")
