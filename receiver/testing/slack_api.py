"""A stand-in for Slack's Web API as a bot uses it: messages, threads and files, with the limits that Slack documents.

    standin = SlackApi()
    uvicorn.run(standin)        # methods below http://127.0.0.1:8000/api, token standin.token, channel standin.channel

https://docs.slack.dev/reference/methods/chat.postMessage, …/files.getUploadURLExternal,
…/files.completeUploadExternal and https://docs.slack.dev/apis/web-api/rate-limits, 2026-11.
"""

import json
import time
from collections import deque
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

import msgspec

from receiver.testing.slack import Invalid, Receive, Scope, Send, alive, lifespan, read_body, validated

TOKEN = "xoxb-stand-in-of-a-bot"  # noqa: S105 -- opens nothing
CHANNEL = "C0STANDIN"
_BODY = 64 * 1024 * 1024
_FILE = 1024 * 1024 * 1024
_EARLY = 0.05
_ERROR_AT = {"payload_too_large": 413}


class Upload(msgspec.Struct, kw_only=True):
    """A file on its way: asked for, sent, shared."""

    filename: str
    length: int
    body: bytes | None = None
    shared: bool = False
    thread: str | None = None


class SlackApi:
    """Keeps messages with `ts` and `thread_ts`, files, the words of what it refused, and text that is not inert.

    `rate` is messages a second and channel, or None for no limit.
    """

    def __init__(
        self, *, rate: float | None = 1.0, links: str | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.token, self.channel = TOKEN, CHANNEL
        self.messages: list[dict[str, Any]] = []
        self.files: dict[str, Upload] = {}
        self.refused: list[str] = []
        self.alive: list[str] = []
        self.asked: list[str] = []
        self.base = ""
        """Where it is reached, for the addresses of uploads."""
        self._rate = rate
        self._links = links
        self._clock = clock
        self._next = float("-inf")
        self._scripted: dict[str, deque[tuple[int, dict[str, Any], dict[str, str]]]] = {}

    def answer(self, method: str, word: str | None, *, status: int = 200, retry_after: int | None = None) -> None:
        """Give this error to the next call of a method, or to any where it is `*`; several queue up."""
        headers = {} if retry_after is None else {"retry-after": str(retry_after)}
        self._scripted.setdefault(method, deque()).append((status, {"ok": False, "error": word}, headers))

    def threads(self) -> list[list[str]]:
        """Return the times of messages by thread, roots first."""
        roots = [one["ts"] for one in self.messages if "thread_ts" not in one]
        return [[root, *(one["ts"] for one in self.messages if one.get("thread_ts") == root)] for root in roots]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or a server's start and stop."""
        if scope["type"] == "lifespan":
            await lifespan(receive, send)
            return
        body = await read_body(receive, _BODY)
        headers = {name.decode().lower(): value.decode("latin-1") for name, value in scope.get("headers", ())}
        status, said, more = self.take(scope["method"], scope["path"], headers, body)
        content = json.dumps(said, separators=(",", ":")).encode()
        pairs = [
            (name.encode(), value.encode()) for name, value in {"content-type": "application/json", **more}.items()
        ]
        await send({"type": "http.response.start", "status": status, "headers": pairs})
        await send({"type": "http.response.body", "body": content})

    def take(
        self, verb: str, path: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, dict[str, Any], dict[str, str]]:
        """Take a request: status, answer and headers."""
        method = path.rpartition("/")[2] if path.startswith("/api/") else "upload"
        self.asked.append(method)
        scripted = self._scripted.get(method) or self._scripted.get("*")
        if scripted:
            status, said, more = scripted.popleft()
            self.refused.append(str(said["error"]))
            return status, said, more
        try:
            _need(verb == "POST", "invalid_post_type", verb)
            return 200, self._judged(method, path, headers, body), {}
        except Invalid as error:
            self.refused.append(str(error))
            if error.word == "ratelimited":
                return 429, {"ok": False, "error": "ratelimited"}, {"retry-after": "1"}
            return _ERROR_AT.get(error.word, 200), {"ok": False, "error": error.word}, {}

    def _judged(self, method: str, path: str, headers: dict[str, str], body: bytes) -> dict[str, Any]:
        if method == "upload":
            return self._upload(path.rpartition("/")[2], headers, body)
        if "authorization" not in headers:
            raise Invalid("not_authed", "no token")
        if headers["authorization"] != f"Bearer {self.token}":
            raise Invalid("invalid_auth", "another token")
        known = {
            "chat.postMessage": self._post,
            "files.getUploadURLExternal": self._address,
            "files.completeUploadExternal": self._complete,
        }
        if method not in known:
            raise Invalid("unknown_method", method)
        return known[method](headers.get("content-type", ""), body)

    # chat.postMessage

    def _post(self, kind: str, body: bytes) -> dict[str, Any]:
        _need(kind.startswith("application/json") and "charset=utf-8" in kind, "missing_charset", kind)
        message = validated(body)
        _need(message.get("channel") == self.channel, "channel_not_found", str(message.get("channel")))
        strange = message.keys() - {
            *("channel", "text", "blocks", "mrkdwn", "parse", "thread_ts", "unfurl_links", "unfurl_media"),
        }
        _need(not strange, "invalid_arguments", f"there is no {', '.join(sorted(strange))}")
        if "thread_ts" in message:
            roots = {one["ts"] for one in self.messages if "thread_ts" not in one}
            _need(message["thread_ts"] in roots, "thread_not_found", "a reply answers a message that begins a thread")
        if self._rate and self._clock() < self._next - _EARLY:
            raise Invalid("ratelimited", "more than one message a second and channel")
        self._next = self._clock() + (1 / self._rate if self._rate else 0)
        ts = f"1700000000.{len(self.messages) + 1:06d}"
        self.messages.append({**message, "ts": ts})
        self.alive += alive(message, self._links)
        return {"ok": True, "channel": self.channel, "ts": ts, "message": message}

    # Files

    def _address(self, kind: str, body: bytes) -> dict[str, Any]:
        _need(kind == "application/x-www-form-urlencoded", "invalid_arguments", "this method takes forms only")
        given = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        filename, length = given.get("filename", ""), given.get("length", "")
        _need(bool(filename), "missing_argument", "filename")
        _need(length.isdigit() and int(length) > 0, "missing_argument", "length")
        _need(int(length) <= _FILE, "file_upload_size_restricted", length)
        number = f"F{len(self.files) + 1:08d}"
        self.files[number] = Upload(filename=filename, length=int(length))
        return {"ok": True, "upload_url": f"{self.base}/upload/v1/{number}", "file_id": number}

    def _upload(self, number: str, headers: dict[str, str], body: bytes) -> dict[str, Any]:
        _need(number in self.files, "not_found", number)
        _need("authorization" not in headers, "token_sent", "the address is enough, and belongs to another service")
        file = self.files[number]
        _need(len(body) == file.length, "length_mismatch", f"{len(body)} bytes, and {file.length} were announced")
        file.body = body
        return {"ok": True}

    def _complete(self, kind: str, body: bytes) -> dict[str, Any]:
        _need(kind.startswith("application/json"), "invalid_post_type", kind)
        given = json.loads(body)
        files = given.get("files")
        _need(isinstance(files, list) and bool(files), "invalid_arguments", "files")
        _need(given.get("channel_id") == self.channel, "invalid_channel", "the channel's id, and no name")
        roots = {one["ts"] for one in self.messages if "thread_ts" not in one}
        _need(given.get("thread_ts") in {None, *roots}, "thread_not_found", "a reply's ts is none of a thread")
        for one in files:
            file = self.files.get(one.get("id"))
            if file is None or file.body is None or file.shared:
                raise Invalid("file_not_found", "it was not uploaded, or is shared already")
            file.shared, file.thread = True, given.get("thread_ts")
        return {"ok": True, "files": [{"id": one["id"], "title": one.get("title", "")} for one in files]}


def _need(held: bool, word: str, why: str) -> None:
    if not held:
        raise Invalid(word, why)
