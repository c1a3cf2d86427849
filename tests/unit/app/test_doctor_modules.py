"""From what the children told to lines with a mend."""

from __future__ import annotations

import dataclasses

import pytest

from edgeagent.app.doctor_children import BINDINGS, MODULES, Probe
from edgeagent.app.doctor_facts import User
from edgeagent.app.doctor_modules import System, check_modules
from edgeagent.app.doctor_report import Check
from edgeagent.board.identity import Evidence, Identity, decide_identity

PC = dataclasses.replace(decide_identity(Evidence(machine="x86_64")), onnxruntime="1.23.0")
ORIN_NX = decide_identity(
    Evidence(
        compatible=b"nvidia,p3768-0000+p3767-0000\0nvidia,p3767-0000\0nvidia,tegra234\0",
        tegra_release=b"# R36 (release), REVISION: 4.7, GCID: 1\n",
        packages={"libnvinfer10": "10.3.0.30-1+cuda12.5", "cuda-cudart-12-6": "12.6.68-1"},
        libraries={"onnxruntime": "1.23.0"},
    )
)
ANNA = User("anna", 1000, frozenset(("anna", "video", "jtop")))
WORKS = {
    "cv2": Probe("cv2", {"version": "4.8.0", "file": "/c/cv2.so", "gstreamer": "YES (1.20.3)"}),
    "tensorrt": Probe("tensorrt", {"version": "10.3.0", "file": "/t.py", "num_dla_cores": 2}),
    "pycuda": Probe("pycuda", {"built_for": "12.6", "gpu": "Orin", "compute_capability": "8.7", "devices": 1}),
    BINDINGS: Probe(BINDINGS, {"version": "12.6.2", "file": "/b.so"}),
    "lap": Probe("lap", {"version": "0.5.12", "file": "/l.so"}),
    "jtop": Probe("jtop", {"version": "4.3.2", "file": "/j.py"}),
}
NOTHING = {name: Probe(name, {"missing": name}, f"No module named {name!r}") for name in MODULES}


def check(
    name: str,
    identity: Identity = ORIN_NX,
    user: User = ANNA,
    socket: bool = True,
    same: bool = True,
    system: System = "jetson",
    **probes: Probe,
) -> Check:
    found = check_modules(identity, {**WORKS, **probes}, user, jtop_socket=socket, same_machine=same, system=system)
    return next(one for one in found if one.name == name)


def test_a_jetson_with_everything_is_fine() -> None:
    found = list(check_modules(ORIN_NX, WORKS, ANNA, jtop_socket=True, same_machine=True, system="jetson"))
    assert [one.name for one in found] == [
        "cv2",
        "onnxruntime",
        "tensorrt",
        "DLA",
        "pycuda",
        "cuda-bindings",
        "lap",
        "jtop",
    ]
    assert {one.state for one in found} == {"ok"}
    assert check("cv2").text == "4.8.0 (/c/cv2.so) with GStreamer 1.20.3"
    assert check("tensorrt").text == "10.3.0 (/t.py), built for CUDA 12.5"
    assert "num_DLA_cores 2" in check("DLA").text


def test_a_laptop_with_none_of_them_misses_opencv_alone() -> None:
    found = list(check_modules(PC, NOTHING, ANNA, jtop_socket=False, same_machine=True, system="debian"))
    assert {one.name: one.state for one in found if one.state != "ok"} == {"cv2": "problem"}


@pytest.mark.parametrize(
    ("name", "changes", "state", "says"),
    [
        ("cv2", {"cv2": NOTHING["cv2"]}, "problem", "not installed"),
        ("cv2", {"cv2": Probe("cv2", {"file": "/c"}, "ImportError: numpy.core")}, "problem", "numpy.core"),
        (
            "cv2",
            {"cv2": Probe("cv2", {"gstreamer": "NO", "version": "4.11", "file": "/p"})},
            "warning",
            "no CSI camera",
        ),
        ("tensorrt", {"tensorrt": NOTHING["tensorrt"]}, "warning", "this Python cannot import it"),
        ("tensorrt", {"tensorrt": Probe("tensorrt", {}, "OSError: libnvdla")}, "warning", "libnvdla"),
        (
            "tensorrt",
            {"tensorrt": Probe("tensorrt", {"version": "10.3.0"}, "asking took more than 15 s and was ended")},
            "warning",
            "was ended",
        ),
        ("DLA", {"tensorrt": Probe("tensorrt", {"num_dla_cores": 0})}, "warning", "expected: yes"),
        ("DLA", {"tensorrt": NOTHING["tensorrt"]}, "ok", "yes: Jetson Orin NX 16GB has 2 DLA cores"),
        ("pycuda", {"pycuda": NOTHING["pycuda"]}, "warning", "TensorRT cannot be used without it"),
        ("pycuda", {"pycuda": Probe("pycuda", {}, "cuInit failed: no CUDA-capable device")}, "warning", "cuInit"),
        ("pycuda", {"pycuda": Probe("pycuda", {"compute_capability": "7.2"})}, "warning", "expected 8.7"),
        ("cuda-bindings", {BINDINGS: NOTHING[BINDINGS]}, "warning", "without CUDA graphs"),
        ("cuda-bindings", {BINDINGS: Probe(BINDINGS, {"missing": "cuda"}, "none")}, "warning", "not installed"),
        ("cuda-bindings", {BINDINGS: Probe(BINDINGS, {"missing": "cud"}, "none")}, "warning", "does not work"),
        ("cuda-bindings", {BINDINGS: Probe(BINDINGS, {}, "ImportError: libcuda")}, "warning", "libcuda"),
        (
            "cuda-bindings",
            {BINDINGS: NOTHING[BINDINGS], "tensorrt": NOTHING["tensorrt"]},
            "ok",
            "not needed without TensorRT",
        ),
        ("lap", {"lap": NOTHING["lap"]}, "ok", "pipelines with tracking"),
        ("lap", {"lap": Probe("lap", {}, "ImportError: numpy")}, "warning", "nothing can be tracked"),
        ("jtop", {"jtop": NOTHING["jtop"]}, "ok", "optional"),
        ("jtop", {"jtop": Probe("jtop", {}, "ModuleNotFoundError")}, "warning", "does not work"),
    ],
)
def test_what_is_wrong_has_a_state_and_a_mend(name: str, changes: dict[str, Probe], state: str, says: str) -> None:
    found = check(name, **changes)
    assert (found.state, says in found.text) == (state, True)
    assert bool(found.mend) == (state != "ok")


