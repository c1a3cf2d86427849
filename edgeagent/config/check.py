"""Everything that is wrong with a config, in plain words, each with its mend. Pure.

Pydantic finds the mistakes inside the tables, `cross` those between them; here they become one list. Invariants: a
dict without mistakes makes a valid `Config`, one with mistakes does not; no line holds a secret.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from edgeagent.camera.spec import redact_url
from edgeagent.config import settings
from edgeagent.config.cross import cross_mistakes
from edgeagent.config.layers import too_deep
from edgeagent.config.mistake import Mistake
from edgeagent.config.schema import Config
from edgeagent.config.toml_text import dotted, key_text, quoted, toml_value

_KINDS: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (bool, "true or false"),
    (int, "a whole number"),
    (float, "a number"),
    (str, "text"),
    ((list, tuple), "a list"),
    (Mapping, "a table"),
    (type(None), "nothing"),
)
_SHOWN = 60


@dataclass(frozen=True)
class _Wrong:
    """One complaint of pydantic's: where, what was there, and what the schema knows of the place."""

    path: tuple[str, ...]
    node: settings.Node
    parent: settings.Node
    value: object
    context: Mapping[str, Any]
    complaint: str

    @property
    def key(self) -> str:
        return self.path[-1] if self.path else ""

    def mistake(self, message: str, mend: str, *below: str) -> Mistake:
        return Mistake(dotted((*self.path, *below)), message, mend)


def find_mistakes(data: Mapping[str, Any]) -> list[Mistake]:
    """All mistakes of a config given as nested dicts; none means that `Config` takes it."""
    if too_deep(data):
        return [Mistake("", "tables or lists nest too deep", "no setting needs more than a few levels")]
    try:
        Config.model_validate(data)
    except ValidationError as error:
        details = [one for one in error.errors(include_url=False) if one["type"] != "cross_check"]
        found = [_mistake(one) for one in details]
        told = {mistake.path for mistake in found}
        return list(dict.fromkeys([*found, *(one for one in cross_mistakes(data) if one.path not in told)]))
    return []


def render_mistakes(mistakes: Sequence[Mistake]) -> str:
    """One line a mistake."""
    return "\n".join(mistake.line() for mistake in mistakes)


def _mistake(error: ErrorDetails) -> Mistake:
    path, node = settings.find(error["loc"])
    _, parent = settings.find(error["loc"][:-1])
    wrong = _Wrong(path, node or {}, parent or {}, error["input"], error.get("ctx", {}), error["msg"])
    rewrite = _REWRITES.get(error["type"])
    if rewrite is None:
        rewrite = _wrong_type if error["type"].endswith("_type") else _anything_else
    return rewrite(wrong)


def _unknown_key(wrong: _Wrong) -> Mistake:
    known = list(wrong.parent.get("properties", {}))
    close = get_close_matches(wrong.key, known, n=1)
    return wrong.mistake("unknown key", f"did you mean {close[0]}?" if close else f"known here: {', '.join(known)}")


def _missing(wrong: _Wrong) -> Mistake:
    return wrong.mistake("is missing", f"add {_line(wrong)}")


def _wrong_type(wrong: _Wrong) -> Mistake:
    return wrong.mistake(f"wants {settings.wants(wrong.node)}, got {_kind(wrong.value)}", f"for example {_line(wrong)}")


def _out_of_range(wrong: _Wrong) -> Mistake:
    wants = f"wants {settings.wants(wrong.node)}"
    return wrong.mistake(f"{_shown(wrong.value)} is out of range", f"{wants}; for example {_line(wrong)}")


def _not_a_choice(wrong: _Wrong) -> Mistake:
    known = [str(choice) for choice in settings.choices(wrong.node)]
    close = get_close_matches(str(wrong.value), known, n=1) if isinstance(wrong.value, (str, int)) else []
    mend = (
        f"did you mean {key_text(wrong.key)} = {_typed(wrong.node, close[0])}?"
        if close
        else f"for example {_line(wrong)}"
    )
    return wrong.mistake(f"wants {settings.wants(wrong.node)}, got {_shown(wrong.value)}", mend)


