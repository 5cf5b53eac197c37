"""Proof beside the plain HMAC: what others signed proves, no mutation of it does, and hostile bytes never raise."""

import base64
import hmac
import json
import random
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
import standardwebhooks
from cryptography.hazmat.primitives.asymmetric import ed25519, x25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from receiver.contract.diagnosis import signed_otherwise
from receiver.contract.door import Door
from receiver.contract.errors import ConfigError, UsageError
from receiver.contract.model import InboundRequest, Verdict
from receiver.contract.proof import Check, HmacScheme, Proven, Reason, Refused, SignatureSettings
from receiver.contract.schemes import (
    BasicScheme,
    BasicSettings,
    Ed25519Scheme,
    Ed25519Settings,
    HeaderSecretScheme,
    HeaderSecretSettings,
    Scheme,
    read_public_key,
)
from receiver.contract.settings import Secret, SourceSettings
from receiver.contract.webhooks import StandardWebhooks, StandardWebhooksSettings, generate, shared_bytes

NOW = 1_772_461_800.0
STAMP = "1772461800"
BODY = '{"id": "a1", "text": "Zoë said 10.0"}'.encode()
WHSEC = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_" + base64.b64encode(b"another key of twenty-six b").decode()
PRIVATE = ed25519.Ed25519PrivateKey.from_private_bytes(b"seed of thirty-two bytes, for us")
PUBLIC = PRIVATE.public_key().public_bytes_raw()
LONG = "a-secret-of-ours-0123456789"


def request_of(headers: dict[str, str], body: bytes = BODY) -> InboundRequest:
    """Make a request."""
    named = tuple((name.lower().encode(), value.encode()) for name, value in headers.items())
    return InboundRequest(source="s", token=None, headers=named, body=body, received_at=0)


def reason(refused: Refused | None) -> Reason | None:
    """Return why, None where it proves."""
    return refused.reason if refused else None


