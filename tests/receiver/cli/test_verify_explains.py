"""`hookscribe verify` on requests given by hand, for every provider: what was signed, each secret, what would match."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from receiver import cli

SECRET, OTHER = "canary-secret-0123456789", "canary-older-0123456789"
SHARED = "whsec_Y2FuYXJ5LXNoYXJlZC1rZXktMDEyMzQ1Njc4OQ=="
TOKEN = "canary-token-0123456789"
PRIVATE = Ed25519PrivateKey.from_private_bytes(b"canary private key of 32 bytes.."[:32])
BODY = b'{"id":"job_1","status":"completed","transcript":{"text":"canary words"}}'
NOW = "1772461800"
YEARS = 3e9

CONFIG = f"""
[sources.callcov]
provider = "callcov"
secrets = ["{OTHER}", "{SECRET}"]
signature = {{ header = "X-Signature", prefix = "sha256=", timestamp_header = "X-Time", signed = "{{timestamp}}.{{body}}", tolerance = {YEARS} }}

[sources.callmissed]
provider = "callmissed"
secrets = ["{OTHER}", "{SECRET}"]

[sources.invox]
provider = "invox"
webhook_api_key = "{OTHER}"
webhook_secret_key = "{SECRET}"
callback_signature = "required"

[sources.ring]
provider = "ringcentral"
verification_token = ["{OTHER}", "{SECRET}"]

[sources.ringtoken]
provider = "ringcentral"
token = ["{OTHER}", "{TOKEN}"]

[sources.hmac]
provider = "generic"
secrets = ["{OTHER}", "{SECRET}"]
signature = {{ header = "X-Sig", part = "s", timestamp_part = "t", signed = "{{timestamp}}.{{header:X-Id}}.{{body}}", tolerance = {YEARS} }}
job_id = "id"

[sources.standard]
provider = "generic"
standard_webhooks = {{ secrets = ["{SHARED}"], tolerance = {YEARS} }}
job_id = "id"

[sources.ed]
provider = "generic"
ed25519 = {{ header = "X-Ed", public_keys = ["{PRIVATE.public_key().public_bytes_raw().hex()}"] }}
job_id = "id"

[sources.static]
provider = "generic"
header = {{ name = "X-Key", values = ["{OTHER}", "{SECRET}"] }}
job_id = "id"

[sources.basic]
provider = "generic"
basic = {{ user = "ann", passwords = ["{OTHER}", "{SECRET}"] }}
job_id = "id"
"""


def mac(content: bytes, key: str | bytes = SECRET) -> bytes:
    """Return an HMAC-SHA256."""
    return hmac.digest(key.encode() if isinstance(key, str) else key, content, "sha256")


def b64(raw: bytes) -> str:
    """Return Base64."""
    return base64.b64encode(raw).decode()


def signed_over(content: bytes) -> str:
    """Return what says of a content which it is."""
    return f"{len(content)} bytes, SHA-256 {hashlib.sha256(content).hexdigest()}"


@pytest.fixture
def verify(tmp_path: Path) -> Callable[..., tuple[dict[str, Any], list[str]]]:
    """Run `verify` on a request by hand; return what it prints, and its checks as lines. No secret is in it."""
    file = tmp_path / "hookscribe.toml"
    file.write_text(f'store = "sqlite:{tmp_path}/store.db"\n' + CONFIG)
    environ = {"HOOKSCRIBE_CONFIG": str(file), "DYNO": None, "DATABASE_URL": None, "PORT": None}

    def run(source: str, headers: Mapping[str, str], body: bytes = BODY, token: str | None = None) -> Any:
        given = [part for name, value in headers.items() for part in ("--header", f"{name}: {value}")]
        words = ["verify", "--source", source, "--body", "-", *given, *(("--token", token) if token else ())]
        shown = CliRunner().invoke(cli.hookscribe, [*words, "--json"], env=environ, input=body)
        for text in (shown.output, CliRunner().invoke(cli.hookscribe, words, env=environ, input=body).output):
            assert not [word for word in (SECRET, OTHER, SHARED, TOKEN, "canary") if word in text], text
        answer = json.loads(shown.stdout)
        assert shown.exit_code == int(answer["result"] != "proven")
        return answer, [f"{one['secret'] or ''} {one['detail']}".strip() for one in answer["checks"]]

    return run


SIG_TIMED = mac(NOW.encode() + b"." + BODY)
HMAC_CONTENT = NOW.encode() + b".id-7." + BODY
STANDARD = b"msg_1." + NOW.encode() + b"." + BODY
SHARED_KEY = base64.b64decode(SHARED.removeprefix("whsec_"))
INVOX_SIGNED = b"r1||1772461800"
STRANGE = b'{ "id": "job_1", "n": 1 }'


def invox(signature: str) -> bytes:
    """Return a callback of INVOX's."""
    return json.dumps(
        {"requestId": "r1", "transcription": None, "createdAt": 1772461800, "signature": signature}
    ).encode()


