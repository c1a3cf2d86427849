"""The generated half of docs/remote-config.md: what a key's change restarts, and what may not be set over MQTT.

A test tells when it is to be renewed: `python -m edgeagent.config.remote_document docs/remote-config.md`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from edgeagent.config.changes import MEANING, TABLE
from edgeagent.config.local_keys import LOCAL

BEGIN: Final = "<!-- generated from edgeagent/config: do not edit below -->"
END: Final = "<!-- end of the generated part -->"


def with_tables(document: str) -> str:
    """The document with its generated part renewed. Raises ValueError when the marks are missing."""
    before, rest = document.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n\n{_consequences()}\n{_local()}\n{END}{after}"


def _consequences() -> str:
    rows = [
        f"| **{consequence}** | {MEANING[consequence]} | {', '.join(f'`{_key(one)}`' for one in patterns)} |"
        for consequence, patterns in TABLE.items()
    ]
    return "\n".join(
        ["### Which key restarts what", "", "| consequence | what happens | keys |", "|---|---|---|", *rows, ""]
    )


def _local() -> str:
    keys = "\n".join(f"- `{_key(pattern)}`" for pattern in ("remote.**", *LOCAL))
    return f"### Keys that only the device's file sets\n\n{keys}\n"


def _key(pattern: str) -> str:
    return pattern.replace(".**", ".…").replace("*", "ID")


if __name__ == "__main__":
    page = Path(sys.argv[1])
    page.write_text(with_tables(page.read_text(encoding="utf-8")), encoding="utf-8")
