"""The nats sink's settings: signing in, secrets, and what contradicts."""

import logging
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from nats_server import MISSING, binary, made, running, server

from handlers.sinks.nats import Nats
from receiver.contract.errors import ConfigError
from receiver.contract.settings import Secret
from receiver.contract.sink import Delivered, SinkPorts, TryLater
from receiver.testing.events import sample_delivery
from receiver.testing.sink import send

needs_server = pytest.mark.skipif(binary() is None and "CI" not in os.environ, reason=MISSING)


# Signing in


@needs_server
@pytest.mark.parametrize(
    ("config", "right", "wrong"),
    [
        ("authorization: { token: s3cret }", {"token": Secret("s3cret")}, {"token": Secret("wr0ng")}),
        (
            "authorization: { user: ann, password: s3cret }",
            {"user": "ann", "password": Secret("s3cret")},
            {"user": "ann", "password": Secret("wr0ng")},
        ),
    ],
)
async def test_signs_in(
    config: str, right: dict[str, Any], wrong: dict[str, Any], caplog: pytest.LogCaptureFixture, capfd: Any
) -> None:
    """With the right credentials; wrong ones are tried later, and neither shown nor logged."""
    caplog.set_level(logging.DEBUG)
    async with server(config) as nats:
        async with running(servers=(nats.url,), **right) as sink:
            assert isinstance((await send(sink, [sample_delivery()]))[0], Delivered)
        async with running(servers=(nats.url,), **wrong) as sink:
            (outcome,) = await send(sink, [sample_delivery()])
            assert isinstance(outcome, TryLater)
            assert re.search("Authorization|credentials", outcome.reason)
    shown = "".join([repr(outcome), caplog.text, *capfd.readouterr()])
    assert "s3cret" not in shown
    assert "wr0ng" not in shown


@needs_server
@pytest.mark.parametrize("servers", ["tls", "nats"])
async def test_no_secret_goes_to_a_server_without_tls(servers: str) -> None:
    """With tls, or tls:// in servers, a plain server gets neither sign-in nor events."""
    async with server("authorization: { token: s3cret }") as nats:
        address = nats.url.replace("nats:", f"{servers}:")
        async with running(servers=(address,), tls=servers == "nats", token=Secret("s3cret")) as sink:
            (outcome,) = await send(sink, [sample_delivery()])
            assert outcome == TryLater(reason="cannot connect to NATS: the server offers no TLS")


@needs_server
async def test_publishes_over_tls() -> None:
    """With tls_ca the server's certificate is trusted; without, it is not, and nothing is sent."""
    with tempfile.TemporaryDirectory() as folder:
        cert = self_signed(Path(folder))
        config = f'tls {{ cert_file: "{cert}", key_file: "{cert}" }}\nauthorization: {{ token: s3cret }}'
        async with server(config) as nats:
            secure: dict[str, Any] = {"servers": (nats.url,), "tls": True, "token": Secret("s3cret")}
            async with running(**secure, tls_ca=str(cert)) as sink:
                assert isinstance((await send(sink, [sample_delivery()]))[0], Delivered)
            async with running(**secure) as sink:
                (outcome,) = await send(sink, [sample_delivery()])
                assert isinstance(outcome, TryLater)
                assert "certificate verify failed" in outcome.reason


def self_signed(folder: Path) -> Path:
    """Write key and certificate of 127.0.0.1 into one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    cert = (
        x509.CertificateBuilder(name, name, key.public_key(), 7, now - timedelta(1), now + timedelta(1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path = folder / "server.pem"
    path.write_bytes(private + cert.public_bytes(Encoding.PEM))
    return path


@needs_server
async def test_a_file_that_is_missing_is_tried_later() -> None:
    """The reason names it."""
    async with running(tls_ca="/nowhere/ca.pem") as sink:
        (outcome,) = await send(sink, [sample_delivery()])
        assert isinstance(outcome, TryLater)
        assert "No such file" in outcome.reason


@needs_server
async def test_a_forbidden_subject_is_tried_later() -> None:
    """The reason holds what the server said."""
    users = '{ user: ann, password: x, permissions: { publish: ["$JS.>"] } }'
    ann: dict[str, Any] = {"user": "ann", "password": Secret("x"), "timeout": 0.5}
    async with server(f"authorization: {{ users: [{users}] }}") as nats, running(servers=(nats.url,), **ann) as sink:
        (outcome,) = await send(sink, [sample_delivery()])
        assert isinstance(outcome, TryLater)
        assert "permissions violation" in outcome.reason


# Settings


@pytest.fixture
def without() -> Iterator[pytest.MonkeyPatch]:
    """Give a way to take modules away."""
    with pytest.MonkeyPatch.context() as patch:
        yield patch


def test_a_missing_library_is_named(without: pytest.MonkeyPatch) -> None:
    """With the command that installs it."""
    ports = SinkPorts(http=None, links=None, now=time.time)  # type: ignore[arg-type]
    without.setitem(sys.modules, "nkeys", None)
    with pytest.raises(ConfigError, match=r"pip install .nats-py"):
        Nats("queue", made(creds_file="x.creds"), ports)
    without.setitem(sys.modules, "nats", None)
    with pytest.raises(ConfigError, match=r"pip install .nats-py"):
        Nats("queue", made(), ports)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"servers": ()}, "servers must name"),
        ({"servers": ("localhost:4222",)}, "servers must be like"),
        ({"servers": ("nats://",)}, "servers must be like"),
        ({"servers": ("nats://[x",)}, "servers must be like"),
        ({"servers": ("nats://ann:s3cret@host",)}, "servers must not hold credentials"),
        ({"user": "ann"}, "user and password belong together"),
        ({"token": Secret("s3cret"), "creds_file": "x"}, "token and creds_file exclude each other"),
        ({"subject": ""}, "subject must be"),
        ({"subject": "{type}"}, "subject must be"),
        ({"subject": "a..{type}"}, "subject must be"),
        ({"subject": "a.*"}, "subject must be"),
        ({"subject": "$JS.{type}"}, "subject must be"),
        ({"subject": "a.{call}"}, "subject may hold"),
        ({"subject": "a.{type!r}"}, "subject may hold"),
        ({"subject": "a.{"}, "subject may hold"),
    ],
)
def test_settings_that_contradict_are_errors(settings: dict[str, Any], words: str) -> None:
    """The message names the key and shows no secret."""
    with pytest.raises(ConfigError, match=re.escape(words)) as raised:
        made(**settings)
    assert "s3cret" not in str(raised.value)
