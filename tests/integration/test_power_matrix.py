"""Every virtual board with every intent, through the real helper; and what tools that misbehave come to."""

from __future__ import annotations

import json
import subprocess
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from agent_kit import Family, command_line

from edgeagent.board.evidence import read_identity
from edgeagent.clock import ManualClock
from edgeagent.power.board_power import BoardFacts, BoardPower, NoPowerModesError, RebootRule
from edgeagent.power.client import private_helper
from edgeagent.power.clocks import clocks_locked
from edgeagent.power.memory import load_memory
from edgeagent.power.profile_files import load_profiles, shipped_profiles_dir
from edgeagent.simulate.board import make_board, reboot_board, virtual_boards
from edgeagent.simulate.listing import write_misbehaviour
from edgeagent.simulate.matrix import INTENTS, MOMENTARY, REFUSED, board_rows
from edgeagent.simulate.tools.misbehaviour import MISBEHAVIOURS

TOOL_TIMEOUT_S = 6.0  # above what a slow tool takes
FREE = RebootRule(allowed=True, per_day=2)
NO_REBOOT = RebootRule()


class Bench:
    """A virtual board and its power, as an agent that starts anew at every call sees it."""

    def __init__(self, root: Path, name: str = "orin-nano") -> None:
        self.board = make_board(name, root, seed=5)
        self.clock = ManualClock(wall_ms=1_790_000_000_000)
        self.up_for_long()

    def up_for_long(self) -> None:
        (self.board.root / "proc/uptime").write_text("4000.00 4000.00\n")

    @property
    def memory_path(self) -> Path:
        return self.board.root / "var/lib/edgeagent/power.json"

    def power(self) -> BoardPower:
        identity = read_identity(self.board.root)
        facts = BoardFacts(identity.kind, identity.family_id, identity.soc, identity.container)
        profiles = load_profiles(shipped_profiles_dir(), self.board.root / "etc/edgeagent/profiles")
        return BoardPower(self.board.root, facts, profiles, self.memory_path, self.clock)

    def apply(self, intent: str, rule: RebootRule = NO_REBOOT, timeout_s: float = TOOL_TIMEOUT_S):
        state_dir = self.board.root / "run/edgeagent-power"
        with private_helper(
            self.board.root, state_dir=state_dir, tool_timeout_s=timeout_s, log=subprocess.DEVNULL
        ) as helper:
            return self.power().apply(intent, helper, rule)[1]

    def restore(self, rule: RebootRule = NO_REBOOT, *, insist: bool = False):
        state_dir = self.board.root / "run/edgeagent-power"
        with private_helper(self.board.root, state_dir=state_dir, log=subprocess.DEVNULL) as helper:
            return self.power().restore(helper, rule, insist=insist)

    def files(self) -> dict[str, bytes]:
        """What lasts in sysfs, by path."""
        paths = (path for path in (self.board.root / "sys").rglob("*") if path.name not in MOMENTARY)
        return {str(path): path.read_bytes() for path in paths if path.is_file() and not path.is_symlink()}

    def mode(self) -> str:
        conf, state = self.power().conf(), self.power().look()
        return conf.mode_by_id(state.mode_id).name

    def reboot(self) -> None:
        reboot_board(self.board.root)
        self.up_for_long()

    def misbehave(self, *wishes: str) -> None:
        write_misbehaviour(self.board.root, wishes)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "board")


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, _ in virtual_boards()])
def test_every_intent_is_planned_applied_verified_and_restored(name: str):
    rows = board_rows(name)
    assert [row for row in rows if not row.ok] == []
    assert [row.intent for row in rows] == list(INTENTS)
    assert {row.intent for row in rows if row.planned == "refused"} == {i for board, i in REFUSED if board == name}


def test_the_same_mode_is_never_set_twice(bench: Bench):
    assert [step.verb for step, _ in bench.apply("max-performance").done] == ["set-mode", "lock-clocks", "fan"]
    assert bench.apply("max-performance").done == ()


def test_a_mode_that_wants_a_reboot_waits_for_the_operator(bench: Bench):
    result = bench.apply("low-power")
    assert result.word == "reboot_required"
    assert "power.allow_reboot" in result.detail
    assert bench.mode() == "25W"
    assert not (bench.board.root / "run/virtual-reboot").exists()


def test_a_plan_resumes_after_the_reboot_that_it_asked_for(bench: Bench):
    assert bench.apply("low-power", FREE).word == "rebooting"
    memory, _ = load_memory(bench.memory_path)
    assert memory.pending is not None
    assert memory.pending.mode_name == "7W"
    bench.reboot()
    assert bench.apply("low-power", FREE).word == "applied"
    memory, _ = load_memory(bench.memory_path)
    assert memory.pending is None
    assert len(memory.reboots_ms) == 1
    assert memory.found is not None
    assert memory.found.mode_name == "25W"  # of before the first change, not of after the reboot


