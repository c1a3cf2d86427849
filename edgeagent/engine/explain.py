"""Why two engines are not the same, in words. Pure: the facts of two manifests in, sentences out.

A fact counts when the key digests it, so two engines have no difference exactly when they have the same key.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from edgeagent.engine.key import canonical_json

Path = tuple[str, ...]
Where = Literal["both", "first", "second"]
DIGEST = re.compile(r"[0-9a-f]{32,}")
MASK = re.compile(r"([a-z]+)_pg_mask=(\w+)")
LONGEST_VALUE = 60

# What a fact is called, and what follows from a difference in it.
NAMES: dict[str, tuple[str, str]] = {
    "key_schema": ("key schema", "one was made by another release of edgeagent, which counted other facts"),
    "model_digest": ("the model", "other weights or another graph"),
    "graft_version": ("graft version", "another release of edgeagent puts other operators around the network"),
    "options": ("model.toml", ""),
    "precision": ("precision", ""),
    "quantisation": ("where the INT8 scales come from", ""),
    "calibration_digest": ("calibration data", "INT8 scales follow from the frames they were measured on"),
    "placement": ("what computes it", ""),
    "batch": ("batch", "a plan is built for one number of frames"),
    "shapes": ("shape of the input", "a plan is built for fixed shapes"),
    "backend": ("backend", "the plan of one is nothing to the other"),
    "builder": ("builder setting", ""),
    "plugins": ("plugin library", "another build of a plugin may compute something else"),
    "fingerprint": ("the board", ""),
    "fingerprint.module": ("module", "a plan is tuned for one module"),
    "fingerprint.soc": ("SoC", "a plan runs on the kind of chip it was built for"),
    "fingerprint.compute_capability": ("compute capability", "a plan holds code for one generation of GPU"),
    "fingerprint.l4t": ("L4T", "a plan runs only under the TensorRT and driver it was built for"),
    "fingerprint.tensorrt": ("TensorRT", "a plan runs only under the very release that built it"),
    "fingerprint.cuda": ("CUDA", "a plan runs only with the libraries it was built for"),
    "fingerprint.gpu": ("GPU", "a plan is tuned for one GPU"),
    "fingerprint.machine": ("processor architecture", ""),
    "fingerprint.onnxruntime": ("ONNX Runtime", "it optimises a network for itself"),
    "fingerprint.gpu_parts": ("which parts of the GPU are on", "a plan is tuned for as many"),
    "fingerprint.tactics": ("the libraries whose kernels a build may take", ""),
    "builder.optimization_level": ("builder's optimisation level", "how hard fast kernels were looked for"),
    "builder.workspace_mb": ("builder's scratch memory", "kernels that need more were left out"),
    "builder.calibration_ranges": ("what the scales of a calibrated engine cover", ""),
    "builder.dla_max_gpu_layers": ("share of layers that may leave the DLA", ""),
    "builder.dla_max_gpu_macs": ("share of multiply-adds that may leave the DLA", ""),
}


@dataclass(frozen=True)
class Difference:
    """One fact that differs. `fact` is its path (`fingerprint.l4t`); the value of the side that lacks it is None."""

    fact: str
    where: Where
    first: object
    second: object
    sentence: str


def explain_difference(first: Mapping[str, object], second: Mapping[str, object]) -> list[Difference]:
    """Every fact that tells the two apart, in the order a person would ask in. Empty where the key is the same."""
    one, two = dict(_leaves(first)), dict(_leaves(second))
    paths = [path for path in [*one, *(path for path in two if path not in one)] if not _only_empty(path, one, two)]
    order = {name: number for number, name in enumerate(NAMES)}
    found = [_difference(path, one, two) for path in paths if _differs(path, one, two)]
    return sorted(found, key=lambda difference: (order.get(difference.fact.split(".")[0], len(order)), difference.fact))


def _leaves(facts: Mapping[str, object], above: Path = ()) -> Iterator[tuple[Path, object]]:
    """Every value with its path. An empty mapping is a value."""
    for name, value in facts.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, (*above, name))
        else:
            yield (*above, name), value


def _only_empty(path: Path, one: Mapping[Path, object], two: Mapping[Path, object]) -> bool:
    """No plugins on one side: that is told by those of the other."""
    return any(
        side.get(path) == {} and path not in other and any(longer[: len(path)] == path for longer in other)
        for side, other in ((one, two), (two, one))
    )


def _differs(path: Path, one: Mapping[Path, object], two: Mapping[Path, object]) -> bool:
    if path not in one or path not in two:
        return True
    return canonical_json(_plain(one[path])) != canonical_json(_plain(two[path]))


def _difference(path: Path, one: Mapping[Path, object], two: Mapping[Path, object]) -> Difference:
    where: Where = "first" if path not in two else "second" if path not in one else "both"
    first, second = one.get(path), two.get(path)
    sentence = _lacking(path, where, first, second) if where != "both" else _differing(path, first, second)
    return Difference(".".join(path), where, first, second, sentence)


def _lacking(path: Path, where: Where, first: object, second: object) -> str:
    name, _ = _name(path)
    has, lacks, value = ("first", "second", first) if where == "first" else ("second", "first", second)
    return f"the {has} has a fact that the {lacks} lacks: {name} is {_shown(value)}"


def _differing(path: Path, first: object, second: object) -> str:
    name, why = _name(path)
    special = SPECIAL.get(".".join(path))
    text = special(first, second) if special is not None else ""
    if text:
        return text
    if _is_digest(first) and _is_digest(second):
        what = f"{name} differs"
    else:
        one, two = _shown(first), _shown(second)
        if one == two:  # "" and None, 1 and 1.0: one thing to a person, two to the key
            one, two = (repr(value)[:LONGEST_VALUE] for value in (first, second))
        what = f"{name} differs: {one} and {two}"
    return f"{what}: {why}" if why else what


def _name(path: Path) -> tuple[str, str]:
    """What a fact is called: by its own name, else by its group's with the rest of the path."""
    for length in range(len(path), 0, -1):
        known = NAMES.get(".".join(path[:length]))
        if known is not None:
            rest = ".".join(path[length:])
            return (f"{known[0]} {rest}".rstrip(), known[1])
    return ".".join(path), ""


