"""What the Python modules of this interpreter are good for: probes in, checks out. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Literal

from edgeagent.app.doctor_children import BINDINGS, Probe
from edgeagent.app.doctor_facts import User
from edgeagent.app.doctor_report import Check, ok, problem, warning
from edgeagent.board.dla import DlaAnswer, DlaProbe, dla_contradiction, with_probe
from edgeagent.board.identity import Identity

System = Literal["jetson", "debian", "other"]
"""Where packages come from: JetPack and apt, apt alone, or neither (Yocto and others)."""

_GSTREAMER_MENDS: dict[System, str] = {
    "jetson": "sudo apt install libopencv-python (JetPack) or python3-opencv, and a venv with --system-site-packages",
    "debian": "sudo apt install python3-opencv, and a venv with --system-site-packages",
    "other": "install your distribution's OpenCV, built with GStreamer",
}
_CV2_MENDS: dict[System, str] = {
    "jetson": _GSTREAMER_MENDS["jetson"],
    "debian": f"pip install opencv-python-headless, or for one with GStreamer: {_GSTREAMER_MENDS['debian']}",
    "other": f"pip install opencv-python-headless, or for one with GStreamer: {_GSTREAMER_MENDS['other']}",
}
_TENSORRT_MENDS: dict[System, str] = {
    "jetson": "sudo apt install --reinstall python3-libnvinfer",
    "debian": "install its Python package again, or remove it",
    "other": "install its Python package again, or remove it",
}
_TENSORRT_SOURCES: dict[System, str] = {
    "jetson": "sudo apt install python3-libnvinfer (JetPack)",
    "debian": "install the Python package of TensorRT",
    "other": "install the Python package of TensorRT",
}
_PYCUDA_MENDS: dict[System, str] = {
    "jetson": "sudo apt install --reinstall python3-pycuda, or pip install pycuda with the CUDA toolkit present",
    "debian": "sudo apt install --reinstall python3-pycuda, or pip install pycuda with the CUDA toolkit present",
    "other": "pip install pycuda with the CUDA toolkit present, or remove it",
}
_ON_THE_CPU = "models run on ONNX Runtime, on the CPU"
_SEEN_BY_PYTHON = "use a Python that sees it: JetPack's own, or a venv of it with --system-site-packages"
_CUDA_OF_PACKAGE = re.compile(r"\+cuda([0-9]{1,3}\.[0-9]{1,3})")


def check_modules(
    identity: Identity,
    probes: Mapping[str, Probe],
    user: User,
    *,
    jtop_socket: bool,
    same_machine: bool,
    system: System,
    tracking: Sequence[str] = (),
) -> Iterator[Check]:
    """cv2, inference, TensorRT, DLA, pycuda, cuda-bindings, lap, jtop, in this order.

    `jtop_socket`: its service has one. `same_machine`: the modules run on the board of `identity`; under another root
    what they say of the GPU is about this machine and cannot contradict the board. `system` is this machine's.
    `tracking`: the pipelines that want it.
    Without TensorRT and pycuda models run on the CPU: on a Jetson that is worth a warning, elsewhere it is no fault.
    """
    board = identity if same_machine else replace(identity, compute_capability="")
    is_jetson = identity.kind != "not-a-jetson"
    yield _cv2(probes["cv2"], is_jetson and same_machine, system)
    yield _inference(identity)
    yield _tensorrt(identity, probes["tensorrt"], system, same_machine, is_jetson)
    yield _dla(identity, probes["tensorrt"] if same_machine else Probe("tensorrt"))
    yield _pycuda(board, probes["pycuda"], _PYCUDA_MENDS[system], has_tensorrt=not probes["tensorrt"].missing)
    yield _bindings(probes[BINDINGS], has_tensorrt=not probes["tensorrt"].missing)
    yield _lap(probes["lap"], tracking)
    yield _jtop(probes["jtop"], user, jtop_socket)


def _cv2(probe: Probe, is_jetson: bool, system: System) -> Check:
    how = _CV2_MENDS[system]
    if probe.missing:
        return problem("cv2", "not installed: no camera can be read", how)
    if probe.error and "gstreamer" not in probe.facts:
        return problem("cv2", f"does not work: {probe.error}", f"reinstall it: {how}", file=probe.text("file"))
    found, gstreamer = f"{probe.text('version')} ({probe.text('file')})", probe.text("gstreamer")
    facts = {"version": probe.text("version"), "file": probe.text("file"), "gstreamer": gstreamer}
    if gstreamer.startswith("YES"):
        return ok("cv2", f"{found} with GStreamer {gstreamer.removeprefix('YES').strip(' ()')}".rstrip(), **facts)
    text = f"{found} has no GStreamer: gst: sources do not open"
    if not is_jetson:
        return ok("cv2", text, **facts)
    mend = f"pip's build has none; {_GSTREAMER_MENDS[system]}. The first cv2 on sys.path is the one that counts"
    return warning("cv2", f"{text}, and with them no CSI camera", mend, **facts)


def _inference(identity: Identity) -> Check:
    """What runs models on the CPU, and what every engine is proven against."""
    if identity.onnxruntime:
        return ok("onnxruntime", identity.onnxruntime)
    return problem(
        "onnxruntime", "not installed: no engine can be proven, and none made for the CPU", "pip install onnxruntime"
    )


def _tensorrt(identity: Identity, probe: Probe, system: System, same_machine: bool, is_jetson: bool) -> Check:
    if probe.error and not probe.missing and not probe.text("version"):
        return warning("tensorrt", f"does not work: {probe.error}", _TENSORRT_MENDS[system])
    if not same_machine and identity.tensorrt:
        has = probe.text("version") or "none"
        return ok("tensorrt", f"the board has {identity.tensorrt} and this Python has {has}", version=has)
    if not probe.missing:
        return _working_tensorrt(identity, probe)
    if not identity.tensorrt:
        text = f"not installed: {_ON_THE_CPU}"
        source = _TENSORRT_SOURCES[system]
        return warning("tensorrt", text, source) if is_jetson and same_machine else ok("tensorrt", text)
    built_for = _built_for(identity)
    installed = identity.tensorrt + (f", built for CUDA {built_for}," if built_for else "")
    text = f"{installed} is installed, this Python cannot import it: {_ON_THE_CPU}"
    return warning("tensorrt", text, _SEEN_BY_PYTHON)


def _working_tensorrt(identity: Identity, probe: Probe) -> Check:
    built_for, cuda = _built_for(identity), identity.cuda
    text = f"{probe.text('version')} ({probe.text('file')})" + (f", built for CUDA {built_for}" if built_for else "")
    facts = {"version": probe.text("version"), "built_for_cuda": built_for, "cuda": cuda}
    if built_for and cuda and built_for.split(".")[0] != cuda.split(".", maxsplit=1)[0]:
        return warning("tensorrt", f"{text}, installed is CUDA {cuda}", "install the two from one JetPack", **facts)
    if probe.error:
        return warning(
            "tensorrt", f"{text}, but: {probe.error}", "see that this user may open the GPU's files", **facts
        )
    return ok("tensorrt", text, **facts)


def _built_for(identity: Identity) -> str:
    """`12.5` of a package version `10.3.0.30-1+cuda12.5`, `12` of the Python package tensorrt-cu12."""
    for finding in identity.evidence:
        if finding.fact.startswith("libnvinfer") and (found := _CUDA_OF_PACKAGE.search(finding.value)):
            return found.group(1)
    names = (finding.fact for finding in identity.evidence if finding.fact.startswith("tensorrt-cu"))
    return next((name.removeprefix("tensorrt-cu") for name in names), "")


def dla_answer(identity: Identity, probe: Probe, *, same_machine: bool) -> DlaAnswer:
    """What is to be gone by: `probe` is this machine's TensorRT, which knows nothing of a board under another root."""
    cores = probe.facts.get("num_dla_cores")
    return with_probe(identity.dla, DlaProbe(cores)) if same_machine and isinstance(cores, int) else identity.dla


