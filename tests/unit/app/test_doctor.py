"""The whole doctor, with real children: on every virtual board, on bare machines, as another user, with a helper."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgeagent.app.doctor import run_doctor
from edgeagent.app.doctor_children import BINDINGS, MODULES
from edgeagent.app.doctor_helper import check_helper
from edgeagent.app.power_commands import PowerOptions, open_power
from edgeagent.errors import OperatorError
from edgeagent.power import client as power_client
from edgeagent.power.board_power import NoPowerModesError
from edgeagent.simulate.board import SPECS, make_board

TOO_OLD = {"nano-r32", "xavier-nx-r35"}


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An interpreter in which cv2, TensorRT, pycuda and jtop are not installed: the import says so itself."""
    directory = tmp_path / "packages"
    directory.mkdir()
    for name in MODULES:
        (directory / f"{name}.py").write_text(
            f"raise ModuleNotFoundError(\"No module named '{name}'\", name='{name}')\n"
        )
    monkeypatch.setenv("PYTHONPATH", str(directory))
    return directory


@pytest.fixture
def opencv(bare: Path) -> Path:
    (bare / "cv2.py").write_text("def getBuildInformation():\n    return '  GStreamer: YES (1.20.3)\\n'\n")
    return bare


def states(text: str) -> dict[str, str]:
    """The worst state by the name of the check."""
    order = ("ok", "warning", "problem")
    found: dict[str, str] = {}
    for check in json.loads(text)["checks"]:
        found[check["name"]] = max(found.get(check["name"], "ok"), check["state"], key=order.index)
    return found


@pytest.mark.parametrize("name", sorted(SPECS))
def test_every_virtual_board(name: str, tmp_path: Path, opencv: Path) -> None:
    make_board(name, tmp_path / "board", seed=1)
    code, text = run_doctor(tmp_path / "board", True)
    told = json.loads(text)
    found = states(text)
    assert (code, told["ok"]) == ((1, False) if name in TOO_OLD else (0, True))
    assert [check for check, state in found.items() if state == "problem"] == (["JetPack"] if name in TOO_OLD else [])
    assert found["board"] == ("warning" if name == "unknown-module" else "ok")
    assert all(check["mend"] for check in told["checks"] if check["state"] != "ok")
    assert told["root"] == str(tmp_path / "board")


def test_under_another_root_the_page_says_whose_modules_these_are(tmp_path: Path, opencv: Path) -> None:
    code, text = run_doctor(tmp_path, False)
    assert f"modules, user, jtop and clock are this machine's, not those of {tmp_path}" in text
    assert text.splitlines()[-1].endswith(" ok")
    assert code == 1  # an empty root has no host name to make a device id of
    assert "problem  device id" in text


def test_a_root_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="is no directory"):
        run_doctor(tmp_path / "nowhere", True)


