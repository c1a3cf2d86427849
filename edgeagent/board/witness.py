"""What was found, and who claims what: the raw evidence, and for each fact its witnesses in order of trust. Pure.

A claim is a value and the file or package that says so. `decide` takes the first; who agrees with it goes into
`rests_on`, who does not becomes a contradiction. The order of trust for the module: the device tree's `compatible`,
the TNSPEC of /etc/nv_boot_control.conf, the boot loader's ids, then the module's own EEPROM. The EEPROM knows best,
but only root may read it, and a fact that engine keys rest on must not depend on who reads. The model text decides
nothing: third-party carriers report the developer kit's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from edgeagent.board import parse, part_numbers, versions
from edgeagent.board.catalogue import (
    FAMILIES,
    L4t,
    Module,
    exact_jetpack_of,
    find_module,
    jetpack_of,
    module_of_board,
    modules_like,
)

COMPATIBLE = "device tree (compatible)"
TNSPEC = "/etc/nv_boot_control.conf (TNSPEC)"
COMPATIBLE_SPEC = "/etc/nv_boot_control.conf (COMPATIBLE_SPEC)"
PYTHON = "Python package"
FOREIGN_PYTHON = "Python package of this machine, not of the board"
FOREIGN_UNAME = "uname of this machine, not of the board"
GUESSED = "guessed: the only module with this SoC, memory (/proc/meminfo) and number of cores"
RECORD = "the module's record"


@dataclass(frozen=True)
class Evidence:
    """What `evidence.read_evidence` found, unread: b"" for a file that is missing or closed to us.

    `packages` are installed Debian packages, `libraries` Python distributions that this interpreter would import.
    `eeproms` are (path, bytes) of every EEPROM at address 0x50, `library_files` paths of TensorRT's and CUDA's shared
    libraries. `machine` is the processor architecture of this process; `container` is what a container runtime's
    marker file says, and `container_source` that file. `virtual_marker`: the directory is a board made for tests.
    `same_machine`: this process runs on the board; under another root `libraries` and `machine` are not the board's.
    """

    compatible: bytes = b""
    model: bytes = b""
    serial: bytes = b""
    dts_filename: bytes = b""
    board_ids: bytes = b""
    plugin_ids: tuple[str, ...] = ()
    eeproms: tuple[tuple[str, bytes], ...] = ()
    soc_family: bytes = b""
    soc_id: bytes = b""
    tegra_release: bytes = b""
    boot_control: bytes = b""
    meminfo: bytes = b""
    cpus_present: bytes = b""
    cuda_json: bytes = b""
    cuda_text: bytes = b""
    tensorrt_header: bytes = b""
    library_files: tuple[str, ...] = ()
    gpu_information: bytes = b""
    os_release: bytes = b""
    cgroup: bytes = b""
    mounts: bytes = b""
    dmi: bytes = b""
    cpuinfo: bytes = b""
    hypervisor: bytes = b""
    packages: dict[str, str] = field(default_factory=dict)
    libraries: dict[str, str] = field(default_factory=dict)
    machine: str = ""
    container: str = ""
    container_source: str = ""
    virtual_marker: bool = False
    same_machine: bool = True

    @property
    def python(self) -> str:
        """The source to name for `libraries`."""
        return PYTHON if self.same_machine else FOREIGN_PYTHON


class Claim(NamedTuple):
    """One witness: the value, and who says so."""

    value: str
    source: str


class Decision(NamedTuple):
    """The value of a fact and every source that says the same; "" and () when nobody says anything."""

    value: str
    sources: tuple[str, ...]


def decide(claims: Iterable[Claim]) -> Decision:
    """The first claim that says something, and those that say the same."""
    told = [claim for claim in claims if claim.value]
    if not told:
        return Decision("", ())
    value = told[0].value
    return Decision(value, tuple(dict.fromkeys(claim.source for claim in told if claim.value == value)))


def module_id_claims(evidence: Evidence) -> Iterator[Claim]:
    """Who says which part number the module has."""
    yield Claim(parse.parse_module_id(parse.parse_strings(evidence.compatible)), COMPATIBLE)
    if tnspec := parse.parse_tnspec(evidence.boot_control):
        yield Claim(tnspec.module_id, TNSPEC)
    ids = part_numbers.parse_board_ids(evidence.plugin_ids)
    yield Claim(_first_known(ids), "device tree (plugin-manager/ids)")
    ids = part_numbers.parse_board_ids(parse.parse_strings(evidence.board_ids))
    yield Claim(_first_known(ids), "device tree (nvidia,boardids)")
    if spec := parse.parse_tnspec(evidence.boot_control, "COMPATIBLE_SPEC"):
        yield Claim(spec.module_id, COMPATIBLE_SPEC)
    yield from _eeprom_claims(evidence.eeproms)


def _eeprom_claims(eeproms: Sequence[tuple[str, bytes]]) -> Iterator[Claim]:
    """The module's EEPROM: one that names a module we know, else the first that names any part."""
    told = [Claim(part_numbers.parse_eeprom(raw), f"EEPROM ({path})") for path, raw in eeproms]
    told.sort(key=lambda claim: find_module(claim.value) is None)
    yield from [claim for claim in told if claim.value][:1]


