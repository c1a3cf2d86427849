"""`edgeagent engine ...`: what it understands. Each action's work is in a module of app/, imported when it runs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from edgeagent import cli_commands as commands

if TYPE_CHECKING:
    Every = argparse._SubParsersAction[argparse.ArgumentParser]

PRECISIONS = ["int8", "fp16", "fp32"]
PLACEMENTS = ["auto", "gpu", "dla", "dla0", "dla1"]


def add_engine(every: Every) -> None:
    engine = every.add_parser("engine", help="engines: plan, build, look at, prove, share")
    engine.set_defaults(engine_action=True)
    actions = engine.add_subparsers(required=True, metavar="ACTION")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true")
    common.add_argument(
        "--config", type=Path, metavar="FILE", help=f"default: {commands.DEVICE_CONFIG}, if it is there"
    )
    state = argparse.ArgumentParser(add_help=False)
    state.add_argument("--state", type=Path, metavar="DIR", help="state directory (default: the config's)")
    _add_plan(actions, common)
    _add_build(actions, common, state)
    _add_store(actions, common, state)
    _add_registry(actions, common, state)


def _add_plan(actions: Every, common: argparse.ArgumentParser) -> None:
    plan = actions.add_parser("plan", parents=[common], help="where each layer of a model would run, without a device")
    plan.add_argument("model", metavar="MODEL", help="a model's directory, an ONNX file, or sample:conveyor")
    plan.add_argument("--module", metavar="NAME", help="Jetson module (default: this device's, else agx-orin)")
    plan.add_argument("--tensorrt", metavar="VERSION", help="TensorRT release (default: this device's, else 10.3)")
    plan.add_argument("--precision", choices=PRECISIONS, default="int8")
    plan.add_argument("--max-batch", type=int, metavar="N", help="frames at once, at most (default: the config's)")
    plan.add_argument("--root", type=Path, default=Path("/"), metavar="DIR", help="where the board's files lie")
    plan.add_argument("--all", action="store_true", help="every layer, also those that run where they are wanted")
    plan.set_defaults(command=_plan)


def _add_build(actions: Every, common: argparse.ArgumentParser, state: argparse.ArgumentParser) -> None:
    build = actions.add_parser("build", parents=[common, state], help="get a model's engine: store, registry, build")
    build.add_argument("model", metavar="MODEL", help="a model's directory, registry:DIGEST, or sample:conveyor")
    build.add_argument("--images", type=Path, metavar="DIR", help="pictures to calibrate with and to compare on")
    build.add_argument("--source", metavar="SPEC", help="camera to collect frames from, where no --images are given")
    build.add_argument("--precision", choices=PRECISIONS, help="default: the config's")
    build.add_argument("--placement", choices=PLACEMENTS, help="default: the config's")
    build.add_argument("--backend", choices=["auto", "tensorrt", "onnxruntime"], help="default: the config's")
    build.add_argument("--max-batch", type=int, metavar="N", help="frames at once, at most (default: the config's)")
    build.add_argument("--root", type=Path, metavar="DIR", help="where the board's files lie")
    build.set_defaults(command=_build)


def _add_store(actions: Every, common: argparse.ArgumentParser, state: argparse.ArgumentParser) -> None:
    listing = actions.add_parser("list", parents=[common, state], help="the engines in the store")
    listing.set_defaults(command=_store("list"))
    show = actions.add_parser("show", parents=[common, state], help="all that is known of an engine")
    show.add_argument("key", metavar="KEY", help="an engine key, or the beginning of one")
    show.set_defaults(command=_store("show"))
    explain = actions.add_parser("explain", parents=[common, state], help="why two engines are not the same")
    explain.add_argument("first", metavar="A", help="an engine key, the beginning of one, or a manifest.json")
    explain.add_argument("second", metavar="B", help="the same")
    explain.set_defaults(command=_store("explain"))
    verify = actions.add_parser("verify", parents=[common, state], help="are the engines what their manifests say")
    verify.add_argument("keys", metavar="KEY", nargs="*", help="default: all of them")
    verify.set_defaults(command=_store("verify"))
    prune = actions.add_parser("prune", parents=[common, state], help="remove what nothing uses, least used first")
    prune.add_argument("--max-mb", type=int, metavar="N", help="space to keep within (default: engines.store_max_mb)")
    prune.add_argument("--dry-run", action="store_true", help="say what would go, and remove nothing")
    prune.set_defaults(command=_store("prune"))
    for action, text in (("pin", "never prune an engine"), ("unpin", "let an engine be pruned again")):
        pin = actions.add_parser(action, parents=[common, state], help=text)
        pin.add_argument("key", metavar="KEY", help="an engine key, or the beginning of one")
        pin.set_defaults(command=_store(action))
    release = actions.add_parser("release", parents=[common, state], help="give a quarantined engine another chance")
    release.add_argument("key", metavar="KEY", help="an engine key, or the beginning of one")
    release.set_defaults(command=_store("release"))


def _add_registry(actions: Every, common: argparse.ArgumentParser, state: argparse.ArgumentParser) -> None:
    link = argparse.ArgumentParser(add_help=False)
    link.add_argument("--registry", metavar="URL", help="default: the first of the config's registry.urls")
    push = actions.add_parser(
        "push", parents=[common, state, link], help="sign engines or models, put them in a registry"
    )
    push.add_argument("keys", metavar="KEY", nargs="*", help="engine keys, or the beginning of each")
    push.add_argument("--model", metavar="MODEL", action="append", default=[], help="a model bundle (repeatable)")
    push.add_argument(
        "--signing-key", type=Path, metavar="FILE", help="default: the config's registry.signing_key_file"
    )
    push.add_argument("--valid-days", type=int, metavar="N", help="default: the config's registry.valid_days")
    push.set_defaults(command=_registry("push"))
    pull = actions.add_parser("pull", parents=[common, state, link], help="fetch engines or models from a registry")
    pull.add_argument("keys", metavar="KEY", nargs="*", help="whole engine keys")
    pull.add_argument("--model", metavar="DIGEST", action="append", default=[], help="a model's digest (repeatable)")
    pull.add_argument("--trust", metavar="PUBLIC_KEY", action="append", default=[], help="beside the config's")
    pull.set_defaults(command=_registry("pull"))
    keygen = actions.add_parser("keygen", parents=[common], help="make a key pair to sign engines with")
    keygen.add_argument("file", type=Path, metavar="FILE", help="the private key goes there, the public one is printed")
    keygen.set_defaults(command=_registry("keygen"))


def _plan(options: argparse.Namespace) -> int:
    from edgeagent.app.engine_plan import run_plan

    return run_plan(options)


def _build(options: argparse.Namespace) -> int:
    from edgeagent.app.engine_build import run_build

    return run_build(options)


class _Later:
    """A command whose module is imported when it runs."""

    def __init__(self, room: str, action: str) -> None:
        self._room, self._action = room, action

    def __call__(self, options: argparse.Namespace) -> int:
        if self._room == "store":
            from edgeagent.app.engine_store import run_store as run
        else:
            from edgeagent.app.engine_registry import run_registry as run
        return run(self._action, options)


def _store(action: str) -> _Later:
    return _Later("store", action)


def _registry(action: str) -> _Later:
    return _Later("registry", action)
