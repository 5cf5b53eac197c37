"""Generic: what settings make of bodies, handshakes, and what is said about wrong settings."""

import hmac
import json
import string
from typing import Any
from urllib.parse import quote

import jmespath
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.providers.generic import Generic
from handlers.providers.generic.leaves import Leaves, marked, plain
from receiver.config import build
from receiver.contract.errors import ConfigError, Unreadable
from receiver.contract.expressions import Expression
from receiver.contract.model import Call, InboundRequest, Notice, Outcome, Progress, Result, Verdict
from receiver.contract.proof import Proven
from receiver.contract.provider import Reply
from receiver.registry import discover
from receiver.testing.fixtures import receipt_of, settings_of

TOKEN = "token-of-this-source-0123"
BASE = {"token": TOKEN, "job_id": "id"}


def generic(**table: Any) -> Generic:
    """Make a provider from a table of settings."""
    return Generic("acme", settings_of(Generic, {**BASE, **table}))


def said(body: Any, **table: Any) -> Outcome:
    """Normalize a body that was proven."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = InboundRequest(source="acme", token=TOKEN, headers=(), body=content, received_at=0)
    provider = generic(**table)
    proof = provider.prove(request, 0)
    assert isinstance(proof, Proven)
    (outcome,) = provider.normalize(receipt_of(proof, "generic"))
    return outcome


def result(body: Any, **table: Any) -> Result:
    """Normalize a body that is a result."""
    outcome = said({"id": "1", **body}, **table)
    assert isinstance(outcome, Result)
    return outcome


def key(body: Any, **table: Any) -> bytes:
    """Return the message key of a proven body."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = InboundRequest(source="acme", token=None, headers=(), body=content, received_at=0)
    return generic(**table).message_key(Proven(request=request, verdict=Verdict.TOKEN))


# What bodies become


def test_everything_has_its_place() -> None:
    """Each setting fills its field, numbers and times in our units; the rest stays in metadata by its path."""
    body = {
        "lang": "de",
        "ms": 61500,
        "made": 1772461800,
        "done": "2026-03-02T15:30:00",
        "turns": [{"a": "1200", "b": 2400.5, "who": 7, "said": "Guten Tag.", "p": 0.5, "ch": "left", "mood": "calm"}],
        "people": [{"nr": 7, "name": "Rosa", "is": "Agent", "spoke": 900}, {"nr": 8}],
        "notes": {"short": "Greeting.", "mood": "Positive", "todo": "call back", "tags": ["a", "b"], "score": {"x": 1}},
        "call": {"id": 99, "at": "2026-03-02T14:00:00+01:00", "dir": "Incoming", "from": "+34600", "to": "+34900"},
        "mine": {"ticket": "T1"},
        "more": {"deep": [{"kept": True}], "none": None},
    }
    made = result(
        body,
        language="lang",
        duration="ms",
        duration_unit="ms",
        created_at="made",
        completed_at="done",
        timezone="Europe/Madrid",
        segments="turns",
        segment={
            "start": "a", "end": "b", "speaker": "who", "text": "said", "confidence": "p", "channel": "ch", "sentiment": "mood",
        },
        time_unit="ms",
        speakers="people",
        speaker={"id": "nr", "label": "name", "role": "is", "talk_time": "spoke"},
        summary="notes.short",
        sentiment="notes.mood",
        topics="notes.tags",
        action_items="notes.todo",
        insights={"score": "notes.score"},
        call={"external_id": "call.id", "started_at": "call.at", "direction": "call.dir", "from": "call.from", "to": "call.to"},
        metadata="mine",
        volatile=["more.*"],
    )  # fmt: skip
    assert msgspec.to_builtins(made.segments[0]) == {
        "start": 1.2,
        "end": 2.4005,
        "speaker": "7",
        "channel": "left",
        "text": "Guten Tag.",
        "confidence": 0.5,
        "sentiment": "calm",
        "words": None,
    }
    assert [(one.id, one.label, one.role, one.talk_time) for one in made.speakers] == [
        ("7", "Rosa", "agent", 0.9),
        ("8", None, None, None),
    ]
    assert (made.language, made.duration, made.text) == ("de", 61.5, "Guten Tag.")
    assert (made.created_at, made.completed_at) == ("2026-03-02T14:30:00Z", "2026-03-02T14:30:00Z")
    assert made.analysis is not None
    assert (made.analysis.summary, made.analysis.sentiment, made.analysis.topics) == (
        "Greeting.",
        "positive",
        ("a", "b"),
    )
    assert made.analysis.action_items == ("call back",)
    assert [(one.name, one.value) for one in made.analysis.insights] == [("score.x", 1)]
    assert made.call == Call(
        external_id="99", started_at="2026-03-02T13:00:00Z", direction="inbound", from_="+34600", to="+34900"
    )
    assert made.metadata == {"ticket": "T1", "more.deep": [{"kept": True}]}
    assert made.volatile == {"more.deep"}


