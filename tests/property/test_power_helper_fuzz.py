"""Ten thousand malformed requests to the real power helper: none crashes it, none runs a tool, each is refused.

The requests are seeded mutations of valid ones. An oracle of its own decides what is malformed, so that no valid
request slips in; valid shapes with values that this board has not are part of it. Every stand-in tool notes its runs.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "integration"))
from test_power_helper_kit import Reply, Talk, board, connect, listening, served, set_uptime, write_tool

from edgeagent.simulate.board import VirtualBoard

COUNT = 10_000
SHAPES: dict[str, dict[str, type]] = {
    "status": {},
    "query-mode": {},
    "set-mode": {"id": int, "reboot": bool},
    "lock-clocks": {},
    "release-clocks": {},
    "cap": {"domain": str, "khz": int},
    "uncap": {"domain": str},
    "ends": {"clock": str, "low_khz": int, "high_khz": int},
    "fan": {"profile": str},
    "restart-argus": {},
    "reboot": {},
}
SAMPLES: tuple[dict[str, Any], ...] = (
    {"verb": "status"},
    {"verb": "query-mode"},
    {"verb": "set-mode", "id": 0, "reboot": False},
    {"verb": "set-mode", "id": 3, "reboot": True},
    {"verb": "lock-clocks"},
    {"verb": "release-clocks"},
    {"verb": "cap", "domain": "gpu", "khz": 612000},
    {"verb": "uncap", "domain": "cpu"},
    {"verb": "ends", "clock": "CPU_A78_0", "low_khz": 0, "high_khz": 960000},
    {"verb": "fan", "profile": "cool"},
    {"verb": "restart-argus"},
    {"verb": "reboot"},
)
ODD: tuple[object, ...] = (
    None, True, False, -1, 2**31, 2**64, 10**400, 0.0, 1.5, 1e308, float("nan"), float("inf"), "", "0", "1", "true",
    "cpu\n", "../../etc", "cool; reboot", "$(reboot)", "-m", "--force", "cool\0", "\ud800", "\u202e", "c" * 65, "ｃpu",
    [], [0], {}, {"verb": "reboot"}, [[[[[]]]]],
)  # fmt: skip
FOREIGN: tuple[dict[str, Any], ...] = (  # right in shape, wrong for this board
    {"verb": "set-mode", "id": 4, "reboot": False},
    {"verb": "set-mode", "id": 2**31, "reboot": True},
    {"verb": "set-mode", "id": 3, "reboot": True},  # the board is up for ten seconds
    {"verb": "cap", "domain": "gpu", "khz": 612001},
    {"verb": "cap", "domain": "gpu", "khz": 1020000},
    {"verb": "cap", "domain": "cpu", "khz": 9999999},
    {"verb": "cap", "domain": "dla", "khz": 612000},
    {"verb": "uncap", "domain": "emc"},
    {"verb": "ends", "clock": "EMC", "low_khz": 0, "high_khz": 960000},
    {"verb": "ends", "clock": "CPU_A78_0", "low_khz": 0, "high_khz": 9999999},
    {"verb": "ends", "clock": "CPU_A78_0", "low_khz": 1, "high_khz": 960000},
    {"verb": "ends", "clock": "CPU_A78_0", "low_khz": 960000, "high_khz": 729600},
    {"verb": "ends", "clock": "CPU_A78_0", "low_khz": -1, "high_khz": 960000},
    {"verb": "ends", "clock": "../cpu0", "low_khz": 0, "high_khz": 960000},
    {"verb": "fan", "profile": "loud"},
    {"verb": "reboot"},
)


def is_malformed(line: bytes) -> bool:
    """Whether a line is anything but exactly one request of a known shape; written without a look at the helper."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({key for key, _ in pairs}) != len(pairs):
            raise ValueError
        return dict(pairs)

    try:
        found = json.loads(line.decode("utf-8"), object_pairs_hook=once)
    except (ValueError, RecursionError):
        return True
    if not isinstance(found, dict) or not isinstance(found.get("verb"), str) or len(line) > 4096:
        return True
    shape = SHAPES.get(found.pop("verb"))
    return shape is None or {key: type(value) for key, value in found.items()} != shape


