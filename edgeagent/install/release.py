"""Making a release: a directory below /opt/edgeagent/releases with an environment of its own.

A release is complete once it has its `release.json`, which is written last, after everything else has reached the
disk. One without it is what a run left that was cut off; it is made anew, and nothing ever links to it. A complete one
is never changed.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from edgeagent.install import packages
from edgeagent.install.errors import InstallError
from edgeagent.install.facts import Facts
from edgeagent.install.places import Places
from edgeagent.install.source import Source
from edgeagent.install.system import System, last_words, replace_file

MARK = "release.json"
LOCKED = Path(__file__).with_name("constraints.txt")
PREFLIGHT = "import " + ", ".join(
    f"edgeagent.{name}" for name in ("app.agent", "app.doctor", "inference.infer_child", "camera.capture_child")
)
LIST = """
import importlib.metadata as metadata, sys
own = [path for path in sys.path if path.startswith(sys.prefix)]
print(*(found.name for found in metadata.distributions(path=own)))
"""

NOT_FETCHED = "is there room on the disk, and a network? ./install.sh --offline ARCHIVE does without the latter"
NOT_IN_BUNDLE = (
    "is there room on the disk? else the bundle is for another machine: this one's is made with --bundle FILE"
)


def release_name(source: Source, places: Places) -> str:
    """The version; with a part of the digest behind it where that name is taken by another content, or was when this
    release was made."""
    longer = f"{source.version}+{source.digest[:8]}"
    mark = read_mark(places.release(source.version))
    taken = mark is not None and mark.get("digest") != source.digest
    return longer if taken or (mark is None and read_mark(places.release(longer)) is not None) else source.version


def read_mark(release: Path) -> Mapping[str, str] | None:
    """What a complete release says of itself; None for one that is not complete."""
    try:
        found = json.loads((release / MARK).read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def linked(link: Path) -> str | None:
    """The name of the complete release that `current` or `previous` leads to."""
    with suppress(OSError):
        name = Path(link.readlink()).name
        if read_mark(link.parent / "releases" / name) is not None:
            return name
    return None


def make_release(system: System, places: Places, source: Source, facts: Facts) -> str:
    """The name of the complete release; made where it is not there. Raises InstallError; the rest stays as it was."""
    name = release_name(source, places)
    release = places.release(name)
    if read_mark(release) is not None:
        return name
    system.remove(release)
    system.act(f"make {release}", lambda: release.mkdir(parents=True))
    try:
        _fill(system, places, source, facts, release)
    except InstallError:
        if not system.dry_run:
            shutil.rmtree(release, ignore_errors=True)
        raise
    return name


def _fill(system: System, places: Places, source: Source, facts: Facts, release: Path) -> None:
    mend = f"sudo apt install python{facts.python_text}-venv"
    words = (sys.executable, "-I", "-m", "venv", "--system-site-packages", str(release / "venv"))
    system.do(*words, what="make its virtual environment, which also sees JetPack's packages", mend=mend)
    _install_packages(system, places, source, facts, release)
    system.act("copy its units, its power helper and its command", lambda: copy_parts(source.folder, release))
    check_release(system, facts, release)
    system.act(f"mark {release.name} as complete", lambda: _mark(system, source, facts, release))


def _install_packages(system: System, places: Places, source: Source, facts: Facts, release: Path) -> None:
    pip = (str(release / "venv/bin/python"), "-I", "-m", "pip", "--disable-pip-version-check")
    file = release / "constraints.txt"
    system.write(file, packages.constraints(LOCKED.read_text(), facts).encode(), why="the locked versions")
    wheels = [str(source.wheels)] if source.wheels else []
    online = source.wheels is None
    if packages.needs_pycuda(facts):
        wheels.append(_pycuda(system, places, facts, pip, packages.source_arguments(wheels, online=online)))
    own = str(source.built or _build_own(system, pip, source, release))
    wanted = packages.requirements(own, facts)
    words = packages.install_arguments(wanted, str(file), packages.source_arguments(wheels, online=online))
    mend = NOT_FETCHED if online else f"{NOT_IN_BUNDLE} --arch {facts.arch} --python {facts.python_text}"
    system.do(*pip, *words, what="install its Python packages", mend=mend)


def _build_own(system: System, pip: tuple[str, ...], source: Source, release: Path) -> Path:
    """edgeagent's own wheel, from the checkout."""
    sources = packages.source_arguments([str(source.wheels)] if source.wheels else [], online=source.wheels is None)
    target = release / "wheel"
    words = ("wheel", "--quiet", "--no-input", "--no-deps", "--no-cache-dir", "--wheel-dir", str(target), *sources)
    system.do(*pip, *words, str(source.folder), what=f"build edgeagent {source.version}", mend=NOT_FETCHED)
    return next(iter(sorted(target.glob("*.whl"))), target / "edgeagent.whl")


