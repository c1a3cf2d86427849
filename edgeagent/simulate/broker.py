"""The embedded MQTT broker of the demo: amqtt (MQTT 3.1.1), loopback only, nothing stored.

`python -m edgeagent.simulate.broker --port N` prints `ready` when it accepts connections, and ends with its parent.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import errno
import logging
import signal
import socket
import sys

from edgeagent.supervise.lifeline import tie_to_parent

HOST = "127.0.0.1"


def port_is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise
    return True


def pick_port(preferred: int) -> int:
    """The preferred port when it is free, else (or for 0) one that the kernel hands out."""
    if preferred and port_is_free(preferred):
        return preferred
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


async def serve(port: int) -> None:
    from amqtt.broker import Broker

    broker = Broker(
        {
            "listeners": {"default": {"type": "tcp", "bind": f"{HOST}:{port}"}},
            "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
        }
    )
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await broker.start()
    print("ready", flush=True)  # noqa: T201  the demo waits for this line
    await stop.wait()
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(broker.shutdown(), 1.0)


def main() -> int:
    tie_to_parent()
    parser = argparse.ArgumentParser(prog="edgeagent.simulate.broker")
    parser.add_argument("--port", type=int, required=True)
    port = parser.parse_args().port
    logging.disable(logging.CRITICAL)
    if not port_is_free(port):
        sys.stderr.write(f"port {port} is in use\n")
        return 1
    asyncio.run(serve(port))
    return 0


if __name__ == "__main__":
    sys.exit(main())
