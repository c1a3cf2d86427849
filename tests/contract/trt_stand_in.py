"""A module with exactly the API of one TensorRT release, made from `trt_api/api-<release>.json`.

The files were read from NVIDIA's own bindings. Every class has the methods, attributes, enum members and argument names
of that release; anything else that is asked, called, passed or set raises, as the bindings would. What the objects *do*
is given by `Behaviour` (trt_world.py); a call without a behaviour raises too, so nothing passes by accident.
"""

from __future__ import annotations

import enum
import inspect
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

API = Path(__file__).parent / "trt_api"
RELEASES = ("8.6.0", "10.3.0", "10.13.3.9", "10.16.1.11", "11.4.0.106")
SEVERITIES = ("INTERNAL_ERROR", "ERROR", "WARNING", "INFO", "VERBOSE")
BUFFERS = ("buffer", "typing_extensions.Buffer")
INTS = ("int", "typing.SupportsInt")
Behaviour = Callable[..., Any]


def read_api(release: str) -> dict[str, Any]:
    api: dict[str, Any] = json.loads((API / f"api-{release}.json").read_text())
    return api


def make_module(
    release: str,
    behaviours: Mapping[tuple[str, str], Behaviour],
    values: Mapping[tuple[str, str], Callable[[Any], Any]],
) -> ModuleType:
    """The stand-in. `behaviours[class, method]` is called with the object and the bound arguments by name;
    `values[class, attribute]` gives an attribute that was never set."""
    api = read_api(release)
    module = ModuleType(f"tensorrt_{release.replace('.', '_')}")
    module.__version__ = api["version"]  # type: ignore[attr-defined]
    made: dict[str, type] = {}
    waiting = dict(api["classes"])
    while waiting:
        ready = [name for name, one in waiting.items() if all(base in made for base in one.get("bases", ()))]
        for name in ready:
            one = waiting.pop(name)
            if "enum" in one:
                made[name] = enum.IntEnum(name, one["enum"])
            else:
                made[name] = _make_class(name, one, made, behaviours, values)
    for name, kind in made.items():
        setattr(module, name, kind)
    module.init_libnvinfer_plugins = behaviours["", "init_libnvinfer_plugins"]  # type: ignore[attr-defined]
    return module


def new(kind: type, **values: Any) -> Any:
    """An object as a factory of the library makes it, past its constructor."""
    made = object.__new__(kind)
    made.__dict__.update(_initialised=True, _values=dict(values))
    return made


def _make_class(name: str, one: dict[str, Any], made: dict[str, type], behaviours: Any, values: Any) -> type:
    bases = tuple(made[base] for base in one["bases"]) or (object,)
    space: dict[str, Any] = {"_own": name, "__module__": "tensorrt"}
    for attribute in one["attributes"]:
        space[attribute] = _property(name, attribute, values)
    for method, signatures in one["methods"].items():
        if method not in ("__init__", "Severity"):
            space[method] = _method(name, method, signatures, made, behaviours)
    space["__init__"] = _constructor(name, one["methods"].get("__init__", []), made, behaviours)
    space["__setattr__"] = _guarded_set
    if name == "ILogger":
        space["Severity"] = enum.IntEnum("Severity", {text: number for number, text in enumerate(SEVERITIES)})
    if "Severity" in one["methods"]:
        severity = space.get("Severity") or made["ILogger"].Severity  # type: ignore[attr-defined]
        space.update({text: severity[text] for text in SEVERITIES})
    if name == "IHostMemory":
        space["__bytes__"] = lambda self: self.__dict__["_values"]["data"]
    return type(name, bases, space)


def _guarded_set(self: Any, name: str, value: Any) -> None:
    """Only a subclass written in Python takes further attributes, as with the bindings."""
    if "_own" in vars(type(self)) and not isinstance(getattr(type(self), name, None), property):
        raise AttributeError(f"{type(self).__name__} of this release has no attribute {name!r}")
    object.__setattr__(self, name, value)


def _property(owner: str, attribute: str, values: Mapping[tuple[str, str], Callable[[Any], Any]]) -> property:
    def read(self: Any) -> Any:
        held = self.__dict__.get("_values", {})
        if attribute in held:
            return held[attribute]
        if (owner, attribute) not in values:
            raise AssertionError(f"no value is written down for {owner}.{attribute}")
        return values[owner, attribute](self)

    def write(self: Any, value: Any) -> None:
        _check_initialised(value)
        self.__dict__["_values"][attribute] = value

    return property(read, write)


