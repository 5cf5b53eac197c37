"""A third party's provider and sink, as authors write them: never run, checked by mypy, so that the contract's types hold.

What stands here is promised: a change that breaks it breaks plugins.
"""

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, assert_type

from receiver.contract.errors import ConfigError, Unreadable
from receiver.contract.model import (
    Analysis,
    Call,
    Delivery,
    Event,
    Flag,
    InboundRequest,
    Insight,
    Notice,
    Outcome,
    Progress,
    Receipt,
    Result,
    ResultError,
    Segment,
    Speaker,
    Verdict,
    Word,
)
from receiver.contract.proof import Check, HmacScheme, Proven, Reason, Refused, SignatureSettings, Tokens
from receiver.contract.provider import Provider, Reply, SignedRequest
from receiver.contract.settings import Secret, Settings, SinkSettings, SourceSettings, about
from receiver.contract.sink import (
    Delivered,
    HttpAnswer,
    HttpClient,
    HttpFailed,
    Rejected,
    SendOutcome,
    Sink,
    SinkPorts,
    TryLater,
    retry_after,
)
from receiver.registry import Registry
from receiver.testing.provider import ProviderContract
from receiver.testing.sink import Arrived, Behaviour, Peer, SinkContract


class Region(Settings, frozen=True, kw_only=True):
    """A table inside a table."""

    host: Annotated[str, about("where Acme runs")] = "eu.acme.example"


class AcmeSettings(SourceSettings, frozen=True, kw_only=True):
    """A provider's settings: every kind of field that may be declared."""

    secrets: Annotated[tuple[Secret, ...], about("secrets, several for rotation")] = ()
    signature: Annotated[SignatureSettings | None, about("how it signs", inferred=True)] = None
    region: Annotated[Region, about("where")] = Region()
    mode: Annotated[Literal["strict", "loose"], about("how it reads")] = "strict"
    tries: Annotated[int, about("bounded", ge=1, le=9)] = 3
    names: Annotated[dict[str, str], about("labels by id")] = {}  # noqa: RUF012 -- msgspec copies it

    def check(self) -> None:
        """Contradictions are ConfigErrors."""
        if self.signature is not None and not self.secrets:
            raise ConfigError("signature is set and secrets is not")


class Acme(Provider[AcmeSettings]):
    """A whole provider."""

    name = "acme"
    Settings = AcmeSettings
    normalizer = "acme/1"
    setup = "Paste it somewhere."
    ignored: ClassVar[Mapping[str, str]] = {"sent_at": "not about the call"}

    def __init__(self, source: str, settings: AcmeSettings) -> None:
        super().__init__(source, settings)
        self._tokens = Tokens(settings.token)
        self._scheme = HmacScheme(settings.signature, settings.secrets) if settings.signature else None
        assert_type(self.settings, AcmeSettings)
        assert_type(self.source, str)

    def proofs(self) -> tuple[str, ...]:
        """Ways of proof, in words."""
        return ("token",) if self._tokens else ()

    def prove(self, request: InboundRequest, now: float) -> Proven | Refused:
        """Proof returns one of two types."""
        refused = self._scheme.refusal(request, now) if self._scheme else self._tokens.refusal(request.token)
        if refused is not None:
            return refused
        if request.header("x-acme-version") is None:
            return Refused(reason=Reason.SIGNATURE_MISSING, checks=(Check(scheme="acme", ok=None, detail="absent"),))
        return Proven(request=request, verdict=Verdict.SIGNATURE)

    def explain(self, request: InboundRequest, now: float) -> tuple[Check, ...]:
        """More for operators."""
        return tuple(self._scheme.explain(request, now)) if self._scheme else ()

    def handshake(self, request: InboundRequest) -> Reply | None:
        """An answer to a set-up request."""
        challenge = request.header("x-acme-challenge")
        return Reply(body=challenge.encode(), headers=((b"content-type", b"text/plain"),)) if challenge else None

    def can_confirm(self) -> bool:
        """Whether there are credentials."""
        return False

    def message_key(self, proven: Proven) -> bytes:
        """From proven content."""
        return proven.request.body[:64]

    def normalize(self, receipt: Receipt) -> tuple[Outcome, ...]:
        """Everything that a receipt can turn into."""
        if not receipt.body:
            raise Unreadable("the body is empty")
        word = Word(start=0.0, end=0.4, text="Good", confidence=0.9, speaker="A")
        segment = Segment(start=0.0, end=1.5, speaker="A", channel=0, text="Good morning.", words=(word,))
        return (
            Result(
                kind="transcript",
                operation="transcription",
                job_id="42",
                status="failed",
                call=Call(external_id="7", direction="inbound", from_="+49", to=None),
                text=segment.text,
                speakers=(Speaker(id="A", role="agent", talk_time=1.5),),
                segments=(segment,),
                analysis=Analysis(
                    sentiment="mixed",
                    flags=(Flag(name="greeting", ok=True, at=0.0),),
                    insights=(Insight(name="pace", value={"wpm": 120}),),
                ),
                error=ResultError(code="E1", message=None),
                metadata={"any": ["json"]},
                volatile=frozenset({"any"}),
            ),
            Notice(name="call.started", body={"call": 7}),
            Progress(job_id="42", status="running"),
        )

    def fresh(self, body: bytes, serial: str, grow_to: int = 0) -> bytes:
        """Another job's."""
        return body + serial.encode() + bytes(grow_to)

    def sign(self, body: bytes, now: float) -> SignedRequest:
        """As the provider would send it."""
        headers = tuple(self._scheme.headers(body, now)) if self._scheme else ()
        return SignedRequest(token=None, headers=headers, body=body)