def truncate(rng: random.Random, request: dict[str, Any]) -> bytes:
    line = json.dumps(request).encode()
    return line[: rng.randrange(len(line))]


def flip_bytes(rng: random.Random, request: dict[str, Any]) -> bytes:
    line = bytearray(json.dumps(request).encode())
    for _ in range(rng.choice((1, 1, 2, 8))):
        line[rng.randrange(len(line))] = rng.randrange(256)
    return bytes(line)


def insert_bytes(rng: random.Random, request: dict[str, Any]) -> bytes:
    line = json.dumps(request).encode()
    at = rng.randrange(len(line) + 1)
    return line[:at] + rng.randbytes(rng.choice((1, 1, 3, 40))) + line[at:]


def wrong_value(rng: random.Random, request: dict[str, Any]) -> bytes:
    key = rng.choice([*request])
    return json.dumps({**request, key: rng.choice(ODD)}, ensure_ascii=rng.random() < 0.5).encode(
        "utf-8", "surrogatepass"
    )


def wrong_keys(rng: random.Random, request: dict[str, Any]) -> bytes:
    changed = dict(request)
    for _ in range(rng.randint(1, 3)):
        if rng.random() < 0.4 and changed:
            del changed[rng.choice([*changed])]
        else:
            changed[rng.choice(("id", "force", "verb ", "VERB", "", "__class__", "shell", "reboot", "profile"))] = 0
    return json.dumps(changed).encode()


def swapped_verb(rng: random.Random, request: dict[str, Any]) -> bytes:
    verb = rng.choice(("shell", "exec", "Reboot", "reboot ", "set_mode", "__init__", "carry_out", "", "-m", *SHAPES))
    return json.dumps({**request, "verb": verb}).encode()


def twice_the_key(rng: random.Random, request: dict[str, Any]) -> bytes:
    line = json.dumps(request).encode()
    key = rng.choice([*request])
    return line[:-1] + b", " + json.dumps({key: request[key]}).encode()[1:]


def nested(rng: random.Random, request: dict[str, Any]) -> bytes:
    depth = rng.choice((1, 2, 100, 2000))
    opened, closed = rng.choice(((b"[", b"]"), (b'{"verb":', b"}"), (b"[", b""), (b'{"a":', b"")))
    return opened * depth + json.dumps(request).encode() + closed * depth


def huge(rng: random.Random, request: dict[str, Any]) -> bytes:
    padding = rng.choice((b" ", b"9", b"a", b"\xff", b"{", b"\\"))
    return json.dumps(request).encode()[: rng.randrange(3, 12)] + padding * rng.choice((4096, 5000, 70_000))


def long_number(rng: random.Random, request: dict[str, Any]) -> bytes:
    number = rng.choice(("9" * 4000, "-" + "9" * 12, "1e5", "1E400", "-0", "00", "0x10", "NaN", "-Infinity", "1_0"))
    return b'{"verb": "set-mode", "reboot": false, "id": ' + number.encode() + b"}"


def junk(rng: random.Random, request: dict[str, Any]) -> bytes:
    return rng.randbytes(rng.choice((0, 1, 2, 10, 300, 4095)))


def other_json(rng: random.Random, request: dict[str, Any]) -> bytes:
    return json.dumps(rng.choice(([request], [], None, 7, "reboot", [*request.items()], True, {"": request}))).encode()


def other_encoding(rng: random.Random, request: dict[str, Any]) -> bytes:
    return json.dumps(request).encode(rng.choice(("utf-16", "utf-32", "utf-8-sig", "utf-7", "utf-16-be"))) + b"\xff"


def foreign(rng: random.Random, request: dict[str, Any]) -> bytes:
    return json.dumps(rng.choice(FOREIGN)).encode()


