"""CallCov: recorded cases, proof by signatures that others made, settings, and what each member becomes."""

import contextlib
import hmac
import json
import random
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest

from handlers.providers.callcov import CallCov, CallCovSettings
from receiver.contract.errors import ConfigError, Unreadable
from receiver.contract.model import InboundRequest, Outcome, Progress, Result, Verdict
from receiver.contract.proof import Proven, Reason, Refused, decode_mac
from receiver.contract.settings import Secret
from receiver.testing.fixtures import Case, load_case, receipt_of
from receiver.testing.provider import ProviderContract

FIXTURES = Path(__file__).parents[3] / "fixtures" / "callcov"
NOW = 1_772_461_800.0
BODY = b'{"id":"a1","status":"completed","transcript":null,"results":{"summary":"fine"}}'
SIGNED = {"secrets": ["one", "two", "three"], "signature": {"header": "X-Sig"}}
TOKEN = {"token": ["a-token-of-ours"]}


class TestCallCov(ProviderContract):
    """CallCov holds what every provider must hold."""

    provider = CallCov
    fixtures = FIXTURES


def settings_of(table: dict[str, Any]) -> CallCovSettings:
    """Read settings as a source has them."""
    whole = {"provider": "callcov", **table}
    return msgspec.convert(whole, CallCovSettings, dec_hook=lambda _, value: Secret(value))


def callcov(table: dict[str, Any]) -> CallCov:
    """Make a provider from a table of settings."""
    return CallCov("source", settings_of(table))


def request_of(body: bytes = BODY, token: str | None = None, **headers: str) -> InboundRequest:
    """Make a request; `x_sig` is the header `x-sig`."""
    named = tuple((key.replace("_", "-").encode(), value.encode("latin-1")) for key, value in headers.items())
    return InboundRequest(source="source", token=token, headers=named, body=body, received_at=0)


def outcomes_of(body: Any, **settings: Any) -> tuple[Outcome, ...]:
    """Normalize a body that was proven."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    proven = Proven(request=request_of(content), verdict=Verdict.TOKEN)
    return callcov({**TOKEN, **settings}).normalize(receipt_of(proven, "callcov"))


def result_of(body: Any, **settings: Any) -> Result:
    """Normalize a body that is one result."""
    (outcome,) = outcomes_of({"id": "a1", "status": "completed", **body}, **settings)
    assert isinstance(outcome, Result)
    return outcome


def key_of(body: bytes) -> bytes:
    """Return the message key of a proven body."""
    return callcov(TOKEN).message_key(Proven(request=request_of(body), verdict=Verdict.TOKEN))


def openssl(algorithm: str, encoding: str, secret: str, content: bytes) -> str:
    """Sign with OpenSSL, which is not ours; base64url is its base64 with two letters changed."""
    command = ["openssl", "dgst", f"-{algorithm.removeprefix('hmac-')}", "-hmac", secret, "-binary"]
    mac = subprocess.run(command, input=content, capture_output=True, check=True).stdout
    if encoding == "hex":
        return mac.hex()
    text = subprocess.run(["openssl", "base64", "-A"], input=mac, capture_output=True, check=True).stdout.decode()
    return text if encoding == "base64" else text.replace("+", "-").replace("/", "_")


@pytest.mark.parametrize("encoding", ["hex", "base64", "base64url"])
@pytest.mark.parametrize("algorithm", ["hmac-sha256", "hmac-sha512", "hmac-sha1"])
def test_signatures_by_openssl_prove(algorithm: str, encoding: str) -> None:
    """For every algorithm and encoding, what OpenSSL signs is proven, and our own signature is the same text."""
    how = {"header": "X-Sig", "algorithm": algorithm, "encoding": encoding, "prefix": "v1="}
    provider = callcov({"secrets": ["s3cret"], "signature": how})
    theirs = "v1=" + openssl(algorithm, encoding, "s3cret", BODY)
    proven = provider.prove(request_of(x_sig=theirs), NOW)
    assert isinstance(proven, Proven)
    assert proven.verdict is Verdict.SIGNATURE
    assert dict(provider.sign(BODY, NOW).headers)[b"x-sig"] == theirs.encode()


def test_a_signed_timestamp_by_openssl_proves_within_the_tolerance() -> None:
    """The time of signing is part of what is signed, and counts on both sides of our clock."""
    how = {"header": "X-Sig", "signed": "{timestamp}.{body}", "timestamp_header": "X-Time", "tolerance": 60}
    provider = callcov({"secrets": ["s3cret"], "signature": how})
    stamp = str(int(NOW))
    request = request_of(x_sig=openssl("hmac-sha256", "hex", "s3cret", stamp.encode() + b"." + BODY), x_time=stamp)
    assert isinstance(provider.prove(request, NOW + 60), Proven)
    assert isinstance(provider.prove(request, NOW - 60), Proven)
    for late in (NOW + 61, NOW - 61):
        refused = provider.prove(request, late)
        assert isinstance(refused, Refused)
        assert refused.reason is Reason.TIMESTAMP_STALE
    moved = msgspec.structs.replace(request, headers=(request.headers[0], (b"x-time", str(int(NOW) + 1).encode())))
    assert isinstance(provider.prove(moved, NOW), Refused)


@pytest.mark.parametrize("secret", ["one", "two", "three"])
def test_every_configured_secret_proves_and_no_other(secret: str) -> None:
    """Rotation has no gap: each secret proves while it is configured, and no longer."""
    request = request_of(x_sig=openssl("hmac-sha256", "hex", secret, BODY))
    assert isinstance(callcov(SIGNED).prove(request, NOW), Proven)
    others = [other for other in ("one", "two", "three") if other != secret]
    assert isinstance(callcov({**SIGNED, "secrets": others}).prove(request, NOW), Refused)


@pytest.mark.parametrize("secret", ["one", "three", "none of them"])
def test_every_secret_is_compared_in_constant_time(secret: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever secret matches, all three are compared, each by the constant-time comparison."""
    compared: list[bool] = []

    def recorded(left: bytes, right: bytes) -> bool:
        compared.append(real(left, right))
        return compared[-1]

    real = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", recorded)
    callcov(SIGNED).prove(request_of(x_sig=openssl("hmac-sha256", "hex", secret, BODY)), NOW)
    assert len(compared) == 3
    assert sum(compared) == (secret != "none of them")


