"""Which board, can edgeagent run on it, are its power modes known. Pure: facts in, checks out."""

from __future__ import annotations

from collections.abc import Iterator

from edgeagent.app.doctor_report import Check, ok, problem, warning
from edgeagent.board.catalogue import find_module
from edgeagent.board.identity import Identity
from edgeagent.power.nvpmodel_conf import ConfMistakesError, parse_nvpmodel_conf

_FIRST_L4T = 36
_PYTHONS = {32: "3.6", 34: "3.8", 35: "3.8"}


def check_board(identity: Identity, nvpmodel_conf: bytes) -> Iterator[Check]:
    yield _board(identity)
    yield from _jetpack(identity)
    for contradiction in identity.contradictions:
        yield warning("board", contradiction, "edgeagent board shows every witness; believe the board, mend the other")
    yield from _power_modes(identity, nvpmodel_conf)


def _board(identity: Identity) -> Check:
    where = f" in a container ({identity.container})" if identity.container else ""
    where += {"virtual-board": ", a virtual board", "virtual-machine": ", a virtual machine"}.get(identity.virtual, "")
    match identity.kind:
        case "jetson":
            return ok("board", f"{identity.module} {identity.module_id}".rstrip() + where, module=identity.module_id)
        case "unknown-jetson":
            text = f"a Jetson that this release does not know: {identity.model or identity.soc or 'no name'}{where}"
            return warning(
                "board", text, "it works with what can be read; please report what edgeagent board --json says"
            )
        case _:
            return ok("board", f"not a Jetson ({identity.machine}){where}")


def _jetpack(identity: Identity) -> Iterator[Check]:
    """JetPack 4 and 5 are refused in plain words: no version of edgeagent will run there."""
    if identity.kind == "not-a-jetson":
        return
    if not identity.l4t:
        mend = (
            "mount /etc/nv_tegra_release into the container" if identity.container else "is this Jetson Linux at all?"
        )
        yield warning("JetPack", "no L4T release is to be found", mend)
        return
    major = int(identity.l4t.split(".", maxsplit=1)[0])
    if major < _FIRST_L4T:
        yield _too_old(identity, major)
    else:
        yield ok("JetPack", f"{identity.jetpack or 'unknown'} (L4T {identity.l4t})", l4t=identity.l4t)


def _too_old(identity: Identity, major: int) -> Check:
    python = _PYTHONS.get(major, "older")
    text = (
        f"JetPack {identity.jetpack or '?'} (L4T {identity.l4t}) is not supported: its TensorRT is for Python {python}"
    )
    module = find_module(identity.module_id)
    last = module is not None and max(module.l4t_majors) < _FIRST_L4T
    mend = (
        f"there is no newer JetPack for {identity.module}: it takes a newer module" if last else "flash JetPack 6 or 7"
    )
    return problem("JetPack", text, mend, l4t=identity.l4t)


def _power_modes(identity: Identity, raw: bytes) -> Iterator[Check]:
    if identity.kind == "not-a-jetson":
        return
    if not raw:
        if identity.container:
            yield ok("power modes", "no /etc/nvpmodel.conf, as in most containers: power is set on the host")
        else:
            mend = "link the module's file from /etc/nvpmodel to /etc/nvpmodel.conf"
            yield warning("power modes", "no /etc/nvpmodel.conf: the power mode cannot be set", mend)
        return
    try:
        conf = parse_nvpmodel_conf(raw.decode("utf-8", "replace"))
    except ConfMistakesError as error:
        mend = "put the release's own file back: sudo apt install --reinstall nvidia-l4t-nvpmodel"
        yield problem("power modes", f"/etc/nvpmodel.conf: {error.message}", mend)
        return
    names = ", ".join(mode.name for mode in conf.modes)
    yield ok("power modes", f"{names}; default {conf.default.name if conf.default else conf.default_id}")