def node(script: str, *arguments: str) -> str:
    """Run a script in Node; return what it printed."""
    done = subprocess.run(["node", "-e", script, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def convert(cls: Any, **table: Any) -> Any:
    """Make settings of a table."""
    return msgspec.convert(table, cls, dec_hook=lambda _, value: Secret(value))


def standard(*, names: str = "webhook", secret: str = WHSEC, body: bytes = BODY) -> InboundRequest:
    """Return a request that the reference package signed."""
    judge = standardwebhooks.Webhook(secret)
    signature = judge.sign("msg_1", datetime.fromtimestamp(int(STAMP), UTC), body.decode())
    return request_of({f"{names}-id": "msg_1", f"{names}-timestamp": STAMP, f"{names}-signature": signature}, body)


def by_openssl(folder: Path, content: bytes) -> bytes:
    """Return the Ed25519 signature that OpenSSL makes with our private key."""
    der = bytes.fromhex("302e020100300506032b657004220420") + PRIVATE.private_bytes_raw()
    (folder / "key.der").write_bytes(der)
    (folder / "content").write_bytes(content)
    command = "openssl pkeyutl -sign -inkey key.der -keyform DER -rawin -in content"
    return subprocess.run(command.split(), cwd=folder, capture_output=True, check=True).stdout


# Standard Webhooks


@pytest.mark.parametrize("names", ["webhook", "svix"])
def test_what_the_reference_package_signs_proves(names: str) -> None:
    """Both names of the headers, any of several keys, within five minutes on both sides."""
    scheme = StandardWebhooks(convert(StandardWebhooksSettings, secrets=[OTHER, WHSEC]))
    for off in (0, 299, -299):
        assert scheme.refusal(standard(names=names), NOW + off) is None
    assert reason(scheme.refusal(standard(names=names), NOW + 301)) is Reason.TIMESTAMP_STALE
    assert reason(scheme.refusal(standard(names=names), NOW - 301)) is Reason.TIMESTAMP_STALE
    assert reason(scheme.refusal(standard(secret=generate().secret.value), NOW)) is Reason.SIGNATURE_MISMATCH


def test_a_key_without_its_prefix_is_the_same() -> None:
    """Some senders show the base64 alone."""
    assert shared_bytes(Secret(WHSEC)) == shared_bytes(Secret(f" {WHSEC.removeprefix('whsec_')}\n"))
    scheme = StandardWebhooks(convert(StandardWebhooksSettings, secrets=[WHSEC.removeprefix("whsec_")]))
    assert scheme.refusal(standard(), NOW) is None


def test_what_node_signs_with_ed25519_proves() -> None:
    """v1a, by a pair that Node made; among signatures that we do not understand."""
    script = """
const c = require("crypto"), { publicKey, privateKey } = c.generateKeyPairSync("ed25519");
const signature = c.sign(null, Buffer.from(process.argv[1], "base64"), privateKey).toString("base64");
console.log(JSON.stringify([signature, publicKey.export({ format: "jwk" }).x]));"""
    content = b"msg_1." + STAMP.encode() + b"." + BODY
    signature, x = json.loads(node(script, base64.b64encode(content).decode()))
    public = "whpk_" + base64.b64encode(base64.urlsafe_b64decode(x + "=")).decode()
    scheme = StandardWebhooks(convert(StandardWebhooksSettings, public_keys=[public]))
    headers = {"webhook-id": "msg_1", "webhook-timestamp": STAMP}
    given = f"v2,abcd v1,{base64.b64encode(bytes(32)).decode()} v1a,{signature}"
    assert scheme.refusal(request_of({**headers, "webhook-signature": given}), NOW) is None
    for other in (b"", BODY + b" "):
        refused = scheme.refusal(request_of({**headers, "webhook-signature": given}, other), NOW)
        assert reason(refused) is Reason.SIGNATURE_MISMATCH
    with pytest.raises(UsageError):
        scheme.headers(BODY, NOW)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"webhook-signature": None}, Reason.SIGNATURE_MISSING),
        ({"webhook-id": None}, Reason.SIGNATURE_MISSING),
        ({"webhook-id": ""}, Reason.SIGNATURE_MISSING),
        ({"webhook-timestamp": None}, Reason.TIMESTAMP_MISSING),
        ({"webhook-timestamp": "1e9"}, Reason.TIMESTAMP_MISSING),
        ({"webhook-signature": "v1"}, Reason.SIGNATURE_MALFORMED),
        ({"webhook-signature": "v1,=="}, Reason.SIGNATURE_MALFORMED),
        ({"webhook-signature": "v3,AAAA v1,AAAA"}, Reason.SIGNATURE_MALFORMED),
        ({"webhook-id": "msg_2"}, Reason.SIGNATURE_MISMATCH),
        ({"webhook-timestamp": "1772461801"}, Reason.SIGNATURE_MISMATCH),
    ],
)
def test_what_is_missing_or_changed_is_said(changes: dict[str, str | None], why: Reason) -> None:
    """Every part counts, and the operator learns which."""
    whole = {name.decode(): value.decode() for name, value in standard().headers}
    headers = {name: value for name, value in {**whole, **changes}.items() if value is not None}
    scheme = StandardWebhooks(convert(StandardWebhooksSettings, secrets=[WHSEC]))
    assert reason(scheme.refusal(request_of(headers), NOW)) is why


def test_a_body_that_was_changed_on_its_way_is_explained() -> None:
    """A trailing newline that a proxy added is named, with the key that fits."""
    scheme = StandardWebhooks(convert(StandardWebhooksSettings, secrets=[OTHER, WHSEC]))
    request = msgspec.structs.replace(standard(), body=BODY + b"\n")
    (check, *_) = scheme.explain(request, NOW)
    assert (check.secret, "without the trailing newline" in check.detail) == (2, True)
    assert list(scheme.explain(standard(), NOW)) == []


@pytest.mark.parametrize(
    ("table", "why"),
    [
        ({}, "secrets"),
        ({"secrets": [""]}, "empty"),
        ({"secrets": ["whsec_"]}, "empty"),
        ({"secrets": ["whsec_!!"]}, "base64"),
        ({"secrets": ["whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="]}, "public_keys"),
        ({"public_keys": ["whpk_short"]}, "public_keys"),
        ({"secrets": [WHSEC], "names": ["web hook"]}, "names"),
    ],
)
def test_wrong_keys_are_explained(table: dict[str, Any], why: str) -> None:
    """A key of the wrong form is a ConfigError that names the setting."""
    with pytest.raises(ConfigError, match=why):
        StandardWebhooks(convert(StandardWebhooksSettings, **table))


