"""Which Python packages a release gets, in pip's words. Pure.

The versions are those of the lock file, exported to `constraints.txt` (a test holds it to uv.lock). What JetPack brings
is never among them: a pip's OpenCV or TensorRT in the environment would hide the system's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from edgeagent.install.checks import numpy_1_only
from edgeagent.install.facts import Facts

NEVER = ("opencv-python", "opencv-contrib-python", "tensorrt", "tensorrt-cu12", "tensorrt-cu13")
HEADLESS = "opencv-python-headless"
NUMPY_1 = ("numpy==1.26.4", "ml-dtypes==0.5.4")
"""The last NumPy 1, which is there for Python 3.10 and 3.12, and the last release of what depends on it that takes it.
All else of the lock stays (a test resolves it)."""
PYCUDA = "pycuda>=2024.1"
CUDA_BINDINGS = {36: "cuda-bindings>=12.6,<13", 38: "cuda-bindings>=13,<14", 39: "cuda-bindings>=13,<14"}


def requirements(edgeagent: str, facts: Facts) -> list[str]:
    """What the environment is made of. `edgeagent`: the path of its wheel."""
    found = [f"{edgeagent}[device]"]
    if not facts.cv2:
        found.append(HEADLESS)
    if needs_pycuda(facts):
        found.append(PYCUDA)
        found.append(CUDA_BINDINGS.get(facts.l4t_major, "cuda-bindings>=12.6"))
    return found


def needs_pycuda(facts: Facts) -> bool:
    return bool(facts.tensorrt and facts.nvcc)


def constraints(locked: str, facts: Facts) -> str:
    """The locked versions for this machine: without NumPy's where the system's parts were built for NumPy 1."""
    lines = [line for line in locked.splitlines() if line and not line.startswith("#")]
    if numpy_1_only(facts):
        other = {requirement_name(line) for line in NUMPY_1}
        lines = [*(line for line in lines if requirement_name(line) not in other), *NUMPY_1]
    return "\n".join([*lines, ""])


def install_arguments(wanted: Sequence[str], constraints_file: str, sources: Sequence[str]) -> list[str]:
    """`pip ARGUMENTS`. `sources` are where packages come from, as `source_arguments` says. pycuda is the one that was
    built for this JetPack, also where a newer source is to be had. Into the environment, also where root's pip is set
    to the user's own packages: the environment sees those of the system, and pip would take that for an invitation."""
    words = ["install", "--quiet", "--no-input", "--no-user", "--no-cache-dir", "--only-binary", "pycuda", *sources]
    return [*words, "--constraint", constraints_file, *wanted]


def source_arguments(wheels: Sequence[str], *, online: bool) -> list[str]:
    """Directories with wheels, and the index where there may be a network."""
    links = [word for place in wheels for word in ("--find-links", place)]
    return links if online else ["--no-index", *links]


def shadowing(installed: Sequence[str], facts: Facts) -> list[str]:
    """Of the packages that lie in the environment itself, those that hide a part of the system."""
    names = {re.sub("[-_.]+", "-", name).lower() for name in installed}
    hiding = [*NEVER, *([HEADLESS, "opencv-contrib-python-headless"] if facts.cv2 else [])]
    return sorted(names & set(hiding))


def requirement_name(line: str) -> str:
    match = re.match(r"[A-Za-z0-9._-]+", line)
    return re.sub("[-_.]+", "-", match[0]).lower() if match else ""


def locked_lines(locked: str) -> Iterator[str]:
    """The requirements of the exported lock, one a line, with their markers."""
    for line in locked.splitlines():
        if line and not line.startswith(("#", " ")):
            yield line
