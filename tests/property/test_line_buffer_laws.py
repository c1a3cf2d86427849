"""However a stream is cut into pieces, its lines are the same."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeagent.supervise.messages import LineBuffer

STREAM = st.lists(st.sampled_from([b"\n", b"a", b"bc", b"\x00", b"\xff\xfe", b"\r"]), max_size=60).map(b"".join)
CUTS = st.lists(st.integers(0, 120), max_size=20)


def pieces(stream: bytes, cuts: list[int]) -> list[bytes]:
    places = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    return [stream[a:b] for a, b in itertools.pairwise(places)]


@given(STREAM, CUTS)
def test_the_cuts_do_not_matter(stream: bytes, cuts: list[int]) -> None:
    buffer = LineBuffer()
    got = [line for piece in pieces(stream, cuts) for line in buffer.feed(piece)]
    assert got == [line for line in stream.split(b"\n")[:-1] if line]


@given(STREAM, CUTS, st.integers(0, 12))
def test_the_limit_is_seen_whatever_the_cuts(stream: bytes, cuts: list[int], limit: int) -> None:
    buffer = LineBuffer(limit)

    def feed_all() -> None:
        for piece in pieces(stream, cuts):
            buffer.feed(piece)

    if max(map(len, stream.split(b"\n"))) > limit:
        with pytest.raises(ValueError, match="longer"):
            feed_all()
    else:
        feed_all()