class AcmeChatSettings(SinkSettings, frozen=True, kw_only=True):
    """A sink's settings."""

    url: Annotated[Secret, about("where to")]


class AcmeChat(Sink[AcmeChatSettings]):
    """A whole sink."""

    Settings = AcmeChatSettings
    order = "call"
    concurrency = 4
    rate = 2.0
    batch = 10

    def __init__(self, name: str, settings: AcmeChatSettings, ports: SinkPorts) -> None:
        super().__init__(name, settings, ports)
        assert_type(self.settings, AcmeChatSettings)
        assert_type(self.ports.http, HttpClient)
        assert_type(self.ports.links, str | None)
        assert_type(self.ports.now(), float)

    def largest(self) -> int | None:
        """As the other side says."""
        return 262_144

    async def open(self) -> None:
        """Connect."""

    async def send(self, deliveries: Sequence[Delivery]) -> Sequence[SendOutcome]:
        """One outcome each."""
        return [await self._send(delivery.event) for delivery in deliveries]

    async def close(self) -> None:
        """Let go."""

    async def _send(self, event: Event) -> SendOutcome:
        assert_type(await self.ports.memory.get("thread"), str | None)
        await self.ports.memory.put("thread", "1")
        try:
            answer = await self.ports.http.post(
                self.settings.url.value, body=event.cloudevent(), headers={}, timeout=5.0, allow_private=False
            )
        except HttpFailed as error:
            return TryLater(reason=str(error))
        assert_type(answer, HttpAnswer)
        if answer.status == 400:
            return Rejected(reason=event.type)
        if answer.status != 200:
            return TryLater(reason="busy", after=retry_after(answer.headers, self.ports.now()))
        return Delivered(detail=event.attributes()["id"])


class TestAcme(ProviderContract):
    """The kit for providers."""

    provider = Acme
    fixtures = Path("fixtures/acme")


class Room:
    """The other side of a sink."""

    def settings(self) -> Mapping[str, Any]:
        """Its table."""
        return {"url": "https://acme.example"}

    async def behave(self, how: Behaviour) -> None:
        """From now on."""

    async def arrived(self) -> Sequence[Arrived]:
        """Since the start."""
        return [Arrived(raw=b"{}", event=None)]


class TestAcmeChat(SinkContract):
    """The kit for sinks."""

    sink = AcmeChat
    cannot: ClassVar[Mapping[Behaviour, str]] = {Behaviour.GONE: "it is always there"}

    @contextlib.asynccontextmanager
    async def peer(self) -> AsyncIterator[Peer]:
        """Give the other side."""
        yield Room()


REGISTRY = Registry({"acme": Acme}, {"acmechat": AcmeChat})
"""What entry points of the two would give."""
