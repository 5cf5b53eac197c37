"""A stand-in for Slack's incoming webhooks: an ASGI app that takes what Slack takes and refuses what Slack refuses.

    standin = SlackStandin()
    uvicorn.run(standin)        # post to http://127.0.0.1:8000/services/T000/B000/stand-in

Limits as documented in https://docs.slack.dev/reference/block-kit, 2026-11; lengths are counted in UTF-16, the most
pessimistic reading of "characters". It knows the blocks that a message from a webhook may hold, and no others.
"""

import json
import re
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

Scope = dict[str, Any]
Receive = Callable[[], Any]
Send = Callable[[dict[str, Any]], Any]

PATH = "/services/T000/B000/stand-in"
_BODY = 1024 * 1024
_EARLY = 0.05
"""Seconds by which a message may come early: clocks and networks are not exact."""


class Invalid(Exception):
    """Slack would not take the message; `word` is what it answers."""

    def __init__(self, word: str, why: str) -> None:
        super().__init__(f"{word}: {why}")
        self.word = word


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """An answer of the stand-in."""

    status: int
    word: str
    why: str = ""
    retry_after: int | None = None


class SlackStandin:
    """Keeps the messages it took in `messages`, why it refused others in `refused`, and text that is not inert in `alive`.

    `rate` is messages a second, or None for no limit. Links to addresses that begin with `links` are no live text.
    """

    def __init__(
        self,
        *,
        path: str = PATH,
        rate: float | None = 1.0,
        links: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.path = path
        self.rate = rate
        self.links = links
        self.messages: list[dict[str, Any]] = []
        self.refused: list[Answer] = []
        self.alive: list[str] = []
        self._clock = clock
        self._next = float("-inf")
        self._scripted: deque[Answer] = deque()

    def answer(self, status: int, word: str, *, retry_after: int | None = None) -> None:
        """Give this answer to the next request, whatever it is; several queue up."""
        self._scripted.append(Answer(status=status, word=word, why="scripted", retry_after=retry_after))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or a server's start and stop."""
        if scope["type"] == "lifespan":
            await lifespan(receive, send)
        elif scope["type"] == "http":
            await _reply(send, self.take(scope["method"], scope["path"], await read_body(receive)))

    def take(self, method: str, path: str, body: bytes) -> Answer:
        """Take a request, or say why not."""
        answer = self._scripted.popleft() if self._scripted else self._judge(method, path, body)
        if answer.status != 200:
            self.refused.append(answer)
        return answer

    def _judge(self, method: str, path: str, body: bytes) -> Answer:
        if path != self.path:
            return Answer(status=404, word="no_service", why="the path is not the webhook's")
        if method != "POST":
            return Answer(status=405, word="method_not_allowed", why=method)
        if self.rate and self._clock() < self._next - _EARLY:
            return Answer(status=429, word="rate_limited", why="more than one message a second", retry_after=1)
        try:
            message = validated(body)
        except Invalid as error:
            return Answer(status=413 if error.word == "payload_too_large" else 400, word=error.word, why=str(error))
        self._keep(message)
        return Answer(status=200, word="ok")

    def _keep(self, message: dict[str, Any]) -> None:
        self._next = self._clock() + (1 / self.rate if self.rate else 0)
        self.messages.append(message)
        self.alive += alive(message, self.links)


def validated(body: bytes) -> dict[str, Any]:
    """Return the message if Slack would take it. Raises Invalid."""
    if len(body) > _BODY:
        raise Invalid("payload_too_large", f"{len(body)} bytes")
    try:
        message = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Invalid("invalid_payload", "not JSON") from error
    if not isinstance(message, dict):
        raise Invalid("invalid_payload", "not an object")
    _message(message)
    return message


def _message(message: dict[str, Any]) -> None:
    text, blocks = message.get("text"), message.get("blocks")
    if not text and not blocks:
        raise Invalid("no_text", "neither text nor blocks")
    if text is not None and not isinstance(text, str):
        raise Invalid("invalid_payload", "text is not a string")
    if text and length(text) > 40_000:
        raise Invalid("msg_too_long", f"text has {length(text)} characters")
    if blocks is not None:
        _blocks(blocks)


def _blocks(blocks: Any) -> None:
    if not isinstance(blocks, list):
        raise Invalid("invalid_blocks_format", "blocks is not a list")
    _need(len(blocks) <= 50, f"{len(blocks)} blocks")
    for block in blocks:
        _need(isinstance(block, dict), "a block is not an object")
        check = _BLOCKS.get(str(block.get("type")))
        _need(check is not None, f"there is no block {block.get('type')}")
        _within(block.get("block_id", "-"), 255, "block_id")
        assert check is not None
        check(block)
    ids = [block["block_id"] for block in blocks if "block_id" in block]
    _need(len(ids) == len(set(ids)), "two blocks have one block_id")


def length(text: str) -> int:
    """Return the length in UTF-16 code units."""
    return len(text) + sum(char > "\uffff" for char in text)


def _need(held: bool, why: str) -> None:
    if not held:
        raise Invalid("invalid_blocks", why)


def _within(text: Any, limit: int, what: str) -> None:
    _need(isinstance(text, str) and 0 < length(text) <= limit, f"{what} must have 1 to {limit} characters")


def _only(item: dict[str, Any], allowed: str, what: str) -> None:
    strange = item.keys() - set(allowed.split()) - {"type"}
    _need(not strange, f"{what} has no {', '.join(sorted(strange))}")


def _text(value: Any, limit: int, what: str, *, plain: bool = False) -> None:
    _need(isinstance(value, dict), f"{what} is not a text object")
    kind = value.get("type")
    _need(kind == "plain_text" or (kind == "mrkdwn" and not plain), f"{what} cannot be {kind}")
    _only(value, "text emoji" if kind == "plain_text" else "text verbatim", f"{kind} of {what}")
    _need(all(isinstance(value.get(name, True), bool) for name in ("emoji", "verbatim")), f"{what}: not a boolean")
    _within(value.get("text"), limit, what)
    _need(bool(value["text"].strip()), f"{what} is blank")


def _list(value: Any, limit: int, what: str) -> list[Any]:
    _need(isinstance(value, list) and 0 < len(value) <= limit, f"{what} must have 1 to {limit} items")
    return list(value)


def _header(block: dict[str, Any]) -> None:
    _only(block, "text block_id", "header")
    _text(block.get("text"), 150, "header", plain=True)


def _section(block: dict[str, Any]) -> None:
    _only(block, "text fields accessory block_id expand", "section")
    _need("text" in block or "fields" in block, "a section needs text or fields")
    if "text" in block:
        _text(block["text"], 3_000, "section")
    for field in _list(block["fields"], 10, "fields") if "fields" in block else ():
        _text(field, 2_000, "field")
    if "accessory" in block:
        _element(block["accessory"])


def _context(block: dict[str, Any]) -> None:
    _only(block, "elements block_id", "context")
    for element in _list(block.get("elements"), 10, "elements of context"):
        if isinstance(element, dict) and element.get("type") == "image":
            _image(element)
        else:
            _text(element, 3_000, "text of context")


def _actions(block: dict[str, Any]) -> None:
    _only(block, "elements block_id", "actions")
    for element in _list(block.get("elements"), 25, "elements of actions"):
        _element(element)


def _element(element: Any) -> None:
    _need(isinstance(element, dict) and element.get("type") in ("button", "image"), "only buttons and images are known")
    if element["type"] == "image":
        _image(element)
        return
    _only(element, "text action_id url value style confirm accessibility_label", "button")
    _text(element.get("text"), 75, "button", plain=True)
    for name, limit in (("action_id", 255), ("url", 3_000), ("value", 2_000), ("accessibility_label", 75)):
        _within(element.get(name, "-"), limit, f"{name} of button")
    _need(element.get("style", "primary") in ("primary", "danger"), "style of button")


def _image(item: dict[str, Any]) -> None:
    _only(item, "image_url slack_file alt_text title block_id", "image")
    _within(item.get("alt_text"), 2_000, "alt_text")
    _within(item.get("image_url"), 3_000, "image_url")
    if "title" in item:
        _text(item["title"], 2_000, "title", plain=True)


def _divider(block: dict[str, Any]) -> None:
    _only(block, "block_id", "divider")


_BLOCKS: dict[str, Callable[[dict[str, Any]], None]] = {
    "actions": _actions,
    "context": _context,
    "divider": _divider,
    "header": _header,
    "image": _image,
    "section": _section,
}

_LINK = re.compile(r"<(https?://[^<>|\s]+)(?:\|[^<>|]*)?>")
_LIVE = re.compile(
    r"<[!@#][^>]*>|<[^>]{0,80}>?|>|&(?!amp;|lt;|gt;)"
    "|[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def alive(message: dict[str, Any], links: str | None = None) -> list[str]:
    """Return what in a message's texts is not inert: mentions, raw `<`, `>` and `&`, control and bidi characters."""
    found, ours = [], links.rstrip("/") + "/" if links else None
    for text in texts(message):
        rest = _LINK.sub(lambda link: "" if ours and link[1].startswith(ours) else link[0], text)
        found += [match[0] for match in _LIVE.finditer(rest)]
    return found


def texts(value: Any) -> Iterator[str]:
    """Yield every `text` of a message, at any depth."""
    for name, item in value.items() if isinstance(value, dict) else enumerate(value):
        if name == "text" and isinstance(item, str):
            yield item
        elif isinstance(item, dict | list):
            yield from texts(item)


async def read_body(receive: Receive, most: int = _BODY) -> bytes:
    """Return a request's body, of which no more than about `most` bytes are read."""
    body, more = b"", True
    while more and len(body) <= most:
        event = await receive()
        body += event.get("body", b"")
        more = event.get("more_body", False)
    return body


async def _reply(send: Send, answer: Answer) -> None:
    headers = [(b"content-type", b"text/html")]
    if answer.retry_after is not None:
        headers.append((b"retry-after", str(answer.retry_after).encode()))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.word.encode()})


async def lifespan(receive: Receive, send: Send) -> None:
    """Acknowledge a server's start and stop."""
    while True:
        event = await receive()
        await send({"type": f"{event['type']}.complete"})
        if event["type"] == "lifespan.shutdown":
            return