@pytest.mark.parametrize("name", ["completed", "signed-sha512-base64", "signed-timestamp-base64url", "signed-sha1-hex"])
def test_no_mutation_of_a_signed_message_proves(name: str) -> None:
    """Of 600 messages with one to three bits changed in body, signature or time, none is proven."""
    case = load_case(FIXTURES / name)
    provider, request = TestCallCov().build(case), case.request()
    dice = random.Random(name)
    for _ in range(600):
        mutated = mutation(request, dice)
        if not same_message(case, request, mutated):
            assert isinstance(provider.prove(mutated, case.now), Refused), mutated


def mutation(request: InboundRequest, dice: random.Random) -> InboundRequest:
    """Change one to three bits of the body or of a header that proves something."""
    places = [index for index, (key, _) in enumerate(request.headers) if key != b"content-type"]
    place = dice.choice([None, None, *places])
    target = bytearray(request.body if place is None else request.headers[place][1])
    for _ in range(dice.randint(1, 3)):
        target[dice.randrange(len(target))] ^= 1 << dice.randrange(8)
    if place is None:
        return msgspec.structs.replace(request, body=bytes(target))
    headers = list(request.headers)
    headers[place] = (headers[place][0], bytes(target))
    return msgspec.structs.replace(request, headers=tuple(headers))


def same_message(case: Case, request: InboundRequest, mutated: InboundRequest) -> bool:
    """Say whether a mutation left body, time and the bytes of the signature as they were (hex in upper case)."""
    how = settings_of(dict(case.settings)).signature
    assert how is not None
    if mutated.body != request.body:
        return False
    others = [pair for pair in mutated.headers if pair[0] != how.header.lower().encode()]
    if any(pair not in request.headers for pair in others):
        return False
    size = {"hmac-sha1": 20, "hmac-sha256": 32, "hmac-sha512": 64}[how.algorithm]
    texts = [given.header(how.header.lower()) or "" for given in (request, mutated)]
    macs = [decode_mac(text.removeprefix(how.prefix).strip(), how.encoding, size) for text in texts]
    return texts[1].startswith(how.prefix) and macs[0] == macs[1]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"secrets": ["s"]}, ["secrets", "signature", "header", "remove secrets"]),
        ({"signature": {"header": "X-Sig"}}, ["signature", "secrets", "remove signature"]),
        ({"secrets": ["s"], "signature": {"header": "X Sig"}}, ["header", "'X Sig'"]),
        ({"secrets": ["s"], "signature": {"header": ""}}, ["header"]),
        ({"secrets": ["s"], "signature": {"header": "X", "signed": "{id}.{body}"}}, ["signed", "{id}"]),
        ({"secrets": ["s"], "signature": {"header": "X", "signed": "fixed"}}, ["signed", "{body}"]),
        ({"secrets": ["s"], "signature": {"header": "X", "timestamp_header": "T"}}, ["timestamp_header"]),
        ({"secrets": ["s"], "signature": {"header": "X", "signed": "{timestamp}{body}"}}, ["timestamp_header"]),
    ],
)
def test_contradicting_settings_name_the_keys_and_the_way_out(settings: dict[str, Any], words: list[str]) -> None:
    """A contradiction is a ConfigError that names its keys, and never shows a secret."""
    with pytest.raises(ConfigError) as caught:
        settings_of(settings).check()
    assert all(word in str(caught.value) for word in words)


