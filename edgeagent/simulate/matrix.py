"""All virtual boards times all intents: planned, applied through the real helper, verified, restored, in one table.

Each pair gets a fresh board and a fresh helper process. Where a mode wants a reboot, the board is rebooted and the
intent applied once more, as the agent does after a boot. "restored" compares every file of sysfs and of /etc with what
it was before, but for the clocks' speeds of the moment; after a reboot, which renumbers devices, it compares every
value that the board's table of power modes names, the noted mode and the fan.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from edgeagent.board.evidence import read_identity
from edgeagent.clock import SystemClock
from edgeagent.errors import EdgeAgentError
from edgeagent.power.apply import Result
from edgeagent.power.board_power import BoardFacts, BoardPower, NoPowerModesError, RebootRule
from edgeagent.power.client import PowerHelper, private_helper
from edgeagent.power.memory import MEMORY_FILE
from edgeagent.power.plan import Plan
from edgeagent.power.profile import IntentError
from edgeagent.power.profile_files import load_profiles, shipped_profiles_dir
from edgeagent.power.state import PowerState
from edgeagent.simulate.board import VirtualBoard, make_board, reboot_board, virtual_boards

INTENTS = ("max-performance", "balanced", "low-power", "build")
NO_MODES = {"container", "pc"}
REFUSED = {("unknown-module", "max-performance"), ("unknown-module", "low-power")}
"""Where refusing is right: a container, a PC, and a table whose names do not tell which mode is the highest."""
MOMENTARY = {"cur_freq", "scaling_cur_freq", "rate", "clk_rate", "clk_update_rate"}
_RULE = RebootRule(allowed=True, per_day=10)
_LONG_UP_S = 86_400
_SHORT = {
    "set-mode": "mode",
    "lock-clocks": "lock",
    "release-clocks": "release",
    "cap": "cap",
    "uncap": "uncap",
    "fan": "fan",
}


@dataclass(frozen=True)
class Row:
    """One board and one intent. `ok`: everything that can be asked of this board came out right."""

    board: str
    intent: str
    plan: str
    before: str = ""
    planned: str = ""
    after: str = ""
    calls: int = 0
    reboots: int = 0
    applied: str = ""
    verified: str = ""
    restored: str = ""
    ok: bool = False


def run_matrix(names: Sequence[str], as_json: bool) -> tuple[int, str]:
    """Exit code and text; 1 when a pair came out wrong. `names` empty: all boards."""
    boards = list(names) or [name for name, _ in virtual_boards()]
    rows = [row for name in boards for row in board_rows(name)]
    code = 0 if all(row.ok for row in rows) else 1
    return code, json.dumps([asdict(row) for row in rows], indent=2) if as_json else render_rows(rows)


def board_rows(name: str) -> list[Row]:
    """The rows of one board: one for each intent, or a single one where there is nothing to set."""
    rows = []
    for intent in INTENTS:
        with tempfile.TemporaryDirectory(prefix="edgeagent-matrix-") as folder:
            board = make_board(name, Path(folder) / "board", seed=7)
            row = _run(board, intent)
        rows.append(row)
        if row.intent == "-":
            break
    return rows


def render_rows(rows: Sequence[Row]) -> str:
    """A table of plain text, one line a row."""
    titles = ("board", "intent", "mode", "planned", "calls", "reboots", "applied", "verified", "restored", "")
    cells = [titles, *(_cells(row) for row in rows if row.before)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(titles))]
    lines = ["  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in cells]
    lines += [
        f"{row.board}{'' if row.intent == '-' else f', {row.intent}'}: {row.plan}" for row in rows if not row.before
    ]
    wrong = sum(not row.ok for row in rows)
    pairs = sum(row.intent != "-" for row in rows)
    verdict = f"{wrong} of them wrong" if wrong else "every one as it should be"
    return "\n".join([*lines, "", f"{len({row.board for row in rows})} boards, {pairs} pairs: {verdict}"])


def _cells(row: Row) -> tuple[str, ...]:
    mode = row.before if row.before == row.after else f"{row.before} -> {row.after}"
    counts = str(row.calls), str(row.reboots)
    return (
        row.board,
        row.intent,
        mode,
        row.planned,
        *counts,
        row.applied,
        row.verified,
        row.restored,
        "" if row.ok else "WRONG",
    )


def _run(board: VirtualBoard, intent: str) -> Row:
    power = _power(board)
    try:
        before = power.look()
        return _through(board, intent, before, power.plan(intent))
    except NoPowerModesError as error:
        return Row(board.name, "-", error.message, ok=board.name in NO_MODES)
    except IntentError:
        names = [mode.name for mode in power.conf().modes]
        text = f"no mode of {', '.join(names)} satisfies it"
        return Row(board.name, intent, text, planned="refused", ok=(board.name, intent) in REFUSED)
    except EdgeAgentError as error:
        return Row(board.name, intent, error.line(), applied="error")


def _through(board: VirtualBoard, intent: str, before: PowerState, plan: Plan) -> Row:
    conf, untouched = _power(board).conf(), _files(board)
    calls, reboots, result = _applied(board, intent)
    after = _power(board).look()
    verdict = _power(board).check(_power(board).plan(intent).target)
    back_calls, back_reboots, back = _restored(board)
    same = _same(before, _power(board).look()) if reboots + back_reboots else untouched == _files(board)
    restored = back.word == "applied" and same
    names = [mode.name if mode else "?" for mode in (conf.mode_by_id(_id(before)), conf.mode_by_id(_id(after)))]
    verified = result.word == "applied" and verdict is not None and bool(verdict.checked) and not verdict.faults
    return Row(
        board.name,
        intent,
        plan.line(),
        before=names[0],
        planned=", ".join(_SHORT[step.verb] for step in plan.steps) or "nothing",
        after=names[1],
        calls=calls + back_calls,
        reboots=reboots + back_reboots,
        applied=result.word,
        verified=f"yes, {verdict.checked} values" if verdict and verified else f"no: {result.detail}",
        restored="yes" if restored else f"no: {back.detail}",
        ok=verified and restored,
    )


def _applied(board: VirtualBoard, intent: str) -> tuple[int, int, Result]:
    """(calls, reboots, the last result)"""
    return _with_reboots(board, lambda helper: _power(board).apply(intent, helper, _RULE)[1])


def _restored(board: VirtualBoard) -> tuple[int, int, Result]:
    def restore(helper: PowerHelper) -> Result:
        ended = _power(board).restore(helper, _RULE)
        return ended[1] if ended else Result("failed", "there was nothing to go back to")

    return _with_reboots(board, restore)


def _with_reboots(board: VirtualBoard, act: Callable[[PowerHelper], Result]) -> tuple[int, int, Result]:
    """Act, and once more after the reboot that it asked for. A helper does not outlive a boot."""
    calls = 0
    for reboots in (0, 1):  # noqa: B007  returned below
        with private_helper(board.root, state_dir=board.root / "run/edgeagent-power", log=subprocess.DEVNULL) as helper:
            result = act(helper)
        calls += len(result.done)
        if result.word != "rebooting":
            break
        _reboot(board)
    return calls, reboots, result


def _reboot(board: VirtualBoard) -> None:
    """A reboot, and then a day: the helper refuses a second reboot soon after the first."""
    reboot_board(board.root)
    (board.root / "proc/uptime").write_text(f"{_LONG_UP_S}.00 {_LONG_UP_S}.00\n")


def _power(board: VirtualBoard) -> BoardPower:
    """As after a start of the agent: nothing is remembered but what is on disk."""
    identity = read_identity(board.root)
    facts = BoardFacts(identity.kind, identity.family_id, identity.soc, identity.container)
    profiles = load_profiles(shipped_profiles_dir(), board.root / "etc/edgeagent/profiles")
    return BoardPower(board.root, facts, profiles, board.root / "var/lib/edgeagent" / MEMORY_FILE, SystemClock())


def _id(state: PowerState) -> int:
    return -1 if state.mode_id is None else state.mode_id


def _files(board: VirtualBoard) -> dict[str, bytes]:
    """Every file of sysfs and what the tools have noted, by path; without FIFOs and clocks as they are at a moment."""
    places = [board.root / "sys", board.root / "var/lib/nvpmodel", board.root / "etc"]
    paths = (path for place in places for path in place.rglob("*"))
    lasting = (path for path in paths if path.name not in MOMENTARY and path.is_file() and not path.is_symlink())
    return {str(path): path.read_bytes() for path in lasting}


def _same(before: PowerState, after: PowerState) -> bool:
    one = before.mode_id, dict(before.values), before.fan_profile
    return one == (after.mode_id, dict(after.values), after.fan_profile)