def test_a_tensorrt_for_another_cuda_is_named() -> None:
    evidence = Evidence(
        packages={"libnvinfer10": "10.3.0.30-1+cuda12.5"}, cuda_json=b'{"cuda": {"version": "11.4.315"}}'
    )
    found = check("tensorrt", identity=decide_identity(evidence))
    assert (found.state, found.text) == ("warning", "10.3.0 (/t.py), built for CUDA 12.5, installed is CUDA 11.4.315")
    pip = decide_identity(Evidence(libraries={"tensorrt-cu12": "10.3.0"}))
    assert check("tensorrt", identity=pip).facts["built_for_cuda"] == "12"


def test_a_jetson_without_tensorrt_and_a_machine_without_any_runtime() -> None:
    bare = dataclasses.replace(ORIN_NX, tensorrt="", onnxruntime="")
    without = check("tensorrt", identity=bare, tensorrt=NOTHING["tensorrt"])
    assert (without.state, without.text) == ("warning", "not installed: models run on ONNX Runtime, on the CPU")
    elsewhere = check("tensorrt", identity=bare, tensorrt=NOTHING["tensorrt"], same=False)
    assert elsewhere.state == "ok", "this machine's Python says nothing about another board"
    neither = check("pycuda", tensorrt=NOTHING["tensorrt"], pycuda=NOTHING["pycuda"])
    assert (neither.state, "not needed without TensorRT" in neither.text) == ("ok", True)
    assert check("onnxruntime", identity=bare, tensorrt=NOTHING["tensorrt"]).state == "problem"
    assert check("onnxruntime", identity=bare).state == "problem"  # every engine is proven against it


@pytest.mark.parametrize("broken", [{}, {"missing": "cv2"}, {"gstreamer": "NO"}])
def test_mends_are_those_of_the_system(broken: dict[str, str]) -> None:
    """No JetPack for a PC, no apt where there is none."""
    failing: dict[str, Probe] = {name: Probe(name, {}, "OSError: no") for name in MODULES}
    failing["cv2"] = Probe("cv2", broken, "" if "gstreamer" in broken else "ImportError: no")
    mends: dict[System, str] = {}
    for system in ("jetson", "debian", "other"):
        found = check_modules(ORIN_NX, failing, ANNA, jtop_socket=False, same_machine=True, system=system)
        mends[system] = " ".join(one.mend for one in found)
    assert "JetPack" in mends["jetson"]
    assert "JetPack" not in mends["debian"] + mends["other"]
    assert "libnvinfer" not in mends["debian"] + mends["other"]
    assert "apt " in mends["debian"]
    assert "apt " not in mends["other"]
    if "gstreamer" in broken:
        assert not any("pip install opencv" in mend for mend in mends.values())  # it is pip's build that has none


def test_under_another_root_this_machines_gpu_contradicts_nothing() -> None:
    another = {"pycuda": Probe("pycuda", {"compute_capability": "9.0", "gpu": "H200", "built_for": "12.6"})}
    assert check("pycuda", same=False, **another).state == "ok"
    assert check("DLA", same=False, tensorrt=Probe("tensorrt", {"num_dla_cores": 0})).text.startswith("yes: ")
    assert check("tensorrt", same=False, tensorrt=NOTHING["tensorrt"]).state == "ok"
    both = check("tensorrt", same=False, tensorrt=Probe("tensorrt", {"version": "11.1.0", "file": "/t.py"}))
    assert (both.state, both.text) == ("ok", "the board has 10.3.0.30 and this Python has 11.1.0")
    assert check("cv2", same=False, cv2=Probe("cv2", {"version": "4", "file": "/c", "gstreamer": "NO"})).state == "ok"


def test_jtop_wants_its_service_and_its_group() -> None:
    assert "not running" in check("jtop", socket=False).text
    stranger = User("bert", 1001, frozenset(("bert",)))
    assert check("jtop", user=stranger).mend.startswith("sudo usermod -aG jtop bert")
    assert check("jtop", user=User("root", 0, frozenset())).state == "ok"


def test_tracking_without_its_package_is_a_problem_where_a_pipeline_wants_it() -> None:
    found = check_modules(
        PC, NOTHING, ANNA, jtop_socket=False, same_machine=True, system="debian", tracking=["belt", "yard"]
    )
    lap = next(check for check in found if check.name == "lap")
    assert lap.state == "problem" and "(belt, yard)" in lap.text and "edgeagent[tracking]" in lap.mend
