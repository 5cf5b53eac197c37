"""Shape: an event as one sink is sent it - whole, or thin: what it is about, a summary, and where the rest is.

An event larger than the sink takes goes out thin whatever the settings say, so that size alone never makes a dead
letter; `size` and `sha256` are those of the whole event as its link gives it.
"""

import hashlib
import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import msgspec

from receiver.contract.model import Delivery, Event
from receiver.contract.sink import SendOutcome, Sink
from receiver.links import Links

PAYLOADS = "payload"
"""The kind of link that gives one whole event."""
_PLAIN = (
    *("id", "version", "source", "provider", "operation", "job_id", "status", "language", "duration"),
    *("received_at", "created_at", "completed_at", "sink", "event", "type", "name"),
)
"""Members of `data` that a thin event keeps as they are, where they are short."""
_CALL = ("id", "external_id", "started_at", "direction", "agent_id")
_LONGEST = 200
"""Characters of a member that counts as short."""
_SUMMARY = 2000
"""Characters of a summary in a thin event; of a long one its beginning."""


class Addresses:
    """Where the whole of an event is fetched: the public listener by a signed link, else the admin API by its token."""

    def __init__(self, public_url: str | None, admin_url: str | None, links: Links | None = None) -> None:
        """Without `links` nothing is signed."""
        self.links = links
        self._admin_url = admin_url
        self.change(public_url)

    def change(self, public_url: str | None) -> None:
        """Go by another address from now on."""
        self._public_url = public_url

    def whole(self, event_id: str, sink: str, *, signed: bool, masked: bool = False) -> str | None:
        """Return the address of an event as a sink would be sent it whole, or None where no address is configured.

        With `masked` that is another text than the store's.
        """
        if signed and self.links is not None and self._public_url:
            return f"{self._public_url}/payloads/{self.links.sign(PAYLOADS, f'{event_id}:{sink}')}"
        as_sent = f"?sink={quote(sink, safe='')}" if masked else ""
        return f"{self._admin_url}/api/v1/events/{event_id}/payload{as_sent}" if self._admin_url else None


class Shaped(Sink[Any]):
    """A sink in front of a sink, that hands on events as its settings and its bound say.

    What masks events stands before it, so that size and digest are those of what the sink may see.
    """

    def __init__(self, sink: Sink[Any], addresses: Addresses) -> None:
        super().__init__(sink.name, sink.settings, sink.ports)
        vars(self).update(order=sink.order, concurrency=sink.concurrency, rate=sink.rate, batch=sink.batch)
        self._sink = sink
        self._addresses = addresses

    async def open(self) -> None:
        """Open the sink."""
        await self._sink.open()

    async def send(self, deliveries: Sequence[Delivery]) -> Sequence[SendOutcome]:
        """Send each event whole or thin."""
        if self.settings.shape == "full" and self.largest() is None:
            return await self._sink.send(deliveries)
        shaped = [msgspec.structs.replace(delivery, event=self.event(delivery.event)) for delivery in deliveries]
        return await self._sink.send(shaped)

    async def close(self) -> None:
        """Close the sink."""
        await self._sink.close()

    def event(self, event: Event) -> Event:
        """Return an event as this sink is sent it."""
        most = self.largest()
        if self.settings.shape == "full" and (most is None or _size(event) <= most):
            return event
        masked = self.settings.redact is not None
        link = self._addresses.whole(event.id, self.name, signed=self.settings.payload_links, masked=masked)
        return thin(event, link, most)

    def largest(self) -> int | None:
        """Return how many bytes of an event the sink takes at most: as it says, or as its settings do."""
        said = [one for one in (self._sink.largest(), self.settings.max_event) if one is not None]
        return min(said, default=None)


def thin(event: Event, link: str | None, most: int | None = None) -> Event:
    """Return an event with identifiers, a summary and a link for its data, in no more than `most` bytes if it can be."""
    whole = event.cloudevent()
    said = json.loads(event.data)  # and not msgspec: it takes no lone surrogates, which a stranger may send
    data = said if isinstance(said, dict) else {}
    claim = {"thin": True, "size": len(whole), "sha256": hashlib.sha256(whole).hexdigest(), "link": link}
    kept = {name: data[name] for name in _PLAIN if name in data and _short(data[name])}
    call, analysis = data.get("call"), data.get("analysis")
    if isinstance(call, dict):
        kept["call"] = {name: call[name] for name in _CALL if name in call and _short(call[name])}
    if isinstance(data.get("redacted"), dict):
        kept["redacted"] = data["redacted"]
    summary = analysis.get("summary") if isinstance(analysis, dict) else None
    summary = summary[:_SUMMARY] if isinstance(summary, str) else None
    for tried in ({**kept, "summary": summary, **claim}, {**kept, **claim}):
        made = msgspec.structs.replace(event, data=_json(tried))
        if most is None or _size(made) <= most:
            return made
    return msgspec.structs.replace(event, data=_json(claim))


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _short(value: Any) -> bool:
    return not isinstance(value, dict | list) and (not isinstance(value, str) or len(value) <= _LONGEST)


def _size(event: Event) -> int:
    return len(event.data) + len(msgspec.json.encode(event.attributes())) + len(b',"data":')
