"""A source with token and signature, requests to it, and a quarantine in a folder, for the tests of refusals."""

import contextlib
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

from receiver.config import QuarantineSettings
from receiver.contract.door import Door
from receiver.contract.model import InboundRequest
from receiver.contract.proof import Check, Proven, Refused, SignatureSettings
from receiver.contract.provider import Provider
from receiver.contract.settings import Secret, SourceSettings, about
from receiver.pipeline.quarantine import QuarantineWriter
from receiver.store.ids import Ids
from receiver.store.quarantine.quarantine import Quarantine
from receiver.store.quarantine.records import NewQuarantined
from receiver.store.records import pack_headers

NOW = 1_780_000_000.0
TOKEN = "canary-token-0123456789"
SECRET = "canary-secret-0123456789"
SPOKEN = "canary words of a call"


class GateSettings(SourceSettings, frozen=True, kw_only=True):
    """Settings of the provider gate."""

    secret: Annotated[Secret | None, about("signs")] = None


class Gate(Provider[GateSettings]):
    """Signs with HMAC-SHA256 in X-Sign; a token or a signature proves."""

    name = "gate"
    Settings = GateSettings
    normalizer = "gate/1"
    raising: bool = False

    def __init__(self, source: str, settings: GateSettings) -> None:
        super().__init__(source, settings)
        signature = SignatureSettings(header="X-Sign") if settings.secret else None
        self.door = Door(settings, signature, (settings.secret,) if settings.secret else (), "all")
        self.explained = 0

    def prove(self, request: InboundRequest, now: float) -> Proven | Refused:
        return self.door.prove(request, now)

    def explain(self, request: InboundRequest, now: float) -> tuple[Check, ...]:
        self.explained += 1
        if self.raising:
            raise RuntimeError(SPOKEN)
        return self.door.explain(request, now)

    def message_key(self, proven: Proven) -> bytes:
        return hashlib.sha256(proven.request.body).digest()


def gate(source: str = "one", *, token: str | None = TOKEN, secret: str | None = None, **settings: Any) -> Gate:
    """Make a source."""
    tokens = (Secret(token),) if token else ()
    held = Secret(secret) if secret else None
    return Gate(source, GateSettings(provider="gate", token=tokens, secret=held, **settings))


def request(body: bytes = SPOKEN.encode(), *, source: str = "one", **parts: Any) -> InboundRequest:
    """Make a request with a wrong token, or with what `parts` say."""
    given = {"token": "not-our-token-at-all", "headers": (), "received_at": int(NOW * 1000), **parts}
    return InboundRequest(source=source, body=body, **given)


def refusal(provider: Gate, one: InboundRequest) -> Refused:
    """Return how a source refuses a request."""
    refused = provider.prove(one, NOW)
    assert isinstance(refused, Refused)
    return refused


def row(number: int, body: bytes = b"body", *, source: str = "one", reason: str = "token_unknown") -> NewQuarantined:
    """Make a row of the quarantine."""
    return NewQuarantined(
        number, source, reason, int(NOW * 1000), len(body), "[]", None, None, pack_headers(((b"a", b"b"),)), body
    )


class Clock:
    """A clock that is set by hand."""

    def __init__(self, now: float = NOW) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@contextlib.asynccontextmanager
async def kept_in(folder: Path, now: Clock | None = None) -> AsyncIterator[Quarantine]:
    """Give a quarantine in a folder, and close it."""
    quarantine = Quarantine(folder / "store.db-quarantine", now or Clock(), checkpoint=True)
    try:
        yield quarantine
    finally:
        await quarantine.close()


def writer(quarantine: Quarantine, *sources: Gate, clock: Clock | None = None, **settings: Any) -> QuarantineWriter:
    """Make a writer for these sources."""
    named = {one.source: one for one in sources or (gate(),)}
    ids = Ids(lambda: NOW, 1)
    return QuarantineWriter(named, quarantine, QuarantineSettings(**settings), ids=ids, clock=clock or Clock())
