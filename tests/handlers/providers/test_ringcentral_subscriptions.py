"""RingCentral's subscriptions: proof, handshake, names of events, and ACE insights; beside the recorded cases."""

import json
from itertools import product
from pathlib import Path
from typing import Any

import msgspec
import pytest

from handlers.providers.ringcentral import RingCentral, RingCentralSettings
from handlers.providers.ringcentral.identity import of_subscription
from handlers.providers.ringcentral.notification import unwrapped, word
from receiver.contract.errors import ConfigError, Unreadable
from receiver.contract.model import InboundRequest, Notice, Receipt, Result, Verdict
from receiver.contract.proof import Proven, Reason, Refused
from receiver.contract.settings import Secret
from receiver.testing.fixtures import load_case, load_cases
from receiver.testing.provider import changed, leaves

FIXTURES = Path(__file__).parents[3] / "fixtures" / "ringcentral"
TOKEN, OTHER = "t" * 40, "o" * 40
OURS, OLD, THEIRS = "verification-ours-1", "verification-old-22", "verification-theirs"
BOTH: dict[str, Any] = {"token": (Secret(TOKEN),), "verification_token": (Secret(OURS), Secret(OLD))}
ALONE: dict[str, Any] = {"verification_token": (Secret(OURS),)}
NOTE = b'{"uuid":"1","event":"/restapi/v1.0/account/~/telephony/sessions","body":{}}'
JOB = b'{"jobId":"j","status":"InProgress"}'


def provider(**settings: Any) -> RingCentral:
    """Make the provider."""
    return RingCentral("rc", RingCentralSettings(provider="ringcentral", **settings))


