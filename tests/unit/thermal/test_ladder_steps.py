"""What can be written as a step of a ladder, and what is said of everything else."""

from __future__ import annotations

import pytest

from edgeagent.thermal.steps import DEFAULT, DEFAULT_CRITICAL, Step, StepError, ladder_texts, parse_ladder, parse_step


@pytest.mark.parametrize(
    ("text", "step", "line"),
    [
        ("rate 50%", Step("rate", share=0.5), "rate 50%"),
        ("  rate   12.5 % ", Step("rate", share=0.125), "rate 12.5%"),
        ("rate 5/s", Step("rate", per_s=5.0), "rate 5/s"),
        ("rate 0.5 / s", Step("rate", per_s=0.5), "rate 0.5/s"),
        ("placement dla", Step("placement", name="dla"), "placement dla"),
        ("model tiny-2", Step("model", name="tiny-2"), "model tiny-2"),
        ("power low-power", Step("power", name="low-power"), "power low-power"),
        ("pause", Step("pause"), "pause"),
    ],
)
def test_a_step_is_read_and_written_back(text: str, step: Step, line: str) -> None:
    assert parse_step(text) == step
    assert step.line() == line
    assert parse_step(line) == step


@pytest.mark.parametrize(
    ("text", "message", "mend"),
    [
        ("slower", '"slower" is no step', "a step is"),
        ("", '"" is no step', "a step is"),
        ("pause now", '"pause now" is no step', "a step is"),
        ("rate", '"rate " is no rate', '"rate 50%"'),
        ("rate half", '"rate half" is no rate', '"rate 5/s"'),
        ("rate 0%", '"rate 0%" is no lower rate', '"pause"'),
        ("rate 100%", '"rate 100%" is no lower rate', "1% to 99%"),
        ("rate 0/s", '"rate 0/s" is no lower rate', '"pause"'),
        ("rate 2000/s", '"rate 2000/s" is no lower rate', "0 a second"),
        ("rate -5%", '"rate -5%" is no rate', '"rate 50%"'),
        ("placement gpu", '"placement gpu" is no step', '"placement dla"'),
        ("model", '"model" names no model', "under models"),
        ("model Tiny", '"model Tiny" names no model', "under models"),
        ("power", '"power" names no power', "low-power"),
    ],
)
def test_what_is_no_step_is_told_with_its_mend(text: str, message: str, mend: str) -> None:
    with pytest.raises(StepError) as caught:
        parse_step(text)
    assert message in caught.value.message
    assert mend in caught.value.mend


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["rate 25%", "rate 50%"], '"rate 50%" is not below "rate 25%" before it'),
        (["rate 5/s", "placement dla", "rate 5/s"], '"rate 5/s" stands there twice'),
        (["pause", "rate 50%"], '"rate 50%" comes after "pause"'),
        (["power balanced", "power low-power"], '"power low-power" comes after "power balanced"'),
        (["model tiny", "model tiny"], '"model tiny" stands there twice'),
    ],
)
def test_a_ladder_goes_down_only(texts: list[str], message: str) -> None:
    with pytest.raises(StepError) as caught:
        parse_ladder(texts, critical=False)
    assert message in caught.value.message
    assert caught.value.mend


def test_a_critical_pipeline_cannot_be_given_a_pause() -> None:
    with pytest.raises(StepError, match="would stop a critical pipeline"):
        parse_ladder(["rate 50%", "pause"], critical=True)
    assert parse_ladder(["rate 50%", "pause"], critical=False)


def test_the_ladders_that_are_there_unless_others_are_written() -> None:
    assert ladder_texts(None, critical=False) == DEFAULT
    assert ladder_texts(None, critical=True) == DEFAULT_CRITICAL
    assert ladder_texts([], critical=True) == ()
    assert parse_ladder(DEFAULT, critical=False)[-1] == Step("pause")
    assert [step.line() for step in parse_ladder(DEFAULT_CRITICAL, critical=True)] == list(DEFAULT_CRITICAL)
    assert all(step.kind != "pause" for step in parse_ladder(DEFAULT_CRITICAL, critical=True))
