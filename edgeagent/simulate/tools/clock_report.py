"""What `jetson_clocks --show` prints, release by release.

R32 to R36 say `Online=` for each core; R38 and later list the cores that are offline and leave them out. FreqOverride
went with R39. Thor names its GPU clocks. The fan's line changed with every release. Sources: public captures; what a
tree without idle states or debugfs cannot say is filled in: WFI and c7 (cc7 on Thor) are off while a clock is locked,
the memory runs at its cap.
"""

from __future__ import annotations

from collections.abc import Iterator

from edgeagent.simulate.tools import clocks, fans, power_modes
from edgeagent.simulate.tools.machine import Machine, device_tree

_EMC_LOW_HZ = 204_000_000
_TPCS = 8


def headline(machine: Machine) -> str:
    return f"SOC family:{machine.soc}  Machine:{device_tree(machine.root, 'model')[0]}"


def show(machine: Machine) -> Iterator[str]:
    """All lines after the headline."""
    yield _online(machine)
    yield from _cpus(machine)
    for gpu in clocks.gpus(machine):
        name = gpu.rpartition("/")[2]
        yield f"{name if name.startswith('gpu-') else 'GPU'} " + _span(machine, gpu, "min_freq", "max_freq", "cur_freq")
    yield from _tpcs(machine)
    yield _emc(machine)
    yield from _fan(machine)
    yield f"NV Power Mode: {_mode_name(machine)}"


def _online(machine: Machine) -> str:
    line = f"Online CPUs: {machine.read(f'{clocks.CPUS}/online')}"
    if not machine.release_at_least(38):
        return line
    offline = [int(core[3:]) for core in clocks.cores(machine) if not clocks.is_online(machine, core)]
    return f"{line}, Offline CPUs: {power_modes.ranges(offline)}"


def _cpus(machine: Machine) -> Iterator[str]:
    modern = machine.release_at_least(38)
    for core in clocks.cores(machine):
        online = clocks.is_online(machine, core)
        freq = f"{clocks.CPUS}/{core}/cpufreq"
        if not machine.exists(freq) or (modern and not online):
            continue
        span = _span(machine, freq, "scaling_min_freq", "scaling_max_freq", "scaling_cur_freq")
        governor = f"Governor={machine.read(f'{freq}/scaling_governor')}"
        lead = f"{core + ':':<7}" if modern else f"{core}: {' ' * machine.release_at_least(36)}Online={int(online)} "
        yield f"{lead}{governor} {span} IdleStates: {_idle(machine, core, freq)}"


def _idle(machine: Machine, core: str, freq: str) -> str:
    states = clocks.idle_states(machine, core)
    if not states:
        free = machine.read(f"{freq}/scaling_min_freq") != machine.read(f"{freq}/scaling_max_freq")
        states = {"WFI": free, "cc7" if machine.soc == "tegra264" else "c7": free}
    return " ".join(f"{name}={int(allowed)}" for name, allowed in states.items())


def _tpcs(machine: Machine) -> Iterator[str]:
    mask = "/sys/devices/platform/gpu.0/tpc_pg_mask"
    if machine.release_at_least(36) and machine.exists(mask):
        yield f"Active GPU TPCs: {_TPCS - machine.number(mask).bit_count()}"


def _emc(machine: Machine) -> str:
    files = clocks.emc(machine)
    if files:
        low, now, held = (machine.number(path) for path in (files.low, files.rate, files.lock))
        top = clocks.emc_top(machine, files)
    else:
        low, top, held = _EMC_LOW_HZ, clocks.emc_cap(machine), 0
        now = top
    line = f"EMC MinFreq={low} MaxFreq={top} CurrentFreq={now}"
    return line if machine.release_at_least(39) else f"{line} FreqOverride={held}"


def _fan(machine: Machine) -> Iterator[str]:
    files = fans.pwm_files(machine)
    if machine.release == "R32":
        yield f"Fan: PWM={machine.read(files[0])}" if files else "Can't access Fan!"
        return
    for path in files:
        number = path.split("/")[-2]
        yield f"FAN Dynamic Speed {_control(machine, path)} {number}_pwm1={machine.read(path)}"
        if machine.release_at_least(38):
            enable = machine.number(f"{path}_enable", otherwise=1)
            yield f"FAN Dynamic Speed {_control(machine, path)} {number}_pwm1_enable={enable}"


def _control(machine: Machine, path: str) -> str:
    """R35 prints what systemd says of the service, later releases who turns the fan: for R36 that is the kernel."""
    runs = fans.service_runs(machine)
    if not machine.release_at_least(36):
        return f"control={'active' if runs else 'inactive'}"
    if runs and machine.release_at_least(38):
        return "Control=nvfancontrol"
    return f"Control={'kernel' if runs or machine.number(path) != fans.FULL_PWM else 'disabled'}"


def _mode_name(machine: Machine) -> str:
    conf = power_modes.load_conf(machine.root)
    return conf.models[power_modes.current_mode(machine.root, conf)].name


def _span(machine: Machine, directory: str, low: str, high: str, current: str) -> str:
    names = (("MinFreq", low), ("MaxFreq", high), ("CurrentFreq", current))
    return " ".join(f"{title}={machine.read(f'{directory}/{name}')}" for title, name in names)
