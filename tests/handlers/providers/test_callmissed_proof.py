"""CallMissed: proof by signatures that others made, settings, and what we sign."""

import base64
import json
import random
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest
from callmissed_samples import BODY, FIXTURES, HEADER, NOW, SIGNED, callmissed, event, openssl, request_of, settings_of

from receiver.contract.errors import ConfigError
from receiver.contract.model import Verdict
from receiver.contract.proof import Proven, Reason, Refused
from receiver.testing.fixtures import load_case, load_cases

VERIFIER = Path(__file__).parent / "callmissed_verify.mjs"
TOKEN = {"token": ["a-token-of-ours"]}


@pytest.mark.parametrize("secret", ["one", "two", "three"])
def test_every_configured_secret_proves_and_no_other(secret: str) -> None:
    """Rotation has no gap: each secret proves while it is configured, and no longer. OpenSSL signs."""
    request = request_of(signature=openssl(secret))
    proven = callmissed(SIGNED).prove(request, NOW)
    assert isinstance(proven, Proven)
    assert proven.verdict is Verdict.SIGNATURE
    others = [other for other in SIGNED["secrets"] if other != secret]
    assert isinstance(callmissed({"secrets": others}).prove(request, NOW), Refused)


def test_the_secret_is_the_key_as_it_was_given() -> None:
    """Neither a prefix is cut off nor anything decoded: `whsec_` is a part of it, as are letters of any script."""
    for secret in ("whsec_QUJDREVG", "QUJDREVGR0g=", "Schlüssel ключ"):
        request = request_of(signature=openssl(secret))
        assert isinstance(callmissed({"secrets": [secret]}).prove(request, NOW), Proven)


