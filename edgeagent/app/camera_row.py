"""The cameras that run, by name: begun, ended and replaced one by one, while the others go on.

A camera that takes another's place goes on in its rings where they are of the right size, so that whoever reads them
notices nothing but a gap.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import anyio
import anyio.abc

from edgeagent.app.cameras import Camera
from edgeagent.app.ground import Ground
from edgeagent.app.groups import Group
from edgeagent.app.lineup import Size
from edgeagent.config.schema import CameraSettings

Wishes = Mapping[str, tuple[CameraSettings, list[Size]]]


class CameraRow:
    """`on_change` is called when a camera has been opened otherwise than before; `on_argus_trouble` with its name."""

    def __init__(self, ground: Ground, wishes: Wishes) -> None:
        self._ground = ground
        self._tasks: anyio.abc.TaskGroup | None = None
        self._groups: dict[str, Group] = {}
        self.on_change: Callable[[], None] = lambda: None
        self.on_argus_trouble: Callable[[str], None] = lambda camera: None
        self.by_name = {name: self._made(name, settings, sizes) for name, (settings, sizes) in wishes.items()}

    def _made(self, name: str, settings: CameraSettings, sizes: list[Size], old: Camera | None = None) -> Camera:
        ground = self._ground
        rings = old.rings if old is not None and not old.once and not _once(settings) else None
        camera = Camera(
            name, settings.source, sizes, ground.publisher, ground.clock, ground.rng, settings.rules, rings=rings
        )
        if old is not None:
            camera.follow(old)
        camera.on_change = self._tell_change
        camera.on_argus_trouble = self._tell_argus
        return camera

    def _tell_change(self) -> None:
        self.on_change()

    def _tell_argus(self, camera: str) -> None:
        self.on_argus_trouble(camera)

    def start(self, tasks: anyio.abc.TaskGroup) -> None:
        self._tasks = tasks
        for name in self.by_name:
            self._begin(name)

    def _begin(self, name: str) -> None:
        if self._tasks is not None:
            group = self._groups[name] = Group()
            group.add(self.by_name[name].run)
            self._tasks.start_soon(group.run)

    async def _end(self, name: str) -> None:
        if (group := self._groups.pop(name, None)) is not None:
            await group.stop()

    async def stop(self) -> None:
        """End all captures, together."""
        async with anyio.create_task_group() as tasks:
            for name in tuple(self._groups):
                tasks.start_soon(self._end, name)

    def close(self) -> None:
        for camera in self.by_name.values():
            camera.close()

    def keeps_rings(self, wishes: Wishes, fresh: Collection[str]) -> bool:
        """Whether the rings that there are will do: no camera more or less, no size more or less, and none of those
        with a new capture plays a file once."""
        have = {name: sorted(camera.rings) for name, camera in self.by_name.items()}
        want = {name: sorted(sizes) for name, (_, sizes) in wishes.items()}
        once = [name for name in fresh if name in have and (self.by_name[name].once or _once(wishes[name][0]))]
        return have == want and not once

    async def change(self, wishes: Wishes, fresh: Collection[str]) -> list[str]:
        """Have these cameras run; those in `fresh` get a new capture. The names of all that came, went or restarted."""
        changed = [name for name in self.by_name if name not in wishes]
        for name in changed:
            await self._end(name)
            self.by_name.pop(name).close()
            self._ground.publisher.forget(f"camera/{name}")
        for name, (settings, sizes) in wishes.items():
            old = self.by_name.get(name)
            if old is not None and name not in fresh and sorted(old.rings) == sorted(sizes):
                old.change(settings.rules)
                continue
            changed.append(name)
            await self._end(name)
            self.by_name[name] = new = self._made(name, settings, sizes, old)
            if old is not None:
                old.close(but=new.rings.values())
            self._begin(name)
        return changed


def _once(settings: CameraSettings) -> bool:
    return settings.source.type == "file" and settings.source.mode == "once"
