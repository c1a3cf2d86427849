"""A registry in an S3-compatible object storage, through obstore: `s3://BUCKET/PATH`, the extra `s3`.

Where the storage is and who we are comes from the environment, as obstore reads it (AWS_ACCESS_KEY_ID,
AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT_URL, AWS_ALLOW_HTTP, AWS_SKIP_SIGNATURE) or from the instance. Proxies
of the environment are not used: obstore reads them when a store is opened, so they are hidden from it for that moment.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from edgeagent.engine.registry.errors import RegistryError, RegistrySetupError, RegistryTransportError
from edgeagent.engine.registry.transport import CHUNK, Body, Resume
from edgeagent.engine.registry.watch import Limits, Watch

if TYPE_CHECKING:
    from obstore import GetOptions, GetResult
    from obstore.store import S3Store

Result = TypeVar("Result")
PROXIES = ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
MOST_RETRIES = 2
INSTANCE = "169.254.169.254"  # who is asked for credentials where the environment has none


class S3Transport:
    """Raises RegistrySetupError where obstore is not installed."""

    def __init__(self, url: str, watch: Watch) -> None:
        self.url = url
        self._watch = watch
        self._store = _opened(url, watch.limits)

    @contextlib.contextmanager
    def get(self, path: str, resume: Resume | None = None) -> Iterator[Body | None]:
        with contextlib.closing(asyncio.new_event_loop()) as loop:
            result = self._result(loop, path, resume)
            yield None if result is None else self._body(loop, result)

    def put(self, path: str, content: bytes | Path) -> None:
        import obstore

        patient = Watch(Limits(self._watch.limits.timeout_s, self._watch.limits.timeout_s), self._watch.tick)
        with contextlib.closing(asyncio.new_event_loop()) as loop:
            try:
                _awaited(loop, lambda: obstore.put_async(self._store, path, content), patient)
            except obstore.exceptions.BaseError as error:
                raise _failed(error) from error

    def _result(self, loop: asyncio.AbstractEventLoop, path: str, resume: Resume | None) -> GetResult | None:
        """The answer: from an offset where that can be had, else the whole; None when it is not there."""
        import obstore

        try:
            return self._asked(loop, path, resume)
        except (FileNotFoundError, obstore.exceptions.NotFoundError):
            return None
        except obstore.exceptions.BaseError as error:
            failure = _failed(error)
            if resume is None or failure.error_code == "registry_denied":
                raise failure from error
        return self._result(loop, path, None)  # changed meanwhile, or no ranges there

    def _asked(self, loop: asyncio.AbstractEventLoop, path: str, resume: Resume | None) -> GetResult:
        import obstore

        options: GetOptions = {}
        if resume is not None:
            options["range"] = {"offset": resume.offset}
        if resume is not None and resume.validator:
            options["if_match"] = resume.validator
        return _awaited(loop, lambda: obstore.get_async(self._store, path, options=options), self._watch)

    def _body(self, loop: asyncio.AbstractEventLoop, result: GetResult) -> Body:
        return Body(result.range[0], result.meta["size"], result.meta["e_tag"], self._chunks(loop, result))

    def _chunks(self, loop: asyncio.AbstractEventLoop, result: GetResult) -> Iterator[bytes]:
        import obstore

        stream = result.stream(min_chunk_size=CHUNK)

        async def following() -> bytes | None:
            try:
                return bytes(await stream.__anext__())
            except StopAsyncIteration:
                return None

        while True:
            try:
                chunk = _awaited(loop, following, self._watch)
            except obstore.exceptions.BaseError as error:
                raise RegistryTransportError("registry_cut", f"the download ended: {_first_line(error)}") from error
            if chunk is None:
                return
            yield chunk


def _opened(url: str, limits: Limits) -> S3Store:
    try:
        from obstore.exceptions import BaseError
        from obstore.store import S3Store
    except ImportError as error:
        raise RegistrySetupError(
            "registry_extra", f"{url} needs the package obstore, which is not installed"
        ) from error
    plain = os.environ.get("AWS_ALLOW_HTTP", "").lower() in ("1", "true", "yes")
    stall = timedelta(seconds=limits.stall_s)
    with _no_proxies():
        try:
            store: S3Store = S3Store.from_url(
                url,
                client_options={
                    "allow_http": plain,
                    "connect_timeout": stall,
                    "timeout": timedelta(seconds=limits.timeout_s),
                },
                retry_config={"max_retries": MOST_RETRIES, "retry_timeout": stall},
            )
        except (BaseError, ValueError) as error:
            raise RegistrySetupError("registry_url", f"{url} cannot be opened: {_first_line(error)}") from error
    return store


@contextlib.contextmanager
def _no_proxies() -> Iterator[None]:
    hidden = {name: os.environ.pop(name) for name in PROXIES if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(hidden)


def _awaited(loop: asyncio.AbstractEventLoop, begin: Callable[[], Awaitable[Result]], watch: Watch) -> Result:
    """What `begin()` comes to, waited for with patience; given up when that ends."""

    async def run() -> Result:
        return await begin()

    task = loop.create_task(run())
    pieces = watch.slices("the object storage")
    try:
        while not task.done():
            loop.run_until_complete(asyncio.wait({task}, timeout=pieces.next_s()))
    except BaseException:
        task.cancel()
        with contextlib.suppress(BaseException):
            loop.run_until_complete(task)
        raise
    return task.result()


def _failed(error: Exception) -> RegistryError:
    from obstore.exceptions import PermissionDeniedError, UnauthenticatedError

    text = _first_line(error)
    if isinstance(error, (PermissionDeniedError, UnauthenticatedError)):
        mend = "check the AWS_ variables of the service and the bucket's policy"
        return RegistryTransportError("registry_denied", f"the storage refuses: {text}", mend=mend)
    if INSTANCE in text:
        mend = "give the service AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_SKIP_SIGNATURE=true"
        message = "there are no credentials in the environment, and no instance gives any"
        return RegistryTransportError("registry_denied", message, mend=mend)
    return RegistryTransportError("registry_unreachable", f"the storage fails: {text}")


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:300]