@pytest.mark.parametrize("settings", [{"token": [""]}, {"secrets": ["s", ""], "signature": {"header": "X-Sig"}}])
def test_an_empty_secret_is_no_secret(settings: dict[str, Any]) -> None:
    """An empty token or secret, as an unset variable leaves it, is an error: anybody has that one."""
    with pytest.raises(ConfigError, match="empty"):
        callcov(settings)


def test_the_settings_have_no_default_header() -> None:
    """CallCov documents no header name, so none is assumed."""
    with pytest.raises(msgspec.ValidationError, match="header"):
        settings_of({"secrets": ["s"], "signature": {"algorithm": "hmac-sha256"}})


@pytest.mark.parametrize(
    ("settings", "ways"),
    [({}, 0), (TOKEN, 1), (SIGNED, 1), ({**SIGNED, **TOKEN}, 2), ({"verify": "none"}, 0)],
)
def test_proofs_are_counted_as_they_are_configured(settings: dict[str, Any], ways: int) -> None:
    """A source names its ways of proof; one without any is refused at the start by the engine."""
    assert len(callcov(settings).proofs()) == ways


@pytest.mark.parametrize(
    ("require", "signature", "token", "expected"),
    [
        ("all", "right", "right", Verdict.SIGNATURE),
        ("all", "right", "wrong", Reason.TOKEN_UNKNOWN),
        ("all", "right", None, Reason.TOKEN_MISSING),
        ("all", "wrong", "right", Reason.SIGNATURE_MISMATCH),
        ("all", None, "right", Reason.SIGNATURE_MISSING),
        ("all", None, "wrong", Reason.TOKEN_UNKNOWN),
        ("any", "right", None, Verdict.SIGNATURE),
        ("any", "right", "wrong", Verdict.SIGNATURE),
        ("any", "wrong", "right", Verdict.TOKEN),
        ("any", None, "right", Verdict.TOKEN),
        ("any", None, None, Reason.SIGNATURE_MISSING),
        ("any", "wrong", "wrong", Reason.SIGNATURE_MISMATCH),
    ],
)
def test_token_and_signature_combine(
    require: str, signature: str | None, token: str | None, expected: Verdict | Reason
) -> None:
    """`require` says whether all of token and signature must be right, or any; what fails beside it is recorded."""
    secret = "one" if signature == "right" else "somebody else's"
    headers = {"x_sig": openssl("hmac-sha256", "hex", secret, BODY)} if signature else {}
    given = "a-token-of-ours" if token == "right" else token
    answer = callcov({**SIGNED, **TOKEN, "require": require}).prove(request_of(BODY, given, **headers), NOW)
    if isinstance(answer, Proven):
        assert answer.verdict is expected
        assert len(answer.checks) == (signature, token).count("wrong") + (signature, token).count(None)
    else:
        assert answer.reason is expected


def test_a_source_without_any_proof_refuses_everything() -> None:
    """Where nothing is configured and `verify` does not say "none", nobody gets in."""
    assert isinstance(callcov({}).prove(request_of(token="guess"), NOW), Refused)


def test_explain_says_which_proof_is_right_and_what_would_have_matched() -> None:
    """An operator learns that the token is right, and which settings the signature calls for."""
    provider = callcov({**SIGNED, **TOKEN})
    request = request_of(token="a-token-of-ours", x_real="sha512=" + openssl("hmac-sha512", "base64", "two", BODY))
    token, real = provider.explain(request, NOW)
    assert (token.scheme, token.ok) == ("token", True)
    assert (real.header, real.secret, real.ok) == ("x-real", 2, False)
    assert 'header = "x-real", algorithm = "hmac-sha512", encoding = "base64", prefix = "sha512="' in real.detail