def _not_an_id(wrong: _Wrong) -> Mistake:
    slug = re.sub(r"[^a-z0-9]+", "-", redact_url(str(wrong.value))[:64].lower()).strip("-")
    better = f", for example {slug}" if slug else ""
    rule = "an id is 1 to 64 of a-z, 0-9 and -, and neither starts nor ends with -"
    return wrong.mistake(f"{_shown(wrong.value)} is not an id", rule + better)


def _no_type(wrong: _Wrong) -> Mistake:
    return wrong.mistake("is missing", f"add one of: {_types(wrong.node)}", "type")


def _unknown_type(wrong: _Wrong) -> Mistake:
    tag = str(wrong.context.get("tag", ""))
    close = get_close_matches(tag, settings.tagged(wrong.node), n=1)
    mend = f'did you mean type = "{close[0]}"?' if close else f"write one of: {_types(wrong.node)}"
    return wrong.mistake(f"there is no type {_shown(tag)}", mend, "type")


def _wrong_length(wrong: _Wrong) -> Mistake:
    fault = "is empty" if not wrong.value else "is too long"
    return wrong.mistake(
        fault, f"for example {_line(wrong)}, or leave the key out" if not wrong.value else "shorten it"
    )


def _refused(wrong: _Wrong) -> Mistake:
    return wrong.mistake(str(wrong.context["message"]), str(wrong.context["mend"]))


def _not_unicode(wrong: _Wrong) -> Mistake:
    """Pydantic names the table, not the key, when it is the key that is broken."""
    return wrong.mistake("holds a key or a text that is not valid Unicode", "type it anew")


def _anything_else(wrong: _Wrong) -> Mistake:
    message = f"{wrong.complaint[:1].lower()}{wrong.complaint[1:]}"
    return wrong.mistake(message, "`edgeagent config schema` prints what is wanted")


_REWRITES: dict[str, Callable[[_Wrong], Mistake]] = {
    "extra_forbidden": _unknown_key,
    "missing": _missing,
    "literal_error": _not_a_choice,
    "union_tag_not_found": _no_type,
    "union_tag_invalid": _unknown_type,
    "string_pattern_mismatch": _not_an_id,
    "string_unicode": _not_unicode,
    "refused": _refused,
    **dict.fromkeys(("greater_than", "greater_than_equal", "less_than", "less_than_equal"), _out_of_range),
    "finite_number": _out_of_range,
    **dict.fromkeys(("string_too_short", "string_too_long", "too_short", "too_long"), _wrong_length),
}


def _line(wrong: _Wrong) -> str:
    """An example of the whole TOML line: a list's, for a mistake in one of its items."""
    if not wrong.path:
        return "[device]"
    if wrong.parent.get("type") == "array":
        return f"{key_text(wrong.path[-2])} = {toml_value(settings.example(wrong.parent))}"
    return f"{key_text(wrong.key)} = {toml_value(settings.example(wrong.node))}"


def _types(node: settings.Node) -> str:
    return ", ".join(f'type = "{tag}"' for tag in settings.tagged(node))


def _typed(node: settings.Node, choice: str) -> str:
    return next(toml_value(value) for value in settings.choices(node) if str(value) == choice)


def _kind(value: object) -> str:
    return next((words for kind, words in _KINDS if isinstance(value, kind)), f"a {type(value).__name__}")


def _shown(value: object) -> str:
    """A value for a message: short, printable, its secrets hidden."""
    if isinstance(value, str):
        return quoted(redact_url(value)) if len(value) <= _SHOWN else "a long text"
    if isinstance(value, int) and abs(value) >= 10**18:
        return "a very large number"
    return toml_value(value) if isinstance(value, (bool, int, float)) else _kind(value)
