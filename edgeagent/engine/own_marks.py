"""Does an ONNX file bring its own Q/DQ nodes? Told from its bytes, without reading it as ONNX: the agent asks this.

An operator's name stands in the file as plain bytes. A false yes (a file that only mentions the word) is noticed by the
build, which reads the graph and says so.
"""

from __future__ import annotations

from pathlib import Path

MARK = b"DequantizeLinear"
CHUNK = 1 << 20


def mentions_qdq(path: Path) -> bool:
    """Whether the operator's name occurs in the file. Raises OSError."""
    rest = b""
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            if MARK in rest + chunk:
                return True
            rest = chunk[-len(MARK) :]
    return False