def test_a_redelivery_has_the_same_key_and_another_result_has_another() -> None:
    """The key holds status, id, transcript and results, and neither links nor times that change between copies."""
    body = b'{"id":"a1","status":"completed","audio":{"url":"u1"},"transcript":{"text":"x"},"results":{"a":1}}'
    assert key_of(body) == key_of(body.replace(b"u1", b"u2"))
    for old, new in ((b"a1", b"a2"), (b'"x"', b'"y"'), (b'"a":1', b'"a":2'), (b"completed", b"processing")):
        assert key_of(body) != key_of(body.replace(old, new))
    assert key_of(body) != key_of(body.replace(b'"results"', b'"analysis"'))


def test_no_two_kinds_of_key_can_be_the_same() -> None:
    """An id or status that imitates another key makes another key still."""
    bodies = [
        b'{"id":"a","status":"failed"}',
        b'{"id":"","analysis_id":"a","status":"failed:a"}',
        b'{"id":"failed\\",\\"a","status":"x"}',
        b'["failed","a"]',
        b'{"id":"a","status":["failed"]}',
        b'{"status":"failed"}',
    ]
    assert len({key_of(body) for body in bodies}) == len(bodies)


def test_generations_share_ids_only_where_the_vendor_does() -> None:
    """`id` names the analysis where both are given; a second id is kept."""
    result = result_of({"id": "new", "analysis_id": "old"})
    assert (result.job_id, result.metadata) == ("new", {"analysis_id": "old"})
    assert key_of(b'{"id":7,"status":"failed"}') == key_of(b'{"analysis_id":"7","status":"failed"}')


@pytest.mark.parametrize(
    ("check", "members", "ok"),
    [
        ("identity_verification", {"verified": True, "flagged": False}, True),
        ("identity_verification", {"verified": True, "flagged": True}, False),
        ("identity_verification", {"verified": False, "flagged": False}, False),
        ("identity_verification", {"flagged": False}, True),
        ("identity_verification", {"timestamp": 3.0}, None),
        ("identity_verification", {"verified": "yes"}, None),
        ("mandatory_disclosures", {"read": True, "missing_disclosures": []}, True),
        ("mandatory_disclosures", {"read": True, "missing_disclosures": ["fees"]}, False),
        ("mandatory_disclosures", {"missing_disclosures": []}, None),
        ("purpose_declaration", {"disclosed": True, "flagged": True}, False),
        ("prohibited_phrases", {"used": False, "instances": []}, True),
        ("prohibited_phrases", {"instances": ["never"]}, False),
        ("sensitive_data", {"shared": True}, False),
        ("sensitive_data", {"shared": None, "note": "n"}, None),
    ],
)
def test_a_check_passes_only_where_the_vendor_says_so(check: str, members: dict[str, Any], ok: bool | None) -> None:
    """`ok` follows the members that S6 documents; where they say nothing it is null; all of them stay visible."""
    analysis = result_of({"results": {"compliance": {check: members}}}).analysis
    assert analysis is not None
    (flag,) = analysis.flags
    assert (flag.name, flag.ok, flag.at) == (check, ok, members.get("timestamp"))
    assert flag.detail == {key: value for key, value in members.items() if key != "timestamp" and value is not None}


def test_compliance_of_another_shape_is_kept_as_insights() -> None:
    """A check that is no object, or a compliance that is none, is found under its own name."""
    analysis = result_of({"results": {"compliance": {"sensitive_data": True, "identity_verification": {}}}}).analysis
    assert analysis is not None
    assert analysis.flags == ()
    assert [(one.name, one.value) for one in analysis.insights] == [("compliance.sensitive_data", True)]
    other = result_of({"results": {"compliance": ["a"]}}).analysis
    assert other is not None
    assert [(one.name, one.value) for one in other.insights] == [("compliance", ["a"])]


