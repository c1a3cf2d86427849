"""What two processes cost that hand on a frame's result and do nothing else: `bench_bare.py [--fps N] [--seconds S]`.

The control for `edgeagent bench --null`: the same pair of processes with the same waits and system calls, and none of
edgeagent's work. A clock wakes the first, as a ring does; it sends a line of a result's size to the second, whose event
loop writes a message of that size to a socket that a third reads. CPU time a frame of each, JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import select
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from threading import Thread

from edgeagent.bench.processor_time import used_by

LINE = b"x" * 1700 + b"\n"  # twenty detections


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fps", type=float, default=120.0)
    parser.add_argument("--seconds", type=float, default=10.0)
    options = parser.parse_args()
    bell, (ours, theirs), server = os.eventfd(0), socket.socketpair(), socket.create_server(("127.0.0.1", 0))
    outgoing = socket.create_connection(server.getsockname())
    incoming, _ = server.accept()
    outgoing.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    pids = {"infer": forked(lambda: hand_on(bell, ours)), "agent": forked(lambda: publish(theirs, outgoing))}
    Thread(target=drain, args=(incoming,), daemon=True).start()
    try:
        ring(bell, options.fps, 1.0)
        before = {name: used_by(pid) for name, pid in pids.items()}
        frames = ring(bell, options.fps, options.seconds)
        used = {name: (used_by(pid) - before[name]) / frames * 1e6 for name, pid in pids.items()}
    finally:
        for pid in pids.values():
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    facts = {f"{name}_us": round(us, 1) for name, us in used.items()}
    print(json.dumps({"fps": options.fps, "frames": frames, **facts, "both_us": round(sum(used.values()), 1)}))


def forked(work: Callable[[], None]) -> int:
    if pid := os.fork():
        return pid
    with suppress(KeyboardInterrupt):
        work()
    os._exit(0)


def ring(bell: int, fps: float, seconds: float) -> int:
    """Wake the first process so often; how often it was."""
    began, count = time.monotonic(), 0
    while (left := began + count / fps - time.monotonic()) < seconds and time.monotonic() < began + seconds:
        time.sleep(max(0.0, left))
        os.eventfd_write(bell, 1)
        count += 1
    return count


def hand_on(bell: int, out: socket.socket) -> None:
    poller = select.poll()
    poller.register(bell, select.POLLIN)
    while True:
        poller.poll()
        os.eventfd_read(bell)
        out.sendall(LINE)


def publish(heard: socket.socket, out: socket.socket) -> None:
    heard.setblocking(False)

    def readable() -> None:
        out.send(heard.recv(1 << 16))

    async def serve() -> None:
        asyncio.get_running_loop().add_reader(heard, readable)
        await asyncio.Event().wait()

    asyncio.run(serve())


def drain(incoming: socket.socket) -> None:
    while incoming.recv(1 << 16):
        pass


if __name__ == "__main__":
    main()
