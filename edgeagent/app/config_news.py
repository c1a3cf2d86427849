"""What is told of desired configs: the retained report, an event and a log line for each change of state."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from edgeagent.app.config_report import refused_report, report_of, trial_report
from edgeagent.app.publisher import Publisher
from edgeagent.config.desired import Answer, Kept
from edgeagent.config.mistake import Mistake
from edgeagent.config.schema import Config

log = structlog.get_logger("config")

MOST = 1000  # characters of an event's text


def name_of(kept: Kept | None) -> str:
    return f"version {kept.version}" if kept is not None else "the device's file"


def misfit_reason(kept: Kept) -> str:
    return f"version {kept.version} no longer fits the device's file, which counts alone now"


def _version(kept: Kept | None) -> int | None:
    return kept.version if kept is not None else None


class ConfigNews:
    """For one agent: `publisher` is its."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher

    # on config/reported

    def answer(self, answer: Answer, in_force: Kept, config: Config) -> None:
        self._publisher.config_reported(report_of(answer, in_force, config))

    def trial(
        self,
        kept: Kept,
        in_force: Kept,
        config: Config,
        *,
        left_s: int,
        restarted: Sequence[str],
        reason: str,
        since_ts: int,
    ) -> None:
        self._publisher.config_reported(
            trial_report(kept, in_force, config, left_s=left_s, restarted=restarted, reason=reason, since_ts=since_ts)
        )

    def refused(
        self,
        state: str,
        version: int,
        reason: str,
        in_force: Kept,
        config: Config,
        *,
        answered: int,
        by: str,
        now_ms: int,
    ) -> None:
        """For a wish that is not remembered."""
        log.warning("desired", version=version, state=state, reason=reason)
        self._publisher.config_reported(
            refused_report(state, version, reason, in_force, config, answered=answered, by=by, now_ms=now_ms)
        )

    # events

    def rejected(self, version: int, reason: str, mistakes: Sequence[Mistake]) -> None:
        log.warning("desired", version=version, state="rejected", reason=reason)
        text = f"version {version} is not tried: {reason}: {_lines(mistakes)}"[:MOST]
        self._publisher.event("config-rejected", "warning", text, version=version)

    def tried(self, kept: Kept | None, restarted: Sequence[str]) -> None:
        log.info("trial", what=name_of(kept), restarted=",".join(restarted))
        self._publisher.event("config-trial", "info", f"{name_of(kept)} is on trial", version=_version(kept))

    def goes(self, word: str, reason: str) -> None:
        log.info("trial", word=word, reason=reason)

    def committed(self, kept: Kept | None) -> None:
        log.info("committed", what=name_of(kept))
        self._publisher.event("config-committed", "info", f"{name_of(kept)} is in force", version=_version(kept))

    def rolled_back(self, kept: Kept | None, reason: str) -> None:
        log.warning("rolled_back", what=name_of(kept), reason=reason)
        text = f"{name_of(kept)} was taken back: {reason}"[:MOST]
        self._publisher.event("config-rolled-back", "error", text, version=_version(kept))

    def gone(self, pipelines: Sequence[str]) -> None:
        """Pipelines that a trial had and that are no more: what the broker keeps of them is taken away."""
        for name in pipelines:
            self._publisher.forget_pipeline(name)

    def damaged(self, reason: str) -> None:
        log.error("store", reason=reason)
        self._publisher.event("config-damaged", "error", f"{reason}; it was set aside")

    def misfit(self, kept: Kept, mistakes: Sequence[Mistake]) -> None:
        reason = misfit_reason(kept)
        log.error("misfit", reason=reason, mistakes=_lines(mistakes))
        self._publisher.event("config-misfit", "error", f"{reason}: {_lines(mistakes)}"[:MOST], version=kept.version)

    def file_refused(self, line: str, mistakes: Sequence[Mistake]) -> None:
        text = _lines(mistakes) or line
        log.error("file", state="refused", reason=text, next="the old settings stay in force")
        self._publisher.event("config-file-refused", "error", f"the device's file is not taken: {text}"[:MOST])

    def file_as_before(self) -> None:
        self._publisher.event("config-file-read", "info", "the device's file says nothing new")


def _lines(mistakes: Sequence[Mistake]) -> str:
    return "; ".join(mistake.line() for mistake in mistakes[:5])
