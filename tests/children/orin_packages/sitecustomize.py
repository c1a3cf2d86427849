"""The device file of a Jetson's GPU, for every Python that finds these packages: it is said to be there."""

from pathlib import Path

_exists = Path.exists


def exists(path: Path, **options: bool) -> bool:
    return str(path) == "/dev/nvhost-gpu" or _exists(path, **options)


Path.exists = exists  # type: ignore[method-assign]