@pytest.mark.parametrize(
    ("said", "sentiment", "left"),
    [
        ("positive", "positive", []),
        ("Mixed", "mixed", ["Mixed"]),
        ("very_negative", "negative", ["very_negative"]),
        ("cheerful", None, ["cheerful"]),
        (0.4, None, [0.4]),
        (None, None, []),
    ],
)
def test_sentiment_is_mapped_where_the_word_is_known(said: Any, sentiment: str | None, left: list[Any]) -> None:
    """A recognisable word becomes ours; whatever says more, or something else, stays an insight."""
    analysis = result_of({"analysis": {"sentiment": said}}).analysis
    assert analysis is not None
    assert (analysis.sentiment, [one.value for one in analysis.insights]) == (sentiment, left)


@pytest.mark.parametrize("results", ["a text", ["a", {"b": 1}], 7])
def test_results_that_are_no_object_are_kept(results: Any) -> None:
    """Results of an unexpected type are visible, and whole in `raw`."""
    analysis = result_of({"results": results}).analysis
    assert analysis is not None
    assert analysis.raw == results
    assert analysis.insights


@pytest.mark.parametrize(
    ("body", "code", "message", "left"),
    [
        ({"metadata": {"error_message": "m"}}, None, "m", {}),
        ({"error_message": "m"}, None, "m", {}),
        ({"error": "m"}, None, "m", {}),
        ({"error": {"code": 422, "message": "m"}}, "422", "m", {}),
        ({"error": {"code": "c"}}, "c", None, {}),
        ({"error": {"details": {"a": 1}}, "error_message": "m"}, None, "m", {"error": {"details": {"a": 1}}}),
        ({"metadata": {"error_message": "m"}, "error_message": "m", "error": "n"}, None, "m", {"error": "n"}),
    ],
)
def test_an_error_is_found_in_any_of_its_places(
    body: Any, code: str | None, message: str, left: dict[str, Any]
) -> None:
    """The first text wins, its repetitions go with it, and what differs stays in metadata."""
    result = result_of({"status": "failed", **body})
    assert result.error is not None
    assert (result.error.code, result.error.message, result.metadata) == (code, message, left)


def test_a_failure_without_words_has_no_error() -> None:
    """Nothing is invented where CallCov gives no reason; a completed analysis keeps its error text as metadata."""
    assert result_of({"status": "failed", "metadata": {"error_message": None}}).error is None
    assert result_of({"error_message": "odd"}).metadata == {"error_message": "odd"}


@pytest.mark.parametrize(
    ("call", "audio", "duration", "left"),
    [
        ({"duration_seconds": 2.5, "duration_ms": 2500}, {"duration_seconds": 2.5}, 2.5, {}),
        ({"duration_ms": 2500}, {}, 2.5, {}),
        ({}, {"duration_seconds": 2.5}, 2.5, {}),
        ({"duration_seconds": 2.5, "duration_ms": 2600}, {}, 2.5, {"call.duration_ms": 2600}),
        ({"duration_seconds": 2.5}, {"duration_seconds": 9}, 2.5, {"audio.duration_seconds": 9}),
        ({"duration_ms": "2500"}, {}, None, {"call.duration_ms": "2500"}),
        ({"duration_ms": 10**400}, {}, None, {"call.duration_ms": 10**400}),
    ],
)
def test_durations_that_agree_are_one(call: Any, audio: Any, duration: float | None, left: dict[str, Any]) -> None:
    """The duration is taken once; a second one that says something else is left over."""
    result = result_of({"call": call, "audio": audio})
    assert (result.duration, result.metadata) == (duration, left)


def test_roles_come_from_the_settings_or_from_the_label_itself() -> None:
    """Letters have no role unless the settings say so; "Agent" and "Customer" do; talk time is summed."""
    said = [("A", 0, 1.5), ("Agent", 2, 3), ("customer", 3, 2), ("A", 4, 4.1), (3, None, None), (None, 5, 6)]
    segments = [{"speaker": who, "text": "t", "start": start, "end": end} for who, start, end in said]
    plain = result_of({"transcript": {"segments": segments}})
    assert [(one.id, one.role, one.talk_time) for one in plain.speakers] == [
        ("A", None, 1.6),
        ("Agent", "agent", 1),
        ("customer", "customer", None),
        ("3", None, None),
    ]
    told = result_of({"transcript": {"segments": segments}}, roles={"A": "customer", "Agent": "customer"})
    assert [one.role for one in told.speakers] == ["customer", "customer", "customer", None]
    assert plain.text == "\n".join("t" * 6)


@pytest.mark.parametrize("transcript", ["words", ["a"], {"segments": "none"}, {"segments": [1]}, {"segments": {}}, 5])
def test_a_transcript_of_another_shape_is_not_lost(transcript: Any) -> None:
    """A transcript that is text is the text; any other shape is left over in metadata."""
    result = result_of({"transcript": transcript})
    assert result.segments == ()
    assert result.text == "words" if transcript == "words" else result.metadata