def request(body: bytes, token: str | None = None, **headers: str) -> InboundRequest:
    """Make a request; `_` in the names of headers stands for a hyphen."""
    pairs = tuple((name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in headers.items())
    return InboundRequest(source="rc", token=token, headers=pairs, body=body, received_at=0)


def outcome(body: Any, **settings: Any) -> Any:
    """Return the one outcome of a body."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    receipt = Receipt(
        id="rcp_1", source="rc", provider="ringcentral", verdict=Verdict.TOKEN, received_at=0, headers=(), body=data
    )
    (one,) = provider(**settings).normalize(receipt)
    return one


def recorded(name: str) -> Any:
    """Return the body of a recorded case as a document."""
    return json.loads(load_case(FIXTURES / name).body)


def key(body: Any) -> bytes:
    """Return the message key of a body."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return provider().message_key(Proven(request=request(data), verdict=Verdict.TOKEN))


@pytest.mark.parametrize("require", ["all", "any"])
@pytest.mark.parametrize("body", [NOTE, JOB, b"", b"{", b"\xef\xbb\xbf" + NOTE, b'{"pn_apns":{"event":"/a"},"n":NaN}'])
def test_what_proves_what(require: str, body: bytes) -> None:
    """Each combination of tokens: with "all" a notification needs both, an AI response the one it has."""
    both = provider(**BOTH, require=require)
    for token, header in product((TOKEN, OTHER, None), (OURS, OLD, THEIRS, None)):
        given = {} if header is None else {"verification_token": header}
        url, named = token == TOKEN, header in (OURS, OLD)
        wanted = (url or named) if require == "any" else url and (named or not of_subscription(body))
        proof = both.prove(request(body, token, **given), 0)
        assert isinstance(proof, Proven) is wanted, (token, header)
        if isinstance(proof, Proven):
            assert proof.verdict is Verdict.TOKEN


def test_a_body_is_of_a_subscription_as_it_will_be_read() -> None:
    """What decides about proof is what normalizing decides by, whatever way the bytes are written."""
    bodies = [case.body for case in load_cases(FIXTURES)]
    bodies += [b"\xef\xbb\xbf" + body for body in bodies]
    bodies += [body[:-1] + b',"jobId":null}' for body in bodies if body.endswith(b"}")]
    bodies += [body[:-1] + b',"zoo":1e999}' for body in bodies if body.endswith(b"}")]
    for body in filter(None, bodies):
        try:
            read = outcome(body)
        except Unreadable:
            continue
        insights = isinstance(read, Result) and read.operation == "conversation-insights"
        assert of_subscription(body) is (insights or isinstance(read, Notice)), body


def test_refusals_say_why() -> None:
    """The reason is the one that matters most, the checks name the header, and never hold what came."""
    both, alone = provider(**BOTH), provider(**ALONE)
    wrong = both.prove(request(NOTE, TOKEN, verification_token=THEIRS), 0)
    absent = alone.prove(request(NOTE), 0)
    job = alone.prove(request(JOB, TOKEN), 0)
    assert isinstance(wrong, Refused)
    assert isinstance(absent, Refused)
    assert isinstance(job, Refused)
    assert (wrong.reason, absent.reason, job.reason) == (
        Reason.TOKEN_UNKNOWN,
        Reason.TOKEN_MISSING,
        Reason.TOKEN_MISSING,
    )
    assert wrong.checks[0].header == "verification-token"
    assert THEIRS not in str(wrong)
    assert [check.scheme for check in both.explain(request(NOTE, TOKEN, verification_token=THEIRS), 0)] == ["token"]
    assert provider(verify="none").proofs() == ()
    assert both.proofs() == ("token in the URL", "Verification-Token")


def test_the_guides_name_proves_too_and_either_may_be_right() -> None:
    """`Validation-Token` with a body is the same static token; of two headers one has to be ours."""
    alone = provider(**ALONE)
    assert isinstance(alone.prove(request(NOTE, validation_token=OURS), 0), Proven)
    assert isinstance(alone.prove(request(NOTE, validation_token=OURS, verification_token=THEIRS), 0), Proven)
    assert isinstance(alone.prove(request(NOTE, validation_token=THEIRS), 0), Refused)
    assert isinstance(alone.prove(request(b"", validation_token=OURS), 0), Refused)


@pytest.mark.parametrize(
    ("settings", "token", "header", "answered"),
    [
        ({"token": (Secret(TOKEN),)}, TOKEN, None, True),
        ({"token": (Secret(TOKEN),)}, TOKEN, THEIRS, True),
        ({"token": (Secret(TOKEN),)}, OTHER, None, False),
        ({"token": (Secret(TOKEN),)}, None, OURS, False),
        (BOTH, TOKEN, OURS, True),
        (BOTH, TOKEN, None, True),
        (BOTH, TOKEN, THEIRS, False),
        (BOTH, OTHER, OURS, False),
        ({**BOTH, "require": "any"}, OTHER, OURS, True),
        ({**BOTH, "require": "any"}, OTHER, None, False),
        ({**BOTH, "require": "any"}, TOKEN, THEIRS, True),
        (ALONE, None, OURS, True),
        (ALONE, TOKEN, None, False),
        (ALONE, None, THEIRS, False),
        ({}, TOKEN, OURS, False),
        ({"verify": "none"}, None, None, True),
    ],
)
def test_who_gets_a_handshake(settings: Any, token: str | None, header: str | None, *, answered: bool) -> None:
    """Who could also send a notification; the header may be missing where the URL proves."""
    given = {} if header is None else {"verification_token": header}
    reply = provider(**settings).handshake(request(b"", token, validation_token="challenge-1", **given))
    assert (reply is not None) is answered
    if reply is not None:
        assert (reply.status, reply.headers, reply.body) == (200, ((b"Validation-Token", b"challenge-1"),), b"")


@pytest.mark.parametrize("body", [b" ", b"{}", NOTE, JOB])
def test_a_body_makes_it_no_handshake(body: bytes) -> None:
    """RingCentral's own samples go by the header alone, and would drop notifications that carry it."""
    assert provider(**BOTH).handshake(request(body, TOKEN, validation_token="c", verification_token=OURS)) is None


@pytest.mark.parametrize("challenge", ["", " ", "a b", "a\rb", "a\nb", "a\r\nx: y", "a\x00", "\x7f", "é", "x" * 513])
def test_only_plain_challenges_are_echoed(challenge: str) -> None:
    """Nothing that could end a header or fill the answer goes back."""
    assert provider(**BOTH).handshake(request(b"", TOKEN, validation_token=challenge)) is None


def test_settings_are_checked() -> None:
    """A token that can be guessed or cannot be sent is said, without the token itself."""
    for value, why in (("", "0 characters"), ("hello-world", "11 characters"), ("line\nline" * 4, "visible ASCII")):
        with pytest.raises(ConfigError, match=why) as raised:
            provider(verification_token=(Secret(value),))
        assert not value or value not in str(raised.value)


@pytest.mark.parametrize(
    ("event", "name"),
    [
        ("/restapi/v1.0/account/~/telephony/sessions", "telephony.sessions"),
        ("/restapi/v1.0/account/1/extension/2/telephony/sessions?statusCode=Setup", "telephony.sessions"),
        ("/restapi/v1.0/account/80964XXXX/extension/~/presence/line/presence", "presence.line.presence"),
        ("/restapi/v1.0/account/~/extension/~/message-store", "message_store"),
        ("/restapi/v1.0/account/1/a2p-sms/batches/12345", "a2p_sms.batches"),
        ("/restapi/v1.0/account/123456/device/800124/emergency-address", "device.emergency_address"),
        ("/restapi/v1.0/account/123456/extension", "extension"),
        ("/restapi/v1.0/account/123456", "account"),
        ("/restapi/v1.0/subscription/~?threshold=60&interval=15", "subscription"),
        ("/webinar/runtime/v1/company/sessions/state", "webinar.runtime.company.sessions.state"),
        ("/team-messaging/v1/posts", "team_messaging.posts"),
        ("/x/c0ffeeab-dead-beef-feed-abcdefabcdef", "x"),
        ("", "notification"),
        ("/~/~", "notification"),
        ("/..//\u0000/<b>/", "b"),
        ("/" + "a" * 30 + "/" + "b" * 30 + "/" + "c" * 30 + "/" + "d" * 30, ".".join(["a" * 30, "b" * 30, "c" * 30, "d" * 7])),
    ],
)  # fmt: skip
def test_words_of_events(event: str, name: str) -> None:
    """The path without whose it is, in characters that an event type may have."""
    assert word(event) == name


def test_notices_lose_nothing() -> None:
    """Every leaf of a notification that is passed on stands in what is passed on, wrapped or not."""
    for case in load_cases(FIXTURES):
        if not any("notice" in one for one in case.expected.get("outcomes", ())):
            continue
        document = json.loads(case.body)
        before = msgspec.json.encode(outcome(document))
        for path, value in leaves(document):
            assert msgspec.json.encode(outcome(changed(document, path, value))) != before, (case.name, path)


def test_unwrapping() -> None:
    """What stands inside and outside is said once; what differs is kept beside it."""
    wrapped = {"uuid": "1", "pn_apns": {"aps": {}, "uuid": "1", "event": "/a", "ownerId": "2", "zone": 3}}
    assert unwrapped(wrapped) == {"uuid": "1", "event": "/a", "ownerId": "2", "pn_apns": {"aps": {}, "zone": 3}}
    assert unwrapped({"uuid": "1", "pn_apns": {"uuid": "2"}})["pn_apns"] == {"uuid": "2"}
    assert "pn_apns" not in unwrapped({"uuid": "1", "pn_apns": {"event": "/a"}})


def test_keys_of_notifications() -> None:
    """A uuid names a notification; insights go by record, time and content, whichever subscription brings them."""
    insights = recorded("ace-pbx")
    body = insights["body"]
    assert key({"uuid": "u", "event": "/a", "body": {"x": 1}}) == key({"event": "/a", "uuid": "u"})
    assert key(insights) == key({**insights, "uuid": "2", "subscriptionId": "3", "timestamp": None})
    assert key(insights) == key({"pn_apns": insights})
    assert key(insights) != key({**insights, "body": {**body, "lastModifiedTime": "2026-11-20T12:00:00Z"}})
    assert key(insights) != key({**insights, "body": {**body, "insights": {}}})
    assert key(insights) != key({**insights, "body": {**body, "domain": "rcx"}})
    assert key({"event": "/a"}).startswith(b"sha256:")
    assert key({"event": "/a", "uuid": 7}).startswith(b"sha256:")
    assert key({"jobId": "j", "status": "Success", "event": "/a", "uuid": "u"}) == b'["j","Success"]'


def test_a_call_of_telephony_is_the_call_of_its_insights() -> None:
    """For RingEX both name the telephony session; the other domains have ids of their own, which could be alike."""
    insights, session = recorded("ace-pbx"), recorded("telephony-answered")
    session["body"]["telephonySessionId"] = insights["body"]["sourceSessionId"]
    assert outcome(insights).call.external_id == outcome(session).call.external_id
    insights["body"]["domain"] = "rcx"
    assert outcome(insights).call.external_id != outcome(session).call.external_id


@pytest.mark.parametrize("spelling", ["Highlights", "HighLights", "highlights", "HIGHLIGHTS"])
def test_spelling_of_insights_does_not_matter(spelling: str) -> None:
    """The guide and the specification spell one of them differently."""
    document = recorded("ace-pbx")
    insights = document["body"]["insights"]
    document["body"]["insights"] = {
        spelling if name == "Highlights" else name.swapcase(): value for name, value in insights.items()
    }
    before, after = outcome(recorded("ace-pbx")), outcome(document)
    assert after.analysis.insights == before.analysis.insights
    assert (after.segments, after.analysis.summary) == (before.segments, before.analysis.summary)


def test_roles_of_speakers() -> None:
    """Who has an extension is an agent, as the guide says; a rule by id or by name comes first."""
    document = recorded("ace-pbx")
    ours, theirs = document["body"]["speakerInfo"]
    roles = {theirs["name"]: "customer", ours["speakerId"]: "customer"}
    assert [one.role for one in outcome(document).speakers] == ["agent", None]
    assert [one.role for one in outcome(document, roles=roles).speakers] == ["customer", "customer"]


@pytest.mark.parametrize("towards", ["Inbound", "Outbound", None, "Sideways"])
def test_who_called_whom(towards: str | None) -> None:
    """It follows from a direction, one of the account and one outside; from nothing less."""
    document = recorded("ace-pbx")
    body = document["body"]
    body["callDirection"] = towards
    numbers = [person["phoneNumber"] for person in body["speakerInfo"]]
    call = outcome(document).call
    expected = {"Inbound": numbers[::-1], "Outbound": numbers}.get(towards or "", [None, None])
    assert [call.from_, call.to] == expected
    body["speakerInfo"][1]["accountId"] = "80964600001"
    assert outcome(document).call.from_ is None


def test_fresh_notifications_are_of_another_call() -> None:
    """Another uuid, and other ids of the record and of the session, the same for the same serial; inside and outside."""
    for name in (
        "ace-pbx",
        "ace-wrapped",
        "telephony-answered",
        "telephony-proceeding-wrapped",
        "subscription-reminder",
    ):
        body = load_case(FIXTURES / name).body
        made = provider().fresh(body, "s1")
        before, after = unwrapped(json.loads(body)), unwrapped(json.loads(made))
        assert made == provider().fresh(body, "s1")
        assert after["uuid"] != before["uuid"]
        assert after.get("pn_apns") == before.get("pn_apns")
        for member in ("sourceRecordId", "sourceSessionId", "telephonySessionId"):
            assert (member in after["body"]) is (member in before["body"])
            assert member not in before["body"] or after["body"][member] != before["body"][member]


@pytest.mark.parametrize("name", ["ace-pbx", "ace-wrapped"])
def test_insights_grow(name: str) -> None:
    """They are as large as asked for, and time goes on in them; what cannot grow stays."""
    grown = provider().fresh(load_case(FIXTURES / name).body, "s", 200_000)
    result = outcome(grown)
    starts = [segment.start for segment in result.segments]
    assert 200_000 <= len(grown) < 300_000
    assert starts == sorted(starts)
    assert len(provider().fresh(load_case(FIXTURES / "telephony-answered").body, "s", 200_000)) < 2_000


def test_signed_as_ringcentral_sends_it() -> None:
    """Notifications carry the subscription's token, AI responses none, unless nothing else could prove them."""
    assert dict(provider(**BOTH).sign(NOTE, 0).headers)[b"verification-token"] == OURS.encode()
    assert b"verification-token" not in dict(provider(**BOTH).sign(JOB, 0).headers)
    assert dict(provider(**ALONE).sign(JOB, 0).headers)[b"verification-token"] == OURS.encode()
