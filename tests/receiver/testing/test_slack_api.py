"""The stand-in for Slack's Web API refuses what Slack refuses, with Slack's words."""

import json
from typing import Any
from urllib.parse import urlencode

import pytest

from receiver.testing.slack_api import CHANNEL, TOKEN, SlackApi

JSON = "application/json; charset=utf-8"
FORM = "application/x-www-form-urlencoded"


def call(
    standin: SlackApi, method: str, given: Any, *, token: str | None = TOKEN, kind: str = JSON
) -> tuple[int, dict[str, Any], dict[str, str]]:
    """Call a method."""
    body = urlencode(given).encode() if kind == FORM else json.dumps(given).encode()
    headers = {"content-type": kind, **({"authorization": f"Bearer {token}"} if token else {})}
    return standin.take("POST", f"/api/{method}", headers, body)


def post(standin: SlackApi, **given: Any) -> Any:
    """Post a message; return its time, or the word of the error."""
    said = call(standin, "chat.postMessage", {"channel": CHANNEL, "text": "x", **given})[1]
    return said.get("ts") or said["error"]


def upload(standin: SlackApi, body: bytes) -> str:
    """Ask for an address and send a file there; return its id."""
    asked = {"filename": "a.txt", "length": str(len(body))}
    said = call(standin, "files.getUploadURLExternal", asked, kind=FORM)[1]
    assert standin.take("POST", f"/upload/v1/{said['file_id']}", {}, body)[0] == 200
    return str(said["file_id"])


def complete(standin: SlackApi, number: str, **given: Any) -> Any:
    """Share a file; return the error's word, or None."""
    asked = {"files": [{"id": number}], "channel_id": CHANNEL, **given}
    return call(standin, "files.completeUploadExternal", asked)[1].get("error")


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({"channel": "C1"}, "channel_not_found"),
        ({"channel": "#general"}, "channel_not_found"),
        ({"text": "x" * 40_001}, "msg_too_long"),
        ({"text": ""}, "no_text"),
        ({"blocks": [{"type": "header", "text": {"type": "plain_text", "text": "x" * 151}}]}, "invalid_blocks"),
        ({"thread_ts": "1.2"}, "thread_not_found"),
        ({"colour": "red"}, "invalid_arguments"),
    ],
)
def test_messages_have_their_limits(given: dict[str, Any], word: str) -> None:
    """Those of an incoming webhook, a channel by its id, and a thread that is there."""
    standin = SlackApi(rate=None)
    assert post(standin, **given) == word
    assert (standin.messages, len(standin.refused)) == ([], 1)


def test_a_reply_answers_a_root() -> None:
    """A reply's own time begins no thread."""
    standin = SlackApi(rate=None)
    root = post(standin)
    reply = post(standin, thread_ts=root)
    assert standin.threads() == [[root, reply]]
    assert post(standin, thread_ts=reply) == "thread_not_found"


def test_who_calls_and_how() -> None:
    """A token, a method that there is, JSON with its charset, POST."""
    standin = SlackApi(rate=None)
    assert call(standin, "chat.postMessage", {}, token=None)[1]["error"] == "not_authed"
    assert call(standin, "chat.postMessage", {}, token="xoxb-other")[1]["error"] == "invalid_auth"
    assert call(standin, "chat.delete", {})[1]["error"] == "unknown_method"
    assert call(standin, "chat.postMessage", {}, kind="application/json")[1]["error"] == "missing_charset"
    assert standin.take("GET", "/api/chat.postMessage", {}, b"")[1]["error"] == "invalid_post_type"
    status, said, headers = call(standin, "chat.postMessage", {"text": "x" * (2 << 20)})
    assert (status, said["error"], headers) == (413, "payload_too_large", {})


def test_one_message_a_second() -> None:
    """The second within a second is 429 with Retry-After."""
    now = iter((0.0, 0.0, 0.5, 1.0, 1.0))
    standin = SlackApi(clock=lambda: next(now))
    assert post(standin).startswith("1700000000.")
    answer = call(standin, "chat.postMessage", {"channel": CHANNEL, "text": "x"})
    assert answer == (429, {"ok": False, "error": "ratelimited"}, {"retry-after": "1"})
    assert post(standin).startswith("1700000000.")


@pytest.mark.parametrize(
    ("given", "kind", "word"),
    [
        ({"filename": "a", "length": "1"}, JSON, "invalid_arguments"),
        ({"length": "1"}, FORM, "missing_argument"),
        ({"filename": "a"}, FORM, "missing_argument"),
        ({"filename": "a", "length": "0"}, FORM, "missing_argument"),
        ({"filename": "a", "length": str(2 << 30)}, FORM, "file_upload_size_restricted"),
    ],
)
def test_an_address_is_for_a_file_of_known_length(given: dict[str, str], kind: str, word: str) -> None:
    """Asked for in a form only; an empty file is none, and one above a gigabyte is too much."""
    assert call(SlackApi(), "files.getUploadURLExternal", given, kind=kind)[1]["error"] == word


def test_a_file_is_sent_and_shared_once() -> None:
    """As many bytes as announced, without the token, then shared in the channel by its id, in a thread's root."""
    standin = SlackApi(rate=None)
    root = post(standin)
    reply = post(standin, thread_ts=root)
    number = upload(standin, b"words")
    path = f"/upload/v1/{number}"
    assert standin.take("POST", path, {}, b"more words")[1]["error"] == "length_mismatch"
    assert standin.take("POST", path, {"authorization": "x"}, b"words")[1]["error"] == "token_sent"
    assert standin.take("POST", "/upload/v1/F0", {}, b"")[1]["error"] == "not_found"
    assert complete(standin, number, channel_id="#general") == "invalid_channel"
    assert complete(standin, number, files=[]) == "invalid_arguments"
    assert complete(standin, number, thread_ts=reply) == "thread_not_found"
    assert complete(standin, "F0") == "file_not_found"
    assert complete(standin, number, thread_ts=root) is None
    assert complete(standin, number) == "file_not_found"
    assert standin.files[number].thread == root


def test_answers_as_told() -> None:
    """Scripted answers come first: of a method, or of any."""
    standin = SlackApi(rate=None)
    standin.answer("chat.postMessage", "fatal_error")
    standin.answer("*", None, status=503, retry_after=7)
    assert post(standin) == "fatal_error"
    assert call(standin, "chat.postMessage", {})[0::2] == (503, {"retry-after": "7"})
    assert post(standin).startswith("17")
    assert standin.asked == ["chat.postMessage"] * 3
