"""When what is committed has to go onto the disk: as seldom as possible, as soon as it counts. Pure.

While there is a connection, the broker gets a message sooner than the disk would: only what it has not acknowledged
within `GRACE_S` is worth a sync. Without one, the first message after a quiet second goes onto the disk at once.
Either way there is at most one sync in `GRACE_S`, unless somebody asks for one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

_NS: Final = 1_000_000_000
GRACE_S: Final = 1.0


@dataclass
class SyncBook:
    """Which committed messages are not known to be on the disk, and since when."""

    since_ns: dict[int, int] = field(default_factory=dict)
    last_ns: int | None = None

    def committed(self, numbers: list[int], now_ns: int) -> None:
        self.since_ns.update(dict.fromkeys(numbers, now_ns))

    def gone(self, number: int) -> None:
        """The broker has it, or it was given up: the disk need not have it any more."""
        self.since_ns.pop(number, None)

    def synced(self, now_ns: int) -> None:
        self.since_ns.clear()
        self.last_ns = now_ns

    def due_ns(self, *, online: bool) -> int | None:
        """When the next sync has to be; None while nothing needs one."""
        if not self.since_ns:
            return None
        grace_ns = round(GRACE_S * _NS)
        wanted = next(iter(self.since_ns.values())) + (grace_ns if online else 0)
        return wanted if self.last_ns is None else max(wanted, self.last_ns + grace_ns)