def test_names_that_meet_in_metadata_are_both_kept() -> None:
    """A submitter's metadata comes under its own names; a member of CallCov's with the same name is told apart."""
    result = result_of({"id": None, "analysis_id": "x", "metadata": {"plan": "gold", "object": "o"}, "plan": "silver"})
    assert result.metadata == {"plan": "gold", "callcov.plan": "silver", "object": "o"}
    assert result_of({"metadata": "a text", "object": "report"}).metadata == {"metadata": "a text", "object": "report"}


def test_copies_of_one_result_differ_in_volatile_metadata_only() -> None:
    """Another signed link and another processing time make no other result."""
    body = (FIXTURES / "completed" / "body").read_bytes()
    first, second = (
        result_of(json.loads(one))
        for one in (body, body.replace(b"X-Amz-Signature=77aa", b"X-Amz-Signature=0").replace(b"48210", b"9"))
    )
    assert first != second
    same = {key: value for key, value in first.metadata.items() if key not in first.volatile}
    assert msgspec.structs.replace(second, metadata=same) == msgspec.structs.replace(first, metadata=same)
    assert same == {key: value for key, value in second.metadata.items() if key not in second.volatile}


@pytest.mark.parametrize("name", ["completed", "generation-a-completed", "failed-in-metadata"])
def test_our_callback_address_goes_no_further(name: str) -> None:
    """The address that CallCov echoes holds the source's token, so it is in no result."""
    body = (FIXTURES / name / "body").read_bytes()
    assert b"calls.lindenhof.example" in body
    assert b"calls.lindenhof.example" not in msgspec.json.encode(outcomes_of(body))


@pytest.mark.parametrize("status", ["processing", "queued", "", "a new one"])
def test_a_status_that_ends_nothing_is_progress(status: str) -> None:
    """Whatever is neither completed nor failed touches the job and makes no event."""
    assert outcomes_of({"id": "a1", "status": status}) == (Progress(job_id="a1", status=status),)


@pytest.mark.parametrize("status", ["Completed", "COMPLETED", "Failed"])
def test_a_status_counts_in_any_case(status: str) -> None:
    """A result is not lost for a capital letter."""
    assert result_of({"status": status}).status == status.lower()


@pytest.mark.parametrize(
    "body",
    [
        b"sEcReT",
        b'"sEcReT"',
        b'{"status":"sEcReT"}',
        b'{"id":["sEcReT"],"status":"completed"}',
        b'{"id":"a","status":{"sEcReT":1}}',
        b'{"id":"sEcReT","status":3}',
        b'{"id":true,"analysis_id":-1,"status":"sEcReT"}',
        b'{"id":"a","status":"sEcReT',
        b"\xffsEcReT",
    ],
)
def test_unreadable_messages_name_types_and_no_content(body: bytes) -> None:
    """What operators read and logs keep holds nothing of what was said."""
    with pytest.raises(Unreadable) as caught:
        outcomes_of(body)
    assert "sEcReT" not in str(caught.value)
    assert len(str(caught.value)) > 10


@pytest.mark.parametrize("depth", [5, 50, 200, 600, 900, 5000])
def test_deep_nesting_is_read_or_unreadable(depth: int) -> None:
    """However deep a member is, normalizing returns or explains, and the outcome can be written as JSON."""
    body = b'{"id":"a","status":"completed","results":{"quality":' + b'{"x":' * depth + b"1" + b"}" * depth + b"}}"
    with contextlib.suppress(Unreadable):
        assert msgspec.json.encode(outcomes_of(body))


def test_fresh_bodies_are_as_many_and_as_large_as_asked_for() -> None:
    """A thousand serials make a thousand keys; a body grows to the size asked for, and stays readable."""
    provider, body = callcov(TOKEN), (FIXTURES / "completed" / "body").read_bytes()
    assert len({key_of(provider.fresh(body, str(serial))) for serial in range(1000)}) == 1000
    assert provider.fresh(body, "7") == provider.fresh(body, "7")
    large = provider.fresh(body, "7", 200_000)
    assert 200_000 <= len(large) < 210_000
    (outcome,) = outcomes_of(large)
    assert isinstance(outcome, Result)
    assert len(outcome.segments) > 1000