# Ed25519 over a template


@pytest.mark.parametrize("form", ["hex", "base64", "whpk", "pem"])
def test_every_form_of_a_public_key_is_read(form: str) -> None:
    """Hex, base64, whpk_ and PEM are the same key."""
    text = {
        "hex": PUBLIC.hex().upper(),
        "base64": base64.b64encode(PUBLIC).decode().rstrip("="),
        "whpk": "whpk_" + base64.b64encode(PUBLIC).decode(),
        "pem": PRIVATE.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode(),
    }[form]
    assert read_public_key(text) == PUBLIC


def test_what_is_no_public_key_is_said() -> None:
    """Short ones, other kinds and broken PEM are ConfigErrors."""
    other = x25519.X25519PrivateKey.generate().public_key()
    pem = other.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    for text in ("", "abc", PUBLIC.hex()[:-2], pem, "-----BEGIN PUBLIC KEY-----\nx"):
        with pytest.raises(ConfigError, match="public_keys"):
            read_public_key(text)
    with pytest.raises(ConfigError, match="public_keys"):
        Ed25519Scheme(convert(Ed25519Settings, header="X-Sig", public_keys=[]))


@pytest.mark.parametrize(("signed", "encoding"), [("{timestamp}{body}", "hex"), ("{timestamp}|{body}", "base64")])
def test_what_openssl_signs_proves(tmp_path: Path, signed: str, encoding: str) -> None:
    """As Discord and Telnyx sign: a header with the signature, one with the time."""
    how = {"header": "X-Sig", "timestamp_header": "X-Time", "signed": signed, "encoding": encoding}
    scheme = Ed25519Scheme(convert(Ed25519Settings, public_keys=[bytes(31).hex() + "01", PUBLIC.hex()], **how))
    content = signed.replace("{timestamp}", STAMP).encode().replace(b"{body}", BODY)
    signature = by_openssl(tmp_path, content)
    text = signature.hex() if encoding == "hex" else base64.b64encode(signature).decode()
    headers = {"X-Sig": text, "X-Time": STAMP}
    assert scheme.refusal(request_of(headers), NOW) is None
    assert reason(scheme.refusal(request_of(headers, BODY + b" "), NOW)) is Reason.SIGNATURE_MISMATCH
    assert {check.secret for check in scheme.explain(request_of(headers, BODY + b"\n"), NOW)} == {2}
    assert reason(scheme.refusal(request_of({"X-Sig": text[:-4], "X-Time": STAMP}), NOW)) is Reason.SIGNATURE_MALFORMED
    with pytest.raises(UsageError):
        scheme.headers(BODY, NOW)


# HMAC: lists in a header, other headers, encoded keys


def hmac_scheme(*secrets: str, **settings: Any) -> HmacScheme:
    """Make a scheme whose header is X-Sig."""
    how = convert(SignatureSettings, header="X-Sig", **settings)
    return HmacScheme(how, [Secret(secret) for secret in secrets or ("s3cret",)])


def openssl(content: bytes, key: bytes = b"s3cret") -> str:
    """Return the HMAC-SHA256 that OpenSSL makes, in hex."""
    command = ["openssl", "dgst", "-sha256", "-mac", "HMAC", "-macopt", f"hexkey:{key.hex()}", "-binary"]
    return subprocess.run(command, input=content, capture_output=True, check=True).stdout.hex()


@pytest.mark.parametrize("between", [",", ", ", ";"])
def test_a_signature_in_a_list_proves(between: str) -> None:
    """`t=…,v1=…` as Stripe, ElevenLabs and Paddle write it; one of several v1 is enough."""
    scheme = hmac_scheme(part="v1", timestamp_part="t", signed="{timestamp}.{body}")
    good = openssl(STAMP.encode() + b"." + BODY)
    for parts in ([f"t={STAMP}", f"v1={good}"], [f"v1={'0' * 64}", f"v1={good}", "v0=abc", f"t={STAMP}"]):
        assert scheme.refusal(request_of({"X-Sig": between.join(parts)}), NOW) is None
    assert reason(scheme.refusal(request_of({"X-Sig": f"v1={good}"}), NOW)) is Reason.TIMESTAMP_MISSING
    assert reason(scheme.refusal(request_of({"X-Sig": f"t={STAMP},v2={good}"}), NOW)) is Reason.SIGNATURE_MALFORMED
    assert reason(scheme.refusal(request_of({"X-Sig": f"t={STAMP}"}), NOW + 999)) is Reason.SIGNATURE_MALFORMED
    assert dict(scheme.headers(BODY, NOW))[b"x-sig"].decode() == f"t={STAMP},v1={good}"


