"""Clocks of each virtual board: where each release has its GPU, processors, memory and DLA."""

from __future__ import annotations

import stat

import pytest
from board_kit import ALL, HOST1X, JETSONS, OLDER_HOST1X, every_board, raw

from edgeagent.simulate.board import VirtualBoard


@pytest.fixture(scope="module")
def boards(tmp_path_factory: pytest.TempPathFactory) -> dict[str, VirtualBoard]:
    return every_board(tmp_path_factory.mktemp("boards"))


@pytest.mark.parametrize(
    ("name", "devfreq", "device", "load"),
    [
        ("nano-r32", "57000000.gpu", "sys/devices/57000000.gpu", "sys/devices/gpu.0/load"),
        ("xavier-nx-r35", "17000000.gv11b", "sys/devices/17000000.gv11b", "sys/devices/gpu.0/load"),
        (
            "orin-nano-r36",
            "17000000.gpu",
            "sys/devices/platform/bus@0/17000000.gpu",
            "sys/devices/platform/gpu.0/load",
        ),
        (
            "agx-orin-r39",
            "17000000.gpu",
            "sys/devices/platform/17000000.gpu",
            "sys/devices/platform/bus@0/17000000.gpu/load",
        ),
    ],
)
def test_the_gpu_is_where_the_release_has_it(
    boards: dict[str, VirtualBoard], name: str, devfreq: str, device: str, load: str
) -> None:
    root = boards[name].root
    link = root / "sys/class/devfreq" / devfreq
    assert link.is_symlink()
    assert link.resolve() == (root / device / "devfreq" / devfreq).resolve()
    assert (root / load).read_bytes() == b"0\n"
    assert (link / "device").resolve() == (root / device).resolve()
    node = {"nano-r32": b"gpu\0", "xavier-nx-r35": b"gv11b\0"}.get(name, b"gpu\0")
    assert (link / "device/of_node/name").read_bytes() == node


@pytest.mark.parametrize("name", ALL)
def test_every_processor_runs_at_a_step_of_its_table_between_its_limits(
    boards: dict[str, VirtualBoard], name: str
) -> None:
    spec = boards[name].spec.cpu
    for cores in spec.policies:
        policy = f"sys/devices/system/cpu/cpufreq/policy{cores[0]}"
        low, now, high = (int(raw(boards, name, f"{policy}/scaling_{one}_freq")) for one in ("min", "cur", "max"))
        assert low <= now <= high
        assert {low, now, high} <= set(spec.table_khz)


def test_thor_s_gpu_has_two_clocks_and_no_load(boards: dict[str, VirtualBoard]) -> None:
    root = boards["thor-r38"].root
    assert {path.name for path in (root / "sys/class/devfreq").iterdir()} == {"gpu-gpc-0", "gpu-nvd-0"}
    assert not list((root / "sys").rglob("load"))
    assert "/0000:01:00.0/devfreq/" in str((root / "sys/class/devfreq/gpu-gpc-0").resolve())
    table = (root / "sys/class/devfreq/gpu-gpc-0/available_frequencies").read_text().split()
    assert (table[-1], "1386000000" in table, len(table)) == ("1575000000", True, 170)
    assert b"NVIDIA Thor" in raw(boards, "thor-r38", "proc/driver/nvidia/gpus/0000:01:00.0/information")


@pytest.mark.parametrize("name", JETSONS)
def test_r39_and_openrm_have_no_3d_scaling_switch(boards: dict[str, VirtualBoard], name: str) -> None:
    switches = list((boards[name].root / "sys/devices").rglob("enable_3d_scaling"))
    assert bool(switches) == (boards[name].spec.release in ("R32", "R35", "R36"))


def test_processor_clusters_and_their_tables(boards: dict[str, VirtualBoard]) -> None:
    policies = {
        "nano-r32": ["0 1 2 3"],
        "xavier-nx-r35": ["0 1", "2 3", "4 5"],
        "orin-nano-r36": ["0 1 2 3", "4 5"],
        "orin-nx16-r36": ["0 1 2 3", "4 5 6 7"],
        "agx-orin-r36": ["0 1 2 3", "4 5 6 7", "8 9 10 11"],
    }
    for name, members in policies.items():
        found = sorted(
            (boards[name].root / "sys/devices/system/cpu/cpufreq").iterdir(), key=lambda path: int(path.name[6:])
        )
        assert [(path / "related_cpus").read_text().strip() for path in found] == members
    table = raw(boards, "agx-orin-r36", "sys/devices/system/cpu/cpu11/cpufreq/scaling_available_frequencies")
    assert (table.split()[0], table.split()[-1]) == (b"115200", b"2201600")
    assert raw(boards, "orin-nano-r36", "sys/devices/system/cpu/cpu0/cpuidle/state1/name") == b"c7\n"


@pytest.mark.parametrize("name", ALL)
def test_the_memory_cap_is_for_everybody_and_the_rate_for_root(boards: dict[str, VirtualBoard], name: str) -> None:
    root, release = boards[name].root, boards[name].spec.release
    older, newer = root / "sys/kernel/nvpmodel_emc_cap/emc_iso_cap", root / "sys/kernel/nvpmodel_clk_cap/emc"
    assert (older.exists(), newer.exists()) == (release in ("R32", "R35"), release in ("R36", "R38", "R39"))
    debug = root / "sys/kernel/debug"
    assert debug.exists() == (name not in ("container", "pc"))
    if debug.exists():
        assert stat.S_IMODE(debug.stat().st_mode) == 0o700
        bpmp = debug / "bpmp/debug/clk/emc"
        files = {"rate", "min_rate", "max_rate", "mrq_rate_locked"}
        assert files <= {path.name for path in bpmp.iterdir()} if release != "R32" else not bpmp.exists()


@pytest.mark.parametrize(
    ("name", "nodes"),
    [
        ("xavier-nx-r35", [f"{OLDER_HOST1X}/15880000.nvdla0", f"{OLDER_HOST1X}/158c0000.nvdla1"]),
        ("orin-nx16-r36", [f"{HOST1X}/15880000.nvdla0", f"{HOST1X}/158c0000.nvdla1"]),
        ("agx-orin-r39", [f"{HOST1X}/15880000.nvdla0", f"{HOST1X}/158c0000.nvdla1"]),
        ("orin-nano-r36", []),
        ("nano-r32", []),
        ("thor-r38", []),
    ],
)
def test_dla_power_states_where_there_are_dlas(boards: dict[str, VirtualBoard], name: str, nodes: list[str]) -> None:
    root = boards[name].root
    found = sorted(path for path in (root / "sys/devices").rglob("*.nvdla*"))
    assert [str(path.relative_to(root)) for path in found] == nodes
    assert all((path / "power/runtime_status").read_bytes() == b"suspended\n" for path in found)


def test_dla_clock_caps_are_where_nvpmodel_writes_them(boards: dict[str, VirtualBoard]) -> None:
    assert raw(boards, "orin-nx16-r36", f"{HOST1X}/15880000.nvdla0/clk_cap/dla0_core") == b"614400000\n"
    assert raw(boards, "orin-nx16-r36", f"{HOST1X}/158c0000.nvdla1/clk_cap/dla1_falcon") == b"294400000\n"
