"""Puts faults in front of an emulator: an error status, no JSON, an answer that is cut off after the work was done, or none."""

from typing import Literal

from starlette.types import ASGIApp, Message, Receive, Scope, Send

Fault = int | Literal["cut", "html", "silent"]


class Trouble:
    """An ASGI app in front of another; `faults` are used up in their order, each by the next request that it is for."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.faults: list[tuple[str, Fault]] = []
        """A part of a path, and what happens to a request that has it: a status instead of the work, or after it an
        answer that is cut off, a page instead of JSON, or none at all."""
        self.seen: list[str] = []
        """Method and path of every request."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        self.seen.append(f"{scope['method']} {scope['path']}")
        found = next((one for one in self.faults if one[0] in scope["path"]), None)
        if found is None:
            await self._app(scope, receive, send)
            return
        self.faults.remove(found)
        fault = found[1]
        if isinstance(fault, int):
            await _drained(receive)
            await _answer(send, fault, b"{}", 2)
            return
        await self._app(scope, receive, _nothing)
        if fault == "silent":
            while (await receive())["type"] != "http.disconnect":
                pass
        elif fault == "html":
            page = b"<html>a gateway's page</html>"
            await _answer(send, 200, page, len(page))
        else:
            await _answer(send, 200, b"{", 1000)


async def _nothing(_: Message) -> None:
    """Keep an answer back."""


async def _drained(receive: Receive) -> None:
    while (await receive()).get("more_body"):
        pass


async def _answer(send: Send, status: int, body: bytes, length: int) -> None:
    """Answer; with a `length` that is longer than the body, the connection is closed in the middle."""
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % length)]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": length > len(body)})
