"""The words every child knows, and the cutting of a byte stream into lines."""

from __future__ import annotations

import math

import pytest
from pydantic import ValidationError

from edgeagent.supervise.messages import MAX_LINE_BYTES, Fault, Heartbeat, LineBuffer, Stop


def test_a_message_is_one_line_whatever_is_in_it() -> None:
    fault = Fault(code="c", who="us", text='two\nlines and a "quote"', mend="\r\n")
    assert fault.line().count(b"\n") == 1
    assert Fault.model_validate_json(fault.line()) == fault


def test_kind_comes_first_so_that_it_can_be_told_without_parsing() -> None:
    assert Heartbeat(allow_s=1.5).line() == b'{"kind":"heartbeat","allow_s":1.5}\n'
    assert Fault(code="c", who="us", text="t").line().startswith(b'{"kind":"fault"')
    assert Stop().line() == b'{"kind":"stop"}\n'


@pytest.mark.parametrize("allow_s", [0.0, -1.0, 3601.0, math.nan, math.inf])
def test_an_allowance_is_a_finite_time_above_nothing(allow_s: float) -> None:
    with pytest.raises(ValidationError):
        Heartbeat(allow_s=allow_s)


def test_unknown_words_are_refused() -> None:
    with pytest.raises(ValidationError):
        Stop.model_validate_json(b'{"kind":"stop","now":true}')


def test_a_line_in_pieces_is_put_together() -> None:
    buffer = LineBuffer()
    assert [buffer.feed(piece) for piece in (b"one", b" more\ntw", b"o\n\n", b"\nthree")] == [
        [],
        [b"one more"],
        [b"two"],
        [],
    ]


@pytest.mark.parametrize("extra", [0, 1])
def test_the_limit_is_a_line_s_length_without_its_end(extra: int) -> None:
    """Whether the end of the line comes with the rest of it or later."""
    line = b"x" * (10 + extra)
    for pieces in ([line + b"\n"], [line, b"\n"], [b"x", line[1:] + b"\nnext\n"], [b"short\n" + line, b"\n"]):
        buffer = LineBuffer(limit=10)
        if extra:
            with pytest.raises(ValueError, match="longer than 10 bytes"):
                [buffer.feed(piece) for piece in pieces]
        else:
            assert line in [got for piece in pieces for got in buffer.feed(piece)]


def test_the_limit_leaves_room_for_every_message_there_is() -> None:
    assert MAX_LINE_BYTES == 1 << 20
    LineBuffer().feed(b"x" * MAX_LINE_BYTES)
