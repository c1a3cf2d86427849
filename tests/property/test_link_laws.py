"""Laws of the link's decisions: which broker and when, and of addresses as people write them."""

from __future__ import annotations

from random import Random
from typing import get_args

from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from edgeagent.config.kinds import BrokerUrl
from edgeagent.fleet.attempts import Ending, after, first_attempt
from edgeagent.fleet.backoff import Schedule
from edgeagent.fleet.brokers import first_broker, next_broker, probe_delay_s
from edgeagent.fleet.link_types import Address, EndKind, LinkSettings
from edgeagent.fleet.url import BrokerUrlError, parse_broker_url

LOST, SLOW = Schedule(1.0, 60.0), Schedule(30.0, 600.0, 5.0)
ENDINGS = st.builds(
    Ending,
    st.sampled_from(get_args(EndKind)),
    st.just("why"),
    st.sampled_from([0, 0x84, 0x87, 0x88]),
    st.floats(0.0, 100.0),
)
COURSE = st.lists(st.tuples(ENDINGS, st.floats(0.0, 30.0)), max_size=60)
BROKER_URL = TypeAdapter(BrokerUrl)


def wanted(fallbacks: int, protocol: str = "auto") -> LinkSettings:
    others = tuple(Address(f"b{number}", 1883) for number in range(fallbacks))
    return LinkSettings("a", 1883, "device", fallbacks=others, protocol=protocol, lost=LOST, refused=SLOW)  # type: ignore[arg-type]


@given(COURSE, st.integers(0, 3), st.integers())
def test_there_is_always_a_next_attempt_within_bounds(course: list[tuple[Ending, float]], more: int, seed: int) -> None:
    settings, rng, now_s = wanted(more), Random(seed), 0.0
    state = first_broker(settings)
    for ending, lasted_s in course:
        now_s += lasted_s
        before = state
        state, delay_s = next_broker(state, ending, settings, rng, now_s)
        now_s += delay_s
        assert 0 <= state.now <= more
        assert 0.0 <= delay_s <= SLOW.cap_s
        assert state.current.protocol in ("5", "3.1.1")
        if ending.kind in ("refused", "untrusted") and ending.held_s == 0.0:
            assert state.due_s[before.now] - now_s + delay_s >= SLOW.floor_s - 1e-6


@given(COURSE, st.integers(1, 3), st.integers())
def test_one_that_refuses_is_never_asked_before_its_time(
    course: list[tuple[Ending, float]], more: int, seed: int
) -> None:
    settings, rng, now_s = wanted(more, "5"), Random(seed), 0.0
    state = first_broker(settings)
    for ending, lasted_s in course:
        now_s += lasted_s
        state, delay_s = next_broker(state, ending, settings, rng, now_s)
        now_s += delay_s
        assert now_s >= state.due_s[state.now] - 1e-6


@given(st.integers(1, 3), st.integers())
def test_when_all_are_away_each_is_asked_again_and_again(more: int, seed: int) -> None:
    settings, rng, now_s = wanted(more, "5"), Random(seed), 0.0
    state = first_broker(settings)
    tried: list[int] = []
    for _ in range(60 * (more + 1)):
        tried.append(state.now)
        state, delay_s = next_broker(state, Ending("unreachable", "why"), settings, rng, now_s)
        now_s += delay_s
    half = tried[len(tried) // 2 :]
    assert set(half) == set(range(more + 1))
    assert now_s / len(tried) > 1.0, "they are not asked all the time"


@given(COURSE, st.sampled_from(["5", "3.1.1"]), st.integers())
def test_a_wish_for_a_protocol_holds_whatever_happens(
    course: list[tuple[Ending, float]], protocol: str, seed: int
) -> None:
    settings, rng = wanted(0, protocol), Random(seed)
    state = first_attempt(settings)
    for ending, _ in course:
        state, delay_s = after(state, ending, settings, rng)
        assert state.protocol == protocol
        assert delay_s > 0.0 or ending.kind not in ("refused", "displaced")


@given(COURSE, st.integers())
def test_the_probe_never_comes_sooner_than_three_quarters_of_its_time(
    course: list[tuple[Ending, float]], seed: int
) -> None:
    settings, rng = wanted(1), Random(seed)
    state = first_broker(settings)
    for ending, _ in course:
        state, _ = next_broker(state, ending, settings, rng, 0.0)
        low, high = 0.75 * settings.preferred_after_s, 16 * 1.25 * settings.preferred_after_s
        assert low <= probe_delay_s(state, settings, rng) <= high


HOSTS = st.one_of(
    st.from_regex(r"[a-z0-9]([a-z0-9.-]{0,20}[a-z0-9])?", fullmatch=True),
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(lambda address: f"[{address}]"),
)
URLS = st.builds(
    lambda scheme, host, port, path: f"{scheme}://{host}{port}{path}",
    st.sampled_from(["mqtt", "mqtts", "ws", "wss", "tcp", "MQTT", ""]),
    HOSTS,
    st.one_of(st.just(""), st.integers(-1, 70_000).map(lambda port: f":{port}")),
    st.one_of(st.just(""), st.text(max_size=8).map(lambda text: f"/{text}"), st.just("?x"), st.just("#x")),
)


@given(st.one_of(URLS, st.text(max_size=40)))
@example("ws://h/\x7f")
@example("mqtt://[v1.x]")
@example("mqtt://h:٣")
def test_whatever_the_config_takes_the_link_understands(url: str) -> None:
    try:
        BROKER_URL.validate_python(url)
    except ValidationError:
        return
    parse_broker_url(url)


@given(st.one_of(URLS, st.text(max_size=40)), st.booleans())
def test_an_address_is_understood_or_refused_and_reads_back(url: str, leave: bool) -> None:
    try:
        broker = parse_broker_url(url, allow_credentials=leave)
    except BrokerUrlError as error:
        assert error.line()
        return
    again = parse_broker_url(str(broker))
    assert (again.host, again.port, again.tls, again.path) == (broker.host, broker.port, broker.tls, broker.path)
