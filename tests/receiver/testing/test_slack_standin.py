"""The stand-in for Slack: what it takes, what it refuses and with which word, and what it calls live text."""

import json
from typing import Any

import pytest

from receiver.testing.slack import PATH, Answer, Invalid, SlackStandin, alive, length, validated


def said(text: Any, kind: str = "plain_text", **more: Any) -> dict[str, Any]:
    """Return a text object."""
    return {"type": kind, "text": text, **more}


def section(text: Any = "x", **more: Any) -> dict[str, Any]:
    """Return a section."""
    return {"type": "section", "text": said(text), **more}


def button(**more: Any) -> dict[str, Any]:
    """Return a row with one button."""
    return {"type": "actions", "elements": [{"type": "button", "text": said("go"), **more}]}


GOOD = [
    {"type": "header", "text": said("x" * 150, emoji=False)},
    {"type": "section", "text": said("*x*", "mrkdwn", verbatim=True), "block_id": "a"},
    {"type": "section", "fields": [said("x" * 2000)] * 10},
    section("x" * 3000),
    {"type": "context", "elements": [said("x")] * 9 + [{"type": "image", "image_url": "https://x", "alt_text": "x"}]},
    {"type": "divider"},
    button(url="https://x/" + "x" * 2990, action_id="a", style="primary"),
    {"type": "image", "image_url": "https://x", "alt_text": "x", "title": said("x")},
    section(accessory={"type": "image", "image_url": "https://x", "alt_text": "x"}),
]

BAD = [
    ("header of 151", {"type": "header", "text": said("x" * 151)}),
    ("header in mrkdwn", {"type": "header", "text": said("x", "mrkdwn")}),
    ("header without text", {"type": "header"}),
    ("section of 3,001", section("x" * 3001)),
    ("section of 3,001 by UTF-16", section("x" * 2999 + "\U0001f926")),
    ("empty section", section("")),
    ("blank section", section(" \n")),
    ("section without text", {"type": "section"}),
    ("number for a text", section(7)),
    ("11 fields", {"type": "section", "fields": [said("x")] * 11}),
    ("no fields", {"type": "section", "fields": []}),
    ("field of 2,001", {"type": "section", "fields": [said("x" * 2001)]}),
    ("verbatim on plain_text", {"type": "section", "text": said("x", verbatim=True)}),
    ("emoji that is no boolean", {"type": "section", "text": said("x", emoji="no")}),
    ("unknown text type", {"type": "section", "text": said("x", "markdown")}),
    ("unknown member", section(colour="red")),
    ("11 elements of context", {"type": "context", "elements": [said("x")] * 11}),
    ("context without elements", {"type": "context"}),
    ("button text of 76", button(text=said("x" * 76))),
    ("button url of 3,001", button(url="x" * 3001)),
    ("button style", button(style="red")),
    ("26 buttons", {"type": "actions", "elements": button()["elements"] * 26}),
    ("unknown element", {"type": "actions", "elements": [{"type": "slider"}]}),
    ("image without alt_text", {"type": "image", "image_url": "https://x"}),
    ("unknown block", {"type": "marquee"}),
    ("block without type", {}),
    ("block that is no object", "x"),
    ("block_id of 256", section(block_id="x" * 256)),
]


def post(standin: SlackStandin, message: Any, path: str = PATH) -> Answer:
    """Post a message."""
    return standin.take("POST", path, json.dumps(message).encode())


@pytest.mark.parametrize("block", GOOD, ids=lambda block: str(block["type"]))
def test_takes_what_slack_takes(block: dict[str, Any]) -> None:
    """Blocks at their limits pass, and are kept."""
    standin = SlackStandin()
    assert post(standin, {"blocks": [block]}) == Answer(status=200, word="ok")
    assert standin.messages == [{"blocks": [block]}]


@pytest.mark.parametrize(("why", "block"), BAD, ids=[why for why, _ in BAD])
def test_refuses_what_slack_refuses(why: str, block: Any) -> None:
    """Blocks beyond their limits are invalid_blocks; nothing is kept."""
    standin = SlackStandin()
    answer = post(standin, {"text": why, "blocks": [block]})
    assert (answer.status, answer.word) == (400, "invalid_blocks")
    assert standin.messages == []
    assert standin.refused == [answer]


