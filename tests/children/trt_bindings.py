"""NVIDIA's own TensorRT bindings, imported without a GPU and without TensorRT's libraries.

    trt_bindings.py fetch DIR      download the bindings of every release for this Python, with stand-in libraries
    trt_bindings.py print          print the API of the `tensorrt_bindings` on the path, as JSON

The bindings are ordinary wheels of about 1 MB; only the libraries behind them are not. Their import needs a dozen C
entry points, which a library of a dozen functions that return null supplies: every class, enum, method and signature is
then the real one. Nothing can be built or run. Needs gcc, nm and readelf. 8.6.0 has no wheel of bindings alone.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

RELEASES = ("10.3.0", "10.13.3.9", "10.16.1.11", "11.4.0.106")
TAG = f"cp{sys.version_info.major}{sys.version_info.minor}"


def fetch(target: Path) -> None:
    """Everything into `target/<release>/<python tag>`; a release that cannot be had is told and left out."""
    for release in RELEASES:
        folder = target / release / TAG
        try:
            _fetch_one(release, folder)
        except (subprocess.CalledProcessError, OSError, StopIteration) as error:
            print(f"TensorRT {release} cannot be had for {TAG}: {error}", file=sys.stderr)
            (folder / "ready").unlink(missing_ok=True)


def _fetch_one(release: str, folder: Path) -> None:
    site, lib, wheels = (folder / name for name in ("site", "lib", "wheels"))
    for one in (site, lib, wheels):
        one.mkdir(parents=True, exist_ok=True)
    pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:", "-d", str(wheels)]
    subprocess.run([*pip, f"tensorrt-cu12-bindings=={release}"], check=True)
    with zipfile.ZipFile(next(wheels.glob("*.whl"))) as wheel:
        wheel.extractall(site)
    module = next(site.glob("tensorrt_bindings/*.so"))
    entry_points = [name for name in _undefined(module) if re.fullmatch(r"(create|get|init)[A-Za-z_]+", name)]
    body = "\n".join(f"void *{name}(void) {{ return 0; }}" for name in entry_points)
    for name in re.findall(r"NEEDED.*\[(libnv[^\]]+)\]", _said("readelf", "-d", str(module))):
        source = body if name.startswith("libnvinfer.so") else "int nothing_here;"
        gcc = ["gcc", "-shared", "-fPIC", f"-Wl,-soname,{name}", "-x", "c", "-", "-o", str(lib / name)]
        subprocess.run(gcc, input=source, text=True, check=True)
    (folder / "ready").touch()


def _undefined(module: Path) -> list[str]:
    lines = [line.split() for line in _said("nm", "-D", "--undefined-only", str(module)).splitlines()]
    return [words[-1] for words in lines if len(words) > 1 and words[-2] == "U" and "@" not in words[-1]]


def _said(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def read_bindings() -> dict[str, Any]:
    """Classes, enum members, methods with their signatures, attributes: as `trt_api/*.json` hold them."""
    import tensorrt_bindings as trt

    classes = {}
    for name in sorted(dir(trt)):
        value = getattr(trt, name)
        if isinstance(value, type) and not name.startswith("_"):
            classes[name] = _read_class(value)
    return {"version": trt.__version__, "classes": classes, "plugins": hasattr(trt, "init_libnvinfer_plugins")}


def _read_class(kind: type) -> dict[str, Any]:
    members = getattr(kind, "__members__", None)
    if members:
        return {"enum": {name: int(value) for name, value in members.items()}}
    methods, attributes = {}, []
    for name, member in sorted(vars(kind).items()):
        if name.startswith("__") and name != "__init__":
            continue
        if _is_method(member):
            methods[name] = _signatures(getattr(kind, name))
        else:
            attributes.append(name)
    bases = [base.__name__ for base in kind.__bases__ if base.__name__ not in ("object", "pybind11_object")]
    return {"methods": methods, "attributes": attributes, "bases": bases}


def _is_method(member: Any) -> bool:
    if isinstance(member, property):
        return False
    plain = callable(member) or isinstance(member, (staticmethod, classmethod))
    return plain or "instancemethod" in type(member).__name__


def _signatures(thing: Any) -> list[str]:
    lines = (getattr(thing, "__doc__", None) or "").splitlines()
    found = [line.strip() for line in lines if "(" in line and "->" in line and not line.startswith("    ")]
    return [line.replace("tensorrt_bindings.tensorrt.", "") for line in found][:6]


if __name__ == "__main__":
    if sys.argv[1] == "fetch":
        fetch(Path(sys.argv[2]))
    else:
        print(json.dumps(read_bindings()))
