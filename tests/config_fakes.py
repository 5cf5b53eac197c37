"""Small providers and sinks, and a valid configuration of them, for the tests of settings."""

from collections.abc import Mapping
from typing import Annotated, Any

from receiver.config import Config, build
from receiver.contract.errors import ConfigError
from receiver.contract.proof import SignatureSettings
from receiver.contract.provider import Provider
from receiver.contract.settings import Secret, SinkSettings, SourceSettings, about
from receiver.contract.sink import Sink
from receiver.registry import Registry


class AcmeSettings(SourceSettings, frozen=True, kw_only=True):
    """Settings of the provider acme."""

    secrets: Annotated[tuple[Secret, ...], about("shared secrets, several for rotation")] = ()
    signature: Annotated[SignatureSettings | None, about("how it signs", inferred=True)] = None
    api_keys: Annotated[dict[str, Secret], about("keys by region")] = {}  # noqa: RUF012 -- msgspec copies it
    tries: Annotated[int | None, about("bounded, and optional", ge=1, le=9)] = None
    ratio: Annotated[float, about("a share", gt=0, lt=1)] = 0.5
    either: Annotated[int | str, about("a number, or a text")] = 0

    def check(self) -> None:
        if self.tries == 7:
            raise ConfigError(f"tries: 7 brings no luck with {[key.value for key in self.secrets]}")


class Acme(Provider[AcmeSettings]):
    """A provider whose secrets or token prove."""

    name = "acme"
    Settings = AcmeSettings

    def proofs(self) -> tuple[str, ...]:
        if self.settings.either == "boom":
            raise RuntimeError(self.settings.secrets[0].value)
        return ("some way",) if self.settings.secrets or self.settings.token else ()


class HoseSettings(SinkSettings, frozen=True, kw_only=True):
    """Settings of the sink hose."""

    url: Annotated[Secret, about("where it goes")]
    broker: Annotated[str | None, about("an address with a user in it")] = None


class Hose(Sink[HoseSettings]):
    """A sink that is never sent to."""

    Settings = HoseSettings


REGISTRY = Registry({"acme": Acme}, {"hose": Hose})

ENVIRON = {
    "TOKEN": "canary-token-0123456789",
    "SECRET": "canary-secret-0123456789",
    "STORE": "postgresql://canary-user:canary-pass@db/calls?password=canary-query",
}

VALID: dict[str, Any] = {
    "public_url": "https://calls.example.com/",
    "store": "${STORE}",
    "admin_token": "canary-admin-0123456789",
    "listen": {"public": "127.0.0.1:9000", "admin": "/admin"},
    "sources": {
        "one": {
            "provider": "acme",
            "token": "${TOKEN}",
            "secrets": ["${SECRET}", "canary-old-0123456789"],
            "api_keys": {"eu": "canary-region-0123456789"},
            "signature": {"header": "X-Signature", "prefix": "sha256="},
            "timezone": "Europe/Madrid",
            "roles": {"A": "agent"},
        }
    },
    "sinks": {"team": {"kind": "hose", "url": "https://canary-host/canary-path", "events": "transcript.*"}},
}


def made(document: Mapping[str, Any], **environ: str) -> Config:
    """Build a configuration of the fakes."""
    return build(document, ENVIRON | environ, REGISTRY)


def source(**settings: Any) -> dict[str, Any]:
    """Return a document with one source of acme, its proof included."""
    return {"sources": {"one": {"provider": "acme", "secrets": "vendor", **settings}}}


def errors(document: Mapping[str, Any], **environ: str) -> list[str]:
    """Return the errors of a configuration, without the name of the file."""
    try:
        made(document, **environ)
    except ConfigError as error:
        return [line.removeprefix("configuration: ") for line in str(error).splitlines()]
    return []


def error(document: Mapping[str, Any], **environ: str) -> str:
    """Return the one error of a configuration."""
    lines = errors(document, **environ)
    assert len(lines) == 1, lines
    return lines[0]
