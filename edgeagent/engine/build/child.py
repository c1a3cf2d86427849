"""The build child: gets one engine and exits. `python -m edgeagent.engine.build.child`.

Calibration frames first (unless the set is there): with them the engine key is known. Then the store, the registries,
and only then a build: graft, quantise, build, prove the result against the FP32 reference in a fresh process, commit.
Whatever happens to this process, the store stays whole and the agent goes on serving.

While the camera gives its frames, a thread reads the network and loads the libraries: a bad ONNX is refused within a
second or two and not after the last frame, and the wait costs nothing.
"""

from __future__ import annotations

import os
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from edgeagent.engine.build.collect import Collector
from edgeagent.engine.build.fetching import Fetching
from edgeagent.engine.build.maker import Maker
from edgeagent.engine.build.messages import BuildStart, Built, Origin
from edgeagent.engine.build.prepared import Prepared, prepare
from edgeagent.engine.build.report import SILENCE_S, BuildReport, Cancelled
from edgeagent.engine.bundle import ModelBundle, load_bundle
from edgeagent.engine.calibration import CalibrationSet
from edgeagent.engine.key import EngineWish, engine_key
from edgeagent.engine.store import EngineStore, Entry
from edgeagent.engine.wish import wish_for
from edgeagent.supervise.program import ControlChannel, run_child

WAIT_FOR_OTHER_S = 0.5


class Build:
    """One build: what is asked for, whom to tell, and the store it ends in."""

    def __init__(self, start: BuildStart, report: BuildReport, pool: ThreadPoolExecutor) -> None:
        self._start = start
        self._report = report
        self._pool = pool
        self._store = EngineStore(Path(start.store))
        self._started_s = time.monotonic()
        self._network: Future[Prepared] | None = None

    def run(self) -> None:
        bundle = load_bundle(self._start.model)
        collector = Collector(
            self._start.calibration, self._start.rings, self._report, lambda: self._check_network(bundle)
        )
        found = collector.calibration_set(bundle.spec.input)
        wish = self._wish(bundle, found.record.digest)
        key = self._report.key = engine_key(wish)
        maker = Maker(self._start, self._store, self._report, bundle, self._started_s)
        while True:
            with self._store.build_lock(key) as free:
                if free:
                    return self._got(wish, bundle, maker, found)
            self._report.tell("waiting", 0, "another process builds this engine")
            self._report.pause(WAIT_FOR_OTHER_S)

    def _got(self, wish: EngineWish, bundle: ModelBundle, maker: Maker, found: CalibrationSet) -> None:
        """From the store, a registry, or built. The caller holds the build lock."""
        fetching = Fetching(self._start, self._store, self._report, maker, lambda: self._network_of(bundle), found)
        if (entry := fetching.stored(wish)) is not None:
            self._say_built(entry, "store")
        elif (entry := fetching.fetch(wish)) is not None:
            self._say_built(entry, "registry")
        else:
            entry = maker.make(wish, self._network_of(bundle), found, fetching.notes)
            self._say_built(entry, "build")

    def _wish(self, bundle: ModelBundle, calibration_digest: str) -> EngineWish:
        return wish_for(
            bundle,
            self._start.variant,
            calibration_digest=calibration_digest,
            backend=self._start.backend,
            fingerprint=self._start.fingerprint,
            builder=self._start.builder.facts,
            plugins=self._start.builder.plugin_digests,
        )

    def _say_built(self, entry: Entry, origin: Origin) -> None:
        manifest = entry.manifest
        agreement = self._store.proof_here(manifest.key) or manifest.agreement
        self._report.send(Built(key=manifest.key, origin=origin, build_s=manifest.build.seconds, agreement=agreement))

    def _check_network(self, bundle: ModelBundle) -> None:
        """Raises what is wrong with the network as soon as that is known."""
        network = self._network_of(bundle)
        if network.done():
            network.result()

    def _network_of(self, bundle: ModelBundle) -> Future[Prepared]:
        """The grafted network, being read in the background from the first call on."""
        if self._network is None:
            self._network = self._pool.submit(
                prepare, bundle, self._start.quantisation, self._start.threads, self._start.batch
            )
        return self._network


def main(channel: ControlChannel) -> int:
    line = channel.receive(timeout_s=None)
    if line is None:
        return 0
    start = BuildStart.model_validate_json(line)
    channel.beat(SILENCE_S)
    from edgeagent.camera.sources import quiet_opencv

    quiet_opencv()
    pool = ThreadPoolExecutor(1)
    try:
        Build(start, BuildReport(channel, start.backend), pool).run()
    except Cancelled:
        _leave_now()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    return 0


def _leave_now() -> None:
    """End without waiting for a thread that is deep inside a builder: nobody wants its result any more."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    run_child(main)