@pytest.fixture
def open_to_all() -> Iterator[Path]:
    """Not below pytest's own directory, which every other run of pytest closes again."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can run the doctor as somebody else")
def test_a_root_that_is_closed_to_us_is_refused(open_to_all: Path) -> None:
    closed = open_to_all / "closed"
    closed.mkdir(0o000)
    (closed / "in").mkdir()
    program = (
        "import os, sys; from pathlib import Path; from edgeagent.app.doctor import run_doctor\n"
        "from edgeagent.errors import OperatorError\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "for root in sys.argv[1:]:\n"
        "    try:\n        run_doctor(Path(root), True)\n"
        "    except OperatorError as error:\n        print(error.message)"
    )
    command = [sys.executable, "-c", program, str(closed), str(closed / "in")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True)
    assert done.stdout == f"{closed} is closed to this user\n{closed}/in is no directory\n"


def test_no_nvpmodel_conf_has_the_mend_that_the_power_commands_give(tmp_path: Path, opencv: Path) -> None:
    board = make_board("orin-nano-r36", tmp_path / "board", seed=1)
    (board.root / "etc/nvpmodel.conf").unlink()
    power = open_power(PowerOptions(board.root))
    with pytest.raises(NoPowerModesError) as refused:
        power.conf()
    told = json.loads(run_doctor(board.root, True)[1])["checks"]
    assert [check["mend"] for check in told if check["name"] == "power modes"] == [refused.value.mend]


@pytest.mark.parametrize("command", ["board", "doctor"])
def test_an_ascii_terminal_gets_escapes_and_no_traceback(command: str, tmp_path: Path, opencv: Path) -> None:
    board = make_board("orin-nano-r36", tmp_path / "board", seed=1)
    tree = board.root / "sys/firmware/devicetree/base"
    (tree / "compatible").write_bytes(b"nvidia,p4444-0001\0nvidia,tegra299\0")  # shown with its model text
    (tree / "model").write_text("NVIDIA Jetson f\u00fcr \u6e2c\u8a66\0")
    done = subprocess.run(
        [sys.executable, "-m", "edgeagent", command, "--root", str(board.root)],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "f\\xfcr" in done.stdout


def test_a_bare_machine_is_told_that_opencv_is_missing(tmp_path: Path, bare: Path) -> None:
    make_board("pc", tmp_path / "board", seed=1)
    code, text = run_doctor(tmp_path / "board", True)
    assert (code, states(text)["cv2"]) == (1, "problem")
    assert {states(text)[name] for name in ("tensorrt", "pycuda", "jtop", "DLA")} == {"ok"}


def test_imports_that_hang_are_ended_and_told(tmp_path: Path, bare: Path) -> None:
    make_board("orin-nano-r36", tmp_path / "board", seed=1)
    for name in MODULES:
        file = bare / f"{name.replace('.', '/')}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("import os\nos.read(os.pipe()[0], 1)\n")
    code, text = run_doctor(tmp_path / "board", True, limit_s=2.0)
    texts = {check["name"]: check["text"] for check in json.loads(text)["checks"]}
    names = {BINDINGS: "cuda-bindings"}
    assert code == 1
    assert all("took more than 2 s and was ended" in texts[names.get(name, name)] for name in MODULES)


def test_this_machine_is_judged_without_an_exception() -> None:
    code, text = run_doctor(Path("/"), True)
    assert code in (0, 1)
    assert {"board", "python", "cv2", "disk", "clock", "device id", "config", "power helper"} <= set(states(text))


def test_a_config_with_mistakes_is_a_problem(tmp_path: Path, opencv: Path) -> None:
    make_board("pc", tmp_path / "board", seed=1)
    config = tmp_path / "config.toml"
    config.write_text("[device]\nidd = 'x'\n")
    code, text = run_doctor(tmp_path / "board", True, config)
    assert (code, states(text)["config"]) == (1, "problem")
    config.write_text("[device]\nid = 'line-3'\n")
    code, text = run_doctor(tmp_path / "board", True, config)
    assert (code, states(text)["config"]) == (0, "ok")
    assert "line-3" in text


@pytest.mark.parametrize("make", ["directory", "broken", "binary"])
def test_a_config_that_cannot_be_read_is_a_problem(make: str, tmp_path: Path, opencv: Path) -> None:
    make_board("pc", tmp_path / "board", seed=1)
    config = tmp_path / "board/etc/edgeagent/config.toml"
    config.parent.mkdir(parents=True)
    if make == "directory":
        config.mkdir()
    else:
        config.write_bytes(b"[device\n" if make == "broken" else bytes(range(256)))
    code, text = run_doctor(tmp_path / "board", True)
    assert (code, states(text)["config"]) == (1, "problem")


def test_a_stock_host_name_is_warned_of(tmp_path: Path, opencv: Path) -> None:
    make_board("pc", tmp_path / "board", seed=1)
    (tmp_path / "board/etc/hostname").write_text("ubuntu\n")
    code, text = run_doctor(tmp_path / "board", True)
    assert (code, states(text)["device id"]) == (0, "warning")


def test_a_broken_nvpmodel_conf_is_a_problem(tmp_path: Path, opencv: Path) -> None:
    board = make_board("orin-nano-r36", tmp_path / "board", seed=1)
    conf = board.root / "etc/nvpmodel.conf"
    conf.unlink()
    conf.write_text("< POWER_MODEL ID=0 NAME=A >\n")
    code, text = run_doctor(board.root, True)
    assert (code, states(text)["power modes"]) == (1, "problem")


def test_a_contradiction_of_the_board_is_a_warning(tmp_path: Path, opencv: Path) -> None:
    board = make_board("orin-nano-r36", tmp_path / "board", seed=1)
    control = board.root / "etc/nv_boot_control.conf"
    control.write_text(control.read_text().replace("0005", "0000"))
    code, text = run_doctor(board.root, True)
    assert (code, states(text)["board"]) == (0, "warning")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can run the doctor as somebody else")
def test_an_ordinary_user_gets_an_answer_and_no_traceback(tmp_path: Path, opencv: Path) -> None:
    board = make_board("orin-nano-r36", tmp_path / "board", seed=1)
    (board.root / "etc").chmod(0o700)
    (board.root / "run").mkdir(exist_ok=True)
    (board.root / "run").chmod(0o700)
    for directory in (tmp_path, *tmp_path.parents):
        if not directory.stat().st_mode & 0o001:  # pytest's own are closed to everybody else
            directory.chmod(0o755)
    program = (
        "import os; from pathlib import Path; from edgeagent.app.doctor import run_doctor\n"
        f"run_doctor(Path({str(tmp_path)!r}), True)  # what is imported late may be closed to the other user\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        f"print(run_doctor(Path({str(board.root)!r}), True)[1])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=100, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert any(check["name"] == "config" and "permission denied" in check["text"] for check in found["checks"])


def reply(result: str, detail: str) -> bytes:
    return (
        json.dumps({"result": result, "detail": detail, "exit_status": None, "output": "", "facts": {}}).encode()
        + b"\n"
    )


def test_the_real_power_helper_answers(tmp_path: Path) -> None:
    """Started as systemd starts it: the listening socket as descriptor 3."""
    board = make_board("orin-nano-r36", tmp_path / "board", seed=1)
    path = tmp_path / "power.sock"
    program = Path(power_client.__file__).with_name("helper.py")
    options = ["--root", str(board.root), "--state-dir", str(tmp_path / "state"), "--idle-exit", "1"]
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        fd = listener.fileno()
        start = (
            f"import os, sys; os.dup2({fd}, 3); os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1'); "
            "os.execv(sys.executable, [sys.executable, '-I', *sys.argv[1:]])"
        )
        command = [sys.executable, "-c", start, str(program), *options]
        with subprocess.Popen(command, pass_fds=(fd,), stderr=subprocess.DEVNULL) as helper:
            found = check_helper(path, wanted=True, timeout_s=30.0)
            helper.terminate()
    assert found.state == "ok"


def answer_once(listener: socket.socket, reply: bytes) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.recv(4096)
        connection.sendall(reply)


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        (reply("done", "ready"), "ok"),
        (reply("failed", "no tools"), "warning"),
        (reply("refused", "not you"), "warning"),
        (b"gibberish\n", "warning"),
        (b"", "warning"),
    ],
)
def test_what_the_power_helper_answers(answer: bytes, state: str, tmp_path: Path) -> None:
    path = tmp_path / "power.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        server = threading.Thread(target=answer_once, args=(listener, answer))
        server.start()
        found = check_helper(path, wanted=False)
        server.join()
    assert (found.state, bool(found.mend)) == (state, state != "ok")


def test_a_helper_that_is_not_there_is_a_problem_only_where_power_is_to_be_set(tmp_path: Path) -> None:
    assert check_helper(tmp_path / "none.sock", wanted=False).state == "warning"
    assert check_helper(tmp_path / "none.sock", wanted=True).state == "problem"


def test_a_helper_that_never_answers_is_given_up(tmp_path: Path) -> None:
    path = tmp_path / "power.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        found = check_helper(path, wanted=False, timeout_s=0.5)
    assert (found.state, "in time" in found.text) == ("warning", True)


def test_the_command_line(tmp_path: Path, opencv: Path) -> None:
    make_board("pc", tmp_path / "board", seed=1)
    command = [sys.executable, "-m", "edgeagent", "doctor", "--json", "--root", str(tmp_path / "board")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert (done.returncode, json.loads(done.stdout)["schema"]) == (0, "edgeagent/doctor/1")
