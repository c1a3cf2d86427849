"""Real children that import real (made up) modules: those that work, hang, die, lie and are not there."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from pathlib import Path

import pytest

from edgeagent.app.doctor_children import Probe, probe_modules

HANGS = "import os\nr, w = os.pipe()\nos.read(r, 1)\n"


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory that children find modules in before any other."""
    directory = tmp_path / "packages"
    directory.mkdir()
    monkeypatch.setenv("PYTHONPATH", str(directory))
    return directory


def probe(module: str, limit_s: float = 30.0) -> Probe:
    return probe_modules(limit_s, (module,))[module]


def ends(pid: int) -> bool:
    """Whether the process is gone or goes: a killed one takes a moment, one that lives on takes longer than this."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([fd], [], [], 30.0)[0])
    finally:
        os.close(fd)


def test_a_module_that_is_not_there_is_missing(packages: Path) -> None:
    found = probe("no_such_module_at_all")
    assert found.missing
    assert "no_such_module_at_all" in found.error


def test_a_module_that_lacks_another_is_broken_and_not_missing(packages: Path) -> None:
    (packages / "cv2.py").write_text("import no_such_module_at_all\n")
    found = probe("cv2")
    assert not found.missing
    assert found.error == "No module named 'no_such_module_at_all'"


def test_an_import_that_hangs_is_ended(packages: Path) -> None:
    pid_file = packages / "pid"
    (packages / "cv2.py").write_text(
        "import os, signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"open({str(pid_file)!r}, 'w').write(str(os.getpid()))\n{HANGS}"
    )
    found = probe("cv2", limit_s=3.0)
    assert found.error == "importing it took more than 3 s and was ended"
    assert ends(int(pid_file.read_text()))


def test_what_a_hanging_import_started_ends_with_it(packages: Path) -> None:
    pid_file = packages / "pid"
    (packages / "cv2.py").write_text(
        "import subprocess, sys\n"
        f"child = subprocess.Popen([sys.executable, '-c', {HANGS!r}])\n"
        f"open({str(pid_file)!r}, 'w').write(str(child.pid))\n{HANGS}"
    )
    assert "was ended" in probe("cv2", limit_s=3.0).error
    assert ends(int(pid_file.read_text()))


def test_all_are_asked_at_once_and_one_that_hangs_takes_nothing_from_the_others(packages: Path) -> None:
    """Each module waits until the other has been imported: in turn, neither would come to an end."""
    for name, other in (("one", "two"), ("two", "one")):
        os.mkfifo(packages / f"{name}.fifo")
        first = "open(mine, 'w').close(); open(theirs).close()"
        second = "open(theirs).close(); open(mine, 'w').close()"
        order = first if name == "one" else second
        paths = f"mine, theirs = {str(packages / f'{name}.fifo')!r}, {str(packages / f'{other}.fifo')!r}\n"
        (packages / f"{name}.py").write_text(f"{paths}{order}\n__version__ = '1'\n")
    (packages / "cv2.py").write_text(HANGS)
    found = probe_modules(5.0, ("one", "two", "cv2"))
    assert [found[name].text("version") for name in ("one", "two")] == ["1", "1"]
    assert "was ended" in found["cv2"].error


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("import os, signal\nos.kill(os.getpid(), signal.SIGILL)\n", "signal SIGILL"),
        ("import os, sys\nprint('libfoo is broken', file=sys.stderr, flush=True)\nos._exit(3)\n", "exit code 3"),
        ("import sys\nsys.exit(7)\n", "exit code 7"),
        ("import sys\nsys.exit(0)\n", "exit code 0"),
        ("import os\nos._exit(0)\n", "exit code 0"),
        (
            "import atexit, os\natexit.register(os._exit, 9)\n"
            "class Logger:\n    ERROR = 1\n    def __init__(self, n): ...\n"
            "class Runtime:\n    num_DLA_cores = 2\n    def __init__(self, n): ...\n",
            "exit code 9",
        ),
        ("raise RuntimeError('CUDA driver version is insufficient')\n", "RuntimeError: CUDA driver version"),
        ("def broken(:\n", "SyntaxError"),
    ],
)
def test_an_import_that_ends_the_process_says_how(packages: Path, source: str, says: str) -> None:
    (packages / "tensorrt.py").write_text(source)
    found = probe("tensorrt")
    assert says in found.error
    assert not found.missing


def test_the_last_line_of_a_dying_library_is_kept(packages: Path) -> None:
    (packages / "cv2.py").write_text(
        "import os, sys\nprint('a\\nlibfoo is broken', file=sys.stderr, flush=True)\nos._exit(3)\n"
    )
    assert probe("cv2").error == "its import ended the process (exit code 3): libfoo is broken"


def test_noise_on_stdout_and_half_a_line_do_no_harm(packages: Path) -> None:
    (packages / "cv2.py").write_text(
        "import os\nprint('edgeagent-probe {\"gstreamer\": ')\nprint('[TRT] hello', end='')\n__version__ = '4.8.0'\n"
        "def getBuildInformation():\n    os.write(1, b'\\xff\\xfe')\n"
        "    return 'Video I/O:\\n    GStreamer:      YES (1.20.3)\\n'\n"
    )
    found = probe("cv2")
    assert (found.error, found.text("version"), found.text("gstreamer")) == ("", "4.8.0", "YES (1.20.3)")


@pytest.mark.parametrize("line", ["[1, 2]", "7", "null", '"text"', "[" * 100_000])
def test_a_marked_line_of_another_shape_does_no_harm(packages: Path, line: str) -> None:
    (packages / "one.py").write_text(f"print('edgeagent-probe ' + {line!r})\n__version__ = '1'\n")
    found = probe("one")
    assert (found.error, found.text("version")) == ("", "1")


@pytest.mark.parametrize(("line", "gstreamer"), [("    GStreamer:   NO\n", "NO"), ("    FFMPEG:  YES\n", "NO")])
def test_an_opencv_without_gstreamer(packages: Path, line: str, gstreamer: str) -> None:
    (packages / "cv2.py").write_text(f"def getBuildInformation():\n    return {line!r}\n")
    assert probe("cv2").text("gstreamer") == gstreamer


TENSORRT = """
__version__ = "10.3.0"
class Logger:
    ERROR = 1
    def __init__(self, level): pass
