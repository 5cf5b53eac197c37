"""Sink sqs: events into an SQS queue, ten a request, ten requests at once.

In a FIFO queue each call is a message group, and the event's id is the de-duplication id: what comes twice within five
minutes is kept once. A standard queue promises neither. `order = "call"` has at most one event of a call on its way, so
requests that overtake each other turn no call around.
"""

import asyncio
import contextlib
import importlib.util
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from handlers.sinks.sqs.message import ATTRIBUTES, MOST, Entry, entry, packed
from handlers.sinks.sqs.settings import SqsSettings
from receiver.contract.errors import ConfigError
from receiver.contract.model import Delivery
from receiver.contract.sink import Delivered, Rejected, SendOutcome, Sink, SinkPorts, TryLater

_CONNECT = 3.0
"""Seconds that SQS may take to be connected."""
_NEVER = ("BatchRequestTooLong", "InvalidMessageContents", "MessageTooLong")


class Sqs(Sink[SqsSettings]):
    """Sends events in batches, and counts those delivered that SQS lists as kept."""

    Settings = SqsSettings
    order: ClassVar[Literal["call", "none"]] = "call"
    batch: ClassVar[int] = MOST
    concurrency: ClassVar[int] = 10

    def __init__(self, name: str, settings: SqsSettings, ports: SinkPorts) -> None:
        super().__init__(name, settings, ports)
        if importlib.util.find_spec("aiobotocore") is None:
            raise ConfigError("sinks of kind sqs need a library: pip install aiobotocore")
        self._client: Any = None
        self._making = asyncio.Lock()
        self._open = contextlib.AsyncExitStack()

    def largest(self) -> int | None:
        """Return what the settings say, less what attributes may take."""
        return self.settings.max_event - ATTRIBUTES

    async def open(self) -> None:
        """Make the client; it connects at the first send."""
        await self._ready()

    async def close(self) -> None:
        """Let go of the connections."""
        self._client = None
        await self._open.aclose()

    async def send(self, deliveries: Sequence[Delivery]) -> Sequence[SendOutcome]:
        """Send all in one request, or in as many as their sizes ask for."""
        from botocore.exceptions import BotoCoreError  # noqa: PLC0415 -- an extra

        settings = self.settings
        try:
            client = await self._ready()
        except (BotoCoreError, ValueError) as error:
            return [TryLater(reason=f"cannot start with these settings: {_said(error)}")] * len(deliveries)
        entries = [entry(number, one.event, fifo=settings.is_fifo) for number, one in enumerate(deliveries)]
        outcomes = {one.number: _unanswered(one, settings.max_event) for one in entries}
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(settings.timeout * 0.9):
                for request in packed([one for one in entries if one.size <= settings.max_event], settings.max_event):
                    outcomes |= await self._post(client, request)
        return [outcomes[number] for number in range(len(deliveries))]

    async def _ready(self) -> Any:
        """Return the client; aiobotocore carries no types."""
        async with self._making:
            if self._client is None:
                self._client = await self._open.enter_async_context(self._made())
            return self._client

    def _made(self) -> Any:
        from aiobotocore.config import AioConfig  # noqa: PLC0415 -- an extra
        from aiobotocore.session import get_session  # noqa: PLC0415

        settings = self.settings
        return get_session().create_client(
            "sqs",
            region_name=settings.aws_region,
            endpoint_url=settings.endpoint_url,
            aws_access_key_id=settings.access_key_id,
            aws_secret_access_key=settings.secret_access_key and settings.secret_access_key.value,
            aws_session_token=settings.session_token and settings.session_token.value,
            config=AioConfig(
                connect_timeout=min(settings.timeout, _CONNECT),
                read_timeout=settings.timeout * 0.9,
                max_pool_connections=settings.concurrency or self.concurrency,
                retries={"total_max_attempts": 1},  # the engine's part
            ),
        )

    async def _post(self, client: Any, request: Sequence[Entry]) -> dict[int, SendOutcome]:
        """Send one request; where it is refused as a whole for one of its messages, send them one by one."""
        from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError  # noqa: PLC0415 -- an extra

        outcome: SendOutcome
        try:
            said = await client.send_message_batch(
                QueueUrl=self.settings.queue_url, Entries=[one.fields for one in request]
            )
        except ClientError as error:
            told = error.response.get("Error", {})
            outcome = _refusal(str(told.get("Code", "")), str(told.get("Message", "")))
            if isinstance(outcome, Rejected) and len(request) > 1:
                return await self._one_by_one(client, request)
        except (BotoCoreError, HTTPClientError, OSError, TimeoutError) as error:
            outcome = TryLater(reason=f"SQS cannot be asked: {_said(error)}")
        else:
            return _outcomes(request, said)
        return {one.number: outcome for one in request}

    async def _one_by_one(self, client: Any, request: Sequence[Entry]) -> dict[int, SendOutcome]:
        outcomes: dict[int, SendOutcome] = {}
        for one in request:
            outcomes |= await self._post(client, [one])
        return outcomes


def _unanswered(one: Entry, most: int) -> SendOutcome:
    """Return what stands until SQS has answered."""
    if one.size > most:
        return Rejected(reason=f"{one.size} bytes are more than max_event, {most}")
    return TryLater(reason="SQS did not answer in time")


def _outcomes(request: Sequence[Entry], said: dict[str, Any]) -> dict[int, SendOutcome]:
    """Read an answer: each message is kept, or failed by itself."""
    kept = {one.get("Id"): one for one in said.get("Successful") or ()}
    failed = {one.get("Id"): one for one in said.get("Failed") or ()}
    outcomes: dict[int, SendOutcome] = {}
    for one in request:
        name = one.fields["Id"]
        if name in kept and one.is_kept(kept[name]):
            outcomes[one.number] = Delivered(detail=f"message {str(kept[name].get('MessageId'))[:100]}")
        elif name in failed:
            outcomes[one.number] = _refusal(str(failed[name].get("Code")), str(failed[name].get("Message")))
        else:
            outcomes[one.number] = TryLater(reason="the answer does not confirm this message")
    return outcomes


def _refusal(code: str, message: str) -> SendOutcome:
    """Say what an error means: a message that is too long or has forbidden characters never gets in; all else may."""
    reason = f"SQS refused: {code}: {message}"[:300]
    if code.rsplit(".", 1)[-1] in _NEVER or "must be shorter than" in message:
        return Rejected(reason=reason)
    return TryLater(reason=reason)


def _said(error: BaseException) -> str:
    return (str(error) or type(error).__name__)[:300]
