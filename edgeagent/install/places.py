"""Where everything of an installation lies. Pure.

`/opt/edgeagent` belongs to root and holds the releases; the agent's user may write below /var only.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

USER = "edgeagent"
AGENT = "edgeagent.service"
POWER_SOCKET = "edgeagent-power.socket"
POWER_SERVICE = "edgeagent-power.service"
AGAIN_TIMER = "edgeagent-again.timer"
TRIAL = "edgeagent-trial.service"
ENABLED = (POWER_SOCKET, AGENT, TRIAL)
UNITS = (AGENT, POWER_SOCKET, POWER_SERVICE, AGAIN_TIMER, "edgeagent-again.service", TRIAL)


@dataclass(frozen=True)
class Places:
    """Both are others in tests. `group`: whose members may read the settings."""

    root: Path = Path("/")
    group: str = USER

    @property
    def home(self) -> Path:
        return self.root / "opt/edgeagent"

    @property
    def releases(self) -> Path:
        return self.home / "releases"

    @property
    def current(self) -> Path:
        return self.home / "current"

    @property
    def previous(self) -> Path:
        return self.home / "previous"

    @property
    def installer(self) -> Path:
        """A copy of install.sh and of this package: for the trial, and for whoever has no checkout at hand."""
        return self.home / "installer"

    @property
    def wheels(self) -> Path:
        """What was built on this device, by JetPack. Root's own: what lies here is installed as root."""
        return self.home / "wheels"

    @property
    def trial(self) -> Path:
        return self.home / "trial.json"

    @property
    def verdict(self) -> Path:
        return self.home / "last-trial.json"

    @property
    def lock(self) -> Path:
        """In a directory of root's: in /run/lock anybody could hold it, or have put a link there."""
        return self.root / "run/edgeagent-install.lock"

    @property
    def config_dir(self) -> Path:
        return self.root / "etc/edgeagent"

    @property
    def config(self) -> Path:
        return self.config_dir / "config.toml"

    @property
    def state_dir(self) -> Path:
        return self.root / "var/lib/edgeagent"

    @property
    def cache_dir(self) -> Path:
        return self.root / "var/cache/edgeagent"

    @property
    def run_dir(self) -> Path:
        return self.root / "run/edgeagent"

    @property
    def status(self) -> Path:
        return self.run_dir / "status.json"

    @property
    def rolled_back(self) -> Path:
        return self.state_dir / "rolled-back.json"

    @property
    def units(self) -> Path:
        return self.root / "etc/systemd/system"

    @property
    def sysusers(self) -> Path:
        return self.root / "usr/lib/sysusers.d/edgeagent.conf"

    @property
    def tmpfiles(self) -> Path:
        return self.root / "usr/lib/tmpfiles.d/edgeagent.conf"

    @property
    def command(self) -> Path:
        return self.root / "usr/local/bin/edgeagent"

    def release(self, name: str) -> Path:
        return self.releases / name
