"""Proof: tokens, HMAC headers, their reading and writing, and what explains a refusal."""

import hashlib
import hmac
import json
import pickle
import random
import subprocess
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver.contract.errors import ConfigError
from receiver.contract.model import InboundRequest, TokenDigest
from receiver.contract.proof import (
    Algorithm,
    Encoding,
    HmacScheme,
    Reason,
    Refused,
    SignatureSettings,
    Tokens,
    changed_bodies,
    decode_mac,
    encode_mac,
)
from receiver.contract.settings import Secret

NOW = 1_772_461_800.0
BODY = '{"id": "a1", "url": "https://x/y", "text": "Zoë said 10.0"}'.encode()
ENCODINGS: tuple[Encoding, ...] = get_args(Encoding)
ALGORITHMS: tuple[Algorithm, ...] = get_args(Algorithm)


def scheme_of(*secrets: str, **settings: Any) -> HmacScheme:
    """Make a scheme whose header is X-Sig."""
    how = msgspec.convert({"header": "X-Sig", **settings}, SignatureSettings)
    return HmacScheme(how, [Secret(secret) for secret in secrets or ("s3cret",)])


def request_of(body: bytes = BODY, **headers: bytes) -> InboundRequest:
    """Make a request; `x_sig` is the header `x-sig`."""
    named = tuple((key.replace("_", "-").encode(), value) for key, value in headers.items())
    return InboundRequest(source="source", token=None, headers=named, body=body, received_at=0)


def openssl(body: bytes, secret: str = "s3cret", algorithm: str = "sha256") -> bytes:
    """Return the HMAC that OpenSSL makes, as bytes."""
    command = ["openssl", "dgst", f"-{algorithm}", "-hmac", secret, "-binary"]
    return subprocess.run(command, input=body, capture_output=True, check=True).stdout


def reason_of(refused: Refused | None) -> Reason | None:
    """Return the reason of a refusal, None where there is none."""
    return refused.reason if refused else None


def test_a_token_of_ours_is_accepted_and_no_other() -> None:
    """Every configured token is accepted; another, a longer, a shorter or an absent one is not."""
    tokens = Tokens([Secret("first-token"), Secret("zweites-Tökchen")])
    assert tokens.refusal("first-token") is None
    assert tokens.refusal("zweites-Tökchen") is None
    for other in ("first-toke", "first-token ", "FIRST-TOKEN", "", "zweites-Tokchen"):
        assert reason_of(tokens.refusal(other)) is Reason.TOKEN_UNKNOWN
    assert reason_of(tokens.refusal(None)) is Reason.TOKEN_MISSING


