"""The identity's part of the board report: the head of the page, what each fact rests on, what does not fit. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict

from edgeagent.board.identity import Identity
from edgeagent.board.witness import FOREIGN_PYTHON, GUESSED, speaks_of_a_jetson

_FACTS = {"compute_capability": "compute cap.", "memory_mb": "memory", "soc": "SoC", "dla": "DLA", "l4t": "L4T"}
_FACTS |= {"jetpack": "JetPack", "tensorrt": "TensorRT", "cuda": "CUDA", "onnxruntime": "ONNX Runtime"}


def identity_json(identity: Identity) -> dict[str, object]:
    """Plain dicts, lists, text and numbers. "" and null are unknown."""
    rests_on = {fact: list(sources) for fact, sources in identity.rests_on.items()}
    evidence = [finding._asdict() for finding in identity.evidence]
    return {**asdict(identity), "rests_on": rests_on, "evidence": evidence}


def head(identity: Identity, uptime_s: float | None) -> Iterable[str]:
    """Which board, in which state of software, where this runs."""
    yield _title(identity)
    for label, parts in (
        ("module", [identity.module_id, identity.carrier and f"on {identity.carrier}"]),
        ("model", _model(identity)),
        ("serial", [identity.serial]),
        ("chip", [", ".join(_chip(identity))]),
        ("DLA", _dla(identity)),
        ("", _dla_cores(identity)),
        ("software", [", ".join(_software(identity))]),
        ("runs", [_where(identity), _uptime(uptime_s)]),
    ):
        if text := " ".join(part for part in parts if part).rstrip(","):
            yield f"  {label:<9} {text}"


def rests_on(identity: Identity) -> Iterable[str]:
    """One line a fact with the sources that agree on it; nothing for an identity that rests on nothing."""
    if identity.rests_on:
        yield "Rests on"
    for fact, sources in identity.rests_on.items():
        yield f"  {_FACTS.get(fact, fact):<13} {', '.join(sources)}"


def contradictions(identity: Identity) -> Iterable[str]:
    if identity.contradictions:
        yield "Does not fit together"
    for contradiction in identity.contradictions:
        yield f"  {contradiction}"


def _title(identity: Identity) -> str:
    match identity.kind:
        case "jetson":
            return f"NVIDIA {identity.module}"
        case "unknown-jetson":
            return f"{unknown_board(identity)}{f': {identity.model}' if identity.model else ''}"
        case _:
            return "Not a Jetson"


def unknown_board(identity: Identity) -> str:
    """What to call a Tegra without a module: some are in cars and game consoles."""
    if identity.l4t or identity.module_id or speaks_of_a_jetson(identity.model):
        return "A Jetson that this edgeagent does not know"
    return "A Tegra that nothing calls a Jetson"


def _model(identity: Identity) -> list[str]:
    """Third-party carriers have the developer kit's text: it is shown, and decides nothing where there is an id."""
    if identity.kind != "jetson" or not identity.model:
        return []
    guessed = GUESSED in identity.rests_on.get("module", ())
    return [
        identity.model,
        "(the module is guessed by this, memory and cores)" if guessed else "(only shown: the ids above decide)",
    ]


def _chip(identity: Identity) -> Iterable[str]:
    if identity.soc:
        yield identity.soc
    if identity.gpu:
        yield identity.gpu
    if identity.compute_capability:
        yield f"compute capability {identity.compute_capability}"
    if identity.cpus:
        yield f"{identity.cpus} cores"
    if identity.memory_mb:
        yield f"{identity.memory_mb} MB"
    if identity.machine:
        yield identity.machine if identity.same_machine else f"this machine: {identity.machine}"


def _dla(identity: Identity) -> list[str]:
    """A PC has nothing to say here, unless its TensorRT has."""
    told = identity.kind != "not-a-jetson" or identity.dla.probed
    return [f"{identity.dla.answer}:", identity.dla.reason] if told else []


def _dla_cores(identity: Identity) -> list[str]:
    """Declared and probed beside each other. That nobody could ask is worth a line only where there may be cores."""
    found = identity.dla
    declared = f"cores: {'unknown' if found.declared is None else found.declared} declared,"
    if found.probed is not None and _dla(identity):
        return [declared, f"{found.probed} probed"]
    if found.unprobed and found.declared != 0:
        return [declared, f"could not be probed: {found.unprobed}"]
    return []


def _software(identity: Identity) -> Iterable[str]:
    if identity.l4t:
        yield f"L4T {identity.l4t}" + (f" (JetPack {identity.jetpack})" if identity.jetpack else "")
    elif identity.kind != "not-a-jetson":
        yield "no L4T release to be found"
    if identity.system:
        yield identity.system
    for name, version in (
        ("TensorRT", identity.tensorrt),
        ("CUDA", identity.cuda),
        ("ONNX Runtime", identity.onnxruntime),
    ):
        foreign = FOREIGN_PYTHON in identity.rests_on.get(name.lower().replace(" ", ""), ())
        note = " (this machine's Python)" if foreign else ""
        yield f"{name} {version}{note}" if version else f"no {name}"


def _where(identity: Identity) -> str:
    place = f"in a container ({identity.container})" if identity.container else "on the host"
    match identity.virtual:
        case "virtual-board":
            return f"{place}, on a virtual board made for tests,"
        case "virtual-machine":
            return f"{place}, in a virtual machine,"
        case _:
            return place


def _uptime(uptime_s: float | None) -> str:
    if uptime_s is None:
        return ""
    minutes = int(uptime_s // 60)
    days, hours = minutes // 1440, minutes // 60 % 24
    return f"for {days} d {hours} h" if days else f"for {hours} h {minutes % 60} min"