def test_a_reboot_that_was_asked_for_twice_in_one_boot_counts_once(bench: Bench):
    for _ in range(3):  # the agent was restarted while the reboot was under way
        assert bench.apply("low-power", FREE).word == "rebooting"
    assert len(load_memory(bench.memory_path)[0].reboots_ms) == 1


def test_a_reboot_that_does_not_bring_the_mode_is_not_tried_again(bench: Bench):
    assert bench.apply("low-power", FREE).word == "rebooting"
    (bench.board.root / "var/lib/nvpmodel/status").write_text("pmode:0001")  # as if the boot had chosen another
    bench.reboot()
    result = bench.apply("low-power", FREE)
    assert result.word == "reboot_required"
    assert "did not bring it" in result.detail
    bench.power().forget_failure()
    assert bench.apply("low-power", FREE).word == "rebooting"


def test_the_days_reboots_run_out(bench: Bench):
    rule = replace(FREE, per_day=1)
    assert bench.apply("low-power", rule).word == "rebooting"
    bench.reboot()
    assert bench.apply("low-power", rule).word == "applied"
    result = bench.apply("max-performance", rule)  # back to other masks
    assert result.word == "reboot_required"
    assert "used up" in result.detail
    bench.clock.advance(24 * 3600)
    assert bench.apply("max-performance", rule).word == "rebooting"


def test_a_board_that_has_just_booted_is_not_rebooted(bench: Bench):
    (bench.board.root / "proc/uptime").write_text("30.00 30.00\n")
    result = bench.apply("low-power", FREE)
    assert result.word == "reboot_required"
    assert "up for 30 s" in result.detail
    assert not (bench.board.root / "run/virtual-reboot").exists()
    assert load_memory(bench.memory_path)[0].reboots_ms == ()  # what was refused does not count
    bench.up_for_long()
    assert bench.apply("low-power", FREE).word == "rebooting"


def test_restore_without_a_change_changes_nothing(bench: Bench):
    assert bench.restore() is None


def test_restore_forgets_only_what_it_has_brought_back(bench: Bench):
    bench.apply("low-power", FREE)
    bench.reboot()
    _, result = bench.restore()
    assert result.word == "reboot_required"
    assert load_memory(bench.memory_path)[0].found is not None
    _, result = bench.restore(FREE)
    assert result.word == "rebooting"
    bench.reboot()
    _, result = bench.restore()
    assert result.word == "applied"
    assert load_memory(bench.memory_path)[0].found is None


def test_a_restore_does_not_undo_a_reboot_that_is_under_way(bench: Bench):
    """The board goes down for the mode that was asked for, and the agent is stopped with everything else."""
    assert bench.apply("low-power", FREE).word == "rebooting"
    assert bench.restore() is None
    bench.reboot()
    assert bench.apply("low-power", FREE).word == "applied"
    assert bench.mode() == "7W"


def test_a_person_may_call_a_reboot_off(bench: Bench):
    assert bench.apply("low-power", FREE).word == "rebooting"
    _, result = bench.restore(insist=True)
    assert result.word == "applied"
    assert bench.mode() == "25W"
    assert load_memory(bench.memory_path)[0].pending is None


def test_a_lock_leaves_nothing_behind_when_the_mode_changes(bench: Bench):
    """The memory's clock and the idle states too, which no mode change frees."""
    before = bench.files()
    bench.apply("max-performance")
    assert bench.files() != before
    bench.restore()
    assert bench.files() == before


def test_a_lock_leaves_nothing_behind_after_a_mode_change_by_hand(bench: Bench):
    before = bench.files()
    bench.apply("max-performance")
    subprocess.run([bench.board.bin_dir / "nvpmodel", "-m", "0"], stdin=subprocess.DEVNULL, check=True)
    target = bench.power().plan("max-performance").target
    state_dir = bench.board.root / "run/edgeagent-power"
    with private_helper(bench.board.root, state_dir=state_dir, log=subprocess.DEVNULL) as helper:
        assert bench.power().again(target, "max-performance", helper)[1].word == "applied"
    bench.restore()
    assert bench.files() == before