def _pycuda(system: System, places: Places, facts: Facts, pip: tuple[str, ...], sources: list[str]) -> str:
    """Where the pycuda of this JetPack lies: built once, with its nvcc, and kept."""
    kept = places.wheels / f"l4t-{facts.l4t or 'none'}-python{facts.python_text}"
    if not list(kept.glob("pycuda-*.whl")):
        building = kept.with_name(f"{kept.name}.unfinished")
        system.remove(building)
        words = (
            "wheel",
            "--quiet",
            "--no-input",
            "--no-deps",
            "--no-cache-dir",
            "--wheel-dir",
            str(building),
            *sources,
        )
        cuda = str(Path(facts.nvcc).parent)
        extra = {"CUDA_ROOT": str(Path(cuda).parent), "PATH": f"{cuda}:/usr/local/bin:/usr/bin:/bin"}
        mend = "its compiler's message is above; sudo apt install build-essential python3-dev nvidia-jetpack"
        what = f"build pycuda with {facts.nvcc}, once for this JetPack; takes minutes"
        system.do(*pip, *words, packages.PYCUDA, what=what, mend=mend, extra=extra)
        system.act(f"keep it in {kept}", lambda: building.replace(kept))
    return str(kept)


def copy_parts(folder: Path, release: Path) -> None:
    """What a release holds beside its environment: each release brings the units that fit it."""
    shutil.copytree(folder / "systemd", release / "systemd", dirs_exist_ok=True)
    (release / "libexec").mkdir(exist_ok=True)
    helper = release / "libexec/edgeagent-power"
    shutil.copyfile(folder / "edgeagent/power/helper.py", helper)
    helper.chmod(0o755)
    (release / "bin").mkdir(exist_ok=True)
    command = release / "bin/edgeagent"
    command.unlink(missing_ok=True)
    command.symlink_to("../venv/bin/edgeagent")
    shutil.rmtree(release / "wheel", ignore_errors=True)
    _readable(release)


def _readable(release: Path) -> None:
    """For everybody, whatever the umask of root's shell was: the agent runs as another user."""
    for folder, _, files in os.walk(release):
        Path(folder).chmod(0o755)
        for path in (Path(folder, name) for name in files):
            if not path.is_symlink():
                path.chmod(path.stat().st_mode & 0o777 | (0o755 if path.stat().st_mode & 0o100 else 0o644))


def check_release(system: System, facts: Facts, release: Path) -> None:
    """Everything that it needs can be imported, and nothing in it hides a part of JetPack. Raises InstallError."""
    if system.dry_run:
        return
    python = str(release / "venv/bin/python")
    tried = system.ask(python, "-I", "-c", PREFLIGHT)
    if tried.returncode != 0:
        raise InstallError(f"release {release.name} cannot be loaded: {last_words(tried)}", mend="nothing was changed")
    inside = system.ask(python, "-I", "-c", LIST).stdout.split()
    if hiding := packages.shadowing(inside, facts):
        raise InstallError(f"{', '.join(hiding)} in release {release.name} would hide JetPack's", mend="report this")


def check_config(system: System, release: Path, config: Path) -> None:
    """The device's settings as this release understands them. Raises InstallError with every mistake."""
    if system.dry_run or not config.exists():
        return
    checked = system.ask(str(release / "bin/edgeagent"), "config", "check", str(config))
    if checked.returncode != 0:
        lines = (checked.stderr.strip() or checked.stdout.strip()).replace("\n", "\n  ")
        raise InstallError(f"release {release.name} does not take {config}:\n  {lines}", mend="nothing was changed")


def _mark(system: System, source: Source, facts: Facts, release: Path) -> None:
    system.sync()
    mark = {"version": source.version, "digest": source.digest, "python": facts.python_text, "l4t": facts.l4t}
    replace_file(release / MARK, f"{json.dumps(mark, indent=1)}\n".encode())
