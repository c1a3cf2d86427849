"""Are the power modes known, does one wait for a reboot. Pure: bytes in, checks out."""

from __future__ import annotations

import json
from collections.abc import Iterator

from edgeagent.app.doctor_facts import PowerFiles
from edgeagent.app.doctor_files import NVPMODEL_CONF, mend_of
from edgeagent.app.doctor_report import Check, ok, problem, warning
from edgeagent.board.identity import Identity
from edgeagent.power.nvpmodel_conf import ConfMistakesError, parse_nvpmodel_conf
from edgeagent.power.report import DAMAGED, reboot_mend

_MEMORY = "power memory"


def check_power(identity: Identity, files: PowerFiles, unreadable: str, *, has_apt: bool) -> Iterator[Check]:
    """`unreadable`: why nvpmodel.conf cannot be read though it is there, else "". Nothing to say of a PC."""
    if identity.kind == "not-a-jetson":
        return
    if identity.container:
        yield ok("power modes", "set on the host: nvpmodel ignores requests in a container")
        return
    yield _modes(files.conf, unreadable, has_apt)
    yield from _waiting(files)


def _modes(raw: bytes, unreadable: str, has_apt: bool) -> Check:
    if unreadable:
        text = f"{NVPMODEL_CONF} is {unreadable}: the power mode cannot be set"
        return warning("power modes", text, mend_of(NVPMODEL_CONF, unreadable))
    if not raw:
        text = f"no {NVPMODEL_CONF}: the power mode cannot be set"
        return warning("power modes", text, "install the package nvidia-l4t-nvpmodel")
    try:
        conf = parse_nvpmodel_conf(raw.decode("utf-8", "replace"))
    except ConfMistakesError as error:
        how = ": sudo apt install --reinstall nvidia-l4t-nvpmodel" if has_apt else ""
        return problem("power modes", f"{NVPMODEL_CONF}: {error.message}", f"put the release's own file back{how}")
    names = ", ".join(mode.name for mode in conf.modes)
    return ok("power modes", f"{names}; default {conf.default.name if conf.default else conf.default_id}")


def _waiting(files: PowerFiles) -> Iterator[Check]:
    """What edgeagent's own memory of a reboot says; nothing where it never asked for one."""
    if files.memory_unreadable:
        yield warning(_MEMORY, f"{files.memory_path} is {files.memory_unreadable}", "run this as the service's user")
    if not files.memory:
        return
    memory = _object(files.memory)
    if memory is None:
        mend = f"the next change puts it aside; {DAMAGED}"
        yield warning(_MEMORY, f"{files.memory_path} is damaged", mend)
        return
    if isinstance(pending := memory.get("pending"), dict):
        yield _pending(pending, files.boot_id)
    if isinstance(required := memory.get("required"), dict) and (check := _required(required, files)):
        yield check
    if gave_up := memory.get("gave_up"):
        text = f"a reboot did not bring the power mode {gave_up}: edgeagent gave it up"
        yield warning(
            _MEMORY, text, "sudo nvpmodel -q and sudo journalctl -b -u nvpmodel; then edgeagent power apply INTENT"
        )


def _pending(pending: dict[str, object], boot_id: str) -> Check:
    name = pending.get("mode_name", "?")
    if boot_id and pending.get("boot_id") != boot_id:
        text = f"the board was rebooted for the power mode {name}, and nobody has looked since"
        wish = pending.get("wish", "INTENT")
        return warning(_MEMORY, text, f"start the agent, which does the rest, or: edgeagent power apply {wish}")
    return warning(_MEMORY, f"a power mode waits for a reboot: {name}", "sudo reboot")


def _required(required: dict[str, object], files: PowerFiles) -> Check | None:
    """A mode that wanted a reboot when none was allowed; None where it was noted, and a boot has come since."""
    noted = files.noted_mode is not None and files.noted_mode == required.get("mode_id")
    if noted and files.boot_id and required.get("boot_id") != files.boot_id:
        return None
    text = f"reboot required for the power mode {required.get('mode_name', '?')}: none was made"
    return warning(_MEMORY, text, reboot_mend(str(required.get("wish", "INTENT")), noted=noted))


def _object(raw: bytes) -> dict[str, object] | None:
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
