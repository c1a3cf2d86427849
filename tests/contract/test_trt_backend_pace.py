"""The TensorRT backend at less than full pace: rests between its own steps, and keeps what it has measured."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest
from trt_kit import CALIBRATED, FP32, Listener, Networks, build, job_for, write_networks
from trt_stand_in import RELEASES
from trt_world import World

from edgeagent.engine.build.backend import BackendJob
from edgeagent.engine.build.report import Cancelled

WITH_MONITOR = [release for release in RELEASES if release != "8.6.0"]


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Networks:
    return write_networks(tmp_path_factory.mktemp("networks"))


class Overseer(Listener):
    """Watches a build that was told to stand still. Once it rests it is let go, or, `unwanted`, wanted no longer."""

    def __init__(self, job: BackendJob, *, unwanted: bool = False) -> None:
        super().__init__()
        self._rest = job.rest
        self._unwanted = unwanted
        self.seen_active = self.seen_resting = False

    def pause(self, seconds: float) -> None:
        self.seen_active = self.seen_active or self._rest.active
        if not self._rest.resting:
            return super().pause(seconds)
        self.seen_resting = True
        if self._unwanted:
            raise Cancelled
        return self._rest.set_duty(1.0)


@pytest.mark.parametrize("release", WITH_MONITOR)
def test_a_builder_with_a_monitor_stands_still_at_its_next_step_and_goes_on(
    release: str, networks: Networks, tmp_path: Path
) -> None:
    job = job_for(networks, FP32, tmp_path)
    job.rest.set_duty(0.0)
    overseer = Overseer(job)
    build(World(release), job, overseer)
    assert overseer.seen_active and overseer.seen_resting
    assert job.rest.rested_s > 0 and not job.rest.active
    assert (tmp_path / "plan").exists()


def test_8_6_has_no_steps_to_rest_between(networks: Networks, tmp_path: Path) -> None:
    job = job_for(networks, FP32, tmp_path)
    job.rest.set_duty(0.0)
    overseer = Overseer(job)
    build(World("8.6.0"), job, overseer)
    assert not overseer.seen_active and not overseer.seen_resting and job.rest.rested_s == 0


@pytest.mark.parametrize("release", WITH_MONITOR)
def test_an_unwanted_build_ends_from_its_rest_and_leaves_its_timings(
    release: str, networks: Networks, tmp_path: Path
) -> None:
    timings: list[bytes] = []
    job = replace(job_for(networks, FP32, tmp_path), keep_timings=timings.append)
    job.rest.set_duty(0.0)
    with pytest.raises(Cancelled):
        build(World(release), job, Overseer(job, unwanted=True))
    assert len(timings) == 1 and timings[0]
    assert not (tmp_path / "plan").exists()
    assert not [thread for thread in threading.enumerate() if thread.name == "tensorrt-build"]


def test_scales_are_kept_as_soon_as_they_are_measured(networks: Networks, tmp_path: Path) -> None:
    """Minutes of calibration are not lost with a build that is ended afterwards; the next one measures nothing."""
    scales: list[bytes] = []
    job = replace(job_for(networks, CALIBRATED, tmp_path), keep_scales=scales.append)
    job.rest.set_duty(0.0)
    with pytest.raises(Cancelled):
        build(World("10.3.0"), job, Overseer(job, unwanted=True))
    assert len(scales) == 1
    world = World("10.3.0")
    build(world, replace(job_for(networks, CALIBRATED, tmp_path), calibration_cache=scales[0]))
    assert all(not built.pictures for built in world.builds)
