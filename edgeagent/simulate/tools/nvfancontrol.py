"""Stand-in for nvfancontrol: `nvfancontrol.py ROOT -q` prints profile, governor and control of each fan, for root only.

The service itself is not here: `systemctl restart nvfancontrol` does what starting it does to the files. Source of
the lines: a public capture; the status of the refusals is a guess.
"""

from __future__ import annotations

import sys
from pathlib import Path

if not __package__:  # run as a program with -I, where nothing leads to the package that this file lies in
    sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from edgeagent.simulate.tools import fans, misbehaviour
from edgeagent.simulate.tools.machine import complain, machine_at, say

_NOT_ROOT = "NVFAN ERROR: Sudo permissions are required to execute nvfancontrol user daemon"


def main(arguments: list[str]) -> int:
    root, options = Path(arguments[0]), arguments[1:]
    words, over = misbehaviour.begin("nvfancontrol", root)
    if over is not None:
        return over
    machine = machine_at(root)
    if not machine.caller_is_root():
        complain(_NOT_ROOT)
        return 1
    if "lie" in words:
        return 0
    if options != ["-q"]:
        complain("usage: nvfancontrol -q")
        return 1
    try:
        say(fans.status(machine).rstrip("\n"))
    except fans.FanConfError as error:
        complain(f"NVFAN ERROR: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
