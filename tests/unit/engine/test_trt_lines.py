"""What lines of TensorRT's log mean, how the log is kept, and what follows for a builder that gave nothing back."""

from __future__ import annotations

import pytest

from edgeagent.engine.build.tensorrt.journal import HEAD_BYTES, TAIL_BYTES, Journal
from edgeagent.engine.build.tensorrt.lines import read_line
from edgeagent.engine.build.tensorrt.verdict import Said, why_refused

ERROR, WARNING, INFO, VERBOSE = 1, 2, 3, 4
# Lines of 8.6.0 as a real builder wrote them, and of 10.x as reports quote them.
MEANT = [
    ("Skipping tactic 0x0000000000000001 due to insufficient memory on requested size of 8388608 detected", "skipped_for_memory", ""),  # noqa: E501
    ("Tactic Device request: 1234MB Available: 800MB. Device memory is insufficient to use tactic.", "skipped_for_memory", ""),  # noqa: E501
    ("Layer '/model.10/Resize' (RESIZE): Unsupported on DLA. Switching this layer's device type to GPU.", "dla_fallback", "/model.10/Resize"),  # noqa: E501
    ("Default DLA is enabled but layer (Unnamed Layer* 12) [Shuffle] is not supported on DLA, falling back to GPU.", "dla_fallback", "(Unnamed Layer* 12) [Shuffle]"),  # noqa: E501
    ("The timing cache will not be used!", "timing_refused", ""),
    ("2: [myelinCache.h::deserializeFromBuffer::312] Error Code 2: Internal Error", "timing_refused", ""),
    ("1: [virtualMemoryBuffer.cpp::resizePhysical::140] Error Code 1: Cuda Driver (out of memory)", "no_memory", ""),
    ("Requested amount of GPU memory (1073741824 bytes) could not be allocated.", "no_memory", ""),
    ("Error Code 10: Internal Error (Could not find any implementation for node model/stem0/conv.)", "no_tactic", "model/stem0/conv"),  # noqa: E501
    ("Could not find any implementation for node {ForeignNode[a...b]} due to insufficient workspace. See verbose log", "no_memory", "{ForeignNode[a...b]}"),  # noqa: E501
    ("1: [checkMacros.cpp::catchCudaError::203] Error Code 1: Cuda Runtime (invalid resource handle)", "driver", ""),
    ("CUDA initialization failure with error: 35", "driver", ""),
    ("Missing scale and zero-point for tensor model/head8/box, expect fall back to non-int8", "no_scale", "model/head8/box"),  # noqa: E501
]  # fmt: skip
TALK = [
    "[MemUsageChange] Init CUDA: CPU +2, GPU +0, now: CPU 55, GPU 526 (MiB)",
    "Total Activation Memory: 2043904",
    "Detected 1 inputs and 3 output network tensors.",
    "Timing cache disabled. Turning it on will improve builder speed.",
    "[MemUsageStats] Peak memory usage of TRT CPU/GPU memory allocators: CPU 0 MiB, GPU 5 MiB",
    "Local timing cache in use. Profiling results in this builder pass will not be stored.",
    "",
]


@pytest.mark.parametrize(("text", "meaning", "subject"), MEANT)
def test_a_line_means(text: str, meaning: str, subject: str) -> None:
    found = read_line(text)
    assert found is not None and (found.meaning, found.subject) == (meaning, subject)


@pytest.mark.parametrize("text", TALK)
def test_most_lines_mean_nothing(text: str) -> None:
    assert read_line(text) is None


def test_the_journal_counts_and_names() -> None:
    journal = Journal()
    for text, _, _ in MEANT:
        journal.add(WARNING, text)
        journal.add(WARNING, text)
    assert journal.count("dla_fallback") == 4
    assert journal.subjects("dla_fallback") == ("/model.10/Resize", "(Unnamed Layer* 12) [Shuffle]")
    assert journal.count("driver") == 0  # only an error is one
    journal.add(ERROR, "Cuda Runtime (invalid resource handle)")
    assert journal.count("driver") == 1 and journal.errors() == ("Cuda Runtime (invalid resource handle)",)


def test_lines_of_verbose_are_not_kept_and_others_on_one_line_each() -> None:
    journal = Journal()
    journal.add(VERBOSE, "Tactic Name: x out of memory")
    journal.add(INFO, "two\nlines")
    assert journal.log() == b"[I] two lines\n" and journal.count("no_memory") == 0


def test_a_long_log_keeps_its_beginning_and_its_end() -> None:
    journal = Journal()
    for number in range(20_000):
        journal.add(INFO, f"line {number} " + "x" * 200)
    log = journal.log()
    assert len(log) <= HEAD_BYTES + TAIL_BYTES + 100
    assert log.startswith(b"[I] line 0 ") and b"line 19999 " in log
    assert log.count(b"lines left out ...") == 1
    journal.add(INFO, "y" * 10_000_000)
    assert len(journal.log()) <= HEAD_BYTES + TAIL_BYTES + 100


def test_nothing_was_said() -> None:
    assert Journal().log() == b"" and Journal().errors() == ()


@pytest.mark.parametrize(
    ("said", "code", "retry"),
    [
        (Said(no_memory=1, driver=3), "out_of_memory", True),
        (Said(no_tactic=("conv",), skipped_for_memory=2), "out_of_memory", True),
        (Said(driver=1, free_mb=326), "out_of_memory", True),  # what a full GPU says: "invalid resource handle"
        (Said(driver=1, free_mb=6000), "driver_error", True),
        (Said(driver=1), "driver_error", True),
        (Said(no_tactic=("conv",)), "unsupported_layer", False),
        (Said(free_mb=326), "build_refused", False),
        (Said(), "build_refused", False),
    ],
)
def test_why_a_builder_gave_nothing_back(said: Said, code: str, retry: bool) -> None:
    error = why_refused(said, "8.6.0", 100)
    assert (error.error_code, error.retry, bool(error.mend)) == (code, retry, True)
    assert error.facts["workspace_mb"] == 100


def test_the_last_errors_are_among_the_facts() -> None:
    error = why_refused(Said(errors=("first", "second")), "8.6.0", 100)
    assert error.facts["said"] == "first | second" and "second" in error.message
