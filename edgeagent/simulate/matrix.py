"""All virtual boards times all intents: planned, applied through the real helper, verified, restored, in one table.

Each pair gets a fresh board and a fresh helper process. Where a mode wants a reboot, the board is rebooted and the
intent applied once more, as the agent does after a boot. "restored" compares every file of sysfs and of /etc with what
it was before, but for the clocks' speeds of the moment; after a reboot, which renumbers devices, it compares every
value that the board's table of power modes names, the noted mode and the fan. A pair may also be refused: that is right
for a few, and only when nothing of the board has changed.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
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
REFUSED = {
    *((name, intent) for name in NO_MODES for intent in INTENTS),
    ("unknown-module", "max-performance"),
    ("unknown-module", "low-power"),
}
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

_TITLES = (
    "board",
    "intent",
    "mode",
    "planned",
    "calls",
    "reboots",
    "applied",
    "verified",
    "restored",
    "right",
    "reason",
)


@dataclass(frozen=True)
class Row:
    """One board and one intent. `ok`: it came out as it should; `reason`: why it was refused, or is wrong."""

    board: str
    intent: str
    plan: str = ""
    before: str = ""
    planned: str = ""
    after: str = ""
    calls: int = 0
    reboots: int = 0
    applied: str = ""
    verified: str = ""
    restored: str = ""
    reason: str = ""
    ok: bool = False


def run_matrix(names: Sequence[str], as_json: bool) -> tuple[int, str]:
    """Exit code and text; 1 when a pair came out wrong. `names` empty: all boards."""
    boards = list(names) or [name for name, _ in virtual_boards()]
    rows = [row for name in boards for row in board_rows(name)]
    code = 0 if all(row.ok for row in rows) else 1
    return code, json.dumps([asdict(row) for row in rows], indent=2) if as_json else render_rows(rows)


def board_rows(name: str) -> list[Row]:
    """The rows of one board: one for each intent."""
    rows = []
    for intent in INTENTS:
        with tempfile.TemporaryDirectory(prefix="edgeagent-matrix-") as folder:
            board = make_board(name, Path(folder) / "board", seed=7)
            rows.append(judged(_run(board, intent)))
    return rows


def judged(row: Row) -> Row:
    """A row that came through, or was refused cleanly, is wrong all the same where the other would have been right."""
    should = (row.board, row.intent) in REFUSED
    if should == (row.planned == "refused"):
        return row
    why = f"should {'' if should else 'not '}have been refused"
    return replace(row, ok=False, reason="; ".join(part for part in (why, row.reason) if part))


def render_rows(rows: Sequence[Row]) -> str:
    """A table of plain text, one line a row, and what came of all of them."""
    cells = [_TITLES, *map(_cells, rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(_TITLES))]
    lines = ["  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in cells]
    return "\n".join([*lines, "", _summary(rows)])


def _summary(rows: Sequence[Row]) -> str:
    right = [row for row in rows if row.ok]
    refused = sum(row.planned == "refused" for row in right)
    wrong = len(rows) - len(right)
    parts = [
        f"{len(right) - refused} applied, verified and restored" if len(right) > refused else "",
        f"{refused} refused as they should be" if refused else "",
        f"{wrong} WRONG" if wrong else "none wrong",
    ]
    boards = len({row.board for row in rows})
    pairs = f"{boards} board{'' if boards == 1 else 's'}, {len(rows)} pairs"
    return f"{pairs}: {', '.join(part for part in parts if part)}"


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.board,
        row.intent,
        row.before if row.after in ("", row.before) else f"{row.before} -> {row.after}",
        row.planned,
        str(row.calls),
        str(row.reboots),
        row.applied,
        row.verified,
        row.restored,
        "yes" if row.ok else "WRONG",
        row.reason,
    )


def _run(board: VirtualBoard, intent: str) -> Row:
    untouched, power = _files(board), _power(board)
    try:
        before = power.look()
        return _through(board, intent, before, power.plan(intent))
    except NoPowerModesError as error:
        return _refused(board, intent, untouched, "-", error.message)
    except IntentError:
        names = [mode.name for mode in power.conf().modes]
        reason = f"no mode of {', '.join(names)} satisfies it"
        return _refused(board, intent, untouched, _mode_name(board, power.look()), reason)
    except EdgeAgentError as error:
        return Row(board.name, intent, before="?", planned="?", applied="error", reason=error.line())


def _refused(board: VirtualBoard, intent: str, untouched: dict[str, bytes], mode: str, reason: str) -> Row:
    """Nothing was asked of the board, and nothing of it has changed."""
    same = untouched == _files(board)
    return Row(
        board.name,
        intent,
        before=mode,
        planned="refused",
        after=mode,
        applied="no",
        verified="-",
        restored="untouched" if same else "no",
        reason=reason if same else f"{reason}, yet its files have changed",
        ok=same,
    )


def _through(board: VirtualBoard, intent: str, before: PowerState, plan: Plan) -> Row:
    untouched = _files(board)
    calls, reboots, result = _applied(board, intent)
    after = _power(board).look()
    verdict = _power(board).check(_power(board).plan(intent).target)
    back_calls, back_reboots, back = _restored(board)
    same = _same(before, _power(board).look()) if reboots + back_reboots else untouched == _files(board)
    restored = back.word == "applied" and same
    verified = result.word == "applied" and verdict is not None and bool(verdict.checked) and not verdict.faults
    return Row(
        board.name,
        intent,
        plan.line(),
        before=_mode_name(board, before),
        planned=", ".join(_SHORT[step.verb] for step in plan.steps) or "nothing",
        after=_mode_name(board, after),
        calls=calls + back_calls,
        reboots=reboots + back_reboots,
        applied=result.word,
        verified=f"yes, {verdict.checked} values" if verdict and verified else "no",
        restored="yes" if restored else "no",
        reason=_wrong(result if not verified else None, back if not restored else None),
        ok=verified and restored,
    )


def _wrong(result: Result | None, back: Result | None) -> str:
    """Why a pair did not come through, of the change and of the way back."""
    told = [
        f"not verified: {result.detail}" if result else "",
        f"not restored: {back.detail or 'its files differ'}" if back else "",
    ]
    return "; ".join(part for part in told if part)


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


def _mode_name(board: VirtualBoard, state: PowerState) -> str:
    mode = None if state.mode_id is None else _power(board).conf().mode_by_id(state.mode_id)
    return mode.name if mode else "?"


def _files(board: VirtualBoard) -> dict[str, bytes]:
    """Every file of sysfs and what the tools have noted, by path; without FIFOs and clocks as they are at a moment."""
    places = [board.root / "sys", board.root / "var/lib/nvpmodel", board.root / "etc"]
    paths = (path for place in places for path in place.rglob("*"))
    lasting = (path for path in paths if path.name not in MOMENTARY and path.is_file() and not path.is_symlink())
    return {str(path): path.read_bytes() for path in lasting}


def _same(before: PowerState, after: PowerState) -> bool:
    one = before.mode_id, dict(before.values), before.fan_profile
    return one == (after.mode_id, dict(after.values), after.fan_profile)