def test_what_does_not_fit_stays_visible() -> None:
    """A text where a number was meant, an object where a text was: null there, and whole in metadata."""
    made = result(
        {"text": {"parts": ["a"]}, "duration": "long", "turns": {"no": "list"}, "mood": "meh", "at": "yesterday"},
        text="text",
        duration="duration",
        segments="turns",
        sentiment="mood",
        created_at="at",
    )
    assert (made.text, made.duration, made.segments, made.analysis, made.created_at) == (None, None, (), None, None)
    assert made.metadata == {
        "text.parts": ["a"],
        "duration": "long",
        "turns.no": "list",
        "mood": "meh",
        "at": "yesterday",
    }


def test_members_of_the_submitter_hide_nothing() -> None:
    """Where the submitter's metadata has the name of a leaf that is left, both are there."""
    made = result({"mine": {"x": 1}, "x": 2}, metadata="mine")
    assert made.metadata == {"x": 1, "body.x": 2}


def test_left_out_leaves_are_gone() -> None:
    """What the user leaves out, with a reason, is in no metadata; below a path too."""
    made = result(
        {"a": [{"b": 1, "c": 2}], "d": {"e": 3, "f": [4]}, "g": 5}, leave_out={"a[].b": "why", "d.*": "because"}
    )
    assert made.metadata == {"a": [{"c": 2}], "g": 5}


def test_words_make_segments_by_speaker() -> None:
    """Runs of one speaker's words are a segment; times are those of the first and the last."""
    words = [
        {"w": "Hello", "s": 0.0, "e": 0.4, "by": "A"},
        {"w": "there.", "s": 0.5, "e": 0.9, "by": "A"},
        {"w": "Hi.", "s": 1.0, "e": 1.2, "by": "B"},
        {"w": None},
        {"w": "Bye.", "by": "A"},
    ]
    made = result({"words": words}, words="words", word={"text": "w", "start": "s", "end": "e", "speaker": "by"})
    assert [(one.speaker, one.start, one.end, one.text) for one in made.segments] == [
        ("A", 0.0, 0.9, "Hello there."),
        ("B", 1.0, 1.2, "Hi."),
        ("A", None, None, "Bye."),
    ]
    assert [one.talk_time for one in made.speakers] == [0.9, 0.2]
    assert result({"words": words}, words="words", word={"text": "w"}, join="").text == "Hellothere.Hi.Bye."


@pytest.mark.parametrize(
    ("status", "became"),
    [("DONE", "completed"), ("Error", "failed"), ("queued", "queued"), (True, "completed"), (3, "failed")],
)
def test_words_of_a_status(status: Any, became: str) -> None:
    """Any case; true and numbers count as they are written."""
    outcome = said(
        {"id": 5, "s": status}, status="s", completed=["done", "true"], failed=["error", "3"], progress=["queued"]
    )
    assert isinstance(outcome, Result | Progress)
    assert (outcome.status, outcome.job_id) == (became, "5")


def test_without_a_status_an_error_means_failed() -> None:
    """A body with an error is a failure, one without is not."""
    made = result({"why": {"code": 7, "text": "no audio"}}, error={"code": "why.code", "message": "why.text"})
    assert made.status == "failed"
    assert made.error is not None
    assert (made.error.code, made.error.message) == ("7", "no audio")
    assert result({}, error={"code": "why.code"}).status == "completed"


def test_events_by_their_words() -> None:
    """The first glob that fits says what a word means; what none fits is passed on under its own name."""
    table = {
        "event": "type",
        "events": {"job.done": "completed", "job.failed": "failed", "job.*": "progress", "state": "result"},
        "status": "s",
        "call": {"external_id": "call"},
    }
    assert result({"type": "job.done"}, **table).status == "completed"
    assert result({"type": "job.failed"}, **table).status == "failed"
    assert said({"id": "1", "type": "job.begun"}, **table) == Progress(job_id="1", status="job.begun")
    assert result({"type": "state", "s": "success"}, **table).status == "completed"
    passed = said({"type": "Call Ended/ünn", "call": "c1"}, **table)
    assert passed == Notice(
        name="Call_Ended__nn", body={"type": "Call Ended/ünn", "call": "c1"}, call=Call(external_id="c1")
    )
    with pytest.raises(Unreadable, match="event: nothing is there"):
        said({"id": "1"}, **table)


