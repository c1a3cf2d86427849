"""`edgeagent engine plan MODEL`: where each layer of a model would run on a board with a DLA, asked without one."""

from __future__ import annotations

import argparse
import json
import os
import socket
from pathlib import Path

from edgeagent.app.engine_forms import DLA_TAKES_SCALES_BEFORE
from edgeagent.app.plan_screen import PlanReport, plan_json, plan_text
from edgeagent.app.plan_target import PlanTarget, choose_target
from edgeagent.board.evidence import read_identity
from edgeagent.config.engine_tables import EngineSettings
from edgeagent.config.files import config_file, load_config
from edgeagent.config.schema import Config
from edgeagent.engine.dla.budget import judge_placement
from edgeagent.engine.dla.plan import Plan, placed_layers, plan_network
from edgeagent.errors import EngineError, OperatorError


def run_plan(options: argparse.Namespace) -> int:
    """Print the plan. Exit code 0, also where nothing can be on a DLA; what was asked wrongly raises OperatorError."""
    report = make_report(options)
    if options.json:
        print(json.dumps(plan_json(report), indent=1))  # noqa: T201
    else:
        print(plan_text(report, options.all))  # noqa: T201
    return 0


def make_report(options: argparse.Namespace) -> PlanReport:
    """Raises OperatorError (a wrong module, version or root), ModelError, ConfigError."""
    root = _checked_root(options.root)
    target = choose_target(options.module, options.tensorrt, options.precision, read_identity(root))
    config = _config(options)
    settings = config.engines
    from edgeagent.engine.dla.frames import for_frames  # onnx is heavy, and so is ONNX Runtime
    from edgeagent.engine.dla.layers import layers_of
    from edgeagent.engine.dla.read import read_subject, without_own_qdq

    subject = read_subject(options.model)
    if why := _why_without_qdq(target):
        subject = without_own_qdq(subject, why)
    network, batch = for_frames(subject, _max_batch(options, config), on_dla=target.target is not None)
    plan = plan_network(layers_of(network), target.target, target.why_none)
    return PlanReport(
        model=subject.name,
        grafted=subject.grafted,
        changed=subject.changed,
        target=target,
        plan=plan,
        batch=batch,
        max_gpu_layers=settings.dla_max_gpu_layers,
        max_gpu_macs=settings.dla_max_gpu_macs,
        refusal=_refusal(plan, target, settings),
    )


def _why_without_qdq(target: PlanTarget) -> str:
    """Why a build for this target takes a model's own Q/DQ nodes out, "" where it leaves them in."""
    if target.precision != "int8":
        return f"{target.precision.upper()} was asked for"
    if target.target is not None and target.target.tensorrt < DLA_TAKES_SCALES_BEFORE:
        return "this DLA takes INT8 by calibration, and gets their scales beside the network"
    return ""


def _refusal(plan: Plan, target: PlanTarget, settings: EngineSettings) -> EngineError | None:
    """The same judgement that a finished engine meets."""
    if target.target is None:
        return None
    try:
        judge_placement(
            placed_layers(plan), max_gpu_layers=settings.dla_max_gpu_layers, max_gpu_macs=settings.dla_max_gpu_macs
        )
    except EngineError as error:
        return error
    return None


def _config(options: argparse.Namespace) -> Config:
    """The budget and the batch are the config's, where there is one."""
    file = config_file(options.config)
    overrides = {} if options.max_batch is None else {"engines": {"max_batch": options.max_batch}}
    return load_config(file, overrides, socket.gethostname()).config


def _max_batch(options: argparse.Namespace, config: Config) -> int:
    """What the command line says, else the model's own word where the config has this model, else all models'."""
    own = next((model.max_batch for model in config.models.values() if model.path == options.model), None)
    return config.engines.max_batch if own is None or options.max_batch is not None else own


def _checked_root(root: Path) -> Path:
    if not root.is_dir() or not os.access(root, os.R_OK | os.X_OK):
        what = "cannot be looked into by this user" if root.is_dir() else "is no directory"
        raise OperatorError(f"{root} {what}", mend="give --root a board's directory", code="board-root")
    return root.absolute()
