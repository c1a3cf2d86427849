"""One law of the desk of commands: an id has one effect, whatever is sent and however often the agent ends."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import anyio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from job_bench import Bench

WORDS = st.sampled_from(["id", "args", "ts", "what", "x", "a"])
JSON = st.recursive(st.none() | st.integers() | WORDS, lambda inner: st.dictionaries(WORDS, inner), max_leaves=6)
PAYLOADS = st.binary(max_size=40) | JSON.map(lambda data: json.dumps(data).encode())
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("send"), st.sampled_from(["count", "wait", "again"]), st.sampled_from("abc")),
        st.tuples(st.just("junk"), PAYLOADS, st.just("")),
        st.tuples(st.sampled_from(["settle", "release", "stop", "reboot"]), st.just(""), st.just("")),
    ),
    max_size=14,
)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(STEPS)
def test_an_id_has_one_effect(steps: list[tuple[Any, ...]]) -> None:
    """`again` waits like `wait`, and is taken up by the next start. Each id's argument counts its effect."""

    async def scene(folder: Path) -> None:
        bench = Bench(folder)
        rest = list(steps)
        while rest or bench.life.session == "b-1":
            await _one_life(bench, rest)
            bench.restarted()
        async with bench.running():
            bench.release.set()
            await bench.until(lambda: not bench.desk.live)
        assert all(count == 1 for count in bench.effects.values()), bench.effects
        assert set(bench.effects) <= {"a", "b", "c"}

    with tempfile.TemporaryDirectory() as folder:
        anyio.run(scene, Path(folder))


async def _one_life(bench: Bench, rest: list[tuple[Any, ...]]) -> None:
    async with bench.running():
        while rest:
            what, first, job = rest.pop(0)
            if what == "send":
                bench.send(first, job, {"what": job})
            elif what == "junk":
                bench.send("nope", raw=first)
            elif what == "settle":
                await bench.until(bench.desk.idle)
            elif what == "release":
                bench.release.set()
            else:
                if what == "reboot":
                    bench.restarted(boot=True)
                return
