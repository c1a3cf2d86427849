"""Everything that can come in over MQTT, made up by atheris: `python tests/fuzz/fuzz_inbound.py -max_total_time=120`.

Each input is a topic, the properties of a message, and a payload. It goes the way of a real one up to the point where
something would be done: topic, command or desired config, verdict, arguments, candidate config. Whatever comes, it is
answered by a value or by one of our own errors, and what is to be done was wished by a valid message.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["edgeagent"]):
    from edgeagent.app.command_kind import CommandError, Life, parse_args
    from edgeagent.app.commands_all import KINDS
    from edgeagent.app.job_intake import MAX_BYTES, Arrived, Refusal, Taken, judge_arrived
    from edgeagent.clock import ManualClock
    from edgeagent.config.desired import Answer, Candidate, Kept, Wish, consider
    from edgeagent.config.layers import Layer
    from edgeagent.config.schema import Config
    from edgeagent.fleet.answers import Job
    from edgeagent.fleet.envelope import MessageError
    from edgeagent.fleet.inbound import parse_desired, parse_inbound
    from edgeagent.fleet.job_record import JobRecord
    from edgeagent.fleet.job_verdict import Arrival
    from edgeagent.fleet.topics import TopicError, Topics

MOST_GROWTH_MB = 300
NOW = 1_790_000_000_000
TOPICS = Topics("lab", "one")
GROUPS = ("entrances",)
NAMES = (*KINDS, "nope", "UPPER", "")
PLACES = ("one/cmd/", "_all/cmd/", "_group/entrances/cmd/", "_group/exits/cmd/", "two/cmd/")
LOCAL = [
    Layer("file", {"device": {"id": "one", "fleet": "lab"}, "cameras": {"belt": {"source": {"type": "synthetic"}}}})
]
LIFE, CLOCK = Life("b-1", "boot"), ManualClock(wall_ms=NOW)
HEAD = 4  # bytes before the payload: where to, which command, which properties, an expiry
BEGAN_KB: list[int] = []


def one_input(data: bytes) -> None:
    if len(data) < HEAD:
        return
    way, name, flags, expiry = data[:HEAD]
    payload = data[HEAD:]
    topic = _topic(way, name, payload)
    arrival = Arrival(bool(flags & 1), float(expiry) if flags & 2 else None, bool(flags & 4))
    response = ("", "answers", "edgeagent/v1/lab/two/cmd/x", payload[:30].decode(errors="replace"))[flags >> 3 & 3]
    lost_ms = NOW - 7 if flags & 96 == 96 else None
    now_ms = expiry * 1000 if flags & 128 else NOW
    try:
        inbound = parse_inbound(topic, TOPICS, GROUPS)
    except TopicError:
        return
    if inbound.kind == "config_desired":
        desired(payload)
    else:
        command(Arrived(inbound.name, inbound.scope, payload, arrival, response, b"c"), lost_ms, now_ms)
    _check_memory()


def _topic(way: int, name: int, payload: bytes) -> str:
    if way == 0:
        return payload[:60].decode(errors="replace")
    if way < 100:
        return "edgeagent/v1/lab/one/config/desired"
    return f"edgeagent/v1/lab/{PLACES[way % len(PLACES)]}{NAMES[name % len(NAMES)]}"


def command(arrived: Arrived, lost_ms: int | None, now_ms: int) -> None:
    known: JobRecord | None = None
    for _ in range(2):  # the second time as one that is known
        verdict = judge_arrived(arrived, known, lost_ms, now_ms)
        if isinstance(verdict, Refusal):
            if verdict.id:
                _say(verdict.record(LIFE, CLOCK))
            return
        if not isinstance(verdict, Taken):
            assert known is not None
            return
        assert not arrived.arrival.retained
        assert len(arrived.payload) <= MAX_BYTES
        assert isinstance(json.loads(arrived.payload), dict)
        known = verdict.record(LIFE, CLOCK, verdict.left_s)
        _say(known)
        kind = KINDS.get(verdict.name)
        if kind is not None:
            try:
                parse_args(kind, verdict.args)
            except CommandError as error:
                assert "\n" not in error.line()


def _say(record: JobRecord) -> None:
    Job.model_validate({"session": "b-1", "seq": 1, "ts": 1, **record.answer()}).model_dump_json()


def desired(payload: bytes) -> None:
    try:
        found = parse_desired(payload)
    except MessageError as error:
        assert "\n" not in error.message
        return
    if found is None:
        assert payload == b""
        return
    wish = Wish(
        version=found.version, digest="d", config=found.config, base=found.base, patch=found.patch,
        trial_s=found.trial_s, by=found.by,
    )  # fmt: skip
    verdict = consider(wish, Kept(), Answer(), LOCAL, [])
    if isinstance(verdict, Candidate):
        device = verdict.loaded.config.device
        assert (device.id, device.fleet, device.state_dir) == ("one", "lab", "/var/lib/edgeagent")


def _check_memory() -> None:
    used_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert not BEGAN_KB or used_kb - BEGAN_KB[0] < MOST_GROWTH_MB * 1024, f"{used_kb} KB"


def seeds() -> list[bytes]:
    """Valid messages, for the fuzzer to begin with."""
    commands = [
        {"id": "a", "args": {"pipeline": "parts"}, "ts": NOW, "deadline_ts": NOW + 60_000, "reply_to": "x", "by": "me"},
        {"id": "a", "args": {"camera": "belt", "frames": 20}},
        {"id": "b", "args": {"intent": None}},
        {"id": "c", "args": {"agent": True}},
        {"id": "d", "args": {"level": "debug", "for_s": 5}},
    ]
    wishes = [
        {"version": 1, "config": {"cameras": {"belt": {"source": {"type": "synthetic", "fps": 5}}}}},
        {"version": 2, "base": 0, "patch": {"pipelines": {"parts": None}}, "trial_s": 5, "by": "me"},
        {"version": 3, "config": {"device": {"id": "two"}, "remote": {"allow": ["device"]}}},
        {
            "version": 4,
            "config": {"pipelines": {"parts": {"camera": "belt", "model": "m"}}, "mqtt": {"url": "mqtt://h"}},
        },
    ]
    found = [bytes([1, 0, 0, 0]) + json.dumps(wish).encode() for wish in wishes]
    for command_ in commands:
        found += [bytes([100, name, 4, 9]) + json.dumps(command_).encode() for name in range(len(NAMES))]
    return found


def words() -> str:
    """Keys that a message may have, as the fuzzer's dictionary."""
    keys = {"id", "args", "ts", "deadline_ts", "reply_to", "by", "version", "config", "base", "patch", "trial_s"}
    keys |= {name for kind in KINDS.values() for name in kind.args.model_fields}
    keys |= {name for table in Config.model_fields.values() for name in getattr(table.annotation, "model_fields", {})}
    keys |= set(Config.model_fields) | {"null", "true", "[", "{", "1790000000000", "registry:", "sample:conveyor"}
    return "".join(f'"{key}"\n' for key in sorted(keys))


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "words").write_text(words())
        corpus = Path(folder) / "corpus"
        corpus.mkdir()
        for number, seed in enumerate(seeds()):
            (corpus / str(number)).write_bytes(seed)
        atheris.Setup([*sys.argv, f"-dict={folder}/words", str(corpus)], one_input)
        BEGAN_KB.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
