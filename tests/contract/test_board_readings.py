"""Every virtual board is read in full, by an ordinary user, and what is read fits the fleet's messages."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edgeagent.app.board_watch import RENAMED, REQUIRED
from edgeagent.board.evidence import read_identity
from edgeagent.board.reading import Reading, flat_measurements
from edgeagent.board.report_readings import readings_text
from edgeagent.board.telemetry import BoardReader
from edgeagent.fleet.measurements import GROUPS
from edgeagent.simulate.board import VirtualBoard, make_board, virtual_boards

NOBODY = 65534
HEADER = {"session": "boot-1", "seq": 1, "ts": 1_700_000_000_000}
AGX_RAILS = "sum of VDD_GPU_SOC, VDD_CPU_CV, VIN_SYS_5V0, VDDQ_VDD2_1V8AO"
# board: what the total is made of, throttle and critical in C, DLAs, whether the GPU's load is given, over-current
EXPECTED = {
    "nano-r32": ("POM_5V_IN", 97.0, 102.5, 0, True, 0),
    "xavier-nx-r35": ("VDD_IN", 96.0, 101.0, 2, True, 0),
    "orin-nano-r36": ("VDD_IN", 99.0, 104.5, 0, True, 3),
    "orin-nx16-r36": ("VDD_IN", 99.0, 104.5, 2, True, 3),
    "agx-orin-r36": (AGX_RAILS, 99.0, 104.5, 2, True, 3),
    "orin-nano-r39": ("VDD_IN", 99.0, 104.5, 0, True, 3),
    "agx-orin-r39": (AGX_RAILS, 99.0, 104.5, 2, True, 3),
    "thor-r38": ("VIN", 109.0, 114.5, 0, False, 3),
    "unknown-carrier": ("VDD_IN", 99.0, 104.5, 2, True, 3),
}
BOARDS = [name for name, _ in virtual_boards()]


@contextmanager
def as_nobody() -> Iterator[None]:
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture(params=BOARDS)
def board(request: pytest.FixtureRequest) -> Iterator[VirtualBoard]:
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)  # pytest's own directories are closed to others
        yield make_board(request.param, Path(directory) / "board", seed=4)


def read_twice(board: VirtualBoard) -> Reading:
    soc = read_identity(board.root).soc
    with as_nobody(), BoardReader(board.root, soc=soc) as reader:
        reader.read()
        return reader.read()


@pytest.mark.parametrize("board", list(EXPECTED), indirect=True)
def test_an_ordinary_user_reads_it_all(board: VirtualBoard) -> None:
    reading = read_twice(board)
    source, throttle_c, critical_c, dlas, has_load, over_current = EXPECTED[board.name]
    assert reading.power_total_source == source
    assert reading.power_total_mw is not None
    assert min(zone.throttle_c for zone in reading.zones if zone.throttle_c is not None) == throttle_c
    assert min(zone.critical_c for zone in reading.zones if zone.critical_c is not None) == critical_c
    assert len(reading.dla) == dlas
    assert (reading.gpu.load_percent is not None, reading.gpu.load_absent) == (
        has_load,
        "" if has_load else "not-given",
    )
    assert [found.new for found in reading.over_current] == [0] * over_current
    assert reading.clocks_locked is False
    assert (reading.emc_khz, reading.emc_absent) == (None, "permission")  # the memory's clock is root's
    assert len(reading.fans) == 1
    assert reading.memory.total_kb
    assert reading.hottest is not None


def test_what_is_read_fits_the_messages(board: VirtualBoard) -> None:
    published = 0
    for group, values in flat_measurements(read_twice(board)).items():
        renamed = {RENAMED.get((group, key), key): value for key, value in values.items()}
        if group == "cpu":
            renamed.setdefault("percent", 0.0)  # the plant stands still, so no time passed between the samples
        if renamed and REQUIRED.get(group, set()) <= renamed.keys():
            message = GROUPS[group].model_validate({**HEADER, **renamed})
            assert set(renamed) <= set(message.model_dump(by_alias=True))
            published += 1
    assert published >= 3


def test_a_person_can_read_it(board: VirtualBoard) -> None:
    lines = [line for section in readings_text(read_twice(board)) for line in section]
    assert max(map(len, lines)) <= 120
    assert lines[0].startswith(("Not throttling", "Whether it throttles"))


@pytest.mark.parametrize("name", ["nano-r32", "xavier-nx-r35", "orin-nano-r36", "agx-orin-r39", "thor-r38"])
def test_a_lock_shows_and_so_does_its_end(tmp_path: Path, name: str) -> None:
    made = make_board(name, tmp_path / "board", seed=2)
    with BoardReader(made.root) as reader:
        seen = [reader.read().clocks_locked]
        for command in (["--store", str(tmp_path / "store")], [], ["--restore", str(tmp_path / "store")]):
            subprocess.run([made.bin_dir / "jetson_clocks", *command], check=True, stdin=subprocess.DEVNULL)
            seen.append(reader.read().clocks_locked)
    assert seen == [False, False, True, False]
