"""Slack's Web API: a bot's messages, one thread a call, and files - as requests, and what the answers mean.

https://docs.slack.dev/reference/methods/chat.postMessage, …/files.getUploadURLExternal and
…/files.completeUploadExternal, 2026-11.
"""

import re
from typing import Any
from urllib.parse import urlencode, urlsplit

import msgspec

from receiver.contract.settings import Secret
from receiver.contract.sink import HttpAnswer, HttpClient, HttpFailed, Rejected, TryLater, retry_after

_PAYLOAD = frozenset(
    {
        "invalid_arguments",
        "invalid_blocks",
        "invalid_blocks_format",
        "invalid_metadata_format",
        "markdown_text_conflict",
        "messages_tab_disabled",
        "msg_blocks_too_long",
        "msg_too_long",
        "no_text",
        "too_many_attachments",
    }
)
"""This message will never be taken."""
NO_THREAD = frozenset({"cannot_reply_to_message", "invalid_thread_ts", "message_not_found", "thread_not_found"})
"""The thread is there no more."""
NO_FILE = frozenset(
    {
        "file_type_not_allowed",
        "file_update_failed",
        "file_upload_size_restricted",
        "file_uploads_disabled",
        "file_uploads_except_images_disabled",
        "storage_limit_reached",
        "uploads_disabled",
    }
)
"""The workspace takes no such file; its message has arrived all the same."""
_WORD = re.compile(r"[a-z][a-z0-9_]{1,60}")
_HEAD = re.compile(rb'\{"ok":true,"channel":"(\w{1,40})","ts":"(\d{1,20}\.\d{1,20})"')
"""A long answer repeats the message and is cut; what is needed of it stands first."""


class Said(msgspec.Struct, frozen=True):
    """What Slack answered to a method: members of a success, or the word of an error."""

    found: dict[str, Any] = {}
    error: str | None = None


class Api:
    """Calls methods with one token."""

    def __init__(self, http: HttpClient, base: str, token: Secret, *, timeout: float, allow_private: bool) -> None:
        """`base` is `https://slack.com/api`, or another's; `timeout` in seconds."""
        self._http = http
        self._base = base.rstrip("/")
        self._headers = {"authorization": f"Bearer {token.value}"}
        self._timeout = timeout
        self._allow_private = allow_private

    async def call(self, method: str, arguments: dict[str, Any], now: float) -> Said | TryLater | Rejected:
        """Call a method with JSON; `now` is Unix time. An error that is neither passing nor the setup's is returned."""
        body = msgspec.json.encode(arguments)
        return await self._called(method, body, "application/json; charset=utf-8", now)

    async def call_form(self, method: str, arguments: dict[str, str], now: float) -> Said | TryLater | Rejected:
        """Call a method that takes forms only."""
        return await self._called(method, urlencode(arguments).encode(), "application/x-www-form-urlencoded", now)

    async def upload(self, url: str, body: bytes, now: float) -> TryLater | None:
        """Send a file to the address that Slack gave for it; without the token, which is for Slack's API alone."""
        if urlsplit(url).scheme != "https" and not self._allow_private:
            return TryLater(reason="Slack gave an address for the file that is not https")
        answer = await self._post(url, body, {"content-type": "application/octet-stream"})
        if isinstance(answer, TryLater):
            return answer
        if answer.status == 200:
            return None
        return TryLater(reason=f"Slack answered {answer.status} to the file", after=retry_after(answer.headers, now))

    async def _called(self, method: str, body: bytes, kind: str, now: float) -> Said | TryLater | Rejected:
        answer = await self._post(f"{self._base}/{method}", body, {**self._headers, "content-type": kind})
        return answer if isinstance(answer, TryLater) else meaning(method, answer, now)

    async def _post(self, url: str, body: bytes, headers: dict[str, str]) -> HttpAnswer | TryLater:
        try:
            return await self._http.post(
                url, body=body, headers=headers, timeout=self._timeout, allow_private=self._allow_private
            )
        except HttpFailed as error:
            host = urlsplit(url).hostname or "Slack"
            return TryLater(reason=str(error).replace(url, host))


def meaning(method: str, answer: HttpAnswer, now: float) -> Said | TryLater | Rejected:
    """Say what an answer means: a success, a message that is never taken, or a setup or a Slack that is at fault.

    Errors about threads and files are returned: who called knows a way on.
    """
    if answer.status != 200:
        reason = f"Slack answered {answer.status} to {method}"
        after = retry_after(answer.headers, now)
        return Rejected(reason=reason) if answer.status == 413 else TryLater(reason=reason, after=after)
    if head := _HEAD.match(answer.body):
        return Said({"channel": head[1].decode(), "ts": head[2].decode()})
    found = _object(answer.body)
    if found.get("ok") is True:
        return Said(found)
    word = found.get("error")
    known = word if isinstance(word, str) and _WORD.fullmatch(word) else "something else than ok"
    if known in NO_THREAD | NO_FILE:
        return Said(error=known)
    if known in _PAYLOAD:
        return Rejected(reason=f"Slack answered {known} to {method}")
    return TryLater(reason=f"Slack answered {known} to {method}")


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return {}
    return found if isinstance(found, dict) else {}
