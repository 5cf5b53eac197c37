"""SQS: a FIFO queue of moto's server in a process of its own, against aiobotocore's SendMessageBatch."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from moto_server import moto, queue

from handlers.sinks.sqs import Sqs
from receiver.contract.sink import Sink
from sinks.frame import Bench, Loop

CALLS = 300


class SqsBench(Bench):
    """Ten messages a request, and several requests at once, on both sides."""

    name = "sqs"
    count = 3_000
    calls = CALLS

    @asynccontextmanager
    async def sink(self) -> AsyncIterator[tuple[type[Sink[Any]], Mapping[str, Any]]]:
        """Give the sink's class and settings for a queue of a new server."""
        with moto() as server:
            async with queue(server) as made:
                yield Sqs, {**made.settings(), "endpoint_url": f"http://127.0.0.1:{server.port}", "timeout": 30.0}

    @asynccontextmanager
    async def loops(self) -> AsyncIterator[Mapping[str, Loop]]:
        """Give `send_message_batch`, so many requests under way at once."""
        serial = itertools.count()
        with moto() as server:
            async with queue(server) as made, _client(server.port) as client:

                async def send(bodies: Sequence[bytes]) -> None:
                    entries = [_entry(next(serial), body) for body in bodies]
                    answer = await client.send_message_batch(QueueUrl=made.url, Entries=entries)
                    if len(answer["Successful"]) != len(entries):
                        raise SystemExit(f"not everything was kept: {answer.get('Failed')}")

                async def loop(size: int, bodies: Sequence[bytes]) -> None:
                    await _at_once(size, [bodies[start : start + 10] for start in range(0, len(bodies), 10)], send)

                yield {f"send_message_batch, {size} at once": partial(loop, size) for size in (4, 10)}


def _entry(serial: int, body: bytes) -> dict[str, Any]:
    return {
        "Id": str(serial),
        "MessageBody": body.decode(),
        "MessageGroupId": str(serial % CALLS),
        "MessageDeduplicationId": str(serial),
    }


async def _at_once(size: int, requests: Sequence[Sequence[bytes]], send: Any) -> None:
    waiting = iter(requests)

    async def worker() -> None:
        for request in waiting:
            await send(request)

    await asyncio.gather(*(worker() for _ in range(size)))


def _client(port: int) -> Any:
    return get_session().create_client(
        "sqs",
        region_name="us-east-1",
        endpoint_url=f"http://127.0.0.1:{port}",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=AioConfig(max_pool_connections=10),
    )


BENCH = SqsBench()
