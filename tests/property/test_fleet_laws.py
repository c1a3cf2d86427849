"""Laws of the fleet's pure parts, for values that nobody thought of."""

from __future__ import annotations

from contextlib import suppress
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from edgeagent.fleet.backoff import next_delay
from edgeagent.fleet.link_types import Outcome
from edgeagent.fleet.outqueue import Outgoing, OutQueue
from edgeagent.fleet.topics import ID_PATTERN, KINDS, Topic, TopicError, check_id, parse_topic, slug, topic_shapes
from edgeagent.fleet.url import BrokerUrlError, parse_broker_url

IDS = st.from_regex(ID_PATTERN, fullmatch=True).filter(lambda text: text != "cam")


@st.composite
def any_topic(draw: st.DrawFn) -> Topic:
    kind = draw(st.sampled_from(KINDS))
    names = tuple(draw(IDS) for _ in range(topic_shapes()[kind].count("<")))
    return Topic(draw(IDS), draw(IDS), kind, names)


@given(any_topic())
def test_a_topic_comes_back_from_its_text(topic: Topic) -> None:
    assert parse_topic(str(topic)) == topic


@given(
    st.one_of(st.text(), st.lists(st.text(max_size=5), max_size=7).map(lambda tail: "/".join(["edgeagent/v1", *tail])))
)
def test_what_is_parsed_is_exactly_what_was_written(text: str) -> None:
    with suppress(TopicError):
        assert str(parse_topic(text)) == text


@given(st.text())
def test_a_slug_is_an_id_and_stays_one(text: str) -> None:
    with suppress(TopicError):
        made = slug(text)
        assert check_id(made) == made == slug(made)


@given(st.integers(-5, 10**6), st.integers(), st.floats(0, 1e4), st.floats(0, 1e5), st.floats(0, 100))
def test_a_delay_stays_between_floor_and_cap(
    attempt: int, seed: int, base_s: float, cap_s: float, floor_s: float
) -> None:
    delay_s = next_delay(attempt, Random(seed), base_s, cap_s, floor_s)
    assert floor_s <= delay_s <= max(cap_s, floor_s)


@given(st.integers(0, 40), st.floats(0.1, 10), st.floats(1, 1000))
def test_the_ceiling_of_the_delay_never_shrinks(attempt: int, base_s: float, cap_s: float) -> None:
    class Highest(Random):
        def random(self) -> float:
            return 1.0

    assert next_delay(attempt, Highest(), base_s, cap_s) <= next_delay(attempt + 1, Highest(), base_s, cap_s)


@given(st.one_of(st.text(), st.text().map("mqtt://{}".format)))
def test_every_address_is_understood_or_refused(url: str) -> None:
    with suppress(BrokerUrlError):
        broker = parse_broker_url(url, allow_credentials=True)
        assert broker.host
        assert 1 <= broker.port <= 65535


MESSAGES = st.builds(
    Outgoing,
    topic=st.sampled_from(["a", "b", "c"]),
    payload=st.binary(max_size=2),
    qos=st.just(1),
    retain=st.booleans(),
)


@given(st.lists(MESSAGES, max_size=40), st.integers(1, 10))
def test_the_queue_is_bounded_counts_every_loss_and_keeps_order(messages: list[Outgoing], limit: int) -> None:
    queue = OutQueue(limit)
    outcomes = [queue.put(message, online=False) for message in messages]
    assert len(queue) <= 2 * limit
    sent = []
    while (message := queue.take(0, room=1)) is not None:
        sent.append(message)
    assert len(sent) + queue.counts.dropped_full + queue.counts.superseded == len(messages)
    for topic in {message.topic for message in sent if message.retain}:
        taken = [
            m.payload
            for m, o in zip(messages, outcomes, strict=True)
            if m.topic == topic and m.retain and o is not Outcome.DROPPED
        ]
        assert [m.payload for m in sent if m.topic == topic and m.retain] == taken[-1:]
    history = [message for message in sent if not message.retain]
    kept = [message for message in messages if not message.retain]
    remaining = iter(kept)
    assert all(any(message is other for other in remaining) for message in history)