def test_other_headers_are_signed_too() -> None:
    """As Twitch signs: an id, a time in RFC 3339 and the body; each of them counts."""
    stamp = "2026-03-02T14:30:00.123456789Z"
    scheme = hmac_scheme(signed="{header:X-Id}{timestamp}{body}", timestamp_header="X-Time", prefix="sha256=")
    headers = {"X-Sig": "sha256=" + openssl(b"m-1" + stamp.encode() + BODY), "X-Time": stamp, "X-Id": "m-1"}
    assert scheme.refusal(request_of(headers), NOW) is None
    assert reason(scheme.refusal(request_of({**headers, "X-Id": "m-2"}), NOW)) is Reason.SIGNATURE_MISMATCH
    assert reason(scheme.refusal(request_of({**headers, "X-Id": ""}), NOW)) is Reason.SIGNATURE_MISMATCH
    without = {name: value for name, value in headers.items() if name != "X-Id"}
    assert reason(scheme.refusal(request_of(without), NOW)) is Reason.SIGNATURE_MISSING
    ours = InboundRequest(source="s", token=None, headers=tuple(scheme.headers(BODY, NOW)), body=BODY, received_at=0)
    assert scheme.refusal(ours, NOW) is None


@pytest.mark.parametrize(
    ("key", "secret"),
    [
        ("base64", "c2VjcmV0IGtleSBieXRlcw"),
        ("base64", "whsec_c2VjcmV0IGtleSBieXRlcw=="),
        ("hex", b"secret key bytes".hex()),
    ],
)
def test_an_encoded_key_is_decoded(key: str, secret: str) -> None:
    """Some senders show a key in base64 or hex; diagnosis finds which, with the setting that says so."""
    request = request_of({"X-Sig": openssl(BODY, b"secret key bytes")})
    assert hmac_scheme(secret, key=key).refusal(request, NOW) is None
    (check,) = signed_otherwise(request, [Secret(secret)])
    assert f'key = "{key}"' in check.detail


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"signed": "{body}{header:bad name}"}, "{header:bad name} is unknown"),
        ({"signed": "{timestamp}{body}"}, "timestamp_header"),
        ({"timestamp_part": "t", "signed": "{timestamp}{body}"}, "timestamp_part"),
        (
            {"part": "v1", "timestamp_part": "t", "timestamp_header": "X-T", "signed": "{timestamp}{body}"},
            "timestamp_part",
        ),
        ({"key": "hex"}, "hex"),
        ({"key": "base64"}, "base64"),
    ],
)
def test_contradictions_are_errors(settings: dict[str, Any], why: str) -> None:
    """What cannot be meant is said when the settings are read; no secret is in it."""
    with pytest.raises(ConfigError, match=why) as caught:
        hmac_scheme("this is no key!", **settings)
    assert "this is no key!" not in str(caught.value)


# A secret in a header, HTTP basic


def test_a_secret_in_a_header_proves_and_no_other() -> None:
    """After its prefix, any of several, in full."""
    table = {"name": "Authorization", "prefix": "Bearer ", "values": [LONG, "zweites-Geheimnis-Zoë"]}
    scheme = HeaderSecretScheme(convert(HeaderSecretSettings, **table))
    for right in (LONG, "zweites-Geheimnis-Zoë"):
        assert scheme.refusal(request_of({"Authorization": f"Bearer {right}"}), NOW) is None
    for wrong in (
        "",
        "Bearer ",
        f"Basic {LONG}",
        LONG,
        f"Bearer {LONG[:-1]}",
        f"Bearer {LONG}x",
        f"Bearer {LONG.upper()}",
    ):
        assert reason(scheme.refusal(request_of({"Authorization": wrong}), NOW)) is Reason.CREDENTIALS_WRONG
    assert reason(scheme.refusal(request_of({}), NOW)) is Reason.CREDENTIALS_MISSING
    assert scheme.headers(BODY, NOW) == [(b"authorization", f"Bearer {LONG}".encode())]


