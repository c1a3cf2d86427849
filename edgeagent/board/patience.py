"""How often to ask a device that answers slowly. Pure.

A read over I2C goes through the kernel and cannot be given a time limit: with a stuck bus it holds the caller for the
driver's own timeouts, a second or more each. So what was slow is left alone for a growing number of samples: 1, 2, 4
and so on up to 64. A single late answer on a busy machine costs one sample of that device and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass

SLOW_S = 0.05
MAX_SKIPPED = 64


@dataclass(frozen=True)
class Patience:
    """`slow_in_a_row` times the device was late; it is left alone for the next `skip` samples."""

    slow_in_a_row: int = 0
    skip: int = 0

    def after_read(self, *, slow: bool) -> Patience:
        if not slow:
            return Patience()
        return Patience(self.slow_in_a_row + 1, min(MAX_SKIPPED, 2 ** min(self.slow_in_a_row, 16)))

    def after_skip(self) -> Patience:
        return Patience(self.slow_in_a_row, self.skip - 1)
