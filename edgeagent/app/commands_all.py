"""Every command that there is. docs/commands.md describes them; a test compares."""

from __future__ import annotations

from edgeagent.app.command_kind import CommandKind
from edgeagent.app.commands_back import REBOOT, ROLLBACK
from edgeagent.app.commands_engine import BUILD, CALIBRATE, PRUNE
from edgeagent.app.commands_parts import POWER, RESTART, SNAPSHOT
from edgeagent.app.commands_programs import BENCH, DOCTOR
from edgeagent.app.commands_words import CANCEL, CONFIG, LOG_LEVEL, LOGS

EVERY = (
    BENCH, BUILD, CALIBRATE, CANCEL, CONFIG, DOCTOR, LOG_LEVEL, LOGS, POWER, PRUNE, REBOOT, RESTART, ROLLBACK, SNAPSHOT,
)  # fmt: skip
KINDS: dict[str, CommandKind] = {kind.name: kind for kind in EVERY}
