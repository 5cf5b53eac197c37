"""HTTP/1.1 on a connection: uvicorn's protocol, with an end to everything that it would wait for without one."""

import asyncio

import httptools
import structlog
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

log = structlog.get_logger()

MOST_PIPELINED = 16
"""Requests that may come at once, and wait behind the one being answered: others wait, too, while they are read."""
STALLED_AFTER = 30.0
"""Seconds that a peer may leave its answers unread."""


class Protocol(HttpToolsProtocol):
    """A connection: bounded in the time until a request's head is whole, in what it pipelines, and in what it logs.

    uvicorn's own keep-alive timer starts after an answer only, and the first byte stops it. Here it runs from the start
    of a connection and from the end of each answer until the next head is whole, so that a head that never ends,
    and the rest of a body that was refused, end with it.
    """

    _stalled: asyncio.TimerHandle | None = None
    _begun = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start to wait for a head."""
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop to wait for anything."""
        self._unset_keepalive_if_required()
        self._moving()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes; what is not HTTP is answered 400, and told at level debug, because anybody can send it."""
        self._begun = 0
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError as error:
            log.debug("request.not_http", error=type(error).__name__)
            self.send_400_response("Invalid HTTP request received.")
        except httptools.HttpParserUpgrade as upgrade:
            self._without_upgrade(data[upgrade.args[0] :])

    def on_message_begin(self) -> None:
        """Begin a request, unless too many wait already: the parser makes an invalid one of it."""
        self._begun += 1
        if self._begun > MOST_PIPELINED or len(self.pipeline) >= MOST_PIPELINED:
            raise ValueError("too many requests pipelined")
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head is whole: from now on the body's own time counts.

        The app's first look for the body returns at once, with what is there, so that a sender of no byte at all
        does not keep it before its clock runs.
        """
        if self.parser.should_upgrade():
            return
        self._unset_keepalive_if_required()
        super().on_headers_complete()
        self.cycle.message_event.set()

    def on_message_complete(self) -> None:
        """The body is whole."""
        if not self.parser.should_upgrade():
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """An answer is written; start to wait for the next head, or for the peer to take this one."""
        super().on_response_complete()
        if self.transport.is_closing():
            self._wait()

    def pause_writing(self) -> None:
        """The peer does not read; give it some time, and take nothing more from it."""
        super().pause_writing()
        self.flow.pause_reading()
        self._stalled = self.loop.call_later(STALLED_AFTER, self.transport.abort)

    def resume_writing(self) -> None:
        """The peer reads again."""
        self._moving()
        super().resume_writing()
        self.flow.resume_reading()

    def timeout_keep_alive_handler(self) -> None:
        """Close; where closing does not end it, because the peer takes nothing, cut it off."""
        if self.transport.is_closing():
            self.transport.abort()
        else:
            self.transport.close()
            self._wait()

    def _without_upgrade(self, rest: bytes) -> None:
        """Take a request that offers an upgrade as the same one without: Java's client sends h2c with a body.

        The parser takes what follows such a head for the other protocol, so it is fed the head again.
        """
        method = self.parser.get_method()
        if method == b"CONNECT":
            self.send_400_response("Invalid HTTP request received.")
            return
        head = [b"%b %b HTTP/1.1" % (method, self.url)]
        head += [b"%b: %b" % header for header in self.headers if header[0] != b"upgrade"]
        self.parser = httptools.HttpRequestParser(self)
        self.data_received(b"\r\n".join([*head, b"", rest]))

    def _wait(self) -> None:
        self._unset_keepalive_if_required()
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def _moving(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None
