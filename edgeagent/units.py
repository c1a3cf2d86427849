"""Units as types. A bare float never crosses a room's border without its unit in its type or its name."""

from __future__ import annotations

from typing import NewType

Celsius = NewType("Celsius", float)
Milliwatts = NewType("Milliwatts", float)
Kilobytes = NewType("Kilobytes", int)
Kilohertz = NewType("Kilohertz", int)
Percent = NewType("Percent", float)
