"""Registries behind a real web server: honest ones, and those that lie, stall, cut, redirect or serve other things."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import random
import shutil
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from lying_server import Handler, LyingServer, on, serving

sys.path.append(str(Path(__file__).parents[1] / "unit" / "engine"))
from registry_kit import CACHE, KEY, LIMITS, OURS, PLAN_BYTES, TRUSTED, Ground, ground, put_engine

from edgeagent.engine.registry.errors import RegistryDataError, RegistryError, RegistryTransportError
from edgeagent.engine.registry.publish import publish_engine
from edgeagent.engine.registry.watch import Limits

PLAN = hashlib.sha256(PLAN_BYTES).hexdigest()
HALF = len(PLAN_BYTES) // 2
HTML = b"<!DOCTYPE html><html><body>Welcome to this hotel's network</body></html>"


@pytest.fixture
def place(tmp_path):
    return ground(tmp_path)


@pytest.fixture
def server(place):
    with serving(place.registry) as running:
        yield running


def refused(place: Ground, *urls: str, limits: Limits = LIMITS) -> RegistryError:
    """Fetching comes to an error, and nothing is stored."""
    with pytest.raises(RegistryError) as caught:
        place.fetch(*urls, limits=limits)
    place.assert_nothing_stored()
    return caught.value


def part_of(place: Ground) -> Path:
    return place.store_root / ".parts" / KEY / f"{PLAN}.part"


def assert_fetched(place: Ground, *urls: str, limits: Limits = LIMITS) -> None:
    fetched = place.fetch(*urls, limits=limits)
    assert fetched is not None and fetched.key_id == OURS.key_id
    assert fetched.entry.plan_path.read_bytes() == PLAN_BYTES
    signed = (place.folder() / "manifest.json").read_bytes()
    assert (fetched.entry.plan_path.parent / "manifest.json").read_bytes() == signed, "byte for byte as signed"
    assert not part_of(place).exists()


# honest servers


def test_an_engine_comes_as_it_was_signed(place, server):
    assert_fetched(place, server.url)
    assert all(headers["Accept-Encoding"] == "identity" for _, _, headers in server.asked)
    assert not any("Authorization" in headers for _, _, headers in server.asked)


def test_a_server_without_the_engine_has_none(place, server):
    assert place.fetch(server.url, key="0" * 32) is None
    assert len(server.asked) == 1


def test_the_environments_proxies_are_not_used(place, server, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert_fetched(place, server.url)


def test_a_server_that_names_no_length(place, server):
    def chunked(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for at in range(0, len(PLAN_BYTES), 50_000):
            chunk = PLAN_BYTES[at : at + 50_000]
            handler.wfile.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
        handler.wfile.write(b"0\r\n\r\n")

    server.trick = on(PLAN, chunked)
    assert_fetched(place, server.url)


# lies about length


def test_more_is_announced_than_was_signed(place, server):
    server.trick = on(PLAN, lambda handler: handler.cut(PLAN_BYTES, len(PLAN_BYTES) + 1))
    assert refused(place, server.url).error_code == "registry_oversized"


def test_less_is_announced_than_was_signed(place, server):
    server.trick = on(PLAN, lambda handler: handler.answer(200, PLAN_BYTES[:HALF]))
    assert refused(place, server.url).error_code == "registry_truncated"


def test_less_comes_than_was_announced(place, server):
    server.trick = on(PLAN, lambda handler: handler.cut(b"", len(PLAN_BYTES)))
    error = refused(place, server.url)
    assert isinstance(error, RegistryTransportError) and error.error_code == "registry_cut" and error.retry


def test_a_body_that_does_not_end_is_left_after_one_byte_too_many(place, server):
    sent = []

    def endless(handler: Handler) -> None:
        handler.send_response(200)
        handler.end_headers()
        while not server.over.is_set():
            handler.wfile.write(PLAN_BYTES)
            sent.append(len(PLAN_BYTES))

    server.trick = on(PLAN, endless)
    assert refused(place, server.url).error_code == "registry_oversized"
    assert not part_of(place).exists()
    assert sum(sent) < 20 * len(PLAN_BYTES)


def test_a_manifest_that_does_not_end(place, server):
    def endless(handler: Handler) -> None:
        handler.send_response(200)
        handler.end_headers()
        while not server.over.is_set():
            handler.wfile.write(b"{" * 100_000)

    server.trick = on("manifest.json", endless)
    assert refused(place, server.url).error_code == "registry_oversized"


def test_chunks_that_end_too_early_or_are_none(place, server):
    def short(handler: Handler) -> None:
        handler.answer(200, b"5\r\nhello\r\n0\r\n\r\n", Content_Length="", Transfer_Encoding="chunked")

    def broken(handler: Handler) -> None:
        handler.answer(200, b"zz\r\nhello", Content_Length="", Transfer_Encoding="chunked")

    server.trick = on(PLAN, short)
    assert refused(place, server.url).error_code == "registry_truncated"
    server.trick = on(PLAN, broken)
    assert refused(place, server.url).error_code == "registry_cut"


# other bytes


def test_html_in_place_of_everything(place, server):
    server.trick = on("", lambda handler: handler.answer(200, HTML, Content_Type="text/html"))
    error = refused(place, server.url)
    assert isinstance(error, RegistryDataError) and error.error_code == "registry_not_manifest"
    assert [path for _, path, _ in server.asked if path.endswith(PLAN)] == [], "the plan is not even asked for"


def test_html_in_place_of_the_plan(place, server):
    server.trick = on(PLAN, lambda handler: handler.answer(200, HTML, Content_Type="text/html"))
    assert refused(place, server.url).error_code == "registry_truncated"


def test_another_plan_of_the_same_size(place, server):
    server.trick = on(PLAN, lambda handler: handler.answer(200, PLAN_BYTES[::-1]))
    assert refused(place, server.url).error_code == "registry_digest"
    assert not part_of(place).exists()


def test_no_signature(place, server):
    server.trick = on(".sig", lambda handler: handler.answer(404, b""))
    assert refused(place, server.url).error_code == "registry_unsigned"


def test_a_file_that_is_not_there(place, server):
    place.plan_file().unlink()
    assert refused(place, server.url).error_code == "registry_truncated"


def test_compressed_answers_are_not_taken(place, server):
    bomb = gzip.compress(bytes(50_000_000))
    server.trick = on("manifest.json", lambda handler: handler.answer(200, bomb, Content_Encoding="gzip"))
    assert refused(place, server.url).error_code == "registry_encoded"


# time


def test_a_server_that_falls_silent(place, server):
    def half(handler: Handler) -> None:
        handler.cut(PLAN_BYTES[:HALF], len(PLAN_BYTES))
        handler.stall()

    ticks: list[str] = []
    server.trick = on(PLAN, half)
    with pytest.raises(RegistryTransportError) as caught:
        place.fetch(server.url, progress=lambda percent, text: ticks.append(text))
    assert caught.value.error_code == "registry_stalled" and caught.value.retry
    place.assert_nothing_stored()
    assert part_of(place).stat().st_size == HALF, "what came is kept"
    assert ticks[-1] == ticks[-2], "whoever listens hears from us while nothing comes"


@pytest.mark.parametrize("ending", ["manifest.json", ".sig"])
def test_a_server_that_never_answers(place, server, ending):
    server.trick = on(ending, Handler.stall)
    assert refused(place, server.url).error_code == "registry_stalled"


def test_a_port_that_takes_connections_and_says_nothing(place):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        error = refused(place, f"http://127.0.0.1:{silent.getsockname()[1]}")
    assert error.error_code == "registry_stalled"


def test_a_trickle_ends_when_the_time_is_over(place, server):
    def trickle(handler: Handler) -> None:
        handler.cut(b"", len(PLAN_BYTES))
        while not server.over.wait(0.02):
            handler.wfile.write(b"x")

    server.trick = on(PLAN, trickle)
    error = refused(place, server.url, limits=Limits(stall_s=5, timeout_s=0.7, max_download_mb=8))
    assert error.error_code == "registry_timeout" and error.retry


def test_headers_that_do_not_end(place, server):
    def headers(handler: Handler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-A: ")
        while not server.over.wait(0.02):
            handler.wfile.write(b"a")

    server.trick = on("manifest.json", headers)
    error = refused(place, server.url, limits=Limits(stall_s=5, timeout_s=0.7, max_download_mb=8))
    assert error.error_code == "registry_timeout"


def test_a_listener_may_end_it_while_nothing_comes(place, server):
    class Unwanted(Exception):
        pass

    calls = []

    def progress(percent: float, text: str) -> None:
        calls.append(text)
        if server.asked and calls.count(text) > 2:
            raise Unwanted

    server.trick = on("manifest.json", Handler.stall)
    with pytest.raises(Unwanted):
        place.fetch(server.url, progress=progress, limits=Limits(stall_s=60, timeout_s=60, max_download_mb=8))
    place.assert_nothing_stored()


# refusals of the server


@pytest.mark.parametrize(
    ("status", "code", "retry"),
    [
        (401, "registry_denied", False),
        (403, "registry_denied", False),
        (429, "registry_unreachable", True),
        (503, "registry_unreachable", True),
        (418, "registry_status", False),
        (204, "registry_status", False),
    ],
)
def test_what_a_server_answers(place, server, status, code, retry):
    server.trick = on("manifest.json", lambda handler: handler.answer(status, b""))
    error = refused(place, server.url)
    assert (error.error_code, error.retry, error.facts["status"]) == (code, retry, status)
    assert str(status) in error.line()


def test_what_is_no_web_server(place, server):
    server.trick = on("manifest.json", lambda handler: handler.wfile.write(b"SSH-2.0-OpenSSH_9.6\r\n"))
    assert refused(place, server.url).error_code == "registry_unreachable"
    server.trick = on("manifest.json", lambda handler: None)
    assert refused(place, server.url).error_code == "registry_unreachable"


def test_nobody_there(place):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    error = refused(place, f"http://127.0.0.1:{port}")
    assert error.error_code == "registry_unreachable" and "refused" in error.message
    assert refused(place, "http://no-such-host.invalid").error_code == "registry_unreachable"


def test_any_answer_at_all_comes_to_an_error_of_ours(place):
    """Real answers with some bytes changed, removed or put in: whatever a parser makes of them, nothing is stored."""
    rng = random.Random(3)
    manifest = (place.folder() / "manifest.json").read_bytes()
    heads = [
        b'HTTP/1.1 200 OK\r\nContent-Length: %d\r\nETag: "x"\r\n\r\n' % len(manifest),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n" % len(manifest),
        b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-9/10\r\nContent-Length: 10\r\n\r\n",
    ]
    outcomes = set()
    with answering(lambda: mangled(rng, rng.choice(heads)) + manifest) as url:
        for _ in range(150):
            try:
                outcomes.add(place.fetch(url))
            except RegistryError as error:
                outcomes.add(error.error_code)
    place.assert_nothing_stored()
    assert {"registry_unreachable", "registry_unsigned", "registry_redirect"} <= outcomes - {None}


def mangled(rng: random.Random, data: bytes) -> bytes:
    for _ in range(rng.randrange(4)):
        at, byte = rng.randrange(len(data)), bytes([rng.randrange(256)])
        data = data[:at] + rng.choice([byte, b"", byte * 20, b"\r\n"]) + data[at + rng.randrange(2) :]
    return data


@contextlib.contextmanager
def answering(answer: Callable[[], bytes]) -> Iterator[str]:
    """A port that gives every connection one answer and closes it."""

    def serve() -> None:
        while True:
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError):
                if not connection.recv(1 << 16):
                    return
                connection.sendall(answer())

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            socket.create_connection(listener.getsockname()).close()
            thread.join()


# redirects


def to(address: str, status: int = 302):
    return lambda handler: handler.answer(status, b"", Location=address)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_followed_and_what_it_leads_to_is_judged(place, server, status):
    with serving(place.registry) as elsewhere:
        server.trick = lambda handler: to(elsewhere.url + handler.path, status)(handler) or True
        assert_fetched(place, server.url)
        assert len(elsewhere.asked) == 4


@pytest.mark.parametrize(
    "address",
    [
        "file:///etc/passwd",
        "ftp://127.0.0.1/x",
        "javascript:1",
        "",
        "http://[::1",
        "http://u:p@127.0.0.1/x",
    ],
)
def test_redirects_to_what_is_no_web_address(place, server, address):
    server.trick = on("manifest.json", to(address))
    assert refused(place, server.url).error_code == "registry_redirect"
    assert len(server.asked) == 1


def test_a_redirect_without_an_end(place, server):
    server.trick = on("manifest.json", lambda handler: to(handler.path)(handler))
    assert refused(place, server.url).error_code == "registry_redirect"
    assert len(server.asked) == 6


def test_a_login_goes_to_its_own_host_only(place, server, tmp_path, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login robot password s3cret\n", encoding="utf-8")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    with serving(place.registry) as elsewhere:
        server.trick = on(PLAN, lambda handler: to(elsewhere.url + handler.path)(handler))
        assert_fetched(place, server.url)
        assert all(headers["Authorization"] == "Basic cm9ib3Q6czNjcmV0" for _, _, headers in server.asked)
        assert [path for _, path, _ in elsewhere.asked] == [f"/engines/{KEY}/{PLAN}"]
        assert "Authorization" not in elsewhere.asked[0][2]


@pytest.mark.parametrize(
    ("text", "mode"), [("machine a login b password c", 0o644), ("machine machine nonsense", 0o600)]
)
def test_a_netrc_file_that_cannot_be_used_is_told(place, server, tmp_path, monkeypatch, text, mode):
    (tmp_path / "netrc").write_text(text, encoding="utf-8")
    (tmp_path / "netrc").chmod(mode)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert refused(place, server.url).error_code == "registry_netrc"


# going on


def cut_once(server: LyingServer, ending: str, at: int) -> None:
    """The first GET is cut after `at` bytes, and the next of them stalls: the fetch ends with a part file."""
    times = []

    def act(handler: Handler) -> None:
        times.append(1)
        if len(times) > 1:
            handler.stall()
        data = handler.content()
        tag = f'"{hashlib.sha256(data).hexdigest()[:16]}"'
        names = {"ETag": tag} if server.etag else {}
        names |= {"Last-Modified": "Wed, 21 Oct 2026 07:28:00 GMT"} if server.dates else {}
        handler.cut(data[:at], len(data), **names)

    server.trick = on(ending, act)


def left_half(place: Ground, server: LyingServer) -> None:
    cut_once(server, PLAN, HALF)
    assert refused(place, server.url).error_code == "registry_stalled"
    assert part_of(place).stat().st_size == HALF
    server.asked.clear()
    server.trick = lambda handler: False


def test_a_cut_download_goes_on_by_itself(place, server):
    pieces = []

    def piecewise(handler: Handler) -> None:
        start = int(handler.headers.get("Range", "bytes=0-")[6:-1])
        pieces.append(start)
        size, tag = len(PLAN_BYTES), '"one"'
        if start == 0:
            handler.cut(PLAN_BYTES[:300_000], size, ETag=tag)
        else:
            place_in = f"bytes {start}-{size - 1}/{size}"
            handler.cut(PLAN_BYTES[start : start + 300_000], size - start, 206, ETag=tag, Content_Range=place_in)

    server.trick = on(PLAN, piecewise)
    assert_fetched(place, server.url)
    assert pieces == [0, 300_000, 600_000, 900_000]


@pytest.mark.parametrize(("etag", "dates"), [(True, True), (True, False), (False, True)])
def test_the_next_fetch_goes_on_where_the_last_one_ended(place, server, etag, dates):
    server.etag, server.dates = etag, dates
    left_half(place, server)
    assert_fetched(place, server.url)
    (headers,) = server.gets(PLAN)
    assert headers["Range"] == f"bytes={HALF}-"
    assert headers["If-Range"].startswith('"') if etag else headers["If-Range"].startswith("Wed")


def test_a_server_without_ranges_begins_again(place, server):
    left_half(place, server)
    server.ranges = False
    assert_fetched(place, server.url)
    assert len(server.gets(PLAN)) == 1


def test_a_changed_file_begins_again(place, server):
    left_half(place, server)
    server.etag = False  # what we have as If-Range fits no more
    assert_fetched(place, server.url)
    assert len(server.gets(PLAN)) == 1


def test_a_server_that_minds_no_if_range_is_found_out(place, server):
    """It continues another version of the file, and says so."""
    left_half(place, server)

    def careless(handler: Handler) -> None:
        if "Range" not in handler.headers:
            return handler.serve()
        size = len(PLAN_BYTES)
        return handler.answer(206, bytes(size - HALF), ETag='"other"', Content_Range=f"bytes {HALF}-{size - 1}/{size}")

    server.trick = on(PLAN, careless)
    assert_fetched(place, server.url)
    assert ["Range" in headers for headers in server.gets(PLAN)] == [True, False]


@pytest.mark.parametrize("where", ["bytes 0-9/10", "nonsense", f"bytes {HALF + 1}-9/*", ""])
def test_a_continuation_of_something_else_is_not_used(place, server, where):
    left_half(place, server)

    def odd(handler: Handler) -> None:
        if "Range" not in handler.headers:
            return handler.serve()
        return handler.answer(206, b"0123456789", Content_Range=where)

    server.trick = on(PLAN, odd)
    assert_fetched(place, server.url)


def test_a_part_that_was_damaged_on_our_disk_is_fetched_again(place, server):
    left_half(place, server)
    part_of(place).write_bytes(bytes(HALF))
    assert_fetched(place, server.url)
    assert ["Range" in headers for headers in server.gets(PLAN)] == [True, False]


@pytest.mark.parametrize("size", [len(PLAN_BYTES), len(PLAN_BYTES) + 5])
def test_a_part_that_is_whole_or_too_long(place, server, size):
    left_half(place, server)
    part_of(place).write_bytes((PLAN_BYTES + b"12345")[:size])
    assert_fetched(place, server.url)
    assert len(server.gets(PLAN)) == (0 if size == len(PLAN_BYTES) else 1)


def test_another_mirror_goes_on_with_what_the_first_one_gave(place, server):
    with serving(place.registry) as second:
        cut_once(server, PLAN, HALF)
        fetched = place.fetch(server.url, second.url)
        assert fetched is not None and fetched.entry.plan_path.read_bytes() == PLAN_BYTES
        (headers,) = second.gets(PLAN)
        assert headers["Range"] == f"bytes={HALF}-" and "If-Range" not in headers
        assert fetched.registry == second.url
        assert len(fetched.notes) == 1 and fetched.notes[0].startswith(f"{server.url}: nothing came for")


def test_a_mirror_that_gave_rubbish_does_not_spoil_the_next(place, server):
    def rubbish(handler: Handler) -> None:
        handler.cut(bytes(HALF), len(PLAN_BYTES))
        handler.stall()

    with serving(place.registry) as second:
        server.trick = on(PLAN, rubbish)
        assert place.fetch(server.url, second.url) is not None
        assert ["Range" in headers for headers in second.gets(PLAN)] == [True, False]


# mirrors


def test_every_mirrors_reason_is_kept(place, server):
    with socket.create_server(("127.0.0.1", 0)) as free:
        dead = f"http://127.0.0.1:{free.getsockname()[1]}"
    server.trick = on(PLAN, lambda handler: handler.answer(200, PLAN_BYTES[::-1]))
    with serving(place.registry / "engines") as empty:
        error = refused(place, dead, server.url, empty.url)
    assert error.error_code == "registry_digest" and isinstance(error, RegistryDataError)
    assert [reason.error_code for reason in error.reasons] == ["registry_unreachable", "registry_digest"]
    assert dead in error.message and server.url in error.message and error.retry


def test_bad_data_leads_on_to_the_next_mirror(place, server):
    server.trick = on("", lambda handler: handler.answer(200, HTML))
    fetched = place.fetch(server.url, place.url)
    assert fetched is not None and fetched.registry == place.url and "is a web page" in fetched.notes[0]


def test_nobody_knows_whether_there_is_one_when_a_mirror_failed(place, server):
    server.trick = on("manifest.json", lambda handler: handler.answer(503, b""))
    error = refused(place, server.url, f"file://{place.registry}/engines")
    assert isinstance(error, RegistryTransportError)


# putting


def push_to(place: Ground, url: str):
    return publish_engine(KEY, url, OURS, place.source, 30, 1_800_000_000_000, limits=LIMITS)


def test_an_engine_is_put_files_first_and_manifest_last(tmp_path):
    place = ground(tmp_path, pushed=False)
    with serving(place.registry) as server:
        assert push_to(place, server.url).outcome == "put"
        puts = [path for method, path, _ in server.asked if method == "PUT"]
        assert [path.rpartition("/")[2][-13:] for path in puts] == [
            PLAN[-13:],
            hashlib.sha256(CACHE).hexdigest()[-13:],
            puts[2].rpartition("/")[2][-13:],
            "manifest.json",
            puts[4].rpartition("/")[2][-13:],
        ]
        assert puts[2].endswith(".sig") and puts[4].startswith("/subjects/")
        assert_fetched(place, server.url)
        assert push_to(place, server.url).outcome == "replaced"


@pytest.mark.parametrize(
    ("status", "code"),
    [(501, "registry_unreachable"), (405, "registry_status"), (403, "registry_denied"), (302, "registry_redirect")],
)
def test_a_server_that_takes_nothing(tmp_path, status, code):
    place = ground(tmp_path, pushed=False)
    with serving(place.registry) as server:
        server.put_status = status
        with pytest.raises(RegistryTransportError) as caught:
            push_to(place, server.url)
        assert caught.value.error_code == code


def test_a_server_that_takes_files_and_forgets_them(tmp_path):
    place = ground(tmp_path, pushed=False)
    (tmp_path / "void").mkdir()
    with serving(place.registry) as server:
        server.trick = on("", lambda handler: handler.answer(404, b""))
        with pytest.raises(RegistryTransportError) as caught:
            push_to(place, server.url)
        assert caught.value.error_code == "registry_status"


def test_readers_of_an_entry_that_is_being_replaced_find_it_whole(place, server):
    """While another plan is put under the same key, again and again, every fetch gives one of them, whole."""
    plans = [bytes([number]) * 200_000 for number in range(4)]
    stop = threading.Event()

    def replace_forever() -> None:
        number = 0
        while not stop.is_set():
            shutil.rmtree(place.store_root.parent / "source" / KEY)
            put_engine(place.source, plans[number % 4])
            place.push()
            number += 1

    thread = threading.Thread(target=replace_forever)
    thread.start()
    try:
        seen = set()
        for _ in range(15):
            fetched = place.fetch(server.url)
            assert fetched is not None
            seen.add(fetched.entry.plan_path.read_bytes())
            shutil.rmtree(fetched.entry.plan_path.parent)
    finally:
        stop.set()
        thread.join()
    assert seen <= {*plans, PLAN_BYTES} and len(seen) > 1


def test_trust_is_by_the_keys_that_are_given(place, server):
    for keys, code in (([], "registry_no_keys"), (["ed25519:x"], "registry_bad_key")):
        with pytest.raises(RegistryError) as caught:
            place.fetch(server.url, trusted=keys)
        assert caught.value.error_code == code and server.asked == [], "nobody is asked then"
    with pytest.raises(RegistryError) as caught:
        place.fetch(server.url, trusted=TRUSTED[1:])
    assert caught.value.error_code == "registry_unknown_key"
    place.assert_nothing_stored()
