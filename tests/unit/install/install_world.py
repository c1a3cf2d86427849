"""A machine that install.sh can be run on without being one: its programs are played, its files real. No tests here.

What is played refuses what the real thing refuses: a unit that is not there cannot be enabled, a program of a release
that is not complete is not found. A release behaves as the text in its `edgeagent/__init__.py` says.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from install_facts import PC

from edgeagent.install.options import Options
from edgeagent.install.places import AGENT, TRIAL, UNITS, Places
from edgeagent.install.source import Source, read_source
from edgeagent.install.steps import install_from, roll_back
from edgeagent.install.system import Completed, System
from edgeagent.install.trial import judge_trial

REPOSITORY = Path(__file__).parents[3]


class CutError(Exception):
    """The power is cut."""


class CutSystem(System):
    """The power is cut at its `at`-th change, before it is made; never where `at` is 0."""

    at = 0

    def _only_said(self, what: str) -> bool:
        if self.changes + 1 == self.at:
            raise CutError(what)
        return super()._only_said(what)


@dataclass
class Service:
    """The agent's service. `version`: of the release that runs; "" for none."""

    pid: int = 0
    restarts: int = 0
    active: str = "inactive"
    version: str = ""


class World:
    """The machine. Everything that is said is in `said`, every program that was run in `ran`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.places = Places(folder / "root", group="root")
        (folder / "root").mkdir()
        self.said: list[str] = []
        self.ran: list[str] = []
        self.enabled: set[str] = set()
        self.users: set[str] = set()
        self.read: dict[str, str] = {}
        """The units as systemd has read them."""
        self.user_home = "/var/lib/edgeagent"
        self.busy = False
        """Whether something else runs as the agent's user."""
        self.service = Service()
        self.time_s = 100.0
        self.pids = 1000
        self.sees_s = 0.0
        """Until then its status tells of an earlier return, gone or not: it looks once a second."""
        self.system = self.anew()

    def anew(self, *, cut_at: int = 0, dry_run: bool = False) -> CutSystem:
        """A new run of the installer."""
        self.system = CutSystem(
            dry_run=dry_run,
            say=self.said.append,
            run=self.run,
            sleep=self.sleep,
            now=lambda: self.time_s,
            sync=lambda: None,
        )
        self.system.at = cut_at
        return self.system

    def sleep(self, seconds: float) -> None:
        self.time_s += seconds
        if self.time_s >= self.sees_s > 0:
            self.sees_s = 0.0
            self.tell()
        if self.service.version and "crash" in self.service.version:
            self.crash()

    # --- what a person does

    def checkout(self, version: str) -> Source:
        """A checkout of that version. What it does when it runs is a part of its name: crash, silent, lacking."""
        place = self.folder / f"checkout-{version}"
        if not place.exists():
            (place / "edgeagent/power").mkdir(parents=True)
            (place / "edgeagent/install").mkdir()
            (place / "profiles").mkdir()
            (place / "edgeagent/__init__.py").write_text(f'__version__ = "{version}"\n')
            (place / "edgeagent/install/run.py").write_text("# run\n")
            (place / "edgeagent/power/helper.py").write_text("# helper\n")
            shutil.copytree(REPOSITORY / "systemd", place / "systemd")
            for name in ("install.sh", "pyproject.toml", "README.md", "LICENSE"):
                (place / name).write_text("x\n")
        return read_source(place)

    def install(self, version: str, *, cut_at: int = 0, dry_run: bool = False, **options: Any) -> int:
        asked = Options(healthy_s=30, **options)
        return install_from(
            self.anew(cut_at=cut_at, dry_run=dry_run), self.places, asked, self.checkout(version), replace(PC)
        )

    def roll_back(self) -> int:
        return roll_back(self.anew(), self.places, Options(action="rollback", healthy_s=30))

    def boot(self) -> None:
        """After a power cut: what is enabled starts, in its order."""
        self.read = self.unit_files()
        self.service = Service()
        shutil.rmtree(self.places.run_dir, ignore_errors=True)
        if AGENT in self.enabled:
            self.start()
        if TRIAL in self.enabled and self.places.trial.exists():
            judge_trial(self.anew(), self.places)

    # --- the programs

    def run(self, words: Sequence[str], *, stdin: str = "", extra: dict[str, str] | None = None) -> Completed:
        self.ran.append(" ".join(words))
        program = Path(words[0]).name
        if program == "edgeagent":
            return self.edgeagent(Path(words[0]), list(words[1:]))
        if program.startswith("python"):
            return self.python(list(words))
        known = {"systemctl": self.systemctl, "systemd-sysusers": self.sysusers, "systemd-tmpfiles": self.tmpfiles}
        known |= {"userdel": self.userdel, "getent": self.getent}
        return known.get(program, self.other)(list(words[1:]))

    def other(self, words: list[str]) -> Completed:
        return done("", 0 if words and words[0] in self.users else 1)

    def sysusers(self, words: list[str]) -> Completed:
        self.users |= {line.split()[1] for line in Path(words[0]).read_text().splitlines() if line.startswith("u ")}
        return done()

    def getent(self, words: list[str]) -> Completed:
        if words[0] == "passwd" and words[1] in self.users:
            return done(f"{words[1]}:x:997:997::{self.user_home}:/bin/sh\n")
        return done("", 2)

    def userdel(self, words: list[str]) -> Completed:
        if self.busy:
            return done(f"userdel: user {words[0]} is currently used by process 7", 8)
        self.users -= set(words)
        return done()

    def tmpfiles(self, words: list[str]) -> Completed:
        for line in Path(words[1]).read_text().splitlines():
            if line.startswith("d "):
                (self.places.root / line.split()[1].lstrip("/")).mkdir(parents=True, exist_ok=True)
        return done()

    def python(self, words: list[str]) -> Completed:
        if "venv" in words:
            Path(words[-1], "bin").mkdir(parents=True)
            Path(words[-1], "bin/python").write_text("python\n")
        elif "wheel" in words:
            target = Path(words[words.index("--wheel-dir") + 1])
            target.mkdir()
            version = re.search('"(.*)"', Path(words[-1], "edgeagent/__init__.py").read_text())
            assert version is not None
            (target / f"edgeagent-{version[1]}-py3-none-any.whl").write_text("wheel\n")
        elif "install" in words:
            Path(words[0]).with_name("edgeagent").write_text("edgeagent\n")
        elif words[-1].startswith("import edgeagent") and "lacking" in words[0]:
            return done("No module named 'paho'", 1)
        return done()

    def edgeagent(self, program: Path, words: list[str]) -> Completed:
        assert program.resolve().is_file(), f"{program} is not there"
        if words == ["config", "template"]:
            return done('[device]\n#fleet = "default"\n#board_root = "/"\n[mqtt]\n#url = "mqtt://127.0.0.1:1883"\n')
        if words[:2] == ["config", "check"]:
            return done("bad: not TOML", 2) if "bad" in Path(words[2]).read_text() else done()
        if words[:2] == ["config", "show"]:
            said = dict(re.findall('^(url|fleet|board_root) = "(.*)"', Path(words[2]).read_text(), re.MULTILINE))
            keys = {"mqtt.url": "url", "device.fleet": "fleet", "device.board_root": "board_root"}
            return done(
                json.dumps(
                    {"settings": [{"key": key, "value": said.get(name, "default")} for key, name in keys.items()]}
                )
            )
        return done()

    def systemctl(self, words: list[str]) -> Completed:
        verb, units = words[0], [word for word in words[1:] if not word.startswith("-")]
        there = all((self.places.units / unit).exists() for unit in units)
        if verb == "daemon-reload":
            self.read = self.unit_files()
        if verb == "show" and "NeedDaemonReload" in words:
            return done(f"NeedDaemonReload={'no' if self.read == self.unit_files() else 'yes'}\n")
        if verb == "show":
            return done(
                f"ActiveState={self.service.active}\nMainPID={self.service.pid}\nNRestarts={self.service.restarts}\n"
            )
        if verb in ("is-enabled", "is-failed", "is-active"):
            enabled = verb == "is-enabled" and set(units) <= self.enabled
            return Completed([], 0 if enabled else 1, "enabled" if enabled else "disabled", "")
        if verb != "daemon-reload" and not there:
            return done(f"Unit {units} not found.", 5)
        if verb == "enable":
            self.enabled |= set(units)
        elif verb == "disable":
            self.enabled -= set(units)
        elif verb == "reset-failed":
            self.service.restarts = 0
        elif verb == "stop":
            self.service = Service(restarts=self.service.restarts)
        elif verb == "restart":
            self.start()
        elif verb == "start" and units == [TRIAL] and self.places.trial.exists():
            judge_trial(self.system, self.places)  # counts its changes with those of the run that waits for it
        return done()

    def unit_files(self) -> dict[str, str]:
        return {unit: (self.places.units / unit).read_text() for unit in UNITS if (self.places.units / unit).exists()}

    # --- the service

    def start(self) -> None:
        version = self.places.current.resolve().name if self.places.current.is_symlink() else ""
        if not (self.places.releases / version / "release.json").exists():
            raise AssertionError("a release that is not complete was started")
        self.service = Service(self.next_pid(), self.service.restarts, "active", version)
        self.tell()

    def crash(self) -> None:
        self.service.pid, self.service.restarts = self.next_pid(), self.service.restarts + 1
        self.tell()

    def next_pid(self) -> int:
        self.pids += 1
        return self.pids

    def tell(self) -> None:
        """Its status file."""
        self.places.run_dir.mkdir(parents=True, exist_ok=True)
        state = "init" if "silent" in self.service.version else "ready"
        facts = {"pid": self.service.pid, "state": state, "connected": True, "results": 9, "components": {}}
        if self.sees_s:
            told = {"health": "degraded", "reason": "rolled back"}
            facts |= {"state": "degraded", "reason": "release: rolled back", "components": {"release": told}}
        self.places.status.write_text(json.dumps(facts))

    def files(self) -> dict[str, str]:
        """What lies on the disk, but for what is in memory on a real one."""
        found = {}
        for path in sorted(self.places.root.rglob("*")):
            name = str(path.relative_to(self.places.root))
            if path.is_symlink():
                found[name] = f"-> {path.readlink()}"
            elif path.is_file() and not name.startswith("run/"):
                found[name] = path.read_text()
        return found


def done(said: str = "", status: int = 0) -> Completed:
    return Completed([], status, said if status == 0 else "", said if status else "")
