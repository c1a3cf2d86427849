"""What fetching an engine and fetching a model have in common: mirrors in order, an entry's files, progress."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from edgeagent.engine.registry.download import bring
from edgeagent.engine.registry.errors import RegistryError, joined
from edgeagent.engine.registry.layout import file_path, manifest_path, signature_path
from edgeagent.engine.registry.signing import MAX_SIGNATURE_BYTES
from edgeagent.engine.registry.transport import Transport, open_registry, read_small
from edgeagent.engine.registry.verdict import MAX_MANIFEST_BYTES, MB, Approved, Offer
from edgeagent.engine.registry.watch import Limits, Watch
from edgeagent.engine.store_files import translated as told

Progress = Callable[[float, str], None]
Found = TypeVar("Found")


class Teller:
    """Keeps what was told last, so that a wait can tell it again: whoever listens may end the download then."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._last = (0.0, "looking into the registry")

    def tell(self, percent: float, text: str) -> None:
        self._last = (percent, text)
        self._progress(percent, text)

    def again(self) -> None:
        self._progress(*self._last)


class Mirrors:
    """The registries, tried in order. `refused` is what was wrong with each that failed, in words; a mirror that failed
    is not asked again."""

    def __init__(self, urls: Sequence[str], limits: Limits, progress: Progress) -> None:
        self._urls = urls
        self._failed: dict[str, RegistryError] = {}
        self.teller = Teller(progress)
        self.watch = Watch(limits, self.teller.again)

    @property
    def refused(self) -> tuple[str, ...]:
        return tuple(f"{url}: {error.message}" for url, error in self._failed.items())

    def first(self, ask: Callable[[Transport], Found | None]) -> Found | None:
        """What the first mirror gives that has it; None when those that answer have not."""
        for url in self._urls:
            if url in self._failed:
                continue
            self.teller.tell(0, f"asking {url}")
            self.watch.start()
            try:
                found = ask(open_registry(url, self.watch))
            except RegistryError as error:
                self._failed[url] = error
                continue
            if found is not None:
                return found
        return None

    def raise_if_failed(self, what: str) -> None:
        """Raise what the mirrors failed with, when any did: nobody knows then whether there is such an entry."""
        if self._failed:
            raise joined(what, list(self._failed.items()))


def offer_at(transport: Transport, folder: str) -> Offer | None:
    """The manifest and its signature; None when there is no entry. Nothing of them is judged but their size."""
    manifest = read_small(transport, manifest_path(folder), MAX_MANIFEST_BYTES)
    if manifest is None:
        return None
    return Offer(manifest, read_small(transport, signature_path(folder, manifest), MAX_SIGNATURE_BYTES))


def bring_parts(transport: Transport, folder: str, approved: Approved, parts: Path, mirrors: Mirrors) -> list[Path]:
    """All files of an approved entry, compared, in the order of `approved.parts`; they lie in `parts`."""
    brought: list[Path] = []
    done = 0
    for part in approved.parts:

        def came(count: int, before: int = done) -> None:
            share = (before + count) / max(1, approved.bytes)
            text = f"fetching from {transport.url}: {(before + count) / MB:.1f} of {approved.bytes / MB:.1f} MB"
            mirrors.teller.tell(min(99.9, 100 * share), text)

        brought.append(bring(transport, file_path(folder, part.sha256), part, parts, mirrors.watch, came))
        done += part.bytes
    return brought


def place(approved: Approved, files: Sequence[Path], folder: Path) -> None:
    """Move what was brought to where it belongs, under the names that the manifest gives. Two names may have the same
    content. Raises StoreError."""
    with told("write", folder):
        for index, (part, file) in enumerate(zip(approved.parts, files, strict=True)):
            if file in files[index + 1 :]:
                shutil.copyfile(file, folder / part.name)
            else:
                file.rename(folder / part.name)