def test_forms_are_read_as_objects() -> None:
    """A form's fields are members; one that comes twice is a list."""
    made = said(
        b"id=CA1&SpeechResult=Hello+there%21&Tag=a&Tag=b&empty=", content="form", text="SpeechResult", topics="Tag"
    )
    assert isinstance(made, Result)
    assert made.analysis is not None
    assert (made.job_id, made.text, made.analysis.topics, made.metadata) == (
        "CA1",
        "Hello there!",
        ("a", "b"),
        {"empty": ""},
    )
    for wrong in (b"\xff=1", b"&".join(b"a%d=1" % number for number in range(1001))):
        with pytest.raises(Unreadable):
            said(wrong, content="form")


@pytest.mark.parametrize(
    ("body", "table", "why"),
    [
        ({}, {}, "job_id: the expression gives null"),
        ({"id": {"secret": "words"}}, {}, "job_id: the expression gives object"),
        ({"id": ""}, {}, "job_id: the expression gives string"),
        ({"id": "1", "t": 5}, {"text": "join(' ', t)"}, "text: the expression meets a value that it cannot take"),
        ({"id": "1", "t": "words"}, {"segments": "sort_by(t, &x)"}, "segments: the expression meets"),
        ({"id": "1", "s": "words"}, {"status": "s"}, "status: the word that is there is none"),
        ({"id": "1"}, {"status": "s"}, "status: nothing is there"),
        ([1], {}, "the body is a JSON array"),
        (b'{"a":' * 300 + b"1" + b"}" * 300, {"job_id": "a"}, "job_id: the expression gives object|nested too deeply"),
    ],
)
def test_unreadable_bodies_name_the_key_and_no_content(body: Any, table: dict[str, Any], why: str) -> None:
    """The operator learns which expression, never what was said."""
    with pytest.raises(Unreadable, match=why) as caught:
        said(body, **table)
    assert "words" not in str(caught.value)


def test_message_keys() -> None:
    """A key by settings ignores the rest of the body; one that lacks a part is none, and the digest counts."""
    table = {"message_key": "[id, status]"}
    assert key({"id": 1, "status": "a", "sent": 1}, **table) == key({"id": 1, "status": "a", "sent": 2}, **table)
    assert key({"id": 1, "status": "a"}, **table) != key({"id": 1, "status": "b"}, **table)
    for lacking in ({"id": 1, "x": 0}, {"x": 0}, {"id": 1, "status": "", "x": 0}):
        assert key(lacking, **table) != key({**lacking, "x": 1}, **table)
    assert key({"x": 0}, message_key="nothing") != key({"x": 1}, message_key="nothing")
    assert key(b"no json", **table) != key(b"none either", **table)
    assert key({"x": 0}) == key({"x": 0})


def test_fresh_bodies_are_of_another_job() -> None:
    """Ids that the expressions find are made anew in their form, and lists grow."""
    table = {"job_id": "job.id", "message_key": "[job.id, nr]", "segments": "turns"}
    provider = generic(**table)
    body = json.dumps(
        {"job": {"id": "6f1d0c2a-58be-4e0e-9d6b-0b1c7a3e5f11"}, "nr": 7, "turns": [{"text": "x"}]}
    ).encode()
    one, other, large = provider.fresh(body, "a"), provider.fresh(body, "b"), provider.fresh(body, "a", 20_000)
    assert len({json.loads(made)["job"]["id"] for made in (one, other)}) == 2
    assert len({json.loads(made)["nr"] for made in (one, other)}) == 2
    assert len(large) >= 20_000
    assert provider.fresh(body, "a") == one
    assert b"hookscribe_serial" in generic().fresh(b'{"nothing": "here"}', "a")
    form = generic(content="form").fresh(b"id=CA1&x=1&x=2", "a")
    assert form.endswith(b"&x=1&x=2")
    assert not form.startswith(b"id=CA1&")