@pytest.mark.parametrize("token", ["first", "third", "none"])
def test_every_token_is_compared_in_constant_time(token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever token matches, all three digests are compared, each by the constant-time comparison."""
    tokens, sizes = Tokens([Secret("first"), Secret("second"), Secret("third")]), []

    def recorded(left: bytes, right: bytes) -> bool:
        sizes.append((len(left), len(right)))
        return real(left, right)

    real = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", recorded)
    assert (tokens.refusal(token) is None) is (token != "none")
    assert sizes == [(32, 32)] * 3


@pytest.mark.parametrize("token", ["\ud800", "\x00", "é" * 500, "💥", "a" * 100_000])
def test_any_token_text_is_refused_without_raising(token: str) -> None:
    """Surrogates, NUL, and very long texts are tokens that are not ours; the check shows none of them."""
    refused = Tokens([Secret("first-token")]).refusal(token)
    assert refused is not None
    assert token not in refused.checks[0].detail
    assert Tokens([Secret(token)]).refusal(token) is None


def test_a_token_is_compared_by_its_digest_alone() -> None:
    """A request from the quarantine proves, and is refused, like the one that came."""
    tokens = Tokens((Secret("0123456789abcdef"),))
    assert tokens.refusal(TokenDigest.of("0123456789abcdef")) is None
    assert tokens.refusal(TokenDigest.of("another")) == tokens.refusal("another")
    assert "another" not in repr(TokenDigest.of("another"))


def test_no_tokens_are_no_proof() -> None:
    """Without tokens the object is false, and refuses whatever comes."""
    assert not Tokens([])
    assert reason_of(Tokens([]).refusal("")) is Reason.TOKEN_UNKNOWN


def test_empty_secrets_are_errors() -> None:
    """An empty token or secret would let anybody in, so it is a ConfigError."""
    with pytest.raises(ConfigError, match=r"token: .*empty"):
        Tokens([Secret("a"), Secret("")])
    with pytest.raises(ConfigError, match=r"secrets: .*empty"):
        scheme_of("a", "")


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_openssl_and_we_sign_alike(algorithm: Algorithm, encoding: Encoding) -> None:
    """For every algorithm and encoding, OpenSSL's MAC is accepted and is the one that we write."""
    scheme = scheme_of(algorithm=algorithm, encoding=encoding, prefix="v1=")
    theirs = "v1=" + encode_mac(openssl(BODY, algorithm=algorithm.removeprefix("hmac-")), encoding)
    assert scheme.refusal(request_of(x_sig=theirs.encode()), NOW) is None
    assert scheme.sign(BODY) == theirs


@pytest.mark.parametrize("encoding", ENCODINGS)
@given(mac=st.binary(min_size=20, max_size=64))
def test_a_mac_survives_writing_and_reading(encoding: Encoding, mac: bytes) -> None:
    """What is written is read as the same bytes, also without base64's padding, and only with the right size."""
    text = encode_mac(mac, encoding)
    assert decode_mac(text, encoding, len(mac)) == mac
    assert decode_mac(text.rstrip("="), encoding, len(mac)) == mac
    assert decode_mac(text, encoding, len(mac) + 1) is None


@pytest.mark.parametrize("encoding", ENCODINGS)
@given(text=st.text(max_size=200))
def test_any_text_is_a_mac_or_none(encoding: Encoding, text: str) -> None:
    """No text raises, and what is read as a MAC is the one way to write it, but for case and padding."""
    mac = decode_mac(text, encoding, 20)
    assert mac is None or encode_mac(mac, encoding).rstrip("=") in (text.rstrip("="), text.lower())


def test_base64_with_spare_bits_is_refused() -> None:
    """The last letter of base64 has bits that mean nothing: a signature has one way to be written."""
    text = encode_mac(bytes(32), "base64")
    assert text.endswith("AAA=")
    assert decode_mac(text[:-2] + "B=", "base64", 32) is None


@pytest.mark.parametrize(
    ("given_", "reason"),
    [
        (b"", Reason.SIGNATURE_MALFORMED),
        (b"=", Reason.SIGNATURE_MALFORMED),
        (b"sha256=", Reason.SIGNATURE_MALFORMED),
        (b"\xff" * 64, Reason.SIGNATURE_MALFORMED),
        (b"g" * 64, Reason.SIGNATURE_MALFORMED),
        (b"0" * 63, Reason.SIGNATURE_MALFORMED),
        (b"0" * 100_000, Reason.SIGNATURE_MALFORMED),
        ("\u0660".encode() * 32, Reason.SIGNATURE_MALFORMED),
        (b"0" * 64, Reason.SIGNATURE_MISMATCH),
    ],
)
def test_garbage_in_the_header_is_refused(given_: bytes, reason: Reason) -> None:
    """Anything but a MAC is malformed, another MAC is a mismatch, and no header at all is told apart."""
    assert reason_of(scheme_of().refusal(request_of(x_sig=given_), NOW)) is reason
    assert reason_of(scheme_of().refusal(request_of(), NOW)) is Reason.SIGNATURE_MISSING


@pytest.mark.parametrize("sent", ENCODINGS)
@pytest.mark.parametrize("agreed", ENCODINGS)
def test_another_encoding_is_named(sent: Encoding, agreed: Encoding) -> None:
    """A right signature in another encoding is refused, and the refusal says which encoding came."""
    mac = next(
        openssl(str(n).encode())
        for n in range(99)
        if any(c in encode_mac(openssl(str(n).encode()), "base64") for c in "+/")
    )
    refused = scheme_of(encoding=agreed).refusal(request_of(x_sig=encode_mac(mac, sent).encode()), NOW)
    assert refused is not None
    if sent == agreed:
        assert refused.reason is Reason.SIGNATURE_MISMATCH
    else:
        assert refused.reason is Reason.SIGNATURE_MALFORMED
        assert f"holds {sent}, and encoding is '{agreed}'" in refused.checks[0].detail


def test_a_missing_prefix_is_named() -> None:
    """A signature without the agreed prefix is malformed, and the refusal says which prefix."""
    refused = scheme_of(prefix="sha256=").refusal(request_of(x_sig=openssl(BODY).hex().encode()), NOW)
    assert reason_of(refused) is Reason.SIGNATURE_MALFORMED
    assert refused is not None
    assert "'sha256='" in refused.checks[0].detail


@pytest.mark.parametrize("stamp", [b"", b"-1", b"1e9", b"\xb2\xb2", b"1" * 17, b"2026-03-02T14:30:00", b"1772461800.5"])
def test_a_time_that_is_none_is_refused(stamp: bytes) -> None:
    """Only digits, or a time with its zone, are a time; the rest, and an absent header, count as missing."""
    scheme = scheme_of(signed="{timestamp}.{body}", timestamp_header="X-Time")
    mac = openssl(stamp + b"." + BODY).hex().encode()
    assert reason_of(scheme.refusal(request_of(x_sig=mac, x_time=stamp), NOW)) is Reason.TIMESTAMP_MISSING
    assert reason_of(scheme.refusal(request_of(x_sig=mac), NOW)) is Reason.TIMESTAMP_MISSING


@pytest.mark.parametrize(("offset", "reason"), [(0, None), (300, None), (-300, None), (301, "x"), (-301, "x")])
@pytest.mark.parametrize("unit", [1, 1000])
def test_the_time_of_signing_may_differ_by_the_tolerance(offset: int, reason: str | None, unit: int) -> None:
    """Seconds and milliseconds are both read; outside the tolerance the skew is told."""
    scheme = scheme_of(signed="{timestamp}.{body}", timestamp_header="X-Time")
    stamp = str((int(NOW) + offset) * unit).encode()
    refused = scheme.refusal(request_of(x_sig=openssl(stamp + b"." + BODY).hex().encode(), x_time=stamp), NOW)
    assert reason_of(refused) is (Reason.TIMESTAMP_STALE if reason else None)
    assert refused is None or refused.checks[0].skew == offset


def test_our_own_headers_are_accepted() -> None:
    """`headers` writes what `refusal` wants, with the time where it is signed."""
    for settings in ({}, {"signed": "v0:{timestamp}:{body}", "timestamp_header": "X-Time", "prefix": "v0="}):
        scheme = scheme_of("one", "two", **settings)
        request = msgspec.structs.replace(request_of(), headers=tuple(scheme.headers(BODY, NOW)))
        assert scheme.refusal(request, NOW + 1) is None
        assert pickle.loads(pickle.dumps(scheme)).refusal(request, NOW) is None


CHANGES = {
    "a newline was added": (BODY + b"\n", "without the trailing newline"),
    "a newline was taken": (BODY, "with a trailing newline"),
    "spaces were taken": (json.dumps(json.loads(BODY), separators=(",", ":")).encode(), "as spaced JSON, unescaped"),
    "letters were escaped": (json.dumps(json.loads(BODY)).encode(), "as spaced JSON, unescaped"),
    "a byte order mark was added": (b"\xef\xbb\xbf" + BODY, "without the byte order mark"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_on_the_way_is_found(change: str) -> None:
    """A body that a proxy or framework changed is refused, and explain says what was done to it."""
    arrived, words = CHANGES[change]
    sent = BODY + b"\n" if change == "a newline was taken" else BODY
    scheme = scheme_of("other", "s3cret")
    request = request_of(arrived, x_sig=openssl(sent).hex().encode())
    assert reason_of(scheme.refusal(request, NOW)) is Reason.SIGNATURE_MISMATCH
    check = next(iter(scheme.explain(request, NOW)))
    assert words in check.detail
    assert (check.secret, check.ok) == (2, False)


def test_explain_is_silent_where_nothing_explains_it() -> None:
    """A request that is right, unsigned, or signed by somebody else has nothing to explain."""
    scheme = scheme_of()
    for mac in (openssl(BODY), openssl(BODY, "other"), b""):
        assert list(scheme.explain(request_of(x_sig=mac.hex().encode()), NOW)) == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\n",
        b"\r\n",
        b"\xff\xfe",
        b'"\\ud800"',
        b"[" * 100_000,
        b"1" * 10_000,
        b'{"a":1e999}',
        b"\xef\xbb\xbf",
        b"NaN",
    ],
)
def test_any_body_can_be_looked_at(body: bytes) -> None:
    """Garbage, depth, huge numbers and half a surrogate pair give bodies to try, and never raise."""
    assert all(isinstance(changed, bytes) for _, changed in changed_bodies(body))


def test_half_a_surrogate_pair_is_tried_escaped() -> None:
    """The escaped spelling is tried also where the unescaped one cannot be written as UTF-8 proper."""
    assert b'["\\ud800"]' in {body for _, body in changed_bodies(b'[ "\\uD800" ]')}


def test_large_bodies_are_not_parsed() -> None:
    """Beyond a mebibyte only line ends are tried, so that explaining stays cheap."""
    assert len(list(changed_bodies(b'["' + b"a" * (1 << 20) + b'"]'))) == 1


@pytest.mark.parametrize("name", ["X Sig", "", "X:Sig", "X-Sig\n", "Sïg"])
def test_a_header_name_is_checked(name: str) -> None:
    """A name that no header can have never matches, so it is a ConfigError."""
    with pytest.raises(ConfigError, match="header"):
        SignatureSettings(header=name).check()
    with pytest.raises(ConfigError, match="timestamp_header"):
        SignatureSettings(header="X", signed="{timestamp}{body}", timestamp_header=name).check()


def test_random_headers_never_prove() -> None:
    """Two thousand random MACs, of all sizes, are refused."""
    dice, scheme = random.Random(7), scheme_of()
    for _ in range(2000):
        text = hashlib.sha256(dice.randbytes(8)).hexdigest()[: dice.choice([64, 64, 63, 10])]
        assert scheme.refusal(request_of(x_sig=text.encode()), NOW) is not None
