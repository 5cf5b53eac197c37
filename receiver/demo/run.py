"""Runs the demo: its settings, what it sends, and the wait until nothing is left to do."""

import asyncio
import contextlib
import json
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import msgspec

from receiver.config import Config, build
from receiver.contract.webhooks import generate
from receiver.demo.peers import Peers
from receiver.demo.queue import Queue
from receiver.demo.sources import Callback, Prepared
from receiver.registry import Registry
from receiver.store.store import Store
from receiver.testing.server import free_port
from receiver.web.serve import Addresses

SLACK_RATE = 100.0
"""Messages a second that the stand-in takes; Slack itself takes one, and the demo would last two minutes."""
_LOOK = 0.05


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """Everything of one demo, before it runs."""

    folder: Path
    prepared: Prepared
    peers: Peers
    queue: Queue
    admin_token: str
    admin_port: int
    secret: str

    @classmethod
    def make(cls, folder: Path, prepared: Prepared, queue: Queue) -> "Setting":
        """Make up addresses and secrets."""
        port, secret = free_port(), generate().secret.value
        peers = Peers(secret, SLACK_RATE, f"http://127.0.0.1:{port}")
        return cls(
            folder=folder,
            prepared=prepared,
            peers=peers,
            queue=queue,
            admin_token=secrets.token_urlsafe(32),
            admin_port=port,
            secret=secret,
        )

    @property
    def events_file(self) -> Path:
        """Return where the jsonl sink writes."""
        return self.folder / "events.jsonl"

    def config(self, registry: Registry, queue_server: str) -> Config:
        """Return the configuration; the peers listen already. Raises ConfigError."""
        sinks = {name: table for name, table in self._sinks(queue_server).items() if table["kind"] in registry.sinks}
        tables = {
            "store": f"sqlite:{self.folder / 'demo.db'}",
            "admin_token": self.admin_token,
            "admin_url": f"http://127.0.0.1:{self.admin_port}",
            "listen": {"public": "127.0.0.1:0", "admin": f"127.0.0.1:{self.admin_port}"},
            "sources": self.prepared.tables,
            "sinks": sinks,
        }
        return build(tables, {}, registry)

    def _sinks(self, queue_server: str) -> dict[str, dict[str, Any]]:
        hook = {"url": self.peers.webhook_url, "secrets": [self.secret], "allow_private": True}
        slack = {"url": self.peers.slack_url, "rate": SLACK_RATE, "allow_private": True}
        sinks: dict[str, dict[str, Any]] = {
            "console": {"kind": "console"},
            "file": {"kind": "jsonl", "path": str(self.events_file)},
            "webhook": {"kind": "webhook", **hook},
            "slack": {"kind": "slack", **slack},
        }
        return sinks if self.queue.why_not else {**sinks, "queue": self.queue.settings(queue_server)}


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """A callback and its answer; `word` is `accepted`, `duplicate` or what else was said."""

    callback: Callback
    status: int
    word: str
    receipt: str | None
    again: bool = False
    """Sent a second time, as a provider does that missed the answer."""

    @property
    def good(self) -> bool:
        """Say whether it is the answer to expect."""
        return self.status == 200 and (self.word == "duplicate" or not self.again)


async def send_all(callbacks: Sequence[Callback], addresses: Addresses) -> list[Answered]:
    """Send every callback in turn, then the first of each source once more."""
    firsts: dict[str, Callback] = {}
    for callback in callbacks:
        firsts.setdefault(callback.source, callback)
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
        answers = [await _send(client, callback, f"{addresses.public}", again=False) for callback in callbacks]
        return answers + [await _send(client, one, f"{addresses.public}", again=True) for one in firsts.values()]


async def _send(client: httpx.AsyncClient, callback: Callback, base: str, *, again: bool) -> Answered:
    request = callback.request
    token = f"/{request.token}" if request.token is not None else ""
    url = f"{base}/hooks/{callback.source}{token}"
    answer = await client.post(url, content=request.body, headers=list(request.headers))
    said = _said(answer.content)
    return Answered(
        callback=callback,
        status=answer.status_code,
        word=str(said.get("status") or said.get("error") or "?"),
        receipt=said.get("id"),
        again=again,
    )


def _said(content: bytes) -> Mapping[str, Any]:
    with contextlib.suppress(ValueError):
        said = json.loads(content)
        if isinstance(said, dict):
            return said
    return {}


async def settled(store: Store, arrival: asyncio.Event, patience: float) -> bool:
    """Return once nothing is left to normalize or to send, or, with False, after `patience` seconds.

    `arrival` is set whenever something came to a peer; the store is looked at then, and a little later by itself.
    """
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(patience):
            while await _under_way(store):
                arrival.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(arrival.wait(), _LOOK)
            return True
    return False


async def _under_way(store: Store) -> bool:
    """Say whether a receipt or a delivery is not done with; the two are written together, so none is between."""
    receipts = await store.engine.rows("receipt_counts")
    if any(state in ("received", "confirming") for _, state, *_ in receipts):
        return True
    backlogs = await store.engine.rows("sink_backlogs")
    return any(state in ("pending", "in_flight") for _, state, *_ in backlogs)