def _shown(value: object) -> str:
    if value is None or value in ("", "none"):
        return "none"
    if _is_digest(value):
        return f"{str(value)[:12]}…"
    if isinstance(value, Mapping):
        return "nothing" if not value else f"{len(value)} values"
    if isinstance(value, (list, tuple)):
        text = "x".join(map(str, value)) if value and all(isinstance(part, int) for part in value) else _listed(value)
    else:
        text = str(value)
    text = " ".join(text.split()) or repr(value)
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 1] + "…"


def _listed(values: Sequence[object]) -> str:
    return ", ".join(str(value) for value in values) or "nothing"


def _is_digest(value: object) -> bool:
    return isinstance(value, str) and DIGEST.fullmatch(value) is not None


def _calibration(first: object, second: object) -> str:
    if first == "" or second == "":
        which = "first" if first == "" else "second"
        return f"the {which} was made without calibration data of ours"
    return ""


def _gpu_parts(first: object, second: object) -> str:
    """`tpc_pg_mask=240 fbp_pg_mask=2`, as the board's part of the fingerprint has it."""
    one, two = dict(MASK.findall(str(first))), dict(MASK.findall(str(second)))
    told = [
        f"{name} mask {one.get(name, 'unknown')} and {two.get(name, 'unknown')}"
        for name in [*one, *(name for name in two if name not in one)]
        if one.get(name) != two.get(name)
    ]
    return f"the power mode leaves other parts of the GPU on ({', '.join(told)})" if told else ""


def _classes(first: object, second: object) -> str:
    if not isinstance(first, (list, tuple)) or not isinstance(second, (list, tuple)):
        return ""
    if len(first) != len(second):
        return f"the class lists differ: {len(first)} and {len(second)} names"
    apart = [number for number, (one, two) in enumerate(zip(first, second, strict=True)) if one != two]
    if not apart:
        return ""
    one, two = _shown(first[apart[0]]), _shown(second[apart[0]])
    more = f", and {len(apart) - 1} more" if len(apart) > 1 else ""
    return f"the class lists differ: class {apart[0]} is {one} and {two}{more}"


def _plain(value: object) -> object:
    """Tuples and lists are one thing to the key."""
    if isinstance(value, Mapping):
        return {name: _plain(part) for name, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, (list, tuple)) else value


SPECIAL: dict[str, Callable[[object, object], str]] = {
    "calibration_digest": _calibration,
    "fingerprint.gpu_parts": _gpu_parts,
    "options.classes": _classes,
}
