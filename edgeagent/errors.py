"""The one error family: every error says who must act and how.

An error's `code` is stable: it goes onto MQTT and dashboards match on it. The message is one plain line.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

Who = Literal["operator", "hardware", "network", "us"]
Fact = str | int | float | bool | None


class EdgeAgentError(Exception):
    """Base of all errors that edgeagent raises on purpose.

    `message` is one line that names the thing at fault; `mend` says what to do about it; `facts` are the values
    that a person would ask for next; `retry` tells whether the same call may succeed later unchanged.
    """

    code: ClassVar[str] = "internal"
    who: ClassVar[Who] = "us"

    def __init__(
        self,
        message: str,
        *,
        mend: str = "",
        facts: Mapping[str, Fact] | None = None,
        retry: bool = False,
        code: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.mend = mend
        self.facts: dict[str, Fact] = dict(facts or {})
        self.retry = retry
        self.error_code = code or self.code

    def facts_for_json(self) -> dict[str, str | bool]:
        """The error for a script."""
        return {"code": self.error_code, "message": self.message, "mend": self.mend, "retry": self.retry}

    @property
    def bracket(self) -> str:
        """` [code]` for the end of a line on the terminal, "" where the code says no more than whose fault it is."""
        return "" if self.error_code in ("internal", "operator", "config", "engine") else f" [{self.error_code}]"

    def line(self) -> str:
        """The error as one line: what is wrong, then the mend."""
        text = " ".join(self.message.split())
        return f"{text} ({self.mend})" if self.mend else text


class OperatorError(EdgeAgentError):
    """Something the operator wrote or asked for is wrong: exit code 2."""

    code = "operator"
    who = "operator"


class ConfigError(OperatorError):
    code = "config"


class SourceError(EdgeAgentError):
    """A camera source cannot be opened or has failed."""

    code = "source"
    who = "hardware"


class ModelError(OperatorError):
    """A model bundle or its ONNX is not what it claims to be."""

    code = "model"


class EngineError(EdgeAgentError):
    code = "engine"


class StoreError(EdgeAgentError):
    """The engine store cannot be read or written (disk full, permission, damage)."""

    code = "store"
    who = "operator"


class LinkError(EdgeAgentError):
    code = "link"
    who = "network"


class ChildError(EdgeAgentError):
    """A child process broke its protocol."""

    code = "child"


class BoardError(EdgeAgentError):
    code = "board"
    who = "hardware"