MUTATIONS: tuple[Callable[[random.Random, dict[str, Any]], bytes], ...] = (
    truncate, flip_bytes, insert_bytes, wrong_value, wrong_keys, swapped_verb, twice_the_key, nested, huge,
    long_number, junk, other_json, other_encoding, foreign,
)  # fmt: skip


def requests(seed: int) -> Iterator[bytes]:
    """Malformed requests without end, none with a newline in it."""
    rng = random.Random(seed)
    while True:
        mutate = rng.choice(MUTATIONS)
        line = mutate(rng, rng.choice(SAMPLES)).replace(b"\n", b"\r")
        if mutate is foreign or is_malformed(line):
            yield line


@pytest.fixture
def orin(tmp_path: Path) -> VirtualBoard:
    """A board that may not reboot yet, and tools that note every run."""
    made = board(tmp_path)
    set_uptime(made, 10)
    for name in ("nvpmodel", "jetson_clocks", "systemctl", "nvfancontrol", "sh", "reboot"):
        write_tool(tmp_path / "tools", name, f'echo "{name} $*" >> $RECORD')
    return made


def snapshot(made: VirtualBoard) -> dict[str, bytes]:
    files = [path for path in made.root.rglob("*") if path.is_file() and not path.is_symlink()]
    return {str(path): path.read_bytes() for path in files}


def check_still_well(talk: Talk, tools: Path) -> None:
    """The helper answers, and does run tools when it is asked properly."""
    assert talk.ask(verb="status")["result"] == "done"
    assert not (tools / "record").exists(), (tools / "record").read_text()
    talk.ask(verb="query-mode")
    assert (tools / "record").read_text() == "nvpmodel -q\n"


def check_refused(line: bytes, reply: Reply) -> None:
    assert reply["result"] == "refused", (line, reply)
    assert reply["facts"].keys() == {"reason"} and "\n" not in reply["detail"]
    assert reply["detail"].isascii() and len(reply["detail"]) < 300


def test_ten_thousand_malformed_requests_run_nothing(orin: VirtualBoard, tmp_path: Path) -> None:
    before = snapshot(orin)
    source = requests(seed=20)
    with served(orin, "--tools", str(tmp_path / "tools")) as (talk, _):
        for line in islice(source, COUNT):
            talk.send(line + b"\n")
            check_refused(line, talk.reply())
        check_still_well(talk, tmp_path / "tools")
    assert snapshot(orin) == before


def test_malformed_requests_on_connections_of_their_own_run_nothing(orin: VirtualBoard, tmp_path: Path) -> None:
    """Here with newlines inside, halves that are closed early, and replies that nobody waits for."""
    rng = random.Random(21)
    source = requests(seed=21)
    path = tmp_path / "helper.sock"
    with listening(orin, path, "--tools", str(tmp_path / "tools")):
        for _ in range(600):
            line = next(source)
            with connect(path) as talk:
                send_somehow(rng, talk, line)
        with connect(path) as talk:
            assert talk.ask(verb="status")["result"] == "done"
    assert not (tmp_path / "tools/record").exists()


def send_somehow(rng: random.Random, talk: Talk, line: bytes) -> None:
    manner = rng.choice(("plain", "plain", "two lines", "cut", "vanish"))
    try:
        talk.send(line + {"plain": b"\n", "two lines": b'\n{"verb": "lock-clocks"}\n'}.get(manner, b""))
        if manner == "vanish":
            return
        if manner == "cut":
            talk.sock.shutdown(1)
        if line or manner != "cut":
            check_refused(line, talk.reply())
    except BrokenPipeError:
        assert len(line) > 4096  # a line without an end that it has given up to read


def test_the_oracle_knows_valid_requests() -> None:
    assert not any(is_malformed(json.dumps(request).encode()) for request in (*SAMPLES, *FOREIGN))


def test_every_kind_of_mutation_contributes() -> None:
    rng = random.Random(22)
    for mutate in MUTATIONS:
        lines = [mutate(rng, rng.choice(SAMPLES)) for _ in range(200)]
        wrong = sum(map(is_malformed, lines))
        assert wrong == 0 if mutate is foreign else wrong > 60, mutate
