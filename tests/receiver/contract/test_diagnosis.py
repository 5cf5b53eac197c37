"""Diagnosis: which settings would have accepted a request that was refused."""

import base64
import subprocess

import msgspec
import pytest

from receiver.contract.diagnosis import signed_otherwise
from receiver.contract.door import Door
from receiver.contract.model import InboundRequest
from receiver.contract.proof import Check, Proven, SignatureSettings
from receiver.contract.settings import Secret, SourceSettings

BODY = b'{"id":"a1"}'
STAMP = b"1772461800"
NOW = 1_772_461_800.0


def openssl(body: bytes, key: bytes = b"s3cret", algorithm: str = "sha256") -> bytes:
    """Return the HMAC that OpenSSL makes, as bytes."""
    command = ["openssl", "dgst", f"-{algorithm}", "-mac", "HMAC", "-macopt", f"hexkey:{key.hex()}", "-binary"]
    return subprocess.run(command, input=body, capture_output=True, check=True).stdout


def found(secret: str, *headers: tuple[bytes, bytes], body: bytes = BODY) -> list[Check]:
    """Look at a request with two secrets, of which the second is the one."""
    request = InboundRequest(source="s", token=None, headers=headers, body=body, received_at=0)
    return list(signed_otherwise(request, [Secret("another"), Secret(secret)]))


@pytest.mark.parametrize("algorithm", ["sha256", "sha512", "sha1"])
@pytest.mark.parametrize("prefix", ["", "sha256=", "v1,", "Signature "])
def test_algorithm_prefix_and_header_are_found(algorithm: str, prefix: str) -> None:
    """Whatever header carries the MAC, the settings that say so are spelled out."""
    value = prefix.encode() + base64.b64encode(openssl(BODY, algorithm=algorithm))
    (check,) = found("s3cret", (b"host", b"x"), (b"x-vendor", value))
    assert (check.header, check.secret, check.scheme) == ("x-vendor", 2, f"hmac-{algorithm}")
    assert 'encoding = "base64"' in check.detail
    assert (f'prefix = "{prefix}"' in check.detail) is bool(prefix)


@pytest.mark.parametrize("between", [b".", b":", b""])
def test_a_signed_time_is_found(between: bytes) -> None:
    """A header that looks like a Unix time may have been signed with the body."""
    value = openssl(STAMP + between + BODY).hex().encode()
    (check,) = found("s3cret", (b"x-when", STAMP), (b"x-vendor", value))
    assert f'signed = "{{timestamp}}{between.decode()}{{body}}", timestamp_header = "x-when"' in check.detail


@pytest.mark.parametrize(
    ("secret", "key", "words"),
    [
        ("c2VjcmV0IGtleSBieXRlcw==", b"secret key bytes", "base64"),
        ("whsec_c2VjcmV0IGtleSBieXRlcw==", b"secret key bytes", "base64"),
        ("00ff10ab", b"\x00\xff\x10\xab", "hex"),
        ("s3cret\n", b"s3cret", "white space"),
    ],
)
def test_another_reading_of_the_secret_is_found(secret: str, key: bytes, words: str) -> None:
    """A secret that is meant as base64 or hex, or was copied with a newline, is recognised and never shown."""
    (check,) = found(secret, (b"x-vendor", openssl(BODY, key).hex().encode()))
    assert words in check.detail
    assert secret.strip() not in check.detail


def test_nothing_is_found_where_nothing_fits() -> None:
    """Another secret, garbage in every header, and a very large body find nothing and raise nothing."""
    assert found("s3cret", (b"x-vendor", openssl(BODY, b"other").hex().encode())) == []
    assert found("\ud800", (b"a", b"\xff" * 80), (b"b", b""), (b"c", b"=" * 500), (b"d", STAMP)) == []
    large = b"a" * (1 << 20) + b"b"
    assert found("s3cret", (b"x-vendor", openssl(large).hex().encode()), body=large) == []


def test_the_door_explains_what_was_not_matched() -> None:
    """Behind a door the settings are found for an unmatched signature, and not sought for a right or a late one."""
    how = SignatureSettings(header="X-Sig", signed="{timestamp}.{body}", timestamp_header="X-When")
    door = Door(SourceSettings(provider="p"), how, [Secret("s3cret")], "all")
    mac = openssl(STAMP + b"." + BODY).hex().encode()
    request = InboundRequest(
        source="s", token=None, headers=((b"x-sig", mac), (b"x-when", STAMP)), body=BODY, received_at=0
    )
    assert isinstance(door.prove(request, NOW), Proven)
    assert [check.ok for check in door.explain(request, NOW)] == [True]
    assert door.explain(request, NOW + 9999) == ()
    elsewhere = msgspec.structs.replace(request, headers=((b"x-other", mac), (b"x-when", STAMP)))
    assert [check.header for check in door.explain(elsewhere, NOW)] == ["x-other"]
