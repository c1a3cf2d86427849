"""What stands against installing here, and what a person should know. Pure: facts in, findings with their mends out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from edgeagent.install.facts import Facts

NEEDED_MB = 1500
"""A release is about 500 MB, and two of them are there during an upgrade."""
OLDEST_SYSTEMD = 249
JETPACKS = {32: "JetPack 4", 34: "JetPack 5", 35: "JetPack 5", 36: "JetPack 6", 38: "JetPack 7", 39: "JetPack 7"}
SUPPORTED = (36, 38, 39)
PYTHONS = {36: (3, 10), 38: (3, 12), 39: (3, 12)}
FIRST_YEAR = 2025


@dataclass(frozen=True)
class Finding:
    """`fatal`: nothing is installed. `package`: the Debian or Ubuntu package that mends it, where one does."""

    fatal: bool
    text: str
    mend: str
    package: str = ""

    def line(self) -> str:
        return f"{'problem' if self.fatal else 'note'}: {self.text}; {self.mend}"


def check(facts: Facts, *, any_host: bool, makes_release: bool = True) -> list[Finding]:
    """Everything at once, the fatal ones first. `any_host`: this need not be a Jetson, nor have what only one has.
    `makes_release`: where the release is there already, no room is needed for it."""
    found = [
        *_ground(facts),
        *(_room(facts) if makes_release else ()),
        *_board(facts, any_host),
        *(_jetpack_parts(facts, any_host) if facts.l4t else ()),
    ]
    return sorted([*found, *_small(facts, any_host)], key=lambda finding: not finding.fatal)


def _ground(facts: Facts) -> Iterator[Finding]:
    if not facts.root:
        yield Finding(True, "installing on a device needs root", "sudo ./install.sh")
    if facts.python < (3, 10):
        yield Finding(True, f"Python {facts.python_text} is too old", "edgeagent needs 3.10 or newer: JetPack 6 or 7")
    if facts.systemd == 0:
        yield Finding(True, "systemd does not run this machine", "in a container, use ./install.sh --demo")
    elif facts.systemd < OLDEST_SYSTEMD:
        text = f"systemd {facts.systemd} is older than {OLDEST_SYSTEMD}"
        yield Finding(True, text, "JetPack 6 has 249, JetPack 7 has 255")
    for link in facts.links:
        mend = (
            f"remove the link, and mount that directory there instead: sudo mount --bind DIR {link} (and in /etc/fstab)"
        )
        yield Finding(True, f"{link} is a link, and systemd starts no service whose directory is one", mend)


def _room(facts: Facts) -> Iterator[Finding]:
    if facts.free_mb < NEEDED_MB:
        text = f"{facts.free_mb} MB are free where /opt lies, and {NEEDED_MB} MB are needed"
        yield Finding(True, text, "remove what is not needed: sudo apt clean; journalctl --vacuum-size=100M")


def _board(facts: Facts, any_host: bool) -> Iterator[Finding]:
    major = facts.l4t_major
    name = JETPACKS.get(major, f"L4T R{major}")
    if major and major not in SUPPORTED:
        text = f"this is {name} (L4T {facts.l4t}), whose TensorRT speaks to older Pythons only"
        if major > max(SUPPORTED):
            text = f"this is L4T {facts.l4t}, which this version of edgeagent does not know yet"
        yield Finding(True, text, "edgeagent supports JetPack 6 and 7: flash the device with one of them")
    elif major and facts.python != PYTHONS[major] and not any_host:
        wanted = "{}.{}".format(*PYTHONS[major])
        text = f"python3 is {facts.python_text}, and {name}'s TensorRT is for {wanted}"
        yield Finding(True, text, f"let /usr/bin/python3 be the system's own Python {wanted} again")
    elif not major and facts.jetson:
        text = "this is a Jetson, and its L4T release is not to be found (/etc/nv_tegra_release, nvidia-l4t-core)"
        yield Finding(not any_host, text, "install JetPack: sudo apt install nvidia-l4t-core nvidia-jetpack")
    elif not major and not any_host:
        text = "this is not a Jetson"
        yield Finding(True, text, "add --any-host to install here all the same: without a GPU it runs on ONNX Runtime")


def _jetpack_parts(facts: Facts, any_host: bool) -> Iterator[Finding]:
    """What JetPack brings and a device needs; a virtual Jetson, on any host, does without."""
    fatal = not any_host
    if not facts.tensorrt:
        without = "engines could not be built" if fatal else "engines will be ONNX Runtime's"
        mend = "sudo apt install nvidia-jetpack, or only python3-libnvinfer"
        yield Finding(fatal, f"python3 finds no TensorRT, and {without}", mend if fatal else f"on a device: {mend}")
    if not facts.cv2:
        without = "cameras could not be opened" if fatal else "the release brings one without GStreamer"
        mend = "sudo apt install nvidia-jetpack, or only libopencv-python"
        yield Finding(fatal, f"python3 finds no OpenCV, and {without}", mend if fatal else f"on a device: {mend}")
    elif not facts.cv2_gstreamer:
        text = (
            f"python3's OpenCV {facts.cv2} was built without GStreamer: CSI cameras and hardware decoding do not work"
        )
        yield Finding(fatal, text, "sudo pip3 uninstall opencv-python opencv-python-headless; then JetPack's shows")
    if facts.tensorrt and not facts.nvcc:
        mend = "sudo apt install nvidia-jetpack, or only cuda-nvcc and cuda-cudart-dev of your CUDA release"
        yield Finding(fatal, "nvcc is missing, and pycuda could not be built", mend)


def _small(facts: Facts, any_host: bool) -> Iterator[Finding]:
    if not facts.venv:
        package = f"python{facts.python_text}-venv"
        yield Finding(True, "Python cannot make a virtual environment", f"sudo apt install {package}", package)
    if not facts.journal:
        text = "systemd's library for Python is missing: journal entries get no fields of their own"
        yield Finding(False, text, "sudo apt install python3-systemd", "python3-systemd")
    if facts.year < FIRST_YEAR:
        text = f"the clock says {facts.year}: downloads and TLS brokers will be refused"
        yield Finding(False, text, "set the time: sudo timedatectl set-ntp true")


def wanted_packages(findings: list[Finding]) -> list[str]:
    """The system packages to install by name."""
    return [finding.package for finding in findings if finding.package]


def numpy_1_only(facts: Facts) -> bool:
    """Whether the system's OpenCV and TensorRT were built for NumPy 1: a NumPy 2 beside them breaks their import."""
    return facts.numpy.startswith("1.") and bool(facts.cv2 or facts.tensorrt)