def _constructor(owner: str, signatures: list[str], made: dict[str, type], behaviours: Any) -> Behaviour:
    def construct(self: Any, *args: Any, **kwargs: Any) -> None:
        if not signatures:
            raise TypeError(f"{owner}: No constructor defined!")
        bound = _bind(owner, "__init__", signatures, made, self, args, kwargs)
        self.__dict__.update(_initialised=True, _values={})
        behaviour = behaviours.get((owner, "__init__"))
        if behaviour is not None:
            behaviour(self, **bound)

    return construct


def _method(owner: str, method: str, signatures: list[str], made: dict[str, type], behaviours: Any) -> Behaviour:
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        bound = _bind(owner, method, signatures, made, self, args, kwargs)
        if (owner, method) not in behaviours:
            raise AssertionError(f"no behaviour is written down for {owner}.{method}")
        return behaviours[owner, method](self, **bound)

    call.__name__ = method
    return call


def _bind(
    owner: str, method: str, signatures: list[str], made: dict[str, type], me: Any, args: Any, kwargs: Any
) -> Any:
    """The arguments by name, as one of the signatures takes them; TypeError when none does."""
    if not signatures:
        return {f"arg{index}": value for index, value in enumerate(args)} | kwargs
    reasons = []
    for text in signatures:
        signature, kinds = _signature(text)
        try:
            bound = signature.bind(me, *args, **kwargs)
            for name, value in bound.arguments.items():
                if name != "self":
                    _check_kind(name, value, kinds.get(name, ""), made)
        except TypeError as error:
            reasons.append(str(error))
            continue
        bound.apply_defaults()
        return {name: value for name, value in bound.arguments.items() if name != "self"}
    raise TypeError(f"{owner}.{method}: incompatible arguments: {'; '.join(reasons)}")


def _signature(text: str) -> tuple[inspect.Signature, dict[str, str]]:
    """`1. set(self: X, flag: Flag, on: bool = True) -> None` as a signature and the kinds of its arguments."""
    inner = re.match(r"(?:\d+\. )?\w+\((.*)\) ->", text)
    assert inner is not None, text
    parameters, kinds = [], {}
    has_default = False
    for part in _split(inner[1]):
        name, _, rest = part.partition(":")
        kind, equals, _ = rest.partition(" = ")
        has_default = has_default or bool(equals)
        kinds[name.strip()] = kind.strip()
        default = None if has_default else inspect.Parameter.empty
        if equals and kind.strip() in INTS:
            default = 0
        parameters.append(inspect.Parameter(name.strip(), inspect.Parameter.POSITIONAL_OR_KEYWORD, default=default))
    return inspect.Signature(parameters), kinds


def _split(text: str) -> list[str]:
    parts, depth, current = [], 0, ""
    for character in text:
        depth += (character in "[(<") - (character in "])>")
        if character == "," and depth == 0:
            parts.append(current)
            current = ""
        else:
            current += character
    return [part for part in [*parts, current] if part.strip()]


def _check_kind(name: str, value: Any, kind: str, made: dict[str, type]) -> None:
    _check_initialised(value)
    wanted: tuple[type, ...] | None = None
    if kind in made:
        wanted = (made[kind],) if issubclass(made[kind], enum.Enum) else (made[kind], type(None))
    elif kind in INTS:
        wanted = (int,)
    elif kind in ("bool", "str"):
        wanted = ({"bool": bool, "str": str}[kind],)
    elif kind in BUFFERS:
        wanted = (bytes, bytearray, memoryview)
    if kind == "Dims" or wanted is None:
        return
    if not isinstance(value, wanted):
        raise TypeError(f"{name} is {type(value).__name__}, not {kind}")


def _check_initialised(value: Any) -> None:
    """An object of a subclass whose base was never initialised ends the process in the bindings."""
    if hasattr(type(value), "_own") and not value.__dict__.get("_initialised"):
        raise TypeError(f"{type(value).__name__}.__init__() must be called when overriding __init__")