def test_restore_brings_back_what_needs_no_reboot(tmp_path: Path):
    bench = Bench(tmp_path / "board", "orin-nx16-r36")
    fan = bench.power().look().fan_profile
    bench.apply("max-performance", FREE)
    bench.reboot()
    assert bench.apply("max-performance", FREE).word == "applied"
    _, result = bench.restore()
    assert result.word == "reboot_required"
    conf, state = bench.power().conf(), bench.power().look()
    assert clocks_locked(conf, state) is False
    assert state.fan_profile == fan


def test_a_repair_after_a_restore_by_hand_notes_the_way_back_anew(bench: Bench):
    bench.apply("max-performance")
    target = bench.power().plan("max-performance").target
    bench.restore()
    state_dir = bench.board.root / "run/edgeagent-power"
    with private_helper(bench.board.root, state_dir=state_dir, log=subprocess.DEVNULL) as helper:
        bench.power().again(target, "max-performance", helper)
    assert bench.mode() == "MAXN_SUPER"
    assert bench.restore()[1].word == "applied"
    assert bench.mode() == "25W"


def test_without_a_boot_id_no_reboot_is_made(bench: Bench):
    (bench.board.root / "proc/sys/kernel/random/boot_id").unlink()
    result = bench.apply("low-power", FREE)
    assert result.word == "reboot_required"
    assert "cannot be told" in result.detail
    assert not (bench.board.root / "run/virtual-reboot").exists()


def test_a_stop_never_ends_in_a_reboot(bench: Bench):
    power = bench.power()
    state_dir = bench.board.root / "run/edgeagent-power"
    with private_helper(bench.board.root, state_dir=state_dir, log=subprocess.DEVNULL) as helper:

        class Stopping:
            def call(self, verb: str, **arguments):
                power.stop()  # while the tool runs
                return helper.call(verb, **arguments)

        result = power.apply("low-power", Stopping(), FREE)[1]
    assert result.word == "reboot_required"
    assert not (bench.board.root / "run/virtual-reboot").exists()


def test_the_fans_noted_profile_outweighs_its_file(bench: Bench):
    (bench.board.root / "var/lib/nvfancontrol/status").write_text("FAN1:FAN_PROFILE:cool\n")
    assert bench.power().look().fan_profile == "cool"
    assert [step.verb for step, _ in bench.apply("balanced").done] == ["fan"]


def test_a_table_that_changes_under_us_is_followed_by_name(bench: Bench):
    bench.apply("max-performance")
    target = bench.power().plan("max-performance").target
    conf = bench.board.root / "etc/nvpmodel.conf"
    text = conf.read_text()
    conf.write_text(text.replace("ID=2 NAME=MAXN_SUPER", "ID=9 NAME=MAXN_SUPER"))
    (bench.board.root / "var/lib/nvpmodel/status").write_text("pmode:0009")
    assert bench.power().check(target).faults == ()
    conf.write_text(text.replace("NAME=MAXN_SUPER", "NAME=OTHER"))
    assert bench.power().check(target) is None


def test_a_damaged_memory_does_not_stop_the_board_from_being_set(bench: Bench):
    bench.apply("max-performance")
    bench.memory_path.write_text("{")
    assert bench.apply("build").word == "applied"
    assert bench.memory_path.with_suffix(".damaged").exists()
    found = load_memory(bench.memory_path)[0].found
    assert found is not None
    assert found.mode_name == "25W"  # the table's default: the state of now is edgeagent's own


def test_nothing_is_changed_where_the_way_back_cannot_be_written(bench: Bench):
    (bench.board.root / "var/lib/edgeagent").write_text("not a directory")
    before = bench.power().look()
    with pytest.raises(Exception, match=r"power\.json"):
        bench.apply("max-performance")
    assert bench.power().look() == before


def test_a_container_is_refused_with_the_reason(tmp_path: Path):
    bench = Bench(tmp_path / "board", "container")
    with pytest.raises(NoPowerModesError, match="docker"):
        bench.apply("balanced")


