"""Subjects, headers and answers of the nats sink, without a server."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.sinks.nats.acks import outcome_of
from handlers.sinks.nats.message import headers_of, size_of, subject, wildcard
from receiver.contract.sink import Delivered, Rejected, SendOutcome, TryLater
from receiver.testing.events import sample_event


@pytest.mark.parametrize(
    ("template", "expected", "covering"),
    [
        ("hookscribe.{type}", "hookscribe.transcript.completed", "hookscribe.>"),
        ("a.{source}.{type}", "a.callcov.transcript.completed", "a.*.>"),
        ("a.{provider}.b", "a.callcov.b", "a.*.b"),
        ("a.x-{source}", "a.x-callcov", "a.*"),
        ("a.b", "a.b", "a.b"),
    ],
)
def test_the_subject_is_filled_in_and_covered(template: str, expected: str, covering: str) -> None:
    """The stream's subject covers what the template gives."""
    assert subject(template, sample_event()) == expected
    assert wildcard(template) == covering


@pytest.mark.parametrize("data", [b"null", b"{", b'{"provider":7}', b"[]"])
def test_an_unknown_provider_is_called_so(data: bytes) -> None:
    """Data of any shape gives a subject."""
    assert subject("a.{provider}", sample_event(data=data)) == "a.unknown"


@given(st.text(), st.text())
def test_any_text_gives_a_subject_that_is_one(kind: str, source: str) -> None:
    """No wildcard, white space, empty token or line break gets into the protocol."""
    made = subject("a.{type}.{source}", sample_event(type=kind, source_name=source))
    tokens = made.split(".")
    assert len(tokens) >= 3
    assert all(
        (token and token.isascii() and token.replace("_", "").replace("-", "").isalnum()) or set(token) <= {"_", "-"}
        for token in tokens
    )


@given(st.text())
def test_any_text_gives_headers_that_are_some(text: str) -> None:
    """Values are printable ASCII, so the computed size is what goes out."""
    headers = headers_of(sample_event(id=text), "S")
    assert all(value.isascii() and value.isprintable() and " " not in value for value in headers.values())
    assert size_of({"a": "b"}) == len(b"NATS/1.0\r\na: b\r\n\r\n")


@pytest.mark.parametrize(
    ("data", "headers", "expected"),
    [
        (b'{"stream":"S","seq":7}', {}, Delivered(detail="stream S seq 7")),
        (b'{"stream":"S","seq":7,"duplicate":true}', {}, Delivered(detail="stream S seq 7, a duplicate")),
        (b"", {"Status": "503"}, TryLater(reason="no stream takes this subject")),
        (b"", {}, TryLater(reason="the answer is no acknowledgement of a stream")),
        (b"{}", {}, TryLater(reason="the answer is no acknowledgement of a stream")),
        (
            b'{"error":{"code":503,"err_code":10077,"description":"maximum messages exceeded"},"stream":"S","seq":0}',
            {},
            TryLater(reason="the stream refused: maximum messages exceeded"),
        ),
        (
            b'{"error":{"code":400,"err_code":10054,"description":"message size exceeds maximum allowed"}}',
            {},
            Rejected(reason="the stream refused: message size exceeds maximum allowed"),
        ),
    ],
)
def test_answers_mean(data: bytes, headers: dict[str, str], expected: SendOutcome) -> None:
    """Stored, also as a duplicate: Delivered. Too large for the stream: Rejected. All else: TryLater."""
    assert outcome_of(data, headers) == expected