def _dla(identity: Identity, probe: Probe) -> Check:
    """No DLA is no fault. A number that TensorRT does not confirm is worth a line."""
    declared, answer = identity.dla, dla_answer(identity, probe, same_machine=True)
    if answer.probed is None:
        return ok("DLA", f"{declared.answer}: {declared.reason}{_unprobed(probe)}", answer=declared.answer)
    facts = {"answer": answer.answer, "num_dla_cores": answer.probed, "declared": declared.cores}
    if doubt := dla_contradiction(declared, DlaProbe(answer.probed)):
        mend = "engines for the DLA follow what TensorRT reports; is this the JetPack that the module was flashed with?"
        return warning("DLA", f"{answer.answer}: {doubt}; expected: {declared.answer}", mend, **facts)
    return ok("DLA", f"{answer.answer}: {answer.reason}", **facts)


def _unprobed(probe: Probe) -> str:
    return f"; could not be probed: {probe.error}" if probe.error and not probe.missing else ""


def _pycuda(identity: Identity, probe: Probe, how: str, *, has_tensorrt: bool) -> Check:
    if probe.missing and has_tensorrt:
        return warning("pycuda", f"not installed, and TensorRT cannot be used without it: {_ON_THE_CPU}", how)
    if probe.missing:
        return ok("pycuda", "not installed, and not needed without TensorRT")
    if probe.error:
        return warning("pycuda", f"does not work: {probe.error}", how, file=probe.text("file"))
    told, known = probe.text("compute_capability"), identity.compute_capability
    text = f"{probe.text('gpu') or 'no GPU'}, built for CUDA {probe.text('built_for')}"
    if told and known and told != known:
        mend = "the module is not what its ids say; edgeagent board shows who says what"
        return warning("pycuda", f"the GPU has compute capability {told}, expected {known}", mend)
    return ok("pycuda", text, gpu=probe.text("gpu"), compute_capability=told)


