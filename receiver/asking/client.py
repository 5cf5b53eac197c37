"""The one guarded way to a provider's API: httpx behind checks of address, size, time and redirects."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpcore
import httpx

from receiver.asking.body import Progress, merged, outgoing
from receiver.contract.asking import Answer, Ask
from receiver.contract.errors import ProviderBusy, ProviderRefused, Unanswered
from receiver.http import AddressRefused, is_public

_UNSENT = (httpcore.ConnectError, httpcore.ConnectTimeout, httpcore.PoolTimeout, httpcore.UnsupportedProtocol)
_HEADERS = {"User-Agent": "Hookscribe/1", "Accept": "application/json, */*;q=0.5", "Accept-Encoding": "identity"}


class PublicOnly(httpcore.AsyncNetworkBackend):
    """Connects to public addresses only: checked is the very address that is connected to."""

    def __init__(self) -> None:
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Resolve, check and connect. Raises httpcore.ConnectError."""
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError:
            raise httpcore.ConnectError("the name was not found") from None
        public = [str(info[4][0]) for info in found if is_public(str(info[4][0]))]
        if not public:
            raise httpcore.ConnectError(str(AddressRefused("not a public address, and api_private is off")))
        return await self._inner.connect_tcp(public[0], port, timeout, local_address, socket_options)

    async def sleep(self, seconds: float) -> None:
        """Wait, as httpcore does between tries to connect."""
        await self._inner.sleep(seconds)


class _Stream(httpx.AsyncByteStream):
    def __init__(self, stream: Any) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._stream:
            yield piece

    async def aclose(self) -> None:
        await self._stream.aclose()


class _Transport(httpx.AsyncBaseTransport):
    """httpx's own transport takes no network backend; this one hands requests to httpcore as that one does."""

    def __init__(self, *, private: bool, tls: ssl.SSLContext | None) -> None:
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=tls or ssl.create_default_context(),
            max_connections=32,
            max_keepalive_connections=8,
            keepalive_expiry=4.0,
            network_backend=None if private else PublicOnly(),
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request. Raises httpcore's errors."""
        url = httpcore.URL(
            scheme=request.url.raw_scheme,
            host=request.url.raw_host,
            port=request.url.port,
            target=request.url.raw_path,
        )
        answer = await self._pool.handle_async_request(
            httpcore.Request(
                method=request.method,
                url=url,
                headers=request.headers.raw,
                content=request.stream,
                extensions=request.extensions,
            )
        )
        return httpx.Response(
            answer.status, headers=answer.headers, stream=_Stream(answer.stream), extensions=answer.extensions
        )

    async def aclose(self) -> None:
        await self._pool.aclose()


class ProviderClient:
    """Sends requests of one source. Use as `async with`, or call `close`."""

    def __init__(self, *, private: bool, tls: ssl.SSLContext | None = None) -> None:
        """`private`: the provider's API may be at an address that is not public."""
        self._http = httpx.AsyncClient(
            transport=_Transport(private=private, tls=tls), headers=_HEADERS, follow_redirects=False, trust_env=False
        )

    async def send(
        self,
        ask: Ask,
        headers: tuple[tuple[str, str], ...] = (),
        *,
        path: Path | None = None,
        progress: Progress | None = None,
    ) -> Answer:
        """Send a request with more headers; parts of its body come from the file at `path`.

        Raises ProviderBusy where it was not sent, Unanswered where it may have been, ProviderRefused for an address or
        an answer that cannot be taken, OSError for a file that cannot be read. No message holds an address's query.
        """
        arguments, stretch = outgoing(ask, path, progress)
        host = httpx.URL(ask.url).host
        try:
            async with self._http.stream(
                ask.method,
                ask.url,
                params=list(ask.query) or None,
                timeout=ask.timeout,
                **merged(arguments, (*ask.headers, *headers)),
            ) as answer:
                return await _read(answer, ask)
        except _UNSENT as error:
            raise ProviderBusy(f"{host}: {_words(error)}") from None
        except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError) as error:
            raise Unanswered(f"{host}: {_words(error)}") from None
        except (httpx.InvalidURL, httpx.UnsupportedProtocol, httpcore.LocalProtocolError):
            raise ProviderRefused(f"{ask.method}: the address is not http://host/… or https://host/…") from None
        finally:
            if stretch is not None:
                stretch.close()

    @contextlib.asynccontextmanager
    async def streamed(self, ask: Ask, headers: tuple[tuple[str, str], ...]) -> AsyncIterator[httpx.Response]:
        """Send a request without a body, and give its answer before it is read. Raises ProviderBusy or ProviderRefused."""
        host = httpx.URL(ask.url).host
        together = [*ask.headers, *headers]
        query = httpx.QueryParams(list(ask.query)) if ask.query else None
        try:
            async with self._http.stream(
                ask.method, ask.url, params=query, headers=together, timeout=ask.timeout
            ) as answer:
                yield answer
        except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError) as error:
            raise ProviderBusy(f"{host}: {_words(error)}") from None

    async def close(self) -> None:
        """Close every connection; safe to call twice."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


async def _read(answer: httpx.Response, ask: Ask) -> Answer:
    body = bytearray()
    async for piece in answer.aiter_raw():
        body += piece
        if len(body) > ask.bound:
            raise ProviderRefused(f"the answer has more than {ask.bound} bytes")
    headers = dict(reversed(answer.headers.multi_items()))  # of several, the first
    return Answer(status=answer.status_code, headers=headers, body=bytes(body))


def _words(error: Exception) -> str:
    """Say what went wrong, without the URL or anything that was sent."""
    if isinstance(error, httpcore.TimeoutException):
        return "no answer in time"
    if isinstance(error, httpcore.ConnectError):
        return str(error) or "the connection failed"
    return "the connection was closed before the answer"
