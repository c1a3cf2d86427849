"""Clocks of a virtual board: processor, GPU, memory, engines and DLA power states."""

from __future__ import annotations

from edgeagent.simulate.board_spec import Cpu, Emc, Gpu, VirtualSpec
from edgeagent.simulate.board_tree import Tree

DEBUG = "sys/kernel/debug"
"""Only root may enter it."""
DEVICE_TREE = "sys/firmware/devicetree/base"
_NO_LIMIT = 18446744073709551615


def write_clocks(tree: Tree, spec: VirtualSpec) -> None:
    _write_cpu(tree, spec.cpu)
    if spec.gpu:
        _write_gpu(tree, spec.gpu)
    if spec.emc:
        _write_emc(tree, spec.emc)
    for name, top_hz in spec.engines:
        directory = f"{DEBUG}/clk/{name}"
        tree.lines(directory, clk_rate=top_hz, clk_enable_count=0, clk_max_rate=_NO_LIMIT, clk_min_rate=0)
    for index, device in enumerate(spec.dla):
        tree.role(f"dla:{index}", f"{device}/power/runtime_status")
        tree.lines(f"{device}/power", control="auto")
    if (tree.root / DEBUG).exists():
        (tree.root / DEBUG).chmod(0o700)


def _write_cpu(tree: Tree, cpu: Cpu) -> None:
    directory = "sys/devices/system/cpu"
    every = f"0-{cpu.count - 1}"
    tree.lines(directory, present=every, possible=every)
    tree.role("online", f"{directory}/online")
    tree.role("offline", f"{directory}/offline")
    for cores in cpu.policies:
        policy = f"{directory}/cpufreq/policy{cores[0]}"
        tree.role(f"cpu_freq:{cores[0]}", f"{policy}/scaling_cur_freq")
        tree.lines(policy, **_policy(cpu, cores))
        for core in cores:
            tree.link(f"{directory}/cpu{core}/cpufreq", policy)
            _write_idle_states(tree, f"{directory}/cpu{core}/cpuidle", cpu.idle_states)
            if core not in cpu.fixed_cores:
                tree.lines(f"{directory}/cpu{core}", online=1)


def _write_idle_states(tree: Tree, directory: str, names: tuple[str, ...]) -> None:
    for index, name in enumerate(names):
        tree.lines(f"{directory}/state{index}", name=name, disable=0)


def _policy(cpu: Cpu, cores: tuple[int, ...]) -> dict[str, str | int]:
    table = cpu.table_khz
    members = " ".join(map(str, cores))
    listed: dict[str, str | int] = {"scaling_available_frequencies": " ".join(map(str, table))}
    return {
        "affected_cpus": members,
        "related_cpus": members,
        "cpuinfo_min_freq": table[0],
        "cpuinfo_max_freq": table[-1],
        **(listed if cpu.listed else {}),
        "scaling_available_governors": "performance powersave" if cpu.driver == "intel_pstate" else _GOVERNORS,
        "scaling_driver": cpu.driver,
        "scaling_governor": cpu.governor,
        "scaling_min_freq": cpu.idle_khz,
        "scaling_max_freq": table[-1],
    }


_GOVERNORS = "interactive conservative ondemand userspace powersave performance schedutil"


def _write_gpu(tree: Tree, gpu: Gpu) -> None:
    devfreq = f"{gpu.device}/devfreq/{gpu.devfreq}"
    tree.role("gpu_freq", f"{devfreq}/cur_freq")
    _write_devfreq(tree, gpu, gpu.devfreq, gpu.table_hz)
    for name, table in gpu.others:
        tree.role(f"gpu_freq:{name}", f"{gpu.device}/devfreq/{name}/cur_freq")
        _write_devfreq(tree, gpu, name, table)
    if gpu.load:
        tree.role("gpu_load", f"{gpu.device}/load")
    for name, value in gpu.attributes:
        tree.text(f"{gpu.device}/{name}", f"{value}\n")
    tree.link(f"{gpu.device}/devfreq_dev", devfreq)
    if gpu.node:
        node = f"{DEVICE_TREE}/{gpu.node}"
        tree.data(f"{node}/name", gpu.node.rpartition("/")[2].partition("@")[0].encode() + b"\0")
        tree.link(f"{gpu.device}/of_node", node)
    for alias in gpu.aliases:
        tree.link(alias, gpu.device)


def _write_devfreq(tree: Tree, gpu: Gpu, name: str, table: tuple[int, ...]) -> None:
    directory = f"{gpu.device}/devfreq/{name}"
    tree.lines(directory, min_freq=table[0], max_freq=table[-1], governor=gpu.governor)
    tree.lines(directory, available_frequencies=" ".join(map(str, table)))
    tree.lines(directory, available_governors=f"performance userspace {gpu.governor}")
    tree.link(f"{directory}/device", gpu.device)
    tree.link(f"sys/class/devfreq/{name}", directory)


def _write_emc(tree: Tree, emc: Emc) -> None:
    """The cap is for everybody; the rate and its lock are behind debugfs."""
    tree.text(emc.cap_file, f"{emc.top_hz}\n")
    if emc.debug == "bpmp":
        directory = f"{DEBUG}/bpmp/debug/clk/emc"
        tree.lines(directory, min_rate=emc.low_hz, max_rate=emc.top_hz, mrq_rate_locked=0, state=1)
        tree.role("emc_rate", f"{directory}/rate")
    elif emc.debug == "override":
        directory = f"{DEBUG}/clk/override.emc"
        tree.lines(directory, clk_state=0, clk_update_rate=emc.low_hz, clk_min_rate=emc.low_hz, clk_max_rate=emc.top_hz)
        tree.lines(f"{DEBUG}/tegra_bwmgr", emc_min_rate=emc.low_hz, emc_max_rate=emc.top_hz)
        tree.role("emc_rate", f"{directory}/clk_rate")
