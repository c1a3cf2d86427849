"""How the making of one pipeline's engine is told: the `engine` state, the health, the events."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from edgeagent.engine.build.gate import Hold
from edgeagent.engine.build.messages import Progress
from edgeagent.engine.choice import Candidate
from edgeagent.errors import EdgeAgentError
from edgeagent.fleet.states import Severity
from edgeagent.health.book import Word

if TYPE_CHECKING:
    from edgeagent.app.build_steer import Steered
    from edgeagent.app.engine_look import Ready
    from edgeagent.app.teller import Teller

log = structlog.get_logger("engine")

STATE_OF_PHASE = {
    "waiting": "waiting",
    "collecting": "collecting",
    "fetching": "building",
    "preparing": "building",
    "calibrating": "building",
    "building": "building",
    "verifying": "verifying",
    "storing": "verifying",
}


class EngineWords:
    """What is said of one pipeline's engine. The form being tried and the story so far go along with every word."""

    def __init__(self, pipeline: str, teller: Teller, precision: str, backend: str) -> None:
        self._pipeline = pipeline
        self._teller = teller
        self._common: dict[str, object] = {"precision": precision, "backend": backend}
        self._attempt = 0
        self._steered: Steered | None = None
        self._progress: tuple[Progress, float | None] | None = None

    def wanted(self) -> None:
        self._tell("wanted")
        self._note("degraded", "its engine is being made")

    def form(self, candidate: Candidate, steps: tuple[str, ...], attempt: int = 0) -> None:
        """From now on this form is being tried."""
        variant = candidate.variant
        self._attempt = attempt
        self._common |= {
            "precision": variant.precision,
            "quantisation": None if variant.quantisation == "none" else variant.quantisation,
            "placement": variant.placement,
            "batch": variant.batch,
            "form_reason": candidate.reason,
            "steps": steps,
        }

    def serves_meanwhile(self, key: str) -> None:
        self._common["serving"] = key
        self._note("degraded", f"the engine before, {key[:12]}, serves until the new one is ready")

    def waiting(self, why: str) -> None:
        self._tell("waiting", phase=why)

    def held(self, hold: Hold) -> None:
        """A build may not start yet."""
        line = f"{hold.reason} ({hold.mend})"
        log.warning("build_held", pipeline=self._pipeline, code=hold.code, reason=hold.reason)
        self._tell("waiting", phase="waiting to start", reason=line)
        self._note("degraded", f"its engine waits: {hold.reason}")
        self._teller.event("engine-waiting", "warning", line, pipeline=self._pipeline, code=hold.code)

    def prepared(self, text: str) -> None:
        """Something was done to the board for the sake of a build."""
        self._tell("waiting", phase=text)
        self._teller.event("build-prepared", "info", text, pipeline=self._pipeline)

    def progress(self, word: Progress, eta_s: float | None) -> None:
        self._progress = (word, eta_s)
        phase, values = word.text, {}
        if (steered := self._steered) is not None:
            values = {"duty": steered.duty, "level": steered.level, "reason": steered.reason}
            phase = f"{phase} · {steered.line}" if steered.line else phase
        self._tell(STATE_OF_PHASE[word.phase], phase=phase, percent=word.percent, key=word.key, eta_s=eta_s, **values)

    def steered(self, now: Steered) -> None:
        """The build's pace has changed: its last word is said again, because a build that stands still says none."""
        self._steered = now
        if self._progress is not None:
            self.progress(*self._progress)

    def steer_event(self, kind: str, text: str, *, duty: float, code: str, warns: bool) -> None:
        severity: Severity = "warning" if warns else "info"
        self._teller.event(kind, severity, text, pipeline=self._pipeline, duty=duty, code=code)

    def unsteered(self) -> None:
        """No build works any more."""
        self._steered = self._progress = None

    def failed(
        self, error: EdgeAgentError, *, attempt: int, final: bool, outcome: str | None = None, then: str = ""
    ) -> None:
        line = error.line()
        self._attempt = attempt
        self._tell("failed", reason=line, phase=then)
        self._note("failed", line)
        self._teller.event(
            "engine-failed", "error", line, pipeline=self._pipeline, code=error.error_code, attempt=attempt,
            final=final, outcome=outcome, next=then or None,
        )  # fmt: skip

    def remembered(self, code: str, reason: str) -> None:
        """An earlier run has found that it cannot be made; told once, not tried."""
        line = f"found by an earlier run: {reason}"
        log.warning("build_remembered", pipeline=self._pipeline, code=code, reason=reason)
        self._tell("failed", reason=line)
        self._note("failed", line)
        self._teller.event("engine-failed", "error", line, pipeline=self._pipeline, code=code, attempt=0, final=True)

    def goes_on(self, text: str) -> None:
        self._note("degraded", text)

    def ready(self, found: Ready) -> None:
        manifest = found.entry.manifest
        self.form(found.candidate, manifest.build.steps)
        agreement, layers = found.agreement, manifest.layers
        log.info(
            "engine", pipeline=self._pipeline, key=manifest.key, origin=found.origin,
            form=found.candidate.variant.line(), agreement=agreement.value if agreement else None,
        )  # fmt: skip
        self._common.pop("serving", None)
        self._tell(
            "ready",
            key=manifest.key,
            percent=100.0,
            origin=found.origin,
            from_store=found.origin == "store",
            build_s=manifest.build.seconds,
            agreement=agreement.value if agreement else None,
            mean_iou=agreement.mean_iou if agreement else None,
            score_difference=agreement.mean_score_difference if agreement else None,
            gpu_share=layers.share_gpu if layers and manifest.placement == "dla" else None,
        )
        self._note("ok", "")

    def _note(self, health: Word, reason: str) -> None:
        self._teller.note(f"engine/{self._pipeline}", health, reason)

    def _tell(self, state: str, **values: object) -> None:
        self._teller.engine(self._pipeline, state=state, attempt=self._attempt, **self._common, **values)