class Runtime:
    def __init__(self, logger): {body}
    num_DLA_cores = 2
"""


def test_tensorrt_is_asked_for_its_dla_cores(packages: Path) -> None:
    (packages / "tensorrt.py").write_text(TENSORRT.format(body="pass"))
    found = probe("tensorrt")
    assert (found.error, found.text("version"), found.facts["num_dla_cores"]) == ("", "10.3.0", 2)


def test_a_tensorrt_that_hangs_when_cuda_starts_is_still_known_by_its_version(packages: Path) -> None:
    (packages / "tensorrt.py").write_text(TENSORRT.format(body="import os; os.read(os.pipe()[0], 1)"))
    found = probe("tensorrt", limit_s=3.0)
    assert found.text("version") == "10.3.0"
    assert found.error == "asking TensorRT for num_DLA_cores took more than 3 s and was ended"


def test_pycuda_tells_the_gpu(packages: Path) -> None:
    (packages / "pycuda").mkdir()
    (packages / "pycuda/__init__.py").write_text("")
    (packages / "pycuda/driver.py").write_text(
        "def init(): pass\ndef get_version(): return (12, 6, 0)\nclass Device:\n    def __init__(self, n): pass\n"
        "    count = staticmethod(lambda: 1)\n    def name(self): return 'Orin'\n"
        "    def compute_capability(self): return (8, 7)\n"
    )
    found = probe("pycuda")
    assert (found.error, found.text("built_for"), found.text("gpu")) == ("", "12.6", "Orin")
    assert found.text("compute_capability") == "8.7"


@pytest.mark.parametrize("name", ["doctor", "wiring", "doctor_probe"])
def test_neighbours_of_the_probe_are_not_taken_for_modules(packages: Path, name: str) -> None:
    assert probe(name).missing


def test_the_real_opencv_of_this_interpreter_is_told_with_its_file() -> None:
    found = probe("cv2", limit_s=60.0)
    assert not found.missing
    assert found.text("file").endswith(".py")
    assert found.text("gstreamer").startswith(("YES", "NO"))


def test_the_process_of_the_doctor_imports_none_of_them(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from edgeagent.app.doctor import run_doctor\n"
        f"run_doctor(Path({str(tmp_path)!r}), False)\n"
        "print(sorted({'cv2', 'numpy', 'tensorrt', 'pycuda', 'jtop', 'onnxruntime'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=100, check=True)
    assert done.stdout == "[]\n"