def test_basic_as_curl_and_others_write_it() -> None:
    """User and password in UTF-8, the word in any case, with or without padding."""
    scheme = BasicScheme(
        convert(BasicSettings, user="deepgram", passwords=["another-password-1", "pässword-of-ours-0"])
    )
    text = base64.b64encode("deepgram:pässword-of-ours-0".encode()).decode()
    for credentials in (f"Basic {text}", f"basic {text}", f"BASIC  {text.rstrip('=')}"):
        assert scheme.refusal(request_of({"Authorization": credentials}), NOW) is None
    wrong = base64.b64encode(b"other:another-password-1").decode()
    for credentials in ("Basic", "Basic ", "Basic ====", f"Basic {wrong}", f"Bearer {text}", text):
        assert reason(scheme.refusal(request_of({"Authorization": credentials}), NOW)) is Reason.CREDENTIALS_WRONG
    ours = InboundRequest(source="s", token=None, headers=tuple(scheme.headers(BODY, NOW)), body=b"", received_at=0)
    assert scheme.refusal(ours, NOW) is None


@pytest.mark.parametrize(
    ("cls", "table", "why"),
    [
        (HeaderSecretSettings, {"name": "X Y", "values": [LONG]}, "name"),
        (HeaderSecretSettings, {"name": "X-Y", "values": []}, "values"),
        (HeaderSecretSettings, {"name": "X-Y", "values": ["short"]}, "5 characters can be guessed"),
        (HeaderSecretSettings, {"name": "X-Y", "values": [""]}, "empty"),
        (BasicSettings, {"user": "a:b", "passwords": [LONG]}, "colon"),
        (BasicSettings, {"user": "a", "passwords": []}, "passwords"),
        (BasicSettings, {"user": "a", "passwords": ["short"]}, "5 characters can be guessed"),
    ],
)
def test_guessable_credentials_are_errors(cls: Any, table: dict[str, Any], why: str) -> None:
    """What anybody could guess is no proof."""
    with pytest.raises(ConfigError, match=why):
        convert(cls, **table).check()


