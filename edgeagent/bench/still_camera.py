"""A camera that costs nothing: the capture child over pictures that are drawn already, shown in turn.

`python -m edgeagent.bench.still_camera`, in place of the capture child. All of capturing is the agent's own but the
source, whose drawing would otherwise be most of the work and drive everything else out of the processor's caches.
"""

from __future__ import annotations

from functools import partial
from itertools import cycle

from edgeagent.camera.capture_child import main
from edgeagent.camera.sources import FrameSource, Image
from edgeagent.camera.spec import SourceSpec, SyntheticSpec
from edgeagent.errors import SourceError
from edgeagent.simulate.scenes import ConveyorStream
from edgeagent.supervise.program import run_child

PICTURES, STEP = 4, 9  # how many, and how many frames of the synthetic camera lie between two


class StillSource:
    """What the synthetic camera shows now and then, over and over."""

    paced = True
    fps_known = True
    expected_frames = 0

    def __init__(self, spec: SyntheticSpec) -> None:
        self.width, self.height, self.fps = spec.width, spec.height, spec.fps
        stream = ConveyorStream(spec.width, spec.height, spec.fps, spec.seed)
        self._pictures = cycle([stream.frame(STEP * number)[0] for number in range(PICTURES)])

    def read(self) -> Image | None:
        return next(self._pictures)

    def skip(self, frames: int) -> None:
        """All are alike."""

    def pass_over(self) -> bool:
        return True

    def close(self) -> None:
        """Nothing is held."""


def open_still(camera: str, spec: SourceSpec, fps: float | None = None) -> FrameSource:
    """Raises SourceError for anything but a synthetic source."""
    if not isinstance(spec, SyntheticSpec):
        raise SourceError(f"camera {camera} is no synthetic one", code="source")
    return StillSource(spec)


if __name__ == "__main__":
    run_child(partial(main, open_from=open_still))