def standard(name: str, body: bytes = BODY) -> dict[str, str]:
    """Return the headers of Standard Webhooks, under a name."""
    signature = f"v1,{b64(mac(b'msg_1.' + NOW.encode() + b'.' + body, SHARED_KEY))}"
    return {f"{name}-id": "msg_1", f"{name}-timestamp": NOW, f"{name}-signature": signature}


PROVEN: dict[str, tuple[dict[str, str], bytes]] = {
    "callcov": ({"X-Signature": f"sha256={SIG_TIMED.hex()}", "X-Time": NOW}, NOW.encode() + b"." + BODY),
    "callmissed": ({"X-CallMissed-Signature": f"sha256={mac(BODY).hex()}"}, BODY),
    "standard": (standard("webhook"), STANDARD),
    "ed": ({"X-Ed": PRIVATE.sign(BODY).hex()}, BODY),
    "hmac": ({"X-Sig": f"t={NOW},s={mac(HMAC_CONTENT).hex()}", "X-Id": "id-7"}, HMAC_CONTENT),
}


@pytest.mark.parametrize("source", PROVEN)
def test_a_right_request_shows_what_was_signed_and_which_secret_did(source: str, verify: Any) -> None:
    """The template, size and digest of the signed string; the first secret does not fit, the second does."""
    headers, content = PROVEN[source]
    answer, said = verify(source, headers)
    assert answer["result"] == "proven"
    assert [line for line in said if signed_over(content) in line]
    one = {"standard", "ed"}
    wrong = [] if source in one else ["1 makes another signature"]
    made = f"{1 if source in one else 2} makes the signature that came"
    assert [line for line in said if line[0] in "12"] == [*wrong, made]


def test_invox_shows_the_values_that_were_signed(verify: Any) -> None:
    """Their count, size and digest, without the apiKey that ends them; and which pair of keys fits."""
    right = b64(mac(INVOX_SIGNED + b"|" + OTHER.encode()))
    answer, said = verify("invox", {}, invox(right))
    assert answer["result"] == "proven"
    assert [line for line in said if f"SHA-256 {hashlib.sha256(INVOX_SIGNED).hexdigest()}" in line]
    assert (
        "1 key webhook_secret_key 1, apiKey webhook_api_key 1: makes the signature that came (documented order)" in said
    )


@pytest.mark.parametrize(
    ("source", "headers"),
    [
        ("static", {"X-Key": SECRET}),
        ("basic", {"Authorization": f"Basic {b64(f'ann:{SECRET}'.encode())}"}),
        ("ring", {"Verification-Token": SECRET}),
    ],
)
def test_a_header_that_holds_a_secret_says_which(source: str, headers: dict[str, str], verify: Any) -> None:
    """The first is another value, the second is it; the value is not shown."""
    answer, said = verify(source, headers)
    assert answer["result"] == "proven"
    assert [line for line in said if "makes" in line] == ["1 makes another value", "2 makes the value that came"]


