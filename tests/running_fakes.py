"""A whole configuration of a small provider and a small sink, for the tests of what runs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from receiver.config import Config, build
from receiver.contract.model import Delivery, InboundRequest, Outcome, Receipt, Result, Verdict
from receiver.contract.proof import Proven, Refused, Tokens
from receiver.contract.provider import Provider
from receiver.contract.settings import SinkSettings, SourceSettings
from receiver.contract.sink import Delivered, SendOutcome, Sink
from receiver.registry import Registry

TOKEN = "canary-token-0123456789"
ADMIN = "canary-admin-0123456789"


class Acme(Provider[SourceSettings]):
    """Proves by token; every callback is a transcript of its body."""

    name = "acme"
    Settings = SourceSettings
    normalizer = "acme/1"

    def proofs(self) -> tuple[str, ...]:
        return ("token in the URL",) if self.settings.token else ()

    def prove(self, request: InboundRequest, now: float) -> Proven | Refused:
        refused = Tokens(self.settings.token).refusal(request.token)
        return refused or Proven(request=request, verdict=Verdict.TOKEN)

    def message_key(self, proven: Proven) -> bytes:
        return proven.request.body

    def normalize(self, receipt: Receipt) -> tuple[Outcome, ...]:
        said = receipt.body.decode()
        return (Result(kind="transcript", operation="transcription", job_id=said, text=said),)


class Keeps(Sink[SinkSettings]):
    """Keeps in memory what it is sent."""

    Settings = SinkSettings
    sent: ClassVar[list[Delivery]] = []

    async def send(self, deliveries: Sequence[Delivery]) -> Sequence[SendOutcome]:
        self.sent.extend(deliveries)
        return [Delivered()] * len(deliveries)


REGISTRY = Registry({"acme": Acme}, {"keeps": Keeps})


def configured(folder: Path, **settings: Any) -> Config:
    """Return a configuration whose store is in a folder and whose ports are free ones."""
    Keeps.sent.clear()
    document: dict[str, Any] = {
        "store": f"sqlite:{folder / 'store.db'}",
        "grace": 2,
        "listen": {"public": "127.0.0.1:0", "admin": "127.0.0.1:0"},
        "sources": {"acme": {"provider": "acme", "token": TOKEN}},
        "sinks": {"archive": {"kind": "keeps"}},
        **settings,
    }
    return build(document, {}, REGISTRY)