def test_what_we_sign_node_verifies() -> None:
    """The vendor's own sample, in Node, takes our signature for every recorded delivery, and no other secret's."""
    provider, lines = callmissed(SIGNED), []
    bodies = [case.body for case in load_cases(FIXTURES)]
    for body in bodies:
        header = dict(provider.sign(body, NOW).headers)[HEADER.lower().encode()].decode()
        lines += [
            json.dumps({"body": base64.b64encode(body).decode(), "header": header, "secret": secret})
            for secret in ("one", "two")
        ]
    done = subprocess.run(["node", VERIFIER], input="\n".join(lines), capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["true", "false"] * len(bodies)


@pytest.mark.parametrize("name", ["completed", "email-bounced", "message-received"])
def test_no_mutation_of_a_signed_message_proves(name: str) -> None:
    """Of 600 deliveries with one to three bits changed in body or signature, none is proven."""
    case = load_case(FIXTURES / name)
    provider, request, dice = callmissed(dict(case.settings)), case.request(), random.Random(name)
    right = request.header(HEADER.lower()) or ""
    for _ in range(600):
        in_body = dice.random() < 0.5
        target = bytearray(request.body if in_body else right.encode())
        for _ in range(dice.randint(1, 3)):
            target[dice.randrange(len(target))] ^= 1 << dice.randrange(8)
        body = bytes(target) if in_body else request.body
        signature = right if in_body else target.decode("latin-1")
        if body != request.body or signature[7:].lower() != right[7:] or signature[:7] != right[:7]:
            assert isinstance(provider.prove(request_of(body, signature=signature), case.now), Refused)


@pytest.mark.parametrize(
    ("cut", "reason"),
    [
        (lambda _: None, Reason.SIGNATURE_MISSING),
        (lambda _: "", Reason.SIGNATURE_MALFORMED),
        (lambda right: right[:20], Reason.SIGNATURE_MALFORMED),
        (lambda right: right + "0", Reason.SIGNATURE_MALFORMED),
        (lambda right: right.removeprefix("sha256="), Reason.SIGNATURE_MALFORMED),
        (lambda right: right.replace("sha256=", "SHA256="), Reason.SIGNATURE_MALFORMED),
        (lambda right: "sha256=" + base64.b64encode(bytes.fromhex(right[7:])).decode(), Reason.SIGNATURE_MALFORMED),
        (lambda right: "sha256=" + "0" * 64, Reason.SIGNATURE_MISMATCH),
    ],
)
def test_any_other_form_of_the_header_is_refused(cut: Any, reason: Reason) -> None:
    """One form is documented; a header that is cut, longer or written otherwise never raises and never proves."""
    refused = callmissed(SIGNED).prove(request_of(signature=cut(openssl("one"))), NOW)
    assert isinstance(refused, Refused)
    assert refused.reason is reason


@pytest.mark.parametrize(
    ("settings", "signature", "token", "expected"),
    [
        ({**SIGNED, **TOKEN}, "one", "a-token-of-ours", Verdict.SIGNATURE),
        ({**SIGNED, **TOKEN}, "one", "another", Reason.TOKEN_UNKNOWN),
        ({**SIGNED, **TOKEN}, "one", None, Reason.TOKEN_MISSING),
        ({**SIGNED, **TOKEN}, "wrong", "a-token-of-ours", Reason.SIGNATURE_MISMATCH),
        (SIGNED, "one", "whatever the URL ends in", Verdict.SIGNATURE),
        (TOKEN, "nobody knows", "a-token-of-ours", Verdict.TOKEN),
        (TOKEN, None, "another", Reason.TOKEN_UNKNOWN),
        ({}, "one", "guess", Reason.TOKEN_MISSING),
        ({"verify": "none"}, None, None, Verdict.UNVERIFIED),
    ],
)
def test_token_and_signature_combine(settings: Any, signature: str | None, token: str | None, expected: Any) -> None:
    """What is configured must be right, all of it; a source with nothing configured lets nobody in."""
    request = request_of(token=token, signature=openssl(signature) if signature else None)
    answer = callmissed(settings).prove(request, NOW)
    assert (answer.verdict if isinstance(answer, Proven) else answer.reason) is expected


@pytest.mark.parametrize(
    ("settings", "ways"),
    [
        ({}, ()),
        (TOKEN, ("token in the URL",)),
        (SIGNED, (f"hmac-sha256 in {HEADER}",)),
        ({**SIGNED, **TOKEN}, (f"hmac-sha256 in {HEADER}", "token in the URL")),
    ],
)
def test_proofs_are_those_that_are_configured(settings: dict[str, Any], ways: tuple[str, ...]) -> None:
    """A source names its ways of proof; one without any is refused at the start by the engine."""
    assert callmissed(settings).proofs() == ways


def test_a_masked_secret_is_recognised() -> None:
    """What the subscription list shows is no secret: the error says where the whole one was, and shows nothing."""
    with pytest.raises(ConfigError, match="masked") as caught:
        settings_of({"secrets": ["whole", "EXAM****0001"]}).check()
    assert "EXAM" not in str(caught.value)
    settings_of({"secrets": ["whole", "EXAM***0001"]}).check()


@pytest.mark.parametrize("settings", [{"token": [""]}, {"secrets": ["s", ""]}])
def test_an_empty_secret_is_no_secret(settings: dict[str, Any]) -> None:
    """An empty token or secret, as an unset variable leaves it, is an error: anybody has that one."""
    with pytest.raises(ConfigError, match="empty"):
        callmissed(settings)


@pytest.mark.parametrize("table", [{"secret": "s"}, {"secrets": "s", "signature": {"header": "X"}}])
def test_settings_that_there_are_not_are_errors(table: dict[str, Any]) -> None:
    """The scheme is documented, so there is nothing to set but secrets."""
    with pytest.raises(msgspec.ValidationError):
        settings_of(table)


def test_explain_says_what_was_changed_on_the_way() -> None:
    """An operator learns that a proxy wrote the body again, and which secret was meant."""
    compact = BODY.replace(b": ", b":")
    changed_body = json.dumps(json.loads(compact), indent=2).encode()
    check, *_ = callmissed(SIGNED).explain(request_of(changed_body, signature=openssl("two", compact)), NOW)
    assert (check.secret, check.header) == (2, HEADER)
    assert "changed on the way: as compact JSON" in check.detail


def test_our_delivery_has_the_documented_headers() -> None:
    """Event, delivery id and signature stand in it; the first two can be hostile, and are made harmless."""
    headers = dict(callmissed(SIGNED).sign(BODY, NOW).headers)
    assert headers[b"x-callmissed-event"] == b"test"
    assert headers[b"x-callmissed-signature"] == openssl("one").encode()
    hostile = dict(callmissed(SIGNED).sign(event("a\r\nX-Evil: 1", {}), NOW).headers)
    assert hostile[b"x-callmissed-event"] == b"a__X_Evil__1"