def _first_known(ids: Iterable[str]) -> str:
    """Lists of ids name the carrier too: the module is the one that the catalogue has."""
    return next((one for one in ids if find_module(one)), "")


def decide_module(evidence: Evidence, module_id: Decision, soc: str) -> tuple[Module | None, tuple[str, ...]]:
    """The catalogue's record, and what it rests on. A part number that no record has makes an unknown module.

    Without any part number, in this order: the kit's id, the device tree's file name, the name the board was flashed
    under, and, where the model text speaks of a Jetson, the only module with this SoC, memory and number of cores.
    """
    if module_id.value:
        known = find_module(module_id.value)
        return known, module_id.sources if known else ()
    for module, source in _record_claims(evidence, soc):
        if module:
            return module, (source,)
    return None, ()


def _record_claims(evidence: Evidence, soc: str) -> Iterator[tuple[Module | None, str]]:
    names = [entry.partition(",")[2] for entry in parse.parse_strings(evidence.compatible) if "nvidia," in entry[:7]]
    yield next((module for name in names if (module := find_module(name))), None), COMPATIBLE
    from_file = part_numbers.parse_dts_filename(parse.parse_text(evidence.dts_filename))
    yield find_module(_first_known(from_file)), "device tree (nvidia,dtsfilename)"
    for name in ("TNSPEC", "COMPATIBLE_SPEC"):
        board = parse.parse_spec_board(evidence.boot_control, name)
        yield module_of_board(board), f"/etc/nv_boot_control.conf ({name})"
    yield _by_memory(evidence, soc), GUESSED


def _by_memory(evidence: Evidence, soc: str) -> Module | None:
    """The only module that fits; where the model text names a family, of that family.

    Tegras are in cars and game consoles, too: without a word of the model text that says Jetson nothing is guessed.
    """
    model = parse.parse_text(evidence.model)
    if not speaks_of_a_jetson(model):
        return None
    total_kb = parse.parse_meminfo(evidence.meminfo).get("MemTotal")
    if not soc or not total_kb:
        return None
    cpus = len(parse.parse_cpu_list(evidence.cpus_present)) or None
    fitting = modules_like(soc, total_kb, cpus)
    if family := family_in(model):
        fitting = tuple(module for module in fitting if module.family == family)
    return fitting[0] if len(fitting) == 1 else None


def speaks_of_a_jetson(model: str) -> bool:
    """Whether a model text names Jetson or one of its families. DRIVE, for cars, has Xavier, Orin and Thor as well."""
    words = re.split(r"[^A-Za-z0-9]+", model)
    return "DRIVE" not in words and ("Jetson" in words or bool(family_in(model)))


