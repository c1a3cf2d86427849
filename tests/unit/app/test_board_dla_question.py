"""TensorRT is asked in a real child: one that answers, hangs, dies, is not there, or is another machine's."""

from __future__ import annotations

import os
import select
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from edgeagent.app.board_dla import DlaQuestion
from edgeagent.board.identity import Evidence, Identity, decide_identity

NX_16 = decide_identity(Evidence(compatible=b"nvidia,p3768-0000+p3767-0000\0nvidia,tegra234\0"))
ANSWERS = (
    "class Logger:\n    ERROR = 1\n    def __init__(self, level): ...\n"
    "class Runtime:\n    num_DLA_cores = {cores}\n    def __init__(self, logger): ...\n"
)
HANGS = "import os\nr, w = os.pipe()\nos.read(r, 1)\n"


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory that this process and its children find modules in before any other; it notes each Python child."""
    directory = tmp_path / "packages"
    directory.mkdir()
    started = tmp_path / "started"
    (directory / "sitecustomize.py").write_text(f"open({str(started)!r}, 'a').write('one\\n')\n")
    monkeypatch.setenv("PYTHONPATH", str(directory))
    monkeypatch.syspath_prepend(str(directory))
    return directory


def children(packages: Path) -> int:
    started = packages.parent / "started"
    return started.read_text().count("one") if started.exists() else 0


def ask(identity: Identity = NX_16, limit_s: float = 30.0) -> Identity:
    return DlaQuestion(identity, limit_s).ask()


def test_its_answer_is_taken_and_it_is_not_imported_here(packages: Path) -> None:
    (packages / "tensorrt.py").write_text(ANSWERS.format(cores=2))
    found = ask()
    assert (found.dla.answer, found.dla.declared, found.dla.probed, found.dla.unprobed) == ("yes", 2, 2, "")
    assert "tensorrt" not in sys.modules
    assert children(packages) == 1


def test_nothing_is_started_where_there_is_none(packages: Path) -> None:
    (packages / "tensorrt").mkdir()  # a directory of that name is no TensorRT
    assert ask().dla.unprobed == "this Python has no TensorRT"
    assert children(packages) == 0


def test_nothing_is_started_for_a_board_under_another_root(packages: Path) -> None:
    (packages / "tensorrt.py").write_text(ANSWERS.format(cores=2))
    assert "the board lies under another root" in ask(replace(NX_16, same_machine=False)).dla.unprobed
    assert children(packages) == 0


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n", "signal SIGSEGV"),
        ("raise RuntimeError('CUDA driver\\n is insufficient')\n", "RuntimeError: CUDA driver is insufficient"),
        ("import no_such_module_at_all\n", "No module named 'no_such_module_at_all'"),
        (ANSWERS.format(cores=-1), "TensorRT did not say"),
    ],
)
def test_one_that_crashes_leaves_the_declared_answer(packages: Path, source: str, why: str) -> None:
    (packages / "tensorrt.py").write_text(source)
    found = ask()
    assert why in found.dla.unprobed
    assert (found.dla.cores, found.dla.probed) == (2, None)


def test_one_that_hangs_is_ended(packages: Path) -> None:
    (packages / "tensorrt.py").write_text(HANGS)
    assert ask(limit_s=3.0).dla.unprobed == "importing it took more than 3 s and was ended"


def test_another_thread_may_end_it(packages: Path) -> None:
    fifo = packages / "pid"
    os.mkfifo(fifo)
    (packages / "tensorrt.py").write_text(f"import os\nopen({str(fifo)!r}, 'w').write(str(os.getpid()))\n{HANGS}")
    question, found = DlaQuestion(NX_16, 600.0), []
    asking = threading.Thread(target=lambda: found.append(question.ask()))
    asking.start()
    pid = os.pidfd_open(int(fifo.read_text()))
    question.stop()
    assert select.select([pid], [], [], 30.0)[0]
    os.close(pid)
    asking.join(30.0)
    assert "signal SIGKILL" in found[0].dla.unprobed


def test_a_question_that_was_stopped_starts_nothing(packages: Path) -> None:
    (packages / "tensorrt.py").write_text(ANSWERS.format(cores=2))
    question = DlaQuestion(NX_16)
    question.stop()
    assert question.ask().dla.unprobed == "stopped before it began"
    assert children(packages) == 0