def test_a_token_of_the_url_says_which(verify: Any) -> None:
    """Both tokens are compared, none is shown."""
    answer, said = verify("ringtoken", {}, token=TOKEN)
    assert answer["result"] == "proven"
    assert {"1 makes another token", "2 makes the token that came"} <= {*said}
    answer, said = verify("ringtoken", {}, token=TOKEN[:-1])
    assert answer["reason"] == "token_unknown"
    assert {"1 makes another token", "2 makes another token"} <= {*said}


TIMED = {"X-Time": NOW}
WOULD: dict[str, tuple[str, dict[str, str], bytes, str]] = {
    "callcov in base64": ("callcov", {"X-Signature": f"sha256={b64(SIG_TIMED)}", **TIMED}, BODY, 'encoding = "base64"'),
    "callcov in another header": ("callcov", {"X-Hub": f"sha256={SIG_TIMED.hex()}", **TIMED}, BODY, 'header = "X-Hub"'),
    "callcov without the time": ("callcov", {"X-Signature": f"sha256={mac(BODY).hex()}", **TIMED}, BODY, '"{body}"'),
    "callcov with a newline": (
        *(
            "callcov",
            {"X-Signature": f"sha256={SIG_TIMED.hex()}", **TIMED},
            BODY + b"\n",
            "without the trailing newline",
        ),
    ),
    "callmissed written anew": (
        *("callmissed", {"X-CallMissed-Signature": f"sha256={mac(BODY).hex()}"}),
        *(json.dumps(json.loads(BODY), indent=1).encode(), "as compact JSON"),
    ),
    "callmissed in base64": (
        *("callmissed", {"X-CallMissed-Signature": f"sha256={b64(mac(BODY))}"}, BODY, 'encoding = "base64"'),
    ),
    "invox in hex": ("invox", {}, invox(mac(INVOX_SIGNED + b"|" + OTHER.encode()).hex()), "it matches in hex"),
    "invox without the apiKey": ("invox", {}, invox(b64(mac(INVOX_SIGNED))), "no apiKey"),
    "invox over the body": ("invox", {"X-Odd": mac(invox("x" * 44)).hex()}, invox("x" * 44), 'header = "x-odd"'),
    "ring in another header": ("ring", {"X-Token": SECRET}, BODY, "header x-token holds the secret"),
    "hmac over the body alone": ("hmac", {"X-Else": mac(BODY).hex(), "X-Id": "id-7"}, BODY, 'header = "x-else"'),
    "hmac written anew": (
        *("hmac", {"X-Sig": f"t={NOW},s={mac(NOW.encode() + b'.id-7.' + STRANGE).hex()}", "X-Id": "id-7"}),
        *(STRANGE + b"\r\n", "without the trailing newline"),
    ),
    "standard under another name": ("standard", standard("acme"), BODY, 'names = ["acme"]'),
    "standard with a newline": ("standard", standard("svix"), BODY + b"\n", "without the trailing newline"),
    "ed in another header": ("ed", {"X-Else": b64(PRIVATE.sign(BODY))}, BODY, 'header = "x-else", encoding = "base64"'),
    "ed with the time": (
        *("ed", {"X-Ed": PRIVATE.sign(NOW.encode() + BODY).hex(), **TIMED}, BODY, 'signed = "{timestamp}{body}"'),
    ),
    "ed with a newline": ("ed", {"X-Ed": PRIVATE.sign(BODY).hex()}, BODY + b"\n", "without the trailing newline"),
    "static after a word": ("static", {"Authorization": f"Bearer {SECRET}"}, BODY, "after 'Bearer '"),
    "basic in another header": (
        *("basic", {"X-Auth": f"Basic {b64(f'ann:{SECRET}'.encode())}"}, BODY, "header x-auth holds the secret"),
    ),
}


@pytest.mark.parametrize("case", WOULD)
def test_what_would_have_matched_is_said(case: str, verify: Any) -> None:
    """Another header, encoding, prefix or template, and what a proxy makes of a body, are recognised."""
    source, headers, body, said = WOULD[case]
    answer, lines = verify(source, headers, body)
    assert answer["result"] == "refused"
    assert [line for line in lines if said.lower() in line.lower()], "\n".join(lines)
