"""INVOX Medical: its recorded cases, what it says in our words, and what tells messages apart."""

import json
from pathlib import Path
from typing import Any

import pytest
from invox_samples import CALLBACK, ORGANIZATION, arriving, outcome, result, source

from handlers.providers.invox import Invox, InvoxSettings
from handlers.providers.invox.events import EVENTS
from receiver.contract.errors import Unreadable
from receiver.contract.model import Receipt, Result, Verdict
from receiver.contract.proof import Proven
from receiver.testing.provider import ProviderContract


class TestInvox(ProviderContract):
    """Every recorded case, leaf and hostile body."""

    provider = Invox
    fixtures = Path(__file__).parents[3] / "fixtures" / "invox"


def key(body: bytes | str | dict[str, Any]) -> bytes:
    return source().message_key(Proven(request=arriving(body), verdict=Verdict.TOKEN))


def test_the_message_key_goes_by_request_and_transcription() -> None:
    """Another time, signature or extra member is the same message; other words, status or request are not."""
    first = key(CALLBACK)
    assert first.startswith(b"request-1:")
    assert first == key(CALLBACK | {"createdAt": 1, "signature": "other", "extra": 1})
    others: list[dict[str, Any]] = [{"requestId": "request-2"}, {"transcription": []}, {"processingStatus": "PENDING"}]
    assert len({first, *(key(CALLBACK | other) for other in others)}) == 4
    pending = {"requestId": "r", "transcription": [], "processingStatus": "PENDING"}
    assert key(pending) != key(pending | {"processingStatus": "COMPLETED"})
    long = "r" * 5000
    assert len(key({"requestId": long})) < 200
    assert key({"requestId": long}) != key({"requestId": long + "r"})


@pytest.mark.parametrize(
    "body", [b"", b"\xff", b"[]", b"{}", b"[" * 10**6, b'{"requestId":"\\ud800"}', b'{"x":' * 10**6]
)
def test_what_cannot_be_read_has_its_digest_for_a_key(body: bytes) -> None:
    """Any bytes have a key."""
    assert key(body).startswith(b"unreadable:")
    assert key(body) != key(body + b" ")


@pytest.mark.parametrize(
    ("created", "completed"),
    [
        (1762934391250, "2025-11-12T07:59:51.250Z"),
        (1762934391250.0, "2025-11-12T07:59:51.250Z"),
        ("1762934391250", "2025-11-12T07:59:51.250Z"),
        (222222222, "1970-01-03T13:43:42.222Z"),
        (0, "1970-01-01T00:00:00.000Z"),
    ],
)
def test_created_at_is_unix_milliseconds(created: Any, completed: str) -> None:
    """A number as in the example or digits as in the type; small numbers are milliseconds too."""
    read = result(CALLBACK | {"createdAt": created})
    assert (read.created_at, read.completed_at, read.metadata) == (None, completed, {})


@pytest.mark.parametrize(
    "created", ["2025-11-12T07:59:51Z", "", "٣٣", "-1", -1, 0.5, 1e30, 253402300800000, "9" * 5000, True, {"a": 1}]
)
def test_any_other_created_at_is_no_time_and_stays_visible(created: Any) -> None:
    """No time is guessed."""
    read = result(CALLBACK | {"createdAt": created})
    assert read.completed_at is None
    assert read.metadata == {"createdAt": created}


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"[]", "the body is a list, not an object"),
        (b"null", "the body is null, not an object"),
        ({"transcription": []}, "member requestId is missing or empty"),
        ({"requestId": "", "transcription": []}, "member requestId is missing or empty"),
        ({"requestId": 7}, "member requestId is a number, not a string"),
        ({"requestId": "r"}, "member transcription is missing"),
        ({"requestId": "r", "transcription": None}, "member transcription is null, not a list"),
        ({"requestId": "r", "transcription": {}}, "member transcription is an object, not a list"),
        ({"requestId": "r", "transcription": ["a"]}, "member transcription[0] is a string, not an object"),
        (
            {"requestId": "r", "transcription": [{}, {"text": 1}]},
            "member transcription[1].text is a number, not a string",
        ),
        (
            {"requestId": "r", "transcription": [{"end": True}]},
            "member transcription[0].end is a boolean, not a number",
        ),
        (
            {"requestId": "r", "transcription": [{"speaker": []}]},
            "member transcription[0].speaker is a list, not a string",
        ),
        (
            {"requestId": "r", "processingStatus": "LATER"},
            "member processingStatus is none of COMPLETED, PENDING, ERROR",
        ),
        ({"requestId": "r", "transcriptionStatus": 1}, "member transcriptionStatus is a number, not a string"),
        (
            {"requestId": "r", "processingStatus": "ERROR", "errorMessage": 1},
            "member errorMessage is a number, not a string",
        ),
        (
            {"eventName": "E"},
            f"member eventName is none of {', '.join(EVENTS)}",
        ),
        ('{"event\\u004eame":"E"}', "member eventName: a webhook event is no transcription callback"),
    ],
    ids=str,
)
def test_wrong_shapes_are_named_and_what_they_hold_is_not(body: Any, why: str) -> None:
    """The reason names member and type."""
    with pytest.raises(Unreadable) as unreadable:
        outcome(body)
    assert str(unreadable.value) == why


def test_roles_come_from_the_settings() -> None:
    """A provider's label says nothing about who it is: the source's rule does."""
    found = Invox("clinic", InvoxSettings(provider="invox", roles={"0": "agent"})).normalize(
        Receipt(
            id="rcp_1", source="clinic", provider="invox", verdict=Verdict.TOKEN, received_at=0, headers=(),
            body=json.dumps(CALLBACK).encode(),
        )
    )[0]  # fmt: skip
    assert isinstance(found, Result)
    assert [(speaker.id, speaker.role) for speaker in found.speakers] == [("0", "agent")]


def test_odd_segments_are_kept_as_far_as_they_go() -> None:
    """A label that is a number is its digits; what is missing is null; times beyond any double are null."""
    body = '{"requestId":"r","transcription":[{"speaker":1.0},{"start":1e999,"end":2,"text":"a"},{"speaker":"","text":""}]}'
    read = result(body)
    assert [(part.start, part.end, part.speaker, part.text) for part in read.segments] == [
        (None, None, "1", None),
        (None, 2.0, None, "a"),
        (None, None, None, ""),
    ]
    assert result(CALLBACK | {"model": None, "mode": False}).metadata == {"mode": False}
    assert (read.text, [speaker.talk_time for speaker in read.speakers]) == ("a\n", [None])


def test_what_utf8_cannot_hold_is_replaced_before_it_is_kept() -> None:
    """A lone surrogate in what was said becomes U+FFFD: no store or sink could write it."""
    assert result('{"requestId":"r","transcription":[{"text":"a\\ud83eb"}]}').text == "a\ufffdb"


def test_fresh_callbacks_grow_on_in_time() -> None:
    """A body for load tests is at least as large as asked for, and a recording that goes on."""
    body = source().fresh(json.dumps(CALLBACK).encode(), "7", 20_000)
    read = result(body)
    assert 20_000 <= len(body) < 20_150
    assert read.job_id == "fresh-7"
    starts = [segment.start or 0 for segment in read.segments]
    assert starts == sorted(starts)
    assert source().fresh(b'{"requestId":"r","transcription":[]}', "8", 20_000) == (
        b'{"requestId":"fresh-8","transcription":[]}'
    )
    assert source(**ORGANIZATION).sign(b"no json", 0).body == b"no json"
