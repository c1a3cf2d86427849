"""Runs a Python program as another user: `as_user.py UID GID GROUPS MODULES PROGRAM ...`, lists like "5,6" or "".

The program's text and the modules it imports (MODULES, beside the common ones) are read before the change, so the other
user need not be able to read the interpreter's or the package's directories. For tests that run as root.
"""

from __future__ import annotations

import importlib
import os
import sys
import types
from pathlib import Path

MODULES = (
    "argparse", "ast", "contextlib", "dataclasses", "errno", "fcntl", "gettext", "grp", "json", "locale", "pathlib",
    "pwd", "re", "select", "shutil", "selectors", "signal", "socket", "struct", "subprocess", "time", "traceback",
    "typing", "encodings.latin_1", "encodings.ascii", "encodings.idna",
)  # fmt: skip


def main(uid: int, gid: int, groups: list[int], modules: list[str], program: str, arguments: list[str]) -> None:
    for name in (*MODULES, *modules):
        importlib.import_module(name)
    code = compile(Path(program).read_text(), program, "exec")
    os.setgroups(groups)
    os.setgid(gid)
    os.setuid(uid)
    module = sys.modules["__main__"] = types.ModuleType("__main__")
    sys.argv = [program, *arguments]
    exec(code, module.__dict__)


if __name__ == "__main__":
    main(
        int(sys.argv[1]),
        int(sys.argv[2]),
        [int(word) for word in sys.argv[3].split(",") if word],
        [name for name in sys.argv[4].split(",") if name],
        sys.argv[5],
        sys.argv[6:],
    )
