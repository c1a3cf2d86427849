"""Which board, does what it says of itself fit together, can edgeagent run on it. Pure: facts in, checks out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import zip_longest

from edgeagent.app.doctor_files import L4T_RELEASE, NVPMODEL_CONF, mend_of
from edgeagent.app.doctor_report import Check, ok, problem, warning
from edgeagent.board.catalogue import find_module
from edgeagent.board.identity import Identity
from edgeagent.board.report_identity import unknown_board

_FIRST_L4T = 36
_PYTHONS = {32: "3.6", 34: "3.8", 35: "3.8"}


_MENDS = {
    "module": "the device tree is believed; the others are of another module: flash under the name of this board",
    "SoC": "a file of another board was copied here: put back this release's /etc/nv_boot_control.conf",
    "L4T": "an update stopped half way: sudo apt --fix-broken install, sudo apt full-upgrade, then reboot",
    "JetPack": "sudo apt install nvidia-jetpack of this release; the package there is of another one",
    "TensorRT": "remove one of the two: an engine that one builds does not load in the other",
    "model text": "third-party carriers have the developer kit's text; with NVIDIA's carrier, flash for this module",
    "release": "flash a release that was made for this module",
    "memory": "cat /proc/cmdline: mem= takes memory away; else the module is not what its ids say",
    "cores": "cat /proc/cmdline: maxcpus= and nr_cpus= take cores away; else the module is not what its ids say",
}
_ANY_MEND = "edgeagent board shows who says what; believe the board, mend the other"


def check_board(identity: Identity, unreadable: Mapping[str, str]) -> Iterator[Check]:
    """`unreadable`: files of the board that are there and cannot be read, with the reason."""
    yield _board(identity)
    yield from _jetpack(identity, unreadable.get(L4T_RELEASE, ""))
    yield from _contradictions(identity)
    for path, why in unreadable.items():
        if path not in (L4T_RELEASE, NVPMODEL_CONF):
            yield warning("board", f"{path} is {why}", mend_of(path, why))


def _contradictions(identity: Identity) -> Iterator[Check]:
    """One line for each kind: several witnesses often disagree for one reason."""
    told = list(zip_longest(identity.contradiction_kinds, identity.contradictions, fillvalue=""))
    for kind in dict.fromkeys(kind for kind, _ in told):
        text = "; ".join(text for other, text in told if other == kind)
        yield warning("board", text, _MENDS.get(kind, _ANY_MEND))


def _board(identity: Identity) -> Check:
    where = f" in a container ({identity.container})" if identity.container else ""
    where += {"virtual-board": ", a virtual board", "virtual-machine": ", a virtual machine"}.get(identity.virtual, "")
    match identity.kind:
        case "jetson":
            text = f"{identity.module} {identity.module_id}".rstrip() + where
            if not identity.contradictions:
                return ok("board", text, module=identity.module_id)
            mend = "edgeagent board shows who says what; the mends are below"
            return warning("board", f"{text}, but not all fits together", mend, module=identity.module_id)
        case "unknown-jetson":
            name = identity.model or identity.soc or "no name"
            text = f"{unknown_board(identity)}: {name}{where}"
            return warning(
                "board", text, "it works with what can be read; please report what edgeagent board --json says"
            )
        case _:
            machine = f" ({identity.machine})" if identity.same_machine else ""
            return ok("board", f"not a Jetson{machine}{where}")


def _jetpack(identity: Identity, unreadable: str) -> Iterator[Check]:
    """JetPack 4 and 5 are refused in plain words: no version of edgeagent will run there."""
    if identity.kind == "not-a-jetson":
        return
    if unreadable:
        yield warning("JetPack", f"{L4T_RELEASE} is {unreadable}", mend_of(L4T_RELEASE, unreadable))
    if not identity.l4t:
        if unreadable:
            return
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
