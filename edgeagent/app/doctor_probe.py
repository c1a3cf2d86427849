"""The child that imports one module and tells what it found: `python doctor_probe.py cv2`. Standard library only.

Importing cv2, TensorRT or pycuda may hang in a driver, end in a signal or print whatever it likes; jtop changes the
way Python starts processes. All of that happens here, in a process that the doctor ends. Each line that starts with
the mark is a JSON object of facts, the later ones winning; the exit code says nothing, for a module may end the
process with any: without the fact `done` or an `error` it did.

Run as a file and not as a module of the package: it must import what the agent's children would, from the same
sys.path, and nothing else.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import re
import signal
import sys
from collections.abc import Callable
from types import ModuleType

MARK = "edgeagent-probe "
_PR_SET_PDEATHSIG = 1


def tell(**facts: str | int) -> None:
    sys.stdout.write(f"\n{MARK}{json.dumps(facts)}\n")
    sys.stdout.flush()


def probe_cv2(module: ModuleType) -> None:
    """OpenCV names GStreamer in its build information: `    GStreamer:                   YES (1.20.3)`."""
    found = re.search(r"^\s*GStreamer:\s*(\S.*)$", module.getBuildInformation(), re.MULTILINE)
    tell(gstreamer=found.group(1).strip() if found else "NO")


def probe_tensorrt(module: ModuleType) -> None:
    """Making a runtime starts CUDA, which takes seconds on a device and fails where there is no GPU."""
    tell(stage="asking TensorRT for num_DLA_cores")
    runtime = module.Runtime(module.Logger(module.Logger.ERROR))
    tell(num_dla_cores=int(runtime.num_DLA_cores))


def probe_pycuda(module: ModuleType) -> None:
    tell(stage="starting CUDA")
    driver = importlib.import_module("pycuda.driver")
    tell(built_for=".".join(str(part) for part in driver.get_version()[:2]))
    driver.init()
    tell(devices=driver.Device.count())
    if driver.Device.count():
        device = driver.Device(0)
        tell(gpu=device.name(), compute_capability=".".join(map(str, device.compute_capability())))


def probe_bindings(_: ModuleType) -> None:
    """The release stands in the package above."""
    tell(version=str(getattr(importlib.import_module("cuda.bindings"), "__version__", "")))


def probe_nothing(_: ModuleType) -> None:
    """The import was all there is to see."""


PROBES: dict[str, Callable[[ModuleType], None]] = {
    "cv2": probe_cv2,
    "tensorrt": probe_tensorrt,
    "pycuda": probe_pycuda,
    "cuda.bindings.driver": probe_bindings,
}


def main(name: str) -> int:
    """Import `name`, tell its file and version, then what only a look inside shows."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    try:
        module = importlib.import_module(name)
        tell(file=str(getattr(module, "__file__", "") or ""), version=str(getattr(module, "__version__", "")))
        PROBES.get(name, probe_nothing)(module)
        tell(done=1)
    except ModuleNotFoundError as error:
        tell(missing=str(error.name), error=str(error))
    except Exception as error:  # noqa: BLE001  the outermost function of a child
        tell(error=f"{type(error).__name__}: {error}")
    return 0


if __name__ == "__main__":
    here = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 - as sys.path has it
    sys.path[:] = [entry for entry in sys.path if entry != here]  # its neighbours are no modules of that name
    sys.exit(main(sys.argv[1]))
