"""A fetch that is killed in the middle of its download: nothing half is in the store, and the next one goes on."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

from lying_server import Handler, LyingServer, on, serving

sys.path.append(str(Path(__file__).parents[1] / "unit" / "engine"))
from registry_kit import KEY, OURS, PLAN_BYTES, Ground, ground

PLAN = hashlib.sha256(PLAN_BYTES).hexdigest()
PATIENCE_S = 60


def pull(place: Ground, url: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "edgeagent", "engine", "pull", KEY, "--registry", url]
    command += ["--trust", OURS.public_text, "--state", str(place.store_root.parent)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def killed_after(place: Ground, server: LyingServer, sent: int) -> int:
    """Pull from a server that stalls once the plan's first `sent` bytes beyond the last pull's are out; SIGKILL it when
    they have been written. The size of the part file then."""
    part = place.store_root / ".parts" / KEY / f"{PLAN}.part"
    before = part.stat().st_size if part.exists() else 0
    wanted = min(before + sent, len(PLAN_BYTES) - 1)

    def until(handler: Handler) -> None:
        start = int(handler.headers.get("Range", "bytes=0-")[6:-1])
        size = len(PLAN_BYTES)
        names = {"ETag": '"one"', "Content-Range": f"bytes {start}-{size - 1}/{size}"}
        handler.cut(PLAN_BYTES[start:wanted], size - start, 206 if start else 200, **names)
        handler.stall()

    server.trick = on(PLAN, until)
    with pull(place, server.url) as process:
        look = threading.Event()
        for _ in range(PATIENCE_S * 100):
            if part.exists() and part.stat().st_size == wanted:
                break
            assert process.poll() is None, process.communicate()
            look.wait(0.01)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate(timeout=PATIENCE_S)
        assert process.returncode == -signal.SIGKILL
    assert place.store.find(KEY) is None
    return part.stat().st_size


def test_kills_in_mid_download_then_the_rest(tmp_path: Path) -> None:
    place = ground(tmp_path)
    rng = random.Random(11)
    with serving(place.registry) as server:
        sizes = [killed_after(place, server, rng.randrange(50_000, 300_000)) for _ in range(4)]
        assert sizes == sorted(set(sizes)), "each went on where the last one was killed"
        server.asked.clear()
        server.trick = on(PLAN, _rest)
        with pull(place, server.url) as process:
            out, errors = process.communicate(timeout=PATIENCE_S)
            assert process.returncode == 0, errors
        assert KEY.encode() in out
        (headers,) = server.gets(PLAN)
        assert headers["Range"] == f"bytes={sizes[-1]}-" and headers["If-Range"] == '"one"'
    entry = place.store.find(KEY)
    assert entry is not None and entry.plan_path.read_bytes() == PLAN_BYTES
    place.store.sweep()
    assert [one.key for one in place.store.entries()] == [KEY] and not list(place.store_root.glob(".new-*"))
    assert not list((place.store_root / ".parts").iterdir())


def _rest(handler: Handler) -> None:
    start, size = int(handler.headers["Range"][6:-1]), len(PLAN_BYTES)
    where = f"bytes {start}-{size - 1}/{size}"
    handler.answer(206, PLAN_BYTES[start:], ETag='"one"', Content_Range=where)
