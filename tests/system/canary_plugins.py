"""A provider and a sink as careless third parties would write them: what they raise holds what they were given."""

from collections.abc import Sequence
from typing import Annotated, ClassVar

from receiver.contract.model import Delivery, InboundRequest, Outcome, Receipt, Verdict
from receiver.contract.proof import Proven, Refused, Tokens
from receiver.contract.provider import Provider
from receiver.contract.settings import Secret, SinkSettings, SourceSettings, about
from receiver.contract.sink import SendOutcome, Sink

OUTCOMES: dict[str, Outcome] = {}


class LeakySourceSettings(SourceSettings, frozen=True, kw_only=True):
    """Settings of a source: a secret."""

    secret: Annotated[Secret, about("shared with the provider")]


class LeakyProvider(Provider[LeakySourceSettings]):
    """Raises with the body and the secret in its words, where the body says so."""

    name = "leaky"
    Settings = LeakySourceSettings
    normalizer = "leaky/1"
    ignored: ClassVar[dict[str, str]] = {}

    def proofs(self) -> tuple[str, ...]:
        """Return the token."""
        return ("token",)

    def prove(self, request: InboundRequest, now: float) -> Proven | Refused:
        """Compare the token; raise for a body that says so."""
        if b"in-proof" in request.body:
            raise ValueError(request.body, request.token, self.settings.secret.value)
        return Tokens(self.settings.token).refusal(request.token) or Proven(request=request, verdict=Verdict.TOKEN)

    def message_key(self, proven: Proven) -> bytes:
        """Return the body; raise for one that says so."""
        if b"in-key" in proven.request.body:
            raise RuntimeError(proven.request.body, self.settings.secret.value)
        return proven.request.body

    def normalize(self, receipt: Receipt) -> tuple[Outcome, ...]:
        """Raise."""
        words = receipt.body[:1000].decode()
        try:
            return (OUTCOMES[words],)
        except KeyError as error:
            raise RuntimeError(f"{words} {self.settings.secret.value} {receipt.headers}") from error


class LeakySinkSettings(SinkSettings, frozen=True, kw_only=True):
    """Settings of a sink: an address with a token in it."""

    url: Annotated[Secret, about("where to")]
    fails: Annotated[str, about("where it raises: open or send")] = "send"


class LeakySink(Sink[LeakySinkSettings]):
    """Raises with its address in its words."""

    Settings = LeakySinkSettings

    async def open(self) -> None:
        """Raise if the settings say so."""
        if self.settings.fails == "open":
            raise ConnectionError(f"cannot reach {self.settings.url.value}")

    async def send(self, deliveries: Sequence[Delivery]) -> Sequence[SendOutcome]:
        """Raise."""
        raise OSError(f"{self.settings.url.value} refused {deliveries[0].event.data!r}")

    async def close(self) -> None:
        """Raise."""
        raise RuntimeError(self.settings.url.value)
