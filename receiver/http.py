"""The one guarded way out for deliveries: aiohttp behind checks of address, size, time and redirects.

The address check sits where the socket is made, on the very address that is connected to: names that resolve to
something else the second time, literal addresses and odd spellings of them (`127.1`, `2130706433`) all pass through it.
"""

import functools
import ipaddress
import os
import socket
import ssl
from collections.abc import Callable, Mapping
from io import BytesIO
from types import TracebackType
from typing import Any, Self

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from receiver.contract.sink import HttpAnswer, HttpFailed

ANSWER_BOUND = 64 * 1024
"""Bytes of an answer's body that are read; a longer one is cut and its connection closed."""

_KEEPALIVE = 4.0
"""Seconds that an idle connection is kept: less than the five after which Node and uvicorn close theirs, because a POST
that meets a closing connection cannot be told from one that arrived."""

_LARGE = 256 * 1024
"""From here on a body is handed over in pieces, so that copying it does not hold up the loop."""

_HEADERS = {"User-Agent": "Hookscribe", "Accept": "*/*", "Accept-Encoding": "identity"}

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# https://www.iana.org/assignments/iana-ipv4-special-registry and iana-ipv6-special-registry, 2026-11; written out because
# `is_global` answers differently from one Python release to the next.
_SPECIAL_4: tuple[_Network, ...] = tuple(
    ipaddress.IPv4Network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "168.63.129.16/32",  # Azure's host, the one metadata address that looks public
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/3",
    )
)
_PUBLIC_6 = ipaddress.IPv6Network("2000::/3")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_SPECIAL_6: tuple[_Network, ...] = tuple(
    ipaddress.IPv6Network(text)
    for text in ("2001::/23", "2001:db8::/32", "2002::/16", "3ffe::/16", "3fff::/20")  # 2001::/32 Teredo, 2002 6to4
)


def is_public(address: str) -> bool:
    """Say whether an IP address (a scope such as `%eth0` may follow) belongs to the public internet."""
    try:
        return _is_public(ipaddress.ip_address(address))
    except ValueError:
        return False


def _is_public(address: _Address) -> bool:
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in _SPECIAL_4)
    embedded = address.ipv4_mapped
    if embedded is None and address in _NAT64:
        embedded = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    if embedded is not None:
        return _is_public(embedded)
    return address in _PUBLIC_6 and not any(address in network for network in _SPECIAL_6)


class AddressRefused(OSError):
    """The address is not on the public internet, and this sink does not allow private ones."""


def _any_socket(info: tuple[Any, ...]) -> socket.socket:
    family, kind, protocol, _, _ = info
    return socket.socket(family=family, type=kind, proto=protocol)


def _public_socket(info: tuple[Any, ...]) -> socket.socket:
    if not is_public(str(info[4][0])):
        raise AddressRefused("not a public address, and allow_private is off")
    return _any_socket(info)


class GuardedClient:
    """The contract's HttpClient over aiohttp. Use as `async with`, or call `close`.

    One pool for those who may reach private addresses and one for the others, so that a connection is never lent across.
    The pools have no bound of their own: sinks bound their sends, and a hanging peer must not use up another's places.
    """

    def __init__(self, *, resolver: AbstractResolver | None = None, tls: ssl.SSLContext | None = None) -> None:
        self._resolver = resolver
        self._tls = tls
        self._sessions: dict[bool, aiohttp.ClientSession] = {}

    async def post(
        self, url: str, *, body: bytes, headers: Mapping[str, str], timeout: float, allow_private: bool
    ) -> HttpAnswer:
        """Send one POST and return the answer, whatever its status. `timeout` in seconds. Raises HttpFailed."""
        target = _target(url)
        try:
            async with self._session(allow_private).post(
                target,
                data=body if len(body) < _LARGE else BytesIO(body),
                headers=headers,
                timeout=_within(timeout),
                allow_redirects=False,
            ) as answer:
                return await _read(answer)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise HttpFailed(f"{target.host}: {_reason(error)}") from None

    def _session(self, allow_private: bool) -> aiohttp.ClientSession:
        session = self._sessions.get(allow_private)
        if session is None:
            session = self._sessions[allow_private] = self._new_session(allow_private)
        return session

    def _new_session(self, allow_private: bool) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            limit=0,
            keepalive_timeout=_KEEPALIVE,
            resolver=self._resolver or aiohttp.ThreadedResolver(),
            ssl=self._tls or ssl.create_default_context(),
            socket_factory=_any_socket if allow_private else _public_socket,
        )
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=_HEADERS,
            auto_decompress=False,
            trust_env=False,
        )

    async def close(self) -> None:
        """Close every connection; safe to call twice."""
        for session in self._sessions.values():
            await session.close()
        self._sessions.clear()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


@functools.lru_cache(maxsize=64)
def _within(seconds: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=seconds)


@functools.lru_cache(maxsize=64)
def _target(url: str) -> URL:
    try:
        target = URL(url)
    except ValueError:
        raise HttpFailed("the URL cannot be read") from None
    if target.scheme not in {"http", "https"} or not target.host:
        raise HttpFailed("the URL is not http://host/… or https://host/…")
    return target


async def _read(answer: aiohttp.ClientResponse) -> HttpAnswer:
    body = bytearray()
    while len(body) < ANSWER_BOUND and (piece := await answer.content.read(ANSWER_BOUND - len(body))):
        body += piece
    if not answer.content.at_eof():
        answer.close()
    return HttpAnswer(status=answer.status, headers=answer.headers, body=bytes(body))


def _certificate(error: Any) -> str:
    return f"TLS: {getattr(error.certificate_error, 'verify_message', '') or 'the certificate does not fit the name'}"


def _tls(error: Any) -> str:
    return f"TLS: {getattr(getattr(error, 'os_error', error), 'reason', None) or 'the handshake failed'}"


def _connection(error: Any) -> str:
    inner = getattr(error, "os_error", error)
    if isinstance(inner, AddressRefused):
        return str(inner)
    if not inner.errno:
        return "the connection failed"
    return f"the connection failed: {os.strerror(inner.errno)}"  # not its own words: aiohttp puts the URL into some


_REASONS: tuple[tuple[type[Exception], Callable[[Any], str]], ...] = (
    (TimeoutError, lambda _: "no answer in time"),
    (aiohttp.ClientConnectorCertificateError, _certificate),
    (aiohttp.ClientConnectorDNSError, lambda _: "the name was not found"),
    (aiohttp.ClientSSLError, _tls),
    (ssl.SSLError, _tls),
    (aiohttp.ServerDisconnectedError, lambda _: "the connection was closed before the answer"),
    (aiohttp.InvalidURL, lambda _: "the URL cannot be read"),
    (OSError, _connection),
    (aiohttp.ClientError, lambda error: f"the answer cannot be read ({type(error).__name__})"),
    (ValueError, lambda _: "a header or the URL has characters that HTTP does not allow"),
)


def _reason(error: Exception) -> str:
    """Say what went wrong, without the URL or anything that was sent."""
    return next(words(error) for kind, words in _REASONS if isinstance(error, kind))