# Leaves


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(-1, 1) | st.sampled_from(["", "a", "b", "done"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["a", "b", "c"]), inner, max_size=3),
    max_leaves=20,
)
EXPRESSIONS = [
    *(
        "a",
        "a.b",
        "a || b",
        "a[0].b",
        "a[*].b",
        "a[].b",
        "*.a",
        "a[?b=='done'].c",
        "a[?b>`0`]",
        "{x: a, y: b}",
        "a && b",
    ),
    *(
        "[a, b]",
        "a[-1]",
        "a[::-1]",
        "not_null(a, b)",
        "to_string(a)",
        "to_number(a)",
        "type(a)",
        "to_array(a)[0]",
        "!a",
    ),
    *("length(a)", "sort(a)", "max(a)", "keys(a)", "values(a)", "join(',', a)", "contains(a, 'a')", "sum(a)", "avg(a)"),
    *("sort_by(a, &b)[0]", "max_by(a, &b).c", "map(&b, a)", "merge(a, b)", "reverse(a)", "floor(a)", "a == b", "a < b"),
]


@given(JSON, st.sampled_from(EXPRESSIONS))
def test_marked_leaves_change_no_expression(value: Any, text: str) -> None:
    """On the copy whose leaves are told apart, every expression gives what it gives on the body itself."""
    try:
        wanted: Any = jmespath.search(text, value)
    except Exception as error:  # noqa: BLE001 -- whichever it is, both have it
        wanted = type(error)
    try:
        found: Any = plain(jmespath.search(text, marked(value)))
    except Exception as error:  # noqa: BLE001
        found = type(error)
    assert json.dumps(found, default=str) == json.dumps(wanted, default=str)
    assert plain(marked(value)) == value


@given(JSON)
def test_what_nobody_takes_is_all_left(value: Any) -> None:
    """Without expressions, metadata has every leaf; once all are taken, none but true and false."""
    document = {"a": value}
    leaves = Leaves(document)
    assert sorted(map(str, every_leaf(leaves.left({})))) == sorted(map(str, every_leaf(document)))
    leaves.count(leaves.document)
    assert all(isinstance(leaf, bool) for leaf in every_leaf(leaves.left({})))


def every_leaf(value: Any) -> list[Any]:
    """Return every leaf but null."""
    if isinstance(value, dict | list):
        items = value.values() if isinstance(value, dict) else value
        return [leaf for item in items for leaf in every_leaf(item)]
    return [] if value is None else [value]


# Settings


@pytest.mark.parametrize(
    ("table", "why"),
    [
        ({"text": "a..b"}, "[sources.acme] text: 'a..b' is no JMESPath expression"),
        ({"text": ""}, "[sources.acme] text: '' is no JMESPath expression"),
        ({"text": "a[?b == 'x"}, "[sources.acme] text:"),
        ({"text": "items[].trim(@)"}, "[sources.acme] text: there is no function trim(); JMESPath has abs, "),
        ({"segment": {"start": "nope(x)"}}, "[sources.acme] segment.start: there is no function nope()"),
        ({"call": {"from": "join(x)"}}, "[sources.acme] call.from: join() takes 2 arguments, and 1 are given"),
        ({"text": "not_null()"}, "[sources.acme] text: not_null() takes 1 or more arguments"),
        ({"insights": {"x": "a[?nope(@)]"}}, "[sources.acme] insights.x: there is no function nope()"),
        ({"text": "a" * 5000}, "[sources.acme] text: 5000 characters"),
        ({"job_id": None}, "[sources.acme] job_id: say where"),
        ({"events": {"a": "result"}}, "[sources.acme] events is set and event is not"),
        ({"segments": "a", "words": "b"}, "[sources.acme] words: segments have their words in segment.words"),
        ({"leave_out": {"a": " "}}, "[sources.acme] leave_out: say why 'a'"),
        ({"secrets": ["x"]}, "[sources.acme] secrets and signature go together"),
        ({"signature": {"header": "X-Sig"}}, "[sources.acme] secrets and signature go together"),
        ({"header": {"name": "X", "values": ["short"]}}, "[sources.acme.header] values: 5 characters can be guessed"),
        ({"standard_webhooks": {}}, "[sources.acme.standard_webhooks] secrets: give"),
        ({"ed25519": {"header": "X", "public_keys": ["x"]}}, "[sources.acme.ed25519] public_keys:"),
        ({"handshake": {"challenge": "cookie:x"}}, "[sources.acme.handshake] challenge: 'cookie:x' is no place"),
        ({"handshake": {"challenge": "body:x"}}, "[sources.acme.handshake] when: say which bodies"),
        ({"handshake": {"challenge": "body:x(y)", "when": "x"}}, "[sources.acme.handshake] challenge: there is no"),
        ({"handshake": {"challenge": "query:x", "method": "GET", "when": "x"}}, "[sources.acme.handshake] method:"),
        ({"handshake": {"challenge": "query:x", "reply": "{hmac}"}}, "[sources.acme] handshake: {hmac} needs"),
        ({"handshake": {"challenge": "query:x", "reply_headers": {"Content-Length": "1"}}}, "reply_headers:"),
        ({"handshake": {"challenge": "query:x", "reply_headers": {"X-A": "a\r\nb"}}}, "reply_headers:"),
        ({"token": None}, "token, secrets, standard_webhooks, header, basic: nothing proves who calls"),
    ],
)
def test_wrong_settings_name_the_key(table: dict[str, Any], why: str) -> None:
    """Every fault is found when the settings are read, before anything is received."""
    whole = {name: value for name, value in {"provider": "generic", **BASE, **table}.items() if value is not None}
    with pytest.raises(ConfigError) as caught:
        build({"sources": {"acme": whole}}, {}, discover())
    assert why in str(caught.value)


