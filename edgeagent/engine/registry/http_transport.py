"""A registry behind http:// or https://: any web server with files; to push, one that takes PUT.

- Certificates are checked against the system's CAs. No proxy is used, whatever the environment says.
- Redirects of a GET are followed, five at most, to http or https only, and never from https to http. A login is sent to
  the registry's own host only, and over plain http to this machine only.
- Files are asked for as they are; a compressed answer is refused, so nothing is ever expanded.
- A download goes on with Range and If-Range. A server that knows no ranges, or whose file changed, starts from 0.
"""

from __future__ import annotations

import contextlib
import http.client
import re
import ssl
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from edgeagent.engine.registry.errors import RegistryTransportError
from edgeagent.engine.registry.http_wire import dialled
from edgeagent.engine.registry.netrc_login import login_of
from edgeagent.engine.registry.transport import CHUNK, Body, Resume
from edgeagent.engine.registry.watch import Watch, reason_of

MOST_REDIRECTS = 5
REDIRECTS = frozenset({301, 302, 303, 307, 308})
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
PORTS = {"http": 80, "https": 443}
RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")
KEPT = "/%:@!$&'()*+,;=~-._"  # an operator's own %-escapes stay


class HttpTransport:
    """`http(s)://HOST/PATH`."""

    def __init__(self, url: str, watch: Watch) -> None:
        self.url = url.rstrip("/")
        self._watch = watch
        self._tls = ssl.create_default_context() if url.startswith("https:") else None

    @contextlib.contextmanager
    def get(self, path: str, resume: Resume | None = None) -> Iterator[Body | None]:
        with ExitStack() as stack:
            answer = self._answer(stack, self._address(path), _range_headers(resume))
            if resume is not None and not _continues(answer, resume):
                stack.close()  # what it offers is no continuation of what we have
                answer = self._answer(stack, self._address(path), {})
            yield None if answer.status in (404, 410) else self._body(answer)

    def put(self, path: str, content: bytes | Path) -> None:
        """Raises RegistryTransportError, also where the server answers with a redirect."""
        body: bytes | BinaryIO = b""
        with ExitStack() as stack:
            if isinstance(content, bytes):
                body, size = content, len(content)
            else:
                body = stack.enter_context(content.open("rb"))
                size = content.stat().st_size
            headers = {"Content-Length": str(size), "Content-Type": "application/octet-stream"}
            answer = self._ask(stack, "PUT", urlsplit(self._address(path)), headers, body)
            if answer.status not in (200, 201, 202, 204):
                raise self._refused(answer, "does not take files")

    def _address(self, path: str) -> str:
        return f"{self.url}/{path}"

    def _answer(self, stack: ExitStack, address: str, headers: Mapping[str, str]) -> http.client.HTTPResponse:
        """The answer to a GET, redirects followed: 200, 206, 404, 410 or 416."""
        for _ in range(MOST_REDIRECTS + 1):
            answer = self._ask(stack, "GET", urlsplit(address), headers, None)
            if answer.status not in REDIRECTS:
                break
            address = _redirected(address, answer.headers.get("Location"))
            stack.close()
        else:
            raise RegistryTransportError("registry_redirect", f"it leads on and on, more than {MOST_REDIRECTS} times")
        if answer.status not in (200, 206, 404, 410, 416):
            raise self._refused(answer, "does not give files")
        return answer

    def _ask(
        self,
        stack: ExitStack,
        method: str,
        where: SplitResult,
        headers: Mapping[str, str],
        body: bytes | BinaryIO | None,
    ) -> http.client.HTTPResponse:
        """One request on a connection of its own, which `stack` closes."""
        host, port = where.hostname or "", where.port or PORTS[where.scheme]
        if where.scheme == "https" and self._tls is None:
            self._tls = ssl.create_default_context()
        wire = stack.enter_context(dialled(host, port, self._tls if where.scheme == "https" else None, self._watch))
        connection = http.client.HTTPConnection(host, port)
        connection.default_port = PORTS[where.scheme]
        connection.sock = wire
        try:
            target = quote(where.path or "/", safe=KEPT) + (f"?{where.query}" if where.query else "")
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it may have said why before it hung up
                connection.request(method, target, body, {**self._headers(where), **headers})
            return connection.getresponse()
        except (http.client.HTTPException, OSError, ValueError) as error:
            raise RegistryTransportError(
                "registry_unreachable", f"{host} does not answer as a web server: {reason_of(error)}"
            ) from error

    def _headers(self, where: SplitResult) -> dict[str, str]:
        own = urlsplit(self.url)
        headers = {"Accept-Encoding": "identity", "Connection": "close", "User-Agent": "edgeagent"}
        ours = (where.scheme, where.netloc) == (own.scheme, own.netloc)
        login = login_of(where.hostname or "") if ours and _is_private(where) else None
        return {**headers, "Authorization": login} if login else headers

    def _body(self, answer: http.client.HTTPResponse) -> Body:
        encoding = answer.headers.get("Content-Encoding", "identity").strip().lower()
        if encoding not in ("", "identity"):
            raise RegistryTransportError("registry_encoded", f"the server compresses what it sends ({encoding[:40]})")
        start, total = 0, answer.length
        if answer.status == 206:
            start, total = _range_of(answer) or (0, None)
        return Body(start, total, _validator(answer), self._chunks(answer))

    def _chunks(self, answer: http.client.HTTPResponse) -> Iterator[bytes]:
        """The bytes as they come. Ends early with registry_cut where fewer come than were promised."""
        promised, count = answer.length, 0
        while True:
            try:
                chunk = answer.read1(CHUNK)
            except (http.client.HTTPException, OSError, ValueError) as error:
                raise RegistryTransportError("registry_cut", f"the connection ended: {reason_of(error)}") from error
            if not chunk:
                break
            count += len(chunk)
            yield chunk
        if promised is not None and count < promised:
            raise RegistryTransportError("registry_cut", f"the connection ended after {count} of {promised} bytes")

    def _refused(self, answer: http.client.HTTPResponse, what: str) -> RegistryTransportError:
        reason = " ".join(answer.reason.split())[:80]
        message = f"the server {what}: {answer.status} {reason}".rstrip()
        if answer.status in (401, 403):
            return RegistryTransportError("registry_denied", message, status=answer.status)
        if answer.status in REDIRECTS:
            return RegistryTransportError("registry_redirect", message, status=answer.status)
        busy = answer.status >= 500 or answer.status in (408, 429)
        return RegistryTransportError(
            "registry_unreachable" if busy else "registry_status", message, status=answer.status
        )


