"""Whether a config on trial does what the one before it did: the conditions of a trial. Pure.

What did not work before the change and was not changed is not held against the new config. What worked before, and
what is new, has to work.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from edgeagent.config.trial import Word


@dataclass(frozen=True)
class CameraFact:
    """`waits`: it is being opened, and has not failed yet."""

    flows: bool
    waits: bool = False
    trouble: str = ""


@dataclass(frozen=True)
class PipelineFact:
    """`waits`: its engine is being looked for or built, or loaded; `hopeless`: it will not get one; `bare`: there is
    none for it yet."""

    serves: bool
    waits: bool = False
    hopeless: bool = False
    trouble: str = ""
    bare: bool = False


@dataclass(frozen=True)
class Facts:
    """How the device does at one moment: what of the config is enabled, and what is wrong beside it. `link_waits`: it
    is being connected for the first time since it was set."""

    link: bool
    link_waits: bool = False
    link_trouble: str = ""
    cameras: Mapping[str, CameraFact] = field(default_factory=dict)
    pipelines: Mapping[str, PipelineFact] = field(default_factory=dict)
    alarms: frozenset[str] = frozenset()
    failed: Mapping[str, str] = field(default_factory=dict)
    degraded: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Changed:
    """What the new config is answerable for, though it may not have worked before. `pipelines`: those that are shown
    other frames; `settings`: those whose engine runs with other settings; `engines`: those that are to get another
    engine, for which it is not enough that the one before serves on. `components`: what must not be degraded by it;
    all others may be so by heat or weather, which no config answers for."""

    link: bool = False
    cameras: frozenset[str] = frozenset()
    pipelines: frozenset[str] = frozenset()
    settings: frozenset[str] = frozenset()
    engines: frozenset[str] = frozenset()
    components: frozenset[str] = frozenset()


_ORDER: tuple[Word, ...] = ("hopeless", "unmet", "waiting")


def judge(before: Facts, changed: Changed, now: Facts) -> tuple[Word, str]:
    """The worst of all conditions, and its reason."""
    found = list(_complaints(before, changed, now))
    for word in _ORDER:
        reasons = [reason for which, reason in found if which == word]
        if reasons:
            return word, "; ".join(reasons[:3])
    return "met", ""


def _complaints(before: Facts, changed: Changed, now: Facts) -> Iterator[tuple[Word, str]]:
    if not now.link and (before.link or changed.link):
        why = f": {now.link_trouble}" if now.link_trouble else ""
        yield "waiting" if now.link_waits else "unmet", f"the link is not up{why}"
    for name, camera in now.cameras.items():
        was = before.cameras.get(name)
        if not camera.flows and (was is None or was.flows or name in changed.cameras):
            why = f": {camera.trouble}" if camera.trouble else ""
            yield "waiting" if camera.waits else "unmet", f"camera {name} gives no frames{why}"
    yield from _pipelines(before, changed, now)
    for alarm in sorted(now.alarms - before.alarms):
        yield "unmet", f"there is a new alarm: {alarm}"
    for name, reason in now.failed.items():
        if name not in before.failed:
            yield "unmet", f"{name} has failed: {reason}"
    for name in sorted(changed.components & now.degraded.keys()):
        if name not in before.degraded:
            yield "unmet", f"{name} is degraded: {now.degraded[name]}"


def _pipelines(before: Facts, changed: Changed, now: Facts) -> Iterator[tuple[Word, str]]:
    for name, pipeline in now.pipelines.items():
        another = name in changed.engines
        if pipeline.serves and not (another and (pipeline.waits or pipeline.hopeless)):
            continue
        if not another and not _has_to_run(name, before.pipelines.get(name), pipeline, changed):
            continue
        why = f": {pipeline.trouble}" if pipeline.trouble else ""
        if pipeline.hopeless:
            yield "hopeless", f"pipeline {name} will not run{why}"
        elif pipeline.waits:
            yield "waiting", f"pipeline {name} waits for its engine"
        else:
            yield "unmet", f"pipeline {name} does not run{why}"


def _has_to_run(name: str, was: PipelineFact | None, now: PipelineFact, changed: Changed) -> bool:
    """Whether the new config has to answer for a pipeline that does not run, where it keeps its engine.

    One that had no engine before and still waits for its first is not late by this change. And settings of an engine
    are nothing to one that has none.
    """
    if was is None or was.serves:
        return True
    still_bare = was.bare and now.bare
    if name in changed.pipelines:
        return not (still_bare and now.waits)
    return name in changed.settings and not still_bare