def test_expressions_that_fit_only_some_bodies_are_no_fault() -> None:
    """A function that needs a list is fine, although the sample has none."""
    assert Expression("text", "join(' ', words[].w)").of({"words": [{"w": "a"}]}) == "a"
    assert Expression("text", "x.y").of(None) is None
    assert Expression("text", "x").of(["x"]) is None


def test_only_notices_need_no_job() -> None:
    """A sender that reports no results has no job ids."""
    provider = Generic("acme", settings_of(Generic, {"token": TOKEN, "event": "e"}))
    request = InboundRequest(source="acme", token=TOKEN, headers=(), body=b'{"e":"ping"}', received_at=0)
    outcomes = provider.normalize(receipt_of(Proven(request=request, verdict=Verdict.TOKEN), "generic"))
    assert outcomes == (Notice(name="ping", body={"e": "ping"}),)


# Handshakes


def asked(provider: Generic, body: Any = b"", *, token: str | None = TOKEN, **request: Any) -> Reply | None:
    """Ask for the answer to a set-up request."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = tuple((name.lower().encode(), value.encode()) for name, value in request.pop("headers", {}).items())
    return provider.handshake(
        InboundRequest(source="acme", token=token, headers=headers, body=content, received_at=0, **request)
    )


def test_a_challenge_in_the_body_as_slack_sends_it() -> None:
    """Only a body that is a set-up request is answered, as text that no browser takes for a page."""
    provider = generic(handshake={"challenge": "body:challenge", "when": "type == 'url_verification'"})
    reply = asked(provider, {"type": "url_verification", "challenge": "3eZ<b>\u00fc"})
    assert reply is not None
    assert (reply.status, reply.body) == (200, "3eZ<b>ü".encode())
    assert dict(reply.headers) == {
        b"content-type": b"text/plain",
        b"x-content-type-options": b"nosniff",
        b"cache-control": b"no-store",
    }
    for other in ({"type": "event_callback", "challenge": "x"}, {"type": "url_verification"}, b"no json", [1], {}):
        assert asked(provider, other) is None
    assert asked(provider, {"type": "url_verification", "challenge": "x"}, token="another-token-0123456") is None
    assert asked(provider, {"type": "url_verification", "challenge": "x"}, token=None) is None
    assert asked(provider, {"type": "url_verification", "challenge": ["x"]}) is None
    assert asked(provider, {"type": "url_verification", "challenge": "x", "pad": "y" * 20_000}) is None


def test_a_challenge_in_the_query_as_microsoft_sends_it() -> None:
    """A POST with a query; decoded, bounded, printable."""
    provider = generic(handshake={"challenge": "query:validationToken"})
    reply = asked(provider, query=b"a=1&validationToken=" + quote("Validation: Testing 100% & more").encode())
    assert reply is not None
    assert reply.body == b"Validation: Testing 100% & more"
    for query in (
        b"",
        b"validationToken=",
        b"validationToken=a%0d%0ab",
        b"validationToken=" + b"x" * 3000,
        b"&" * 100_000,
    ):
        assert asked(provider, query=query) is None
    assert asked(provider, query=b"validationToken=x", method="GET") is None


def test_a_challenge_with_a_word_of_ours_as_meta_sends_it() -> None:
    """A GET whose verify token must be ours."""
    how = {
        "method": "GET",
        "challenge": "query:hub.challenge",
        "expect": {"query:hub.verify_token": "our-verify-token-0"},
    }
    provider = generic(handshake=how)
    reply = asked(
        provider, method="GET", query=b"hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=our-verify-token-0"
    )
    assert reply is not None
    assert reply.body == b"1158201444"
    for query in (b"hub.challenge=1", b"hub.challenge=1&hub.verify_token=our-verify-token-1"):
        assert asked(provider, method="GET", query=query) is None


def test_headers_are_answered_by_headers() -> None:
    """Asana's secret comes back in its header; CloudEvents asks by OPTIONS who may send."""
    asana = {"challenge": "header:X-Hook-Secret", "reply": "", "reply_headers": {"X-Hook-Secret": "{challenge}"}}
    events = {
        "method": "OPTIONS",
        "challenge": "header:WebHook-Request-Origin",
        "reply": "",
        "reply_headers": {"WebHook-Allowed-Origin": "{challenge}", "WebHook-Allowed-Rate": "*"},
    }
    provider = generic(handshake=[asana, events])
    reply = asked(provider, headers={"X-Hook-Secret": "b537207f20cbfa02357cf448134da559"})
    assert reply is not None
    assert dict(reply.headers)[b"x-hook-secret"] == b"b537207f20cbfa02357cf448134da559"
    origin = asked(provider, method="OPTIONS", headers={"WebHook-Request-Origin": "eventgrid.azure.net"})
    assert origin is not None
    assert dict(origin.headers)[b"webhook-allowed-origin"] == b"eventgrid.azure.net"
    assert asked(provider, headers={"X-Hook-Secret": "a\r\nSet-Cookie: x"}) is None
    assert asked(provider, headers={"X-Hook-Secret": "ü"}) is None


