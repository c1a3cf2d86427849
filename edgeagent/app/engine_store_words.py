"""What `edgeagent engine list | show | verify | prune` print for a person. Pure: facts in, text out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgeagent.engine.manifest import Manifest, batch_of
from edgeagent.engine.prune import Removal, State
from edgeagent.engine.record import Record
from edgeagent.engine.variant import Variant

MB = 1_000_000
SHORT = 12
CLOCK_IS_SET_FROM_MS = 1_704_067_200_000  # 2024-01-01: no device of ours was made before
HEAD = ("KEY", "MODEL", "FORM", "MB", "MADE", "AGREES", "STATE")
RIGHT = {3, 5}
AGES = ((86_400_000, "day"), (3_600_000, "hour"), (60_000, "minute"))


@dataclass(frozen=True)
class Shelved:
    """All that is known of one directory of the store.

    `problem`: why its manifest cannot be used, "" where it can; `foreign`: because another release wrote it.
    """

    name: str
    key: str
    state: State
    bytes: int
    record: Record
    roles: tuple[str, ...] = ()
    manifest: Manifest | None = None
    signed: bool = False
    problem: str = ""
    foreign: bool = False

    @property
    def words(self) -> str:
        """Its state: `active on line-1, pinned`, `quarantined: it did not load twice`."""
        told = [*self.roles, *(["pinned"] if self.record.pinned else [])]
        quarantine = self.record.quarantine
        if self.state == "damaged":
            told.append("damaged, set aside" + (f": {self.problem}" if self.problem else ""))
        elif self.state == "unreadable":
            told.append(f"unreadable: {self.problem}")
        if quarantine is not None:
            told.append(f"quarantined: {quarantine.reason}")
        elif failures := self.record.failures:
            told.append(f"failed {_times(failures)}")
        return ", ".join(told) or "-"


def form_of(manifest: Manifest) -> str:
    return Variant(manifest.precision, manifest.quantisation, manifest.placement, batch_of(manifest)).line()


def age(built_ms: int, now_ms: int) -> str:
    """`3 hours ago`; "-" where one of the two clocks was not set, for then nobody can tell."""
    if min(built_ms, now_ms) < CLOCK_IS_SET_FROM_MS or now_ms < built_ms:
        return "-"
    for unit, name in AGES:
        if (count := (now_ms - built_ms) // unit) > 0:
            return f"{count} {name}{'' if count == 1 else 's'} ago"
    return "just now"


def megabytes(count: int) -> str:
    return f"{count / MB:.1f}"


def size_text(count: int) -> str:
    """`12.3 MB`, or `4.1 kB` for what is small."""
    return f"{megabytes(count)} MB" if count >= MB // 10 else f"{count / 1000:.1f} kB"


def render_list(shelved: Sequence[Shelved], budget_bytes: int, now_ms: int) -> str:
    """The table, and how much of the budget is used."""
    if not shelved:
        return "the store has no engines yet"
    rows = [HEAD, *(_row(one, now_ms) for one in shelved)]
    used, count = sum(one.bytes for one in shelved), sum(one.state != "damaged" for one in shelved)
    whole = f"{count} engine{'' if count == 1 else 's'}, {megabytes(used)} of {budget_bytes / MB:.0f} MB"
    return f"{render_table(rows)}\n\n{whole}"


def _row(one: Shelved, now_ms: int) -> tuple[str, ...]:
    manifest = one.manifest
    if manifest is None:
        return (one.key[:SHORT], "-", "-", megabytes(one.bytes), "-", "-", one.words)
    agrees = f"{manifest.agreement.value:.3f}" if manifest.agreement is not None else "-"
    model = f"{manifest.model.name} {manifest.model.version}"
    made = age(manifest.built_at_ms, now_ms)
    return (one.key[:SHORT], model, form_of(manifest), megabytes(one.bytes), made, agrees, one.words)


def render_table(rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell; numbers to the right, the last column as long as it is."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if column in RIGHT else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def render_show(one: Shelved, folder: str, now_ms: int) -> str:
    """All that is known of an engine, a line a fact."""
    lines = [("key", one.key), ("state", one.words if one.words != "-" else "ready"), ("place", folder)]
    lines += [("size", size_text(one.bytes))]
    if one.manifest is not None:
        lines += [*_about(one.manifest, now_ms), *_proof(one.manifest), *_layers(one.manifest), *_build(one.manifest)]
        lines += _files(one.manifest)
    lines += _here(one)
    width = max(len(name) for name, _ in lines)
    return "\n".join(f"{name.ljust(width)}  {text}".rstrip() for name, text in lines)


def _about(manifest: Manifest, now_ms: int) -> list[tuple[str, str]]:
    model, size = manifest.model, manifest.model.input
    lines = [
        ("model", f"{model.name} {model.version}, {len(model.classes)} classes, {size.width}x{size.height}"),
        ("form", f"{form_of(manifest)}, {manifest.backend}"),
    ]
    if (made := age(manifest.built_at_ms, now_ms)) != "-":
        lines.append(("made", made))
    fingerprint = manifest.facts.get("fingerprint")
    if isinstance(fingerprint, dict):
        known = [f"{name} {value}" for name, value in fingerprint.items() if value not in ("", "none")]
        lines.append(("board", ", ".join(known)))
    if manifest.calibration_digest:
        lines.append(("calibration", manifest.calibration_digest[:SHORT]))
    return lines


def _proof(manifest: Manifest) -> list[tuple[str, str]]:
    proof = manifest.agreement
    if proof is None:
        return [("proof", "none")]
    parts = [f"agrees with FP32 to {proof.value:.3f} ({proof.basis} on {proof.frames} frames)"]
    if proof.mean_iou is not None:
        parts.append(f"mean IoU {proof.mean_iou:.3f}")
    if proof.cosine is not None:
        parts.append(f"cosine {proof.cosine:.4f}")
    parts.append(f"{proof.engine_ms:.2f} ms a frame, FP32 {proof.reference_ms:.2f} ms")
    return [("proof", ", ".join(parts))]


def _layers(manifest: Manifest) -> list[tuple[str, str]]:
    layers = manifest.layers
    if layers is None:
        return []
    text = f"{layers.layers}: {layers.on_gpu} on the GPU"
    if layers.on_dla:
        text += f", {layers.on_dla} on the DLA in {layers.dla_loadables} parts"
        text += f"; {layers.share_gpu:.0%} of the layers left the DLA"
    if layers.macs_share_gpu is not None:
        text += f", {layers.macs_share_gpu:.0%} of the multiply-adds"
    lines = [("layers", text)]
    return [*lines, ("fallback", ", ".join(layers.fallback))] if layers.fallback else lines


def _build(manifest: Manifest) -> list[tuple[str, str]]:
    build = manifest.build
    parts = [f"{build.seconds:.1f} s", f"attempt {build.attempt}"]
    if build.agent_version:
        parts.append(f"edgeagent {build.agent_version}")
    if build.memory_free_least_mb is not None:
        parts.append(f"least free memory {build.memory_free_least_mb} MB")
    if build.throttled is not None:
        parts.append("throttled meanwhile" if build.throttled else "not throttled")
    if build.paused_s:
        parts.append(f"paused for {build.paused_s:.0f} s")
    lines = [("build", ", ".join(parts))]
    lines += [("tried before", step) for step in build.steps]
    return [*lines, *(("note", note) for note in build.notes)]


def _files(manifest: Manifest) -> list[tuple[str, str]]:
    lines = [("plan", f"{size_text(manifest.plan_bytes)}, SHA-256 {manifest.plan_sha256}")]
    for name, record in sorted(manifest.files.items()):
        lines.append((name, f"{size_text(record.bytes)}, SHA-256 {record.sha256}"))
    return lines


def _here(one: Shelved) -> list[tuple[str, str]]:
    record, came = one.record, one.record.provenance
    lines = []
    if one.manifest is not None:
        where = "built here" if came.origin == "built" else f"fetched from {came.url or 'a registry'}"
        signer = f", signed by {came.signer}" if came.signer else ", signed" if one.signed else ""
        lines.append(("origin", where + signer))
    failures = [
        ("did not load", record.load_failures),
        ("crashed", record.crashes),
        ("failed at its work", record.run_failures),
    ]
    if told := ", ".join(f"{what} {_times(count)}" for what, count in failures if count):
        lines.append(("failures", f"{told}; the last: {record.last_failure}"))
    if record.quarantine is not None:
        lines.append(("quarantine", f"{record.quarantine.reason} ({record.quarantine.code})"))
    return lines


def render_prune(removals: Sequence[Removal], left_bytes: int, budget_bytes: int, *, dry: bool) -> str:
    """What went, or would go, and whether that is enough."""
    verb = "would remove" if dry else "removed"
    lines = [f"{verb} {one.name[:45]}  {megabytes(one.bytes)} MB  {one.reason}" for one in removals]
    if not removals:
        lines.append("nothing to remove")
    lines.append(f"{megabytes(left_bytes)} of {budget_bytes / MB:.0f} MB {'would be' if dry else 'are'} used")
    if left_bytes > budget_bytes:
        lines.append("the rest is in use or pinned")
    return "\n".join(lines)


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count} times")