def _bindings(probe: Probe, *, has_tensorrt: bool) -> Check:
    """Optional, and worth having wherever TensorRT runs on a GPU."""
    without = "engines start without CUDA graphs, and frames are copied once more"
    how = "pip install 'cuda-bindings' of the CUDA release that is here (12.x: 'cuda-bindings<13')"
    if probe.missing and has_tensorrt:
        return warning("cuda-bindings", f"not installed: {without}", how)
    if probe.missing:
        return ok("cuda-bindings", "not installed, and not needed without TensorRT")
    if probe.error:
        return warning("cuda-bindings", f"does not work, so {without}: {probe.error}", how, file=probe.text("file"))
    return ok("cuda-bindings", probe.text("version") or "installed")


def _lap(probe: Probe, tracking: Sequence[str]) -> Check:
    if probe.missing and tracking:
        text = f"not installed: pipelines with tracking do not run ({', '.join(tracking)})"
        return problem("lap", text, "install.sh brings it; elsewhere: pip install 'edgeagent[tracking]'")
    if probe.missing:
        return ok("lap", "not installed (optional: pipelines with tracking need it)")
    if probe.error:
        return warning("lap", f"does not work, so nothing can be tracked: {probe.error}", "pip install --upgrade lap")
    return ok("lap", f"{probe.text('version')} (optional)")


def _jtop(probe: Probe, user: User, socket: bool) -> Check:
    """Optional: nothing depends on it."""
    if probe.missing:
        return ok("jtop", "not installed (optional: the kernel's own files are read)")
    if probe.error:
        return warning("jtop", f"does not work: {probe.error}", "optional; pip install --upgrade jetson-stats")
    if not socket:
        return warning("jtop", f"{probe.text('version')}, its service is not running", "sudo jtop --install-service")
    if not user.is_in("jtop"):
        mend = f"sudo usermod -aG jtop {user.name}, then log in again (or restart the service)"
        return warning("jtop", f"{probe.text('version')}, but {user.name} is not in the group jtop", mend)
    return ok("jtop", f"{probe.text('version')} (optional)")