def test_a_signed_answer_only_for_whoever_has_signed() -> None:
    """Zoom's challenge comes back with its HMAC, and is no oracle: the request must be signed by the same secret."""
    how = {
        "challenge": "body:payload.plainToken",
        "when": "event == 'endpoint.url_validation'",
        "reply": '{"plainToken":"{challenge}","encryptedToken":"{hmac}"}',
        "reply_type": "application/json",
    }
    signature = {
        "header": "x-zm-signature",
        "prefix": "v0=",
        "signed": "v0:{timestamp}:{body}",
        "timestamp_header": "x-zm-request-timestamp",
    }
    provider = generic(handshake=how, secrets=["zoom-secret"], signature=signature)
    body = {"event": "endpoint.url_validation", "payload": {"plainToken": 'q"1\\'}}
    content = json.dumps(body).encode()
    mac = hmac.new(b"zoom-secret", b"v0:0:" + content, "sha256").hexdigest()
    signed = {"x-zm-signature": f"v0={mac}", "x-zm-request-timestamp": "0"}
    reply = asked(provider, content, headers=signed)
    assert reply is not None
    assert json.loads(reply.body) == {
        "plainToken": 'q"1\\',
        "encryptedToken": hmac.new(b"zoom-secret", b'q"1\\', "sha256").hexdigest(),
    }
    assert dict(reply.headers)[b"content-type"] == b"application/json"
    assert asked(provider, content) is None
    assert asked(provider, content, headers={**signed, "x-zm-request-timestamp": "1"}) is None
    either = generic(handshake=how, secrets=["zoom-secret"], signature=signature, require="any")
    assert asked(either, content) is None, "the token in the URL alone does not make us sign"


@given(
    st.binary(max_size=300),
    st.binary(max_size=300),
    st.text(string.printable, max_size=50),
    st.sampled_from(["GET", "POST", "OPTIONS"]),
)
def test_hostile_handshakes_never_raise(body: bytes, query: bytes, header: str, method: str) -> None:
    """Whatever comes, there is an answer or none, and it is short and has one line a header."""
    reply = asked(HOSTILE, body, query=query, method=method, headers={"X-C": header})
    assert reply is None or (len(reply.body) < 9000 and not any(b"\n" in value for _, value in reply.headers))


HOSTILE = generic(
    handshake=[
        {"challenge": "body:a", "when": "b"},
        {"challenge": "query:a"},
        {"challenge": "query:a", "method": "GET", "expect": {"header:X-C": "x"}},
        {"challenge": "header:X-C", "reply_headers": {"X-C": "{challenge}"}},
        {"challenge": "header:X-C", "method": "OPTIONS", "reply_type": "application/json", "reply": '"{challenge}"'},
    ]
)
