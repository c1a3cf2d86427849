"""For which board and TensorRT a plan is made, and whether there is a DLA. Pure: names and an identity in.

What is asked for counts, then what this board says of itself, then AGX Orin with TensorRT 10.3.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from edgeagent.board.catalogue import MODULES, Module
from edgeagent.board.dla import DlaAnswer, Software, decide_dla
from edgeagent.board.identity import Identity
from edgeagent.board.versions import version_key
from edgeagent.engine.dla.verdict import Soc, Target
from edgeagent.engine.variant import Precision
from edgeagent.errors import OperatorError

DEFAULT_MODULE: Final = "agx-orin"
DEFAULT_TENSORRT: Final = "10.3"
LAST_TENSORRT: Final = {"t194": "8.5.2"}  # JetPack 5 is the last one for Xavier
SOCS: Final[dict[str, Soc]] = {"t194": "xavier", "t234": "orin"}
BACK: Final = ((11, 4, 1), "7.2.2")  # the first TensorRT with a DLA again, and the JetPack that it needs


@dataclass(frozen=True)
class PlanTarget:
    """`chosen` says in words what was not asked for and why it is so; `target` is None where no DLA is to be had."""

    module: Module
    tensorrt: str
    precision: Precision
    dla: DlaAnswer
    target: Target | None
    chosen: str

    @property
    def line(self) -> str:
        return f"{self.module.name}, TensorRT {self.tensorrt}, {self.precision.upper()}"

    @property
    def why_none(self) -> str:
        """Why nothing can be on a DLA; "" where something can."""
        return "" if self.target else self.dla.reason


def choose_target(module: str | None, tensorrt: str | None, precision: Precision, identity: Identity) -> PlanTarget:
    """Raises OperatorError `unknown_module` or `tensorrt_version`."""
    board = next((known for known in MODULES if known.name == identity.module), None)
    chosen = find_module_named(module) if module else board or find_module_named(DEFAULT_MODULE)
    of_board = chosen is board
    version, whence = _version(chosen, tensorrt, identity.tensorrt if of_board else "")
    on_board = of_board and not tensorrt
    software = Software(version, identity.jetpack, identity.l4t) if on_board else _supposed(version)
    answer = decide_dla(chosen, True, software)
    soc = SOCS.get(chosen.soc)
    there = answer.answer != "no" and soc is not None
    target = Target(soc, version_key(version), precision) if there and soc else None
    words = "" if module or board else _no_board(identity, chosen)
    no_agent = f"edgeagent does not run on JetPack 5, the last for {chosen.name}" if chosen.soc in LAST_TENSORRT else ""
    supposed = "; ".join(filter(None, (words, whence, no_agent)))
    return PlanTarget(chosen, version, precision, answer, target, supposed)


def find_module_named(name: str) -> Module:
    """By name (`Jetson Orin NX 16GB`, `orin-nx-16gb`), part number, kit, board or family; of a family the largest.

    Raises OperatorError `unknown_module` with the names there are.
    """
    wanted = slug(name)
    for module in MODULES:
        if wanted in {slug(word) for word in (module.name, *module.ids, *module.kits, *module.boards)}:
            return module
    family = [module for module in MODULES if slug(module.family) == wanted]
    if family:
        return max(family, key=lambda module: (module.dla_cores, max(module.memory_gb)))
    raise OperatorError(
        f"there is no module {name!r}",
        mend=f"known are {', '.join(slug(module.name) for module in MODULES)}, and their part numbers",
        code="unknown_module",
    )


def slug(name: str) -> str:
    """`orin-nx-16gb` of `Jetson Orin NX 16GB`."""
    return re.sub(r"[\s_-]+", "-", name.strip().lower()).removeprefix("jetson-")


def _version(module: Module, asked: str | None, installed: str) -> tuple[str, str]:
    """The version, and where it comes from when it was not asked for."""
    if asked is not None:
        if not re.fullmatch(r"[0-9]{1,4}(\.[0-9]{1,6}){1,3}", asked):
            raise OperatorError(
                f"{asked!r} is no TensorRT version", mend="write it like 10.3 or 8.6.2", code="tensorrt_version"
            )
        return asked, ""
    if installed:
        return installed, ""
    version = LAST_TENSORRT.get(module.soc, DEFAULT_TENSORRT)
    return version, f"TensorRT {version} is supposed"


def _supposed(version: str) -> Software:
    """Where the JetPack is not known it is taken for one that fits the TensorRT."""
    first, jetpack = BACK
    return Software(version, jetpack if version_key(version) >= first else "")


def _no_board(identity: Identity, chosen: Module) -> str:
    what = "this machine is no Jetson" if identity.kind == "not-a-jetson" else "this Jetson is in no record"
    return f"{what}: {chosen.name} is supposed"
