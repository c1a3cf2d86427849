"""What can keep an installation from being done."""

from __future__ import annotations


class InstallError(Exception):
    """It could not be done: what, and the way to mend it. Exit status 1."""

    status = 1

    def __init__(self, message: str, *, mend: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.mend = mend

    def line(self) -> str:
        return f"{self.message}; {self.mend}" if self.mend else self.message


class RequestError(InstallError):
    """What was asked for cannot be: exit status 2, and nothing was changed."""

    status = 2
