"""The hot route, answered where its bytes arrive: a small callback that is whole needs no task and no second write.

uvicorn's way of a request (a scope, a task, two messages, two writes) costs as much as proving and keeping it. What is
not small, not whole, not plain, or not for /hooks/ goes that way all the same, to the same `Hooks`.
"""

from functools import partial
from typing import ClassVar

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from receiver.contract.model import Headers
from receiver.contract.provider import Reply
from receiver.web.protocol import Protocol
from receiver.web.public import Hooks, answered, headers_of

_LENGTH = b"content-length"
_MOST = 64 * 1024
"""Bytes of a body that is proven where it arrives; the largest take a few milliseconds."""
_TOGETHER = 32
"""Callbacks that wait for each other to be read, at most: they are in memory, and in no count yet."""


class _Signal:
    """Stands where uvicorn wakes a task that waits; there is none."""

    def set(self) -> None:
        """Wake nobody."""


_SIGNAL = _Signal()


class _Waiting:
    """What uvicorn's connection wants to know of the request that it is busy with."""

    __slots__ = ("disconnected", "keep_alive", "message_event", "response_complete")

    def __init__(self) -> None:
        self.disconnected = False
        self.keep_alive = True
        self.message_event = _SIGNAL
        self.response_complete = False


class _Turn:
    """The callbacks of one turn of the event loop: first all are read, then they are proven in one go.

    The loop lets go of the interpreter's lock for each connection that it reads. Proven in between, each of them would
    wake the store's thread, which wants the lock to go on, and mostly finds it taken again.
    """

    def __init__(self, hooks: Hooks) -> None:
        self._hooks = hooks
        self._read: list[tuple[DirectProtocol, _Waiting, str, Headers, bytes]] = []

    def add(self, connection: "DirectProtocol", waiting: _Waiting, body: bytes) -> None:
        """Take a callback along, of which a connection has read everything."""
        if not self._read:
            connection.loop.call_soon(self._take)
        path, headers = connection.url.decode("ascii"), tuple(connection.headers)
        self._read.append((connection, waiting, path, headers, body))
        if len(self._read) >= _TOGETHER:
            self._take()

    def _take(self) -> None:
        read, self._read = self._read, []
        for connection, waiting, path, headers, body in read:
            answer = partial(connection.answer, waiting)
            try:
                self._hooks.take(path, headers, body, answer)
            except Exception as error:  # noqa: BLE001 -- it was not kept: let the sender come again
                answer(answered(error))


class DirectProtocol(Protocol):
    """A connection that hands on whole callbacks itself."""

    turn: ClassVar[_Turn]
    _arrived = 0
    _body: bytes | None = None

    def data_received(self, data: bytes) -> None:
        """Take bytes."""
        self._arrived = len(data)
        super().data_received(data)

    def on_headers_complete(self) -> None:
        """Keep a callback to ourselves that came in one piece; the wait for its head goes on until it is whole."""
        if self._is_direct():
            self._body = b""
        else:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a piece of a body."""
        if self._body is None:
            super().on_body(body)
        else:
            self._body = self._body + body if self._body else body

    def on_message_complete(self) -> None:
        """Answer, unless the request went uvicorn's way."""
        if self._body is None:
            super().on_message_complete()
            return
        body, self._body = self._body, None
        self._unset_keepalive_if_required()
        waiting = self.cycle = _Waiting()  # type: ignore[assignment]
        self.turn.add(self, waiting, body)

    def _is_direct(self) -> bool:
        """Say whether this is a plain POST to /hooks/ whose body lies in the bytes at hand, on an idle connection."""
        parser, url = self.parser, self.url
        return (
            url.startswith(b"/hooks/")
            and parser.get_method() == b"POST"
            and parser.should_keep_alive()
            and not parser.should_upgrade()
            and not self.expect_100_continue
            and (self.cycle is None or self.cycle.response_complete)
            and not self.pipeline
            and not self.flow.write_paused  # who does not read answers waits for uvicorn, which waits for them
            and b"%" not in url
            and b"?" not in url
            and url.isascii()
            and 0 < self._announced() <= min(self._arrived, _MOST)
        )

    def _announced(self) -> int:
        for name, value in self.headers:
            if name == _LENGTH:
                return int(value) if value.isdigit() and len(value) < 9 else 0
        return 0

    def answer(self, waiting: _Waiting, reply: Reply) -> None:
        """Write the answer to a request, if somebody still waits for it."""
        if waiting.disconnected or waiting.response_complete:
            return
        waiting.response_complete = True
        self.transport.write(self._response(waiting, reply))
        if not waiting.keep_alive or (reply.headers and any(name == b"connection" for name, _ in reply.headers)):
            self.transport.close()
        self.on_response_complete()

    def _response(self, waiting: _Waiting, reply: Reply) -> bytes:
        lines = [STATUS_LINE[reply.status]]
        for name, value in (*self.server_state.default_headers, *headers_of(reply)):
            lines.append(b"%b: %b\r\n" % (name, value))
        if not waiting.keep_alive:
            lines.append(b"connection: close\r\n")
        lines.append(b"content-length: %d\r\n\r\n" % len(reply.body))
        lines.append(reply.body)
        return b"".join(lines)


def direct_protocol(hooks: Hooks) -> type[Protocol]:
    """Return the class of a public listener's connections."""
    return type("HooksProtocol", (DirectProtocol,), {"turn": _Turn(hooks)})