# What each misbehaviour of a tool comes to when max-performance is applied: mode, then clocks, then fan.
ENDS = {
    ("nvpmodel", "hang"): "failed",
    ("nvpmodel", "fail"): "failed",
    ("nvpmodel", "slow"): "applied",
    ("nvpmodel", "warn"): "applied",
    ("nvpmodel", "silent-kill"): "failed",
    ("nvpmodel", "flood"): "applied",
    ("nvpmodel", "junk"): "applied",
    ("nvpmodel", "orphan"): "applied",
    ("nvpmodel", "prompt"): "reboot_required",
    ("nvpmodel", "wait-stdin"): "reboot_required",
    ("nvpmodel", "chroot"): "failed",
    ("nvpmodel", "lie"): "failed",
    ("nvpmodel", "half"): "failed",
    ("jetson_clocks", "hang"): "failed",
    ("jetson_clocks", "fail"): "failed",
    ("jetson_clocks", "slow"): "applied",
    ("jetson_clocks", "warn"): "applied",
    ("jetson_clocks", "silent-kill"): "failed",
    ("jetson_clocks", "flood"): "applied",
    ("jetson_clocks", "junk"): "applied",
    ("jetson_clocks", "orphan"): "applied",
    ("jetson_clocks", "lie"): "failed",
    ("jetson_clocks", "half"): "failed",
    ("jetson_clocks", "prompt"): "failed",
    ("systemctl", "hang"): "failed",
    ("systemctl", "fail"): "failed",
    ("systemctl", "slow"): "applied",
    ("systemctl", "warn"): "applied",
    ("systemctl", "silent-kill"): "failed",
    ("systemctl", "flood"): "applied",
    ("systemctl", "junk"): "applied",
    ("systemctl", "orphan"): "applied",
    ("systemctl", "lie"): "unverified",  # the profile stands in the file, and nvfancontrol has not noted it
}


def test_every_misbehaviour_of_the_tools_that_are_called_is_in_the_table():
    called = {(tool, word) for tool in ("nvpmodel", "jetson_clocks", "systemctl") for word in MISBEHAVIOURS[tool]}
    assert called == set(ENDS)


def test_a_fan_that_was_not_restarted_is_told(bench: Bench):
    bench.misbehave("systemctl=lie")
    result = bench.apply("max-performance", timeout_s=TOOL_TIMEOUT_S)
    assert result.word == "unverified"
    assert "the fan's profile in force is not known, not cool" in result.detail
    assert bench.apply("max-performance").word == "unverified"  # nor does asking again make it known


@pytest.mark.slow
@pytest.mark.parametrize(("tool", "word"), sorted(ENDS))
def test_a_tool_that_misbehaves_ends_in_a_clear_state_within_its_time(bench: Bench, tool: str, word: str):
    bench.misbehave(f"{tool}={word}")
    result = bench.apply("max-performance", timeout_s=1.0 if word == "hang" else TOOL_TIMEOUT_S)
    assert result.word == ENDS[tool, word]
    assert result.detail
    assert "\n" not in result.detail
    assert (result.word in ("applied", "unverified")) == (
        bench.power().check(bench.power().plan("max-performance").target).faults == ()
    )


def test_a_board_is_set_once_its_tools_behave_again(bench: Bench):
    bench.misbehave("nvpmodel=chroot", "jetson_clocks=half")
    assert bench.apply("max-performance").word == "failed"
    (bench.board.root / "misbehave.json").unlink()
    assert bench.apply("max-performance").word == "applied"


def test_the_table_is_printed_by_one_command():
    family = Family()
    done = command_line("simulate", "matrix", "--board", "orin-nano", "--board", "pc", family=family)
    assert done.returncode == 0, done.stderr
    *table, blank, summary = done.stdout.splitlines()
    assert (blank, summary) == (
        "",
        "2 boards, 8 pairs: 4 applied, verified and restored, 4 refused as they should be, none wrong",
    )
    assert [line.split()[:2] for line in table[1:]] == [[name, i] for name in ("orin-nano-r36", "pc") for i in INTENTS]
    as_json = command_line("simulate", "matrix", "--board", "pc", "--json", family=family)
    rows = json.loads(as_json.stdout)
    assert [(row["board"], row["intent"], row["planned"], row["ok"]) for row in rows] == [
        ("pc", intent, "refused", True) for intent in INTENTS
    ]
    assert rows[0]["reason"] == "this is not a Jetson: there is no power mode to set"


def test_stopping_ends_a_change_after_the_call_that_runs_and_restore_waits_for_it(bench: Bench):
    """What the agent does when it is stopped while it applies its intent."""
    power = bench.power()
    bench.misbehave("nvpmodel=slow")
    state_dir = bench.board.root / "run/edgeagent-power"
    with private_helper(bench.board.root, state_dir=state_dir, log=subprocess.DEVNULL) as helper:
        asked = threading.Event()
        ended: list[str] = []

        class Telling:
            def call(self, verb: str, **arguments):
                asked.set()
                return helper.call(verb, **arguments)

        change = threading.Thread(
            target=lambda: ended.append(power.apply("max-performance", Telling(), NO_REBOOT)[1].detail)
        )
        change.start()
        assert asked.wait(30)
        power.stop()
        _, restored = power.restore(helper, NO_REBOOT)
        change.join(30)
    assert ended == ["stopped before it could lock the clocks at their highest"]
    assert restored.word == "applied"
    assert bench.mode() == "25W"
