"""Programs from npm for tests: installed once, into a cache of the user's, and a skip with its reason where that cannot
be. No tests in here."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

import pytest

INSTALL_S = 60
CACHE = Path(os.environ.get("EDGEAGENT_NPM_CACHE", Path.home() / ".cache" / "edgeagent-tests" / "npm"))


def npm_package(name: str, version: str) -> Path:
    """A directory whose node_modules has that package. Skips the test where npm or its registry is not to be had."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip("npm and node are not installed")
    folder = CACHE / f"{name.strip('@').replace('/', '-')}-{version}"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests run in several processes at once
        if not (folder / "installed").exists():
            _install([npm, "install", "--prefix", str(folder), *_QUIET, f"{name}@{version}"])
            (folder / "installed").touch()
    return folder


_QUIET = ("--no-audit", "--no-fund", "--omit=optional", "--ignore-scripts", "--loglevel=error")


def _install(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_S, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip(f"npm did not install {command[-1]} within {INSTALL_S} s")
    if done.returncode:
        pytest.skip(f"npm cannot install {command[-1]}: {(done.stderr.strip() or done.stdout.strip())[:200]}")
