"""Whatever a file holds, a board is decided without an exception."""

from __future__ import annotations

import json
import re

from hypothesis import given
from hypothesis import strategies as st

from edgeagent.board import parse
from edgeagent.board.fingerprint import board_fingerprint
from edgeagent.board.identity import Evidence, decide_identity
from edgeagent.board.reading import Reading
from edgeagent.board.report import board_json, render_board_text

NEAR_MISSES = [
    b"nvidia,p3768-0000+p3767-0005-super\0nvidia,p3767-0005\0nvidia,tegra234\0",
    b"nvidia,+p3767\0nvidia,\0,nvidia",
    b"# R36 (release), REVISION: 4.7, GCID",
    b"# R36 (release), REVISION: ",
    b"TNSPEC 3767-300-0005-S.1-1-1-board-\n",
    b"TNSPEC ------\n",
    b"MemTotal: 0 kB\n",
    b"MemTotal: 99999999999999999999 kB\n",
    b"cpu  1 2 3 4\ncpu9999 9 9 9 9\n",
    b"9999999999999999999999\n",
    b"-256000",
    b'{"cuda": {"version": "....."}}',
    b"0-9999",
    bytes(20) + b"699-13767-0005-300 S.1\0",
    bytes(20) + b"699-1376",
    b"/dvs/tegra210-p3448-0000-p3449-0000-b00.dts\0",
    b"tegra999-p0000-0000.dts",
    b"3448-0000-400",
    b"COMPATIBLE_SPEC ------jetson-agx-thor-t4000-\n",
    b"TEGRA_CHIPID 0x23\nTEGRA_CHIPID 0xffffffff\n",
    b"Tegra\n",
    b"35\n",
    b"CUDA Version 10.2.300\n",
    b"#define NV_TENSORRT_MAJOR 999999\n#define NV_TENSORRT_MINOR 0\n#define NV_TENSORRT_PATCH 0\n",
    b'PRETTY_NAME="\n',
    b"0::/kubepods/x\n",
    b"1 1 0:1 / / rw - overlay overlay lowerdir=/var/lib/docker/\n",
    b"flags : hypervisor\n",
]
junk = st.one_of(st.binary(max_size=200), st.sampled_from(NEAR_MISSES))
versions = st.dictionaries(
    st.sampled_from(
        ["nvidia-l4t-core", "nvidia-jetpack", "libnvinfer10", "tensorrt", "cuda-cudart-12-6", "onnxruntime"]
    ),
    st.text(max_size=20),
)
evidences = st.builds(
    Evidence,
    compatible=junk,
    model=junk,
    serial=junk,
    tegra_release=junk,
    boot_control=junk,
    meminfo=junk,
    cpus_present=junk,
    cuda_json=junk,
    gpu_information=junk,
    dts_filename=junk,
    board_ids=junk,
    plugin_ids=st.lists(st.text(max_size=20), max_size=3).map(tuple),
    eeproms=st.lists(st.tuples(st.just("/eeprom"), junk), max_size=3).map(tuple),
    soc_family=junk,
    soc_id=junk,
    cuda_text=junk,
    tensorrt_header=junk,
    library_files=st.lists(st.sampled_from(["/l/libnvinfer.so.10.3.0", "libcudart.so.", "/", ""])).map(tuple),
    os_release=junk,
    cgroup=junk,
    mounts=junk,
    dmi=junk,
    cpuinfo=junk,
    hypervisor=junk,
    container=st.sampled_from(["", "docker"]),
    virtual_marker=st.booleans(),
    packages=versions,
    libraries=versions,
    machine=st.sampled_from(["aarch64", "x86_64", ""]),
)


@given(evidences)
def test_any_evidence_is_decided_and_shown(evidence: Evidence) -> None:
    identity = decide_identity(evidence)
    assert identity.kind in ("jetson", "unknown-jetson", "not-a-jetson")
    assert (identity.kind == "jetson") == bool(identity.module)
    assert all(board_fingerprint(identity).values())
    assert all(sources and all(sources) for sources in identity.rests_on.values())
    assert ("module" in identity.rests_on) == bool(identity.module or identity.module_id)
    assert identity.dla.answer in ("yes", "no", "unknown")
    assert len(identity.contradictions) == len(set(identity.contradictions))
    assert render_board_text(identity, Reading()).endswith("\n")
    json.dumps(board_json(identity, Reading()), allow_nan=False)


@given(junk)
def test_any_bytes_are_parsed_or_refused_quietly(raw: bytes) -> None:
    assert parse.parse_text(raw).isprintable()
    assert all(text.isprintable() and text for text in parse.parse_strings(raw))
    for parser in (parse.parse_int, parse.parse_uptime, parse.parse_tegra_release, parse.parse_tnspec):
        parser(raw)
    for times in parse.parse_proc_stat(raw).values():
        assert 0 <= times.busy <= times.total
    assert all(value >= 0 for value in parse.parse_meminfo(raw).values())
    assert len(parse.parse_cpu_list(raw)) <= 10_000
    parse.parse_dpkg_status(raw, re.compile("nvidia-l4t-core"))


counts = st.integers(min_value=0, max_value=10**9)
times = st.builds(lambda busy, idle: parse.CpuTimes(busy, busy + idle), counts, counts)


@given(times, times)
def test_a_cpu_load_is_a_percentage_or_nothing(before: parse.CpuTimes, after: parse.CpuTimes) -> None:
    load = parse.cpu_load(before, after)
    assert load is None or 0.0 <= load <= 100.0
    assert (load is None) == (after.total <= before.total)
