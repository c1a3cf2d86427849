"""Machines to install on, as facts. No tests in here."""

from __future__ import annotations

from dataclasses import replace

from edgeagent.install.facts import Facts

ORIN = Facts(
    root=True,
    python=(3, 10),
    arch="aarch64",
    jetson=True,
    l4t="36.4.7",
    free_mb=20_000,
    systemd=249,
    venv=True,
    journal=True,
    tensorrt="10.3.0",
    cv2="4.8.0",
    cv2_gstreamer=True,
    numpy="1.21.5",
    nvcc="/usr/local/cuda/bin/nvcc",
    year=2026,
)
THOR = replace(ORIN, python=(3, 12), l4t="38.2.1", systemd=255, tensorrt="10.13.3", numpy="1.26.4")
PC = replace(
    ORIN, python=(3, 11), arch="x86_64", jetson=False, l4t="", systemd=252, tensorrt="", cv2="", numpy="", nvcc=""
)
