"""Pipelines that are sent from child to child at random, while children are killed and begun anew, in the middle of a
pass that must lose nothing."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest
from infer_row_kit import Stage, on_stage
from test_infer_row import a_pass, file_stage, of_the_pass, whole
from test_plans_kit import write_plan

from edgeagent.inference.accelerators import ACCELERATORS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
ACTS = 14


class Director:
    """Does one thing after another, as the seed says."""

    def __init__(self, stage: Stage, plans: list[str], chance: random.Random) -> None:
        self._stage = stage
        self._plans = plans
        self._chance = chance
        self.disturbed = False

    async def act(self) -> None:
        what = self._chance.choices((self._move, self._kill, self._renew), (6, 2, 1))[0]
        await what()
        seen = len(self._stage.said.results) + self._chance.choice((0, 1, 5, 50))
        await self._stage.said.until(lambda: self._all_stand_still() or len(self._stage.said.results) >= seen)

    def _all_stand_still(self) -> bool:
        """Somebody has no child now, so the whole pass waits."""
        return any(served.running is None for served in self._stage.served.values())

    async def _move(self) -> None:
        name, where = self._chance.choice(list(self._stage.served)), self._chance.choice(ACCELERATORS)
        await self._stage.serve(name, self._chance.choice(self._plans), where, wait=self._chance.random() < 0.4)

    async def _kill(self) -> None:
        self._on_one_of_the_living(self._stage.kill)

    async def _renew(self) -> None:
        for where in self._living()[:1]:
            self.disturbed = True
            await self._stage.row.desks[where].renew()

    def _living(self) -> list[str]:
        living = [where for where in ACCELERATORS if self._stage.pid(where) is not None]
        return self._chance.sample(living, len(living))

    def _on_one_of_the_living(self, do: Callable[..., None]) -> None:
        for where in self._living()[:1]:
            self.disturbed = True
            do(where)


@pytest.mark.parametrize("seed", range(4))
def test_no_frame_of_a_pass_is_lost_whatever_happens(tmp_path: Path, seed: int) -> None:
    async def scene() -> None:
        chance = random.Random(seed)
        plans = [
            write_plan(tmp_path / f"p{number}", work=chance.choice((0, 3)), ballast_mb=chance.choice((0, 60)))
            for number in range(4)
        ]
        names = ("a", "b", "c")[: chance.choice((1, 2, 3))]
        stage = file_stage(tmp_path, 1, *names)
        director = Director(stage, plans, chance)
        async with on_stage(stage) as writer:
            for name in names:
                await stage.serve(name, chance.choice(plans), chance.choice(ACCELERATORS))
            async with a_pass(stage, writer):
                await stage.until_seen(2)
                for _ in range(ACTS):
                    await director.act()
                await stage.said.until(lambda: all(s.loaded and s.running for s in stage.served.values()))
            for name in names:
                seen = of_the_pass(stage, name)
                assert sorted(set(seen)) == whole(stage), name
                assert director.disturbed or seen == whole(stage), "twice only where a child has died with it"
            needed = {served.at for served in stage.served.values()}
            await stage.said.until(lambda: {where for where in ACCELERATORS if stage.pid(where)} == needed)

    anyio.run(scene)
