"""Every command as a user who may not look at the service's files: one line with a mend, and no traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgeagent.simulate.board import make_board

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
NOBODY = 65534
CLOSED = "{place}/closed"
KEY = f"ed25519:{'A' * 43}="
OPEN = "--config {place}/open.toml"
AS_NOBODY = f"""
import contextlib, encodings.utf_8_sig, importlib, io, json, os, pkgutil, sys
import edgeagent
from edgeagent import cli
for found in pkgutil.walk_packages(edgeagent.__path__, "edgeagent."):  # what is imported late may be closed to him
    if found.name.startswith(tuple(f"edgeagent.{{room}}." for room in ("app", "config", "console", "engine", "power"))):
        with contextlib.suppress(ImportError):
            importlib.import_module(found.name)
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
places = [place for place in sys.path if os.path.isdir(place)]
os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})
if not os.access(edgeagent.__path__[0], os.R_OK | os.X_OK):
    sys.exit(f"shut: {{edgeagent.__path__[0]}}")
answers = []
for words in json.loads(sys.argv[1]):
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        try:
            cli.main(words)
        except SystemExit as end:
            answers.append((end.code, out.getvalue(), err.getvalue()))
        except ImportError as error:
            if shut := [place for place in places if not os.access(place, os.R_OK | os.X_OK)]:
                sys.exit(f"shut: {{shut[0]}}, {{error}}")
            raise
print(json.dumps(answers))
"""
CASES = {
    f"config show {CLOSED}/config.toml": "may not be read by this user (use sudo, or let the group edgeagent read it)",
    f"engine list --config {CLOSED}/config.toml": "(use sudo, or let the group edgeagent read it)",
    **{f"engine {action} {OPEN}": "/closed/engines may not be read by this user (use sudo)"
       for action in ("list", "verify", "prune", "show abcd", "explain abcd abce", "pin abcd", "release abcd")},
    f"engine list {OPEN} --state {CLOSED}/deep/state": "/closed/deep/state: permission denied (use sudo)",
    f"engine plan {CLOSED}/model {OPEN}": "/closed/model: permission denied (use sudo)",
    f"engine build sample:conveyor {OPEN} --source synthetic": "(use sudo, or check the directory's owner",
    f"engine push abcd {OPEN} --registry file:///srv --signing-key {CLOSED}/key": "(use sudo, or name a key of",
    f"engine pull {'ab' * 16} {OPEN} --registry file:///srv --trust {KEY}": "(use sudo, or check the directory's owner",
    f"status --run-dir {CLOSED}": "permission denied (sudo edgeagent status)",
    f"run --config {CLOSED}/config.toml": "(use sudo, or let the group edgeagent read it)",
    f"power show --root {{place}}/board --profiles {CLOSED}/profiles": "permission denied (use sudo)",
    "power apply balanced --root {place}/board": "(run as its owner, or name the socket of a helper",
    f"fleet watch --once --password-file {CLOSED}/password": "permission denied (use sudo, or be its owner)",
}  # fmt: skip


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """Not below pytest's own directory, which is closed to others as a whole."""
    with tempfile.TemporaryDirectory() as directory:
        where = Path(directory)
        closed = where / "closed"
        (closed / "engines").mkdir(parents=True)
        make_board("orin-nano-r36", where / "board", seed=1)
        (where / "open.toml").write_text(f'[device]\nid = "line-3"\nstate_dir = "{closed}"\n')
        for name in ("config.toml", "key", "password", "power.json"):
            (closed / name).write_text("{}")
        closed.chmod(0o750)
        where.chmod(0o755)
        yield where


@pytest.fixture(scope="module")
def answers(place: Path) -> dict[str, tuple[int, str, str]]:
    wanted = [*CASES, f"engine list --json {OPEN} --state {CLOSED}/deep"]
    words = [case.format(place=place).split() for case in wanted]
    command = [sys.executable, "-c", AS_NOBODY, json.dumps(words)]
    home = {**os.environ, "HOME": str(place)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False, env=home)
    if done.stderr.startswith("shut: "):
        pytest.skip(f"Python's packages are closed to others: {done.stderr.removeprefix('shut: ').strip()}")
    assert (done.returncode, done.stderr) == (0, "")
    return dict(zip(wanted, json.loads(done.stdout), strict=True))


@pytest.mark.parametrize("case", CASES)
def test_a_refusal_is_one_line_with_its_mend(case: str, answers: dict[str, tuple[int, str, str]]) -> None:
    code, out, err = answers[case]
    assert (code in (1, 2), out.count("\n") + err.count("\n")) == (True, 1), (out, err)
    assert CASES[case] in out + err


def test_a_script_is_told_as_json(answers: dict[str, tuple[int, str, str]]) -> None:
    code, out, _ = list(answers.values())[-1]
    told = json.loads(out)
    assert (code, told["ok"], told["error"]["mend"]) == (1, False, "use sudo")
