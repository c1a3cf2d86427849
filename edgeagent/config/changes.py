"""What has to happen when one config takes another's place: the table of keys and consequences. Pure.

A pattern names a key: `*` stands for one level (an id), a last `**` for everything at and below its place. Invariant,
checked by a test: every key of the schema has exactly one row. A key without a row would set everything up anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from edgeagent.config.layers import Path, leaves
from edgeagent.config.schema import Config

Consequence = Literal["at-once", "pipeline", "shedding", "engine", "camera", "infer", "power", "link", "agent"]
CONSEQUENCES: tuple[Consequence, ...] = get_args(Consequence)

MEANING: dict[Consequence, str] = {
    "at-once": "Holds from the next moment it is looked at. Nothing restarts.",
    "pipeline": "The pipeline is loaded anew beside the running one and takes its place between two frames. No process "
    "restarts.",
    "shedding": "As pipeline, and every pipeline that had given something up for the heat gets it back first.",
    "engine": "The engines that it concerns are looked for anew: store, registry, build. The one that serves goes on "
    "until then. No process restarts, but a pipeline may move to another accelerator's; a build under way is begun "
    "again.",
    "camera": "The capture process of this camera is started anew; its pipelines go on with the next frame.",
    "infer": "The inference processes are started anew: every pipeline has a gap of a second or two. Cameras go on.",
    "power": "The board's power is planned and applied anew. No process restarts.",
    "link": "The connection to the broker is closed and made anew, and everything retained is said again.",
    "agent": "Everything in the agent is set up anew, all its children with it. The agent's own process stays.",
}

TABLE: dict[Consequence, tuple[str, ...]] = {
    "at-once": (
        "remote.**",
        "metrics.**",
        "outbox.**",
        "cameras.*.min_fps",
        "cameras.*.recycle_after_h",
        "cameras.*.recycle_above_mb",
        "power.sample_interval_s",
        "power.warn_total_w",
        "power.warn_oc3_per_s",
        "power.jtop",
        "thermal.warn_headroom_c",
        "thermal.govern",
        "thermal.set_point_below_c",
        "thermal.memory_floor_mb",
    ),
    "pipeline": (
        "pipelines.*.min_score",
        "pipelines.*.class_min_score.**",
        "pipelines.*.iou",
        "pipelines.*.max_detections",
        "pipelines.*.classes",
        "pipelines.*.max_results_per_s",
        "pipelines.*.results",
        "pipelines.*.change_moved",
        "pipelines.*.heartbeat_s",
        "pipelines.*.tracking",
        "pipelines.*.track_low_score",
        "pipelines.*.track_lost_s",
        "pipelines.*.regions",
        "pipelines.*.region_point",
        "pipelines.*.region_names",
        "pipelines.*.snapshots",
        "pipelines.*.snapshot_interval_s",
    ),
    "shedding": (
        "pipelines.*.priority",
        "pipelines.*.critical",
        "pipelines.*.shed",
        "thermal.restore_after_s",
    ),
    "engine": (
        "pipelines.*.model",
        "pipelines.*.placement",
        "models.*.path",
        "models.*.max_batch",
        "registry.**",
        "thermal.pace",
        "engines.precision",
        "engines.precision_fallback",
        "engines.placement",
        "engines.dla_fallback",
        "engines.dla_max_gpu_layers",
        "engines.dla_max_gpu_macs",
        "engines.quantisation",
        "engines.calibration_ranges",
        "engines.calibration_images",
        "engines.optimization_level",
        "engines.workspace_mb",
        "engines.timing_cache",
        "engines.plugins",
        "engines.store_max_mb",
        "engines.min_disk_free_mb",
        "engines.calibration_frames",
        "engines.holdout_frames",
        "engines.calibration_interval_s",
        "engines.calibration_looks",
        "engines.min_agreement",
        "engines.max_batch",
        "engines.build_threads",
        "engines.build_timeout_s",
        "engines.max_attempts",
    ),
    "camera": ("cameras.*.source.**", "cameras.*.frozen_after_s"),
    "infer": (
        "cameras.*.enabled",
        "pipelines.*.enabled",
        "pipelines.*.camera",
        "engines.backend",
        "engines.infer_threads",
        "engines.max_delay_ms",
        "engines.canary_interval_s",
    ),
    "power": (
        "power.intent",
        "power.allow_reboot",
        "power.max_reboots_per_day",
        "power.max_repairs_per_hour",
        "power.restore_on_stop",
        "power.profiles_dir",
    ),
    "link": ("mqtt.**", "device.groups", "home_assistant.**"),
    "agent": (
        "device.id",
        "device.fleet",
        "device.state_dir",
        "device.run_dir",
        "device.board_root",
        "power.helper_socket",
    ),
}


@dataclass(frozen=True)
class Changes:
    """The keys that differ, each with its consequence."""

    keys: Mapping[Path, Consequence]

    def __bool__(self) -> bool:
        return bool(self.keys)

    def has(self, *wanted: Consequence) -> bool:
        return any(consequence in wanted for consequence in self.keys.values())

    @property
    def tables(self) -> set[str]:
        """The tables in which a key differs."""
        return {path[0] for path in self.keys}

    def touches(self, table: str, *wanted: Consequence) -> bool:
        """Whether a key of that table has one of these consequences."""
        return any(path[0] == table and consequence in wanted for path, consequence in self.keys.items())

    def ids(self, table: str, *wanted: Consequence) -> frozenset[str]:
        """The ids of a table by id under which a key has one of these consequences."""
        return frozenset(
            path[1] for path, consequence in self.keys.items() if path[0] == table and consequence in wanted
        )


def changes_between(old: Config, new: Config) -> Changes:
    """What differs; a camera, model or pipeline that came or went differs in all of its keys."""
    before, after = _flat(old), _flat(new)
    paths = [path for path in {**before, **after} if before.get(path, _Absent) != after.get(path, _Absent)]
    return Changes({path: consequence_of(path) for path in paths})


def consequence_of(path: Path) -> Consequence:
    """The table's word for a key; for one that it does not have, to be safe, everything is set up anew."""
    found = rows_for(path)
    return found[0] if found else "agent"


def rows_for(path: Path) -> list[Consequence]:
    """The consequence of every row that fits the key."""
    return [
        consequence
        for consequence, patterns in TABLE.items()
        for pattern in patterns
        if fits(tuple(pattern.split(".")), path)
    ]


def fits(pattern: Path, path: Path) -> bool:
    """Whether the pattern names the key."""
    if pattern[-1] == "**":
        return len(path) >= len(pattern) - 1 and fits_exactly(pattern[:-1], path[: len(pattern) - 1])
    return fits_exactly(pattern, path)


def fits_exactly(pattern: Path, path: Path) -> bool:
    return len(pattern) == len(path) and all(
        wanted in ("*", level) for wanted, level in zip(pattern, path, strict=True)
    )


class _Absent:
    """Stands for a key that is not there; equal to nothing else."""


def _flat(config: Config) -> dict[Path, Any]:
    """Every key. A table by id that is empty has none: its first entry is no change of the table itself."""
    return {path: value for path, value in leaves(config.model_dump(mode="json")) if len(path) > 1}