def family_in(model: str) -> str:
    """The family that a model text names, the longest where it names several: `Orin Nano`, not `Nano`."""
    return max((family for family in FAMILIES if f" {family} " in f" {model} "), key=len, default="")


def soc_claims(evidence: Evidence, module_id: str) -> Iterator[Claim]:
    yield Claim(parse.parse_soc(parse.parse_strings(evidence.compatible)), COMPATIBLE)
    dts = part_numbers.parse_dts_soc(parse.parse_text(evidence.dts_filename))
    yield Claim(dts, "device tree (nvidia,dtsfilename)")
    yield Claim(part_numbers.parse_chip_id(evidence.boot_control, "", ""), "/etc/nv_boot_control.conf (TEGRA_CHIPID)")
    family, chip = parse.parse_text(evidence.soc_family), parse.parse_text(evidence.soc_id)
    yield Claim(part_numbers.parse_chip_id(b"", family, chip), "/sys/devices/soc0/soc_id")
    module = find_module(module_id)
    yield Claim(module.soc if module else "", RECORD)


def release_l4t(evidence: Evidence) -> L4t | None:
    return parse.parse_tegra_release(evidence.tegra_release)


def package_l4t(evidence: Evidence) -> L4t | None:
    return parse.parse_l4t_package(evidence.packages.get("nvidia-l4t-core", ""))


def l4t_claims(evidence: Evidence) -> Iterator[Claim]:
    release, package = release_l4t(evidence), package_l4t(evidence)
    yield Claim(str(release) if release else "", "/etc/nv_tegra_release")
    yield Claim(str(package) if package else "", "package nvidia-l4t-core")


def jetpack_claims(evidence: Evidence) -> Iterator[Claim]:
    """The L4T release, by table; the package nvidia-jetpack where the table lacks the release; at last `6.x`."""
    l4t = release_l4t(evidence) or package_l4t(evidence)
    yield Claim(exact_jetpack_of(l4t) if l4t else "", f"L4T {l4t}")
    package = evidence.packages.get("nvidia-jetpack", "")
    yield Claim(versions.parse_jetpack_package(package), "package nvidia-jetpack")
    yield Claim(jetpack_of(l4t) if l4t else "", f"L4T {l4t}")


def system_tensorrt_claims(evidence: Evidence) -> Iterator[Claim]:
    """TensorRT of the system, without the Python package."""
    yield Claim(newest(evidence.packages, "libnvinfer"), "package libnvinfer")
    yield Claim(*versions.parse_soname(evidence.library_files, "libnvinfer"))
    yield Claim(versions.parse_tensorrt_header(evidence.tensorrt_header), "NvInferVersion.h")


def tensorrt_claims(evidence: Evidence) -> Iterator[Claim]:
    """First what `import tensorrt` would give, then the installed library; under another root the other way round."""
    by_python = Claim(newest(evidence.libraries, "tensorrt"), evidence.python)
    if evidence.same_machine:
        yield by_python
    yield from system_tensorrt_claims(evidence)
    if not evidence.same_machine:
        yield by_python


def cuda_claims(evidence: Evidence) -> Iterator[Claim]:
    yield Claim(parse.parse_cuda_json(evidence.cuda_json), "/usr/local/cuda/version.json")
    yield Claim(versions.parse_cuda_text(evidence.cuda_text), "/usr/local/cuda/version.txt")
    yield Claim(newest(evidence.packages, "cuda-cudart"), "package cuda-cudart")
    by_python = Claim(newest(evidence.libraries, "nvidia-cuda-runtime"), evidence.python)
    by_library = Claim(*versions.parse_soname(evidence.library_files, "libcudart"))
    yield from (by_python, by_library) if evidence.same_machine else (by_library, by_python)


def newest(installed: dict[str, str], prefix: str) -> str:
    """The version of the name that starts with `prefix`; the newest when there are several."""
    found = [parse.parse_version(value) for name, value in installed.items() if name.startswith(prefix)]
    return max(found, key=versions.version_key, default="")