@pytest.mark.parametrize(
    ("body", "word"),
    [
        (b"", "invalid_payload"),
        (b"{", "invalid_payload"),
        (b"\xff", "invalid_payload"),
        (b"[]", "invalid_payload"),
        (b'{"text":7}', "invalid_payload"),
        (b"{}", "no_text"),
        (b'{"text":"","blocks":[]}', "no_text"),
        (b'{"blocks":{"type":"divider"}}', "invalid_blocks_format"),
        (json.dumps({"text": "x" * 40_001}).encode(), "msg_too_long"),
        (json.dumps({"blocks": [{"type": "divider"}] * 51}).encode(), "invalid_blocks"),
        (json.dumps({"blocks": [section(block_id="a")] * 2}).encode(), "invalid_blocks"),
        (b" " * (1024 * 1024 + 1), "payload_too_large"),
    ],
)
def test_refuses_with_slacks_words(body: bytes, word: str) -> None:
    """The word names what is wrong."""
    with pytest.raises(Invalid, match=word):
        validated(body)
    answer = SlackStandin().take("POST", PATH, body)
    assert (answer.word, answer.status) == (word, 413 if word == "payload_too_large" else 400)


def test_another_address_is_no_webhook() -> None:
    """Another path is 404 no_service, another method 405."""
    assert post(SlackStandin(), {"text": "x"}, "/services/other").word == "no_service"
    assert SlackStandin().take("GET", PATH, b"").status == 405


def test_one_message_a_second() -> None:
    """The second within a second is 429 with Retry-After; a refused one does not count; the limit can be switched off."""
    clock = iter([0.0, 0.0, 0.5, 0.96, 1.0, 2.5, 2.5])
    standin = SlackStandin(clock=lambda: next(clock))
    assert post(standin, {"text": "1"}).status == 200
    assert post(standin, {"text": "2"}) == Answer(
        status=429, word="rate_limited", why="more than one message a second", retry_after=1
    )
    assert post(standin, {"text": "3"}).status == 200
    assert post(standin, {}).status == 400
    free = SlackStandin(rate=None)
    assert [post(free, {"text": "x"}).status for _ in range(5)] == [200] * 5


def test_answers_as_told() -> None:
    """Scripted answers come first, in turn."""
    standin = SlackStandin(rate=None)
    standin.answer(500, "rollup_error")
    standin.answer(410, "channel_is_archived")
    assert [post(standin, {"text": "x"}).status for _ in range(3)] == [500, 410, 200]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("all &lt;quiet&gt; &amp; fine @here\n", []),
        ("<!channel> hello", ["<!channel>"]),
        ("<@U123> and <#C1>", ["<@U123>", "<#C1>"]),
        ("a < b", ["< b"]),
        ("a > b", [">"]),
        ("R&D &quot;", ["&", "&"]),
        ("<https://evil.example|click>", ["<https://evil.example|click>"]),
        ("<https://ours.example/x|open>", []),
        ("<https://ours.example.evil/x|open>", ["<https://ours.example.evil/x|open>"]),
        ("\u202ebidi \x1b[31m", ["\u202e", "\x1b"]),
    ],
)
def test_finds_live_text(text: str, found: list[str]) -> None:
    """Mentions, raw control characters and links that are not ours are reported wherever a text stands."""
    links = "https://ours.example"
    assert alive({"text": text}, links) == found
    assert alive({"blocks": [{"type": "context", "elements": [said(text)]}]}, links) == found
    standin = SlackStandin(links=links)
    post(standin, {"text": text})
    assert standin.alive == found


def test_length_is_utf_16() -> None:
    """Characters beyond the BMP count twice."""
    assert length("a\U0001f926") == 3


async def test_speaks_asgi() -> None:
    """A request in pieces is answered with status, word and Retry-After; start and stop are acknowledged."""
    standin, sent = SlackStandin(), []

    async def play(scope: dict[str, Any], *events: dict[str, Any]) -> None:
        waiting = iter(events)

        async def receive() -> dict[str, Any]:
            return next(waiting)

        async def send(event: dict[str, Any]) -> None:
            sent.append(event)

        await standin(scope, receive, send)

    http = {"type": "http", "method": "POST", "path": PATH}
    await play({"type": "lifespan"}, {"type": "lifespan.startup"}, {"type": "lifespan.shutdown"})
    await play(http, {"type": "http.request", "body": b'{"text"', "more_body": True}, {"body": b':"x"}'})
    await play(http, {"type": "http.request", "body": b'{"text":"y"}'})
    html = (b"content-type", b"text/html")
    assert sent == [
        {"type": "lifespan.startup.complete"},
        {"type": "lifespan.shutdown.complete"},
        {"type": "http.response.start", "status": 200, "headers": [html]},
        {"type": "http.response.body", "body": b"ok"},
        {"type": "http.response.start", "status": 429, "headers": [html, (b"retry-after", b"1")]},
        {"type": "http.response.body", "body": b"rate_limited"},
    ]