@pytest.mark.parametrize("given", [LONG, "third-secret-of-ours", "none-of-them-at-all-"])
def test_every_secret_is_compared_in_constant_time(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever it is, all three are compared, by digests of one length."""
    compared: list[tuple[int, int]] = []
    real = hmac.compare_digest

    def recorded(left: bytes, right: bytes) -> bool:
        compared.append((len(left), len(right)))
        return real(left, right)

    values = [LONG, "second-secret-of-ours", "third-secret-of-ours"]
    scheme = HeaderSecretScheme(convert(HeaderSecretSettings, name="X-Y", values=values))
    monkeypatch.setattr(hmac, "compare_digest", recorded)
    scheme.refusal(request_of({"X-Y": given}), NOW)
    assert compared == [(32, 32)] * 3


# All of them


def made(name: str) -> tuple[Any, InboundRequest]:
    """Return a scheme and a request that proves by it."""
    if name == "standard":
        return StandardWebhooks(convert(StandardWebhooksSettings, secrets=[WHSEC])), standard()
    if name == "v1a":
        content = b"msg_1." + STAMP.encode() + b"." + BODY
        signature = "v1a," + base64.b64encode(PRIVATE.sign(content)).decode()
        headers = {"webhook-id": "msg_1", "webhook-timestamp": STAMP, "webhook-signature": signature}
        return StandardWebhooks(convert(StandardWebhooksSettings, public_keys=[PUBLIC.hex()])), request_of(headers)
    if name == "ed25519":
        scheme = Ed25519Scheme(convert(Ed25519Settings, header="X-Sig", public_keys=[PUBLIC.hex()]))
        return scheme, request_of({"X-Sig": PRIVATE.sign(BODY).hex()})
    if name == "list":
        listed = hmac_scheme(part="v1", timestamp_part="t", signed="{timestamp}.{header:X-Id}.{body}")
        mac = openssl(STAMP.encode() + b".m-1." + BODY)
        return listed, request_of({"X-Sig": f"t={STAMP},v1={mac}", "X-Id": "m-1"})
    if name == "header":
        return HeaderSecretScheme(convert(HeaderSecretSettings, name="X-Y", values=[LONG])), request_of({"X-Y": LONG})
    basic = BasicScheme(convert(BasicSettings, user="u", passwords=[LONG]))
    return basic, request_of({"Authorization": "Basic " + base64.b64encode(f"u:{LONG}".encode()).decode()})


NAMES = ["standard", "v1a", "ed25519", "list", "header", "basic"]
UNSIGNED = ("header", "basic")


@pytest.mark.parametrize("name", NAMES)
def test_no_mutation_proves(name: str) -> None:
    """Of 600 requests with one to three bits changed in what proves, none is proven."""
    scheme, request = made(name)
    assert scheme.refusal(request, NOW) is None
    dice = random.Random(name)
    for _ in range(600):
        mutated = mutation(request, dice, body=name not in UNSIGNED)
        if meant(name, mutated) != meant(name, request):
            assert scheme.refusal(mutated, NOW) is not None, mutated


def mutation(request: InboundRequest, dice: random.Random, *, body: bool) -> InboundRequest:
    """Change one to three bits of the body or of one header."""
    place = dice.randrange(len(request.headers) + body)
    data = bytearray(request.body if place == len(request.headers) else request.headers[place][1])
    for _ in range(dice.randint(1, 3)):
        data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
    if place == len(request.headers):
        return msgspec.structs.replace(request, body=bytes(data))
    headers = list(request.headers)
    headers[place] = (headers[place][0], bytes(data))
    return msgspec.structs.replace(request, headers=tuple(headers))


def meant(name: str, request: InboundRequest) -> Any:
    """Return a request as its scheme reads it: hex and the word Basic in any case, white space around values, padding."""
    values = [value.decode("latin-1").strip() for _, value in request.headers]
    if name in ("ed25519", "list"):
        values[0] = values[0].lower().replace(";", ",")
    if name == "basic":
        values[0] = values[0][:6].lower() + values[0][6:].strip().rstrip("=")
    return request.body if name not in UNSIGNED else b"", values


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
def test_hostile_headers_never_raise(name: str, data: st.DataObject) -> None:
    """Any bytes in any header: it returns or refuses, explains without a secret, and garbage proves nothing."""
    scheme, request = HOSTILE[name]
    headers = tuple((key, data.draw(st.binary(max_size=200))) for key, _ in request.headers)
    hostile = msgspec.structs.replace(request, headers=headers, body=data.draw(st.binary(max_size=100)))
    refused = scheme.refusal(hostile, NOW)
    assert isinstance(refused, Refused) or headers == request.headers
    checks = [*(refused.checks if refused else ()), *scheme.explain(hostile, NOW)]
    assert all(isinstance(check, Check) for check in checks)
    assert not any(secret in str(checks) for secret in (LONG, WHSEC, "s3cret"))


HOSTILE = {name: made(name) for name in NAMES}


def door(require: Any, *schemes: Scheme, token: str = "") -> Door:
    """Make a door of schemes and a token."""
    settings = SourceSettings(provider="x", token=(Secret(token),) if token else ())
    return Door(settings, None, (), require, schemes)


@pytest.mark.parametrize("require", ["all", "any"])
def test_a_door_of_several_schemes(require: str) -> None:
    """With all, each must be right; with any, one is enough, and the strongest names the verdict."""
    signed, right = made("standard")
    secret, _ = made("header")
    with_secret = msgspec.structs.replace(right, headers=(*right.headers, (b"x-y", LONG.encode())))
    either = door(require, signed, secret, token="the-token-of-ours")
    both = msgspec.structs.replace(with_secret, token="the-token-of-ours")
    proof = either.prove(both, NOW)
    assert isinstance(proof, Proven)
    assert proof.verdict is Verdict.SIGNATURE
    assert len(either.ways()) == 3

    def lacking(request: InboundRequest) -> bool:
        return isinstance(either.prove(request, NOW), Refused)

    assert lacking(right) is (require == "all")
    assert lacking(msgspec.structs.replace(with_secret, token="another")) is (require == "all")
    token, headers = either.sign(BODY, NOW)
    again = InboundRequest(source="s", token=token, headers=tuple(headers), body=BODY, received_at=0)
    assert isinstance(either.prove(again, NOW), Proven)
    assert {check.ok for check in either.explain(both, NOW)} == {True}