def _range_headers(resume: Resume | None) -> dict[str, str]:
    if resume is None:
        return {}
    since = {"If-Range": resume.validator} if resume.validator else {}
    return {"Range": f"bytes={resume.offset}-", **since}


def _continues(answer: http.client.HTTPResponse, resume: Resume) -> bool:
    """Whether the answer may be read: the rest of what we have, or the whole file, or that it is not there."""
    if answer.status == 416:  # it has less than we have
        return False
    if answer.status != 206:
        return True
    known = resume.validator is None or resume.validator == (_validator(answer) or resume.validator)
    found = _range_of(answer)
    return found is not None and found[0] == resume.offset and known


def _range_of(answer: http.client.HTTPResponse) -> tuple[int, int | None] | None:
    """(first byte, size of the whole file) of a partial answer; None where it does not say so."""
    found = RANGE.fullmatch(answer.headers.get("Content-Range", "").strip())
    if found is None or len(found[0]) > 100:
        return None
    return int(found[1]), None if found[3] == "*" else int(found[3])


def _validator(answer: http.client.HTTPResponse) -> str | None:
    """What tells this version of the file from others: a strong ETag, else the date of its last change."""
    tag = answer.headers.get("ETag", "")
    found = tag if tag.startswith('"') else answer.headers.get("Last-Modified")
    return found if found and found.isascii() and found.isprintable() and len(found) < 500 else None


def _redirected(address: str, location: str | None) -> str:
    """Where a redirect leads. Raises RegistryTransportError where we do not go."""
    shown = repr((location or "nowhere")[:200])
    try:
        to = urljoin(address, location or "", allow_fragments=False)
        parts, port = urlsplit(to), urlsplit(to).port
    except ValueError:
        parts, port = urlsplit(""), 0
    sound = parts.hostname and port != 0 and not parts.username and to.isascii() and to.isprintable() and " " not in to
    if not location or parts.scheme not in PORTS or not sound:
        raise RegistryTransportError("registry_redirect", f"it leads to {shown}, which is no web address")
    if address.startswith("https:") and parts.scheme != "https":
        raise RegistryTransportError("registry_redirect", f"it leads from https to {shown}, which is not protected")
    return to


def _is_private(where: SplitResult) -> bool:
    return where.scheme == "https" or where.hostname in LOOPBACK
