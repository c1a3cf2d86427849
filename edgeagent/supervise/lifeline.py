"""Dying together: a process that must not outlive the one that started it.

`tie_to_parent` asks the kernel for a signal at the parent's death (PR_SET_PDEATHSIG, see prctl(2)), then closes
the race of a parent that died before the request by comparing the parent's pid.

For the kernel the parent is the thread that started the child: start children from a thread that lives as long as
they may (the agent's is its main thread), or they are killed when it ends.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
PARENT_VARIABLE = "EDGEAGENT_PARENT_PID"


def tie_to_parent(sig: signal.Signals = signal.SIGKILL) -> None:
    """Die with the process named in the environment. Without that name, do nothing: a person started us."""
    parent = os.environ.get(PARENT_VARIABLE)
    if parent is None:
        return
    if not die_with_parent(int(parent), sig):
        sys.exit(1)


def die_with_parent(parent: int, sig: signal.Signals) -> bool:
    """Ask the kernel for `sig` when the parent ends; False when the process `parent` has ended already."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_PDEATHSIG, int(sig), 0, 0, 0)
    return os.getppid() == parent


def environment_for_child() -> dict[str, str]:
    """The environment that ties a child started now to this process."""
    return {**os.environ, PARENT_VARIABLE: str(os.getpid())}
