"""Headers for people: names always, values only where they neither prove nor open anything."""

import pytest

from receiver.masking import shown_headers


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("authorization", "Basic dTpw"),
        ("verification-token", "abc"),
        ("x-hub-signature-256", "sha256=00"),
        ("webhook-signature", "v1,abc"),
        ("x-api-key", "k"),
        ("cookie", "a=b"),
        ("x-hmac", "00"),
        ("x-acme", "0123456789abcdef"),
        ("x-acme", "v1 0a1b2c3d4e5f60718293a4b5"),
        ("referer", "https://example.com/hooks/callcov/abc"),
        ("x-original-uri", "/x"),
        ("x-rewrite-url", "/x"),
        ("user-agent", "see /hooks/callcov/abc"),
        ("X-Secret", "s"),
    ],
)
def test_what_could_prove_or_open_is_only_measured(name: str, value: str) -> None:
    """Tokens, keys, signatures, addresses with a token in them, and whatever looks like one."""
    ((shown, hidden),) = shown_headers(((name.encode(), value.encode()),))
    assert shown == name
    assert hidden == f"*** ({len(value)} characters)"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("content-type", "multipart/form-data; boundary=0123456789abcdef0123456789abcdef"),
        ("user-agent", "CallCov/1.0 (+https://callcov.example)"),
        ("x-request-id", "7f3b2c1d-0000-4000-8000-0123456789ab"),
        ("x-callcov-event", "analysis.completed"),
        ("webhook-timestamp", "1780000000"),
        ("x-odd", "\xe9"),
    ],
)
def test_what_helps_is_shown(name: str, value: str) -> None:
    """What kind of body, from what program, when, and which event."""
    assert shown_headers(((name.encode(), value.encode("latin-1")),)) == [(name, value)]
