"""A real web server for a registry's files that can be told to lie, stall, cut, redirect and serve HTML. No tests.

Honest by default: ETag, Last-Modified, Range with If-Range, PUT. `trick` gets each GET first and answers it itself when
it returns True. Every request is written down. `over` is set when the server ends, so that no stalling handler stays.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

DATE = "Wed, 21 Oct 2026 07:28:00 GMT"


class LyingServer(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, root: Path, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.root = root
        self.tls = tls
        self.trick: Trick = honest
        self.put_status = 201
        self.etag = True
        self.dates = True
        self.ranges = True
        self.parts: dict[int, bytes] = {}
        self.over = threading.Event()
        self.asked: list[tuple[str, str, dict[str, str]]] = []

    @property
    def url(self) -> str:
        host = "localhost" if self.tls else "127.0.0.1"
        return f"{'https' if self.tls else 'http'}://{host}:{self.server_address[1]}"

    def gets(self, ending: str) -> list[dict[str, str]]:
        """The headers of each GET of a path with that ending."""
        return [headers for method, path, headers in self.asked if method == "GET" and path.endswith(ending)]

    def finish_request(self, request, client_address):
        if self.tls is not None:
            with contextlib.suppress(OSError):
                with self.tls.wrap_socket(request, server_side=True) as secured:
                    super().finish_request(secured, client_address)
            return
        super().finish_request(request, client_address)

    def handle_error(self, request, client_address):
        """The client may hang up; that is what is being tested."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: LyingServer

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self.close_connection = True
        self.server.asked.append(("GET", self.path, dict(self.headers.items())))
        if not self.server.trick(self):
            self.serve()

    def do_PUT(self) -> None:
        self.close_connection = True
        self.server.asked.append(("PUT", self.path, dict(self.headers.items())))
        data = self.rfile.read(int(self.headers["Content-Length"]))
        if "partNumber" in self.path:
            self.server.parts[int(parse_qs(urlsplit(self.path).query)["partNumber"][0])] = data
        elif self.server.put_status < 300:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            self.file.write_bytes(data)
        self.answer(self.server.put_status, b"", ETag=f'"{hashlib.sha256(data).hexdigest()[:16]}"')

    def do_POST(self) -> None:
        """An upload in parts, as S3 has it: its beginning, and its end."""
        self.close_connection = True
        self.server.asked.append(("POST", self.path, dict(self.headers.items())))
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        path, _, query = self.path.partition("?")
        if "uploads" in query:
            self.answer(200, b"<InitiateMultipartUploadResult><UploadId>one</UploadId></InitiateMultipartUploadResult>")
            return
        file = self.server.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"".join(part for _, part in sorted(self.server.parts.items())))
        self.answer(200, b'<CompleteMultipartUploadResult><ETag>"x"</ETag></CompleteMultipartUploadResult>')

    @property
    def file(self) -> Path:
        return self.server.root / self.path.lstrip("/")

    def content(self) -> bytes:
        return self.file.read_bytes()

    def answer(self, status: int, body: bytes, **headers: str) -> None:
        """The headers, with Content-Length unless one is given, and the body."""
        self.send_response(status)
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        for name, value in {"Content-Length": str(len(body)), "Connection": "close", **given}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def serve(self) -> None:
        """As an honest server does it."""
        if not self.file.is_file():
            self.answer(404, b"<html>not found</html>", Content_Type="text/html")
            return
        data = self.content()
        names = {"ETag": f'"{hashlib.sha256(data).hexdigest()[:16]}"'} if self.server.etag else {}
        names |= {"Last-Modified": DATE} if self.server.dates else {}
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        same = self.headers.get("If-Range", "") in ("", *names.values())
        if wanted and same and self.server.ranges:
            start = int(wanted[1])
            if start >= len(data):
                self.answer(416, b"", Content_Range=f"bytes */{len(data)}")
                return
            names["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
            self.answer(206, data[start:], **names)
            return
        self.answer(200, data, **names)

    def stall(self) -> None:
        self.server.over.wait()

    def cut(self, body: bytes, promised: int, status: int = 200, **headers: str) -> None:
        """Promise more than is sent, then hang up."""
        self.answer(status, body, Content_Length=str(promised), **headers)


Trick = Callable[[Handler], bool]


def honest(handler: Handler) -> bool:
    return False


def on(ending: str, act: Callable[[Handler], None]) -> Trick:
    """Do `act` for paths with that ending, and be honest about the rest."""

    def trick(handler: Handler) -> bool:
        if handler.path.endswith(ending):
            act(handler)
            return True
        return False

    return trick


@contextlib.contextmanager
def serving(root: Path, tls: ssl.SSLContext | None = None) -> Iterator[LyingServer]:
    with LyingServer(root, tls) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server
        finally:
            server.over.set()
            server.shutdown()
            thread.join()
