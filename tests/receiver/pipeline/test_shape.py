"""Shapes: whole, thin on request, and thin because the sink takes no more."""

import hashlib
import json
from typing import Any

import pytest
from pipeline_fakes import Fake

from receiver.contract.model import Delivery
from receiver.contract.settings import Secret
from receiver.contract.sink import Delivered
from receiver.links import Links
from receiver.pipeline.attempt import Renderer
from receiver.pipeline.shape import PAYLOADS, Addresses, Shaped
from receiver.store.ids import EVENT, encode
from receiver.store.records import DueDelivery
from receiver.testing.events import hostile_events, sample_event

PUBLIC, ADMIN = "https://calls.example.com", "https://hooks.internal"
RENDER = Renderer(PUBLIC, ADMIN, "")
EVENT_ID = encode(EVENT, 2)


class Narrow(Fake):
    """Takes so many bytes."""

    most: int | None = None

    def largest(self) -> int | None:
        return self.most


def row(data: bytes | None = None, event_type: str = "transcript.completed") -> DueDelivery:
    """Return a delivery of a whole transcript, or of other data."""
    return DueDelivery(1, 0, 2, "acme", event_type, "t", "trn_x", None, data or sample_event(grow_to=50_000).data)


def shaped(one: DueDelivery, *, most: int | None = None, links: Links | None = None, **settings: Any) -> dict[str, Any]:
    """Return an event as a sink is sent it."""
    sink = Narrow("team", **settings)
    sink.most = most
    event = Shaped(sink, Addresses(PUBLIC, ADMIN, links)).event(RENDER(one))
    made: dict[str, Any] = json.loads(event.cloudevent())
    return made


def test_whole_events_stay_as_they_are() -> None:
    """Byte for byte, also where the bound is just enough."""
    whole = RENDER(row()).cloudevent()
    assert shaped(row()) == json.loads(whole)
    assert shaped(row(), most=len(whole)) == json.loads(whole)
    assert shaped(row(), most=len(whole) - 1)["data"]["thin"] is True


def test_a_thin_event_says_what_it_is_about_and_where_the_rest_is() -> None:
    """Identifiers, summary, size and digest of the whole, and a link; nothing that was said, and no telephone number."""
    whole = RENDER(row()).cloudevent()
    event = shaped(row(), shape="thin")
    assert {name: event[name] for name in ("id", "type", "subject")} == {
        "id": EVENT_ID,
        "type": "transcript.completed",
        "subject": "trn_x",
    }
    data = event["data"]
    full = json.loads(whole)["data"]
    assert data["thin"] is True
    assert (data["size"], data["sha256"]) == (len(whole), hashlib.sha256(whole).hexdigest())
    assert data["link"] == f"{ADMIN}/api/v1/events/{EVENT_ID}/payload"
    assert data["summary"] == full["analysis"]["summary"]
    for name in ("id", "version", "source", "provider", "operation", "job_id", "status", "language", "duration"):
        assert data[name] == full[name]
    assert data["call"]["id"] == full["call"]["id"]
    assert not {"text", "segments", "speakers", "metadata", "analysis"} & data.keys()
    assert not {"from", "to"} & data["call"].keys()


def test_a_signed_link_opens_the_event_of_this_sink() -> None:
    """Where the sink says so; the address is the public listener's."""
    links = Links(Secret("key"), lambda: 0.0)
    link = shaped(row(), shape="thin", links=links, payload_links=True)["data"]["link"]
    head, _, signed = link.rpartition("/")
    assert head == f"{PUBLIC}/payloads"
    assert links.open(PAYLOADS, signed) == f"{EVENT_ID}:team"
    assert shaped(row(), shape="thin", links=links)["data"]["link"].startswith(ADMIN)


def test_without_addresses_there_is_no_link() -> None:
    """What is not configured is null; where only signing has an address, it is used."""
    links = Links(Secret("key"), lambda: 0.0)
    assert Addresses(None, None, links).whole("evt_1", "team", signed=True) is None
    assert Addresses(None, ADMIN, links).whole("evt_1", "team", signed=True) == f"{ADMIN}/api/v1/events/evt_1/payload"
    addresses = Addresses(None, None, links)
    addresses.change(PUBLIC)
    assert (addresses.whole("evt_1", "team", signed=True) or "").startswith(f"{PUBLIC}/payloads/")


@pytest.mark.parametrize("most", [262_144, 4096, 1500, 700])
def test_a_thin_event_fits(most: int) -> None:
    """Whatever the bound, down to what an identifier, a digest and a link need; long members are left out."""
    data = json.loads(row().data)
    data["analysis"]["summary"] = "s" * 100_000
    data["job_id"] = "j" * 1000
    data["text"] = "t" * 300_000
    event = shaped(row(json.dumps(data).encode()), most=most)
    assert len(json.dumps(event, separators=(",", ":"))) <= most
    assert event["data"]["size"] > 300_000
    assert "job_id" not in event["data"]


def test_the_smaller_of_two_bounds_counts() -> None:
    """What the settings say, or what the kind knows."""
    assert "thin" in shaped(row(), max_event=10_000)["data"]
    assert "thin" in shaped(row(), max_event=10_000, most=1_000_000)["data"]
    assert "thin" in shaped(row(), max_event=1_000_000, most=10_000)["data"]
    assert "thin" not in shaped(row(), max_event=1_000_000)["data"]


@pytest.mark.parametrize("data", [b"null", b"[]", b'"text"', b"7", b'{"call":[],"analysis":7,"id":{"a":1}}'])
def test_data_of_any_shape_can_be_thin(data: bytes) -> None:
    """A stranger's data has a size, a digest and a link too."""
    made = shaped(row(data, "acme.said"), shape="thin")["data"]
    assert made["thin"] is True
    assert made["size"] == len(RENDER(row(data, "acme.said")).cloudevent())
    assert "id" not in made


def test_hostile_events_can_be_thin() -> None:
    """Lone surrogates and control characters hurt nothing."""
    for event in hostile_events():
        assert shaped(row(event.data), shape="thin")["data"]["thin"] is True


async def test_a_sink_behind_it_is_used_as_it_is() -> None:
    """Opened, sent to, closed; its order, concurrency, rate and batch are those of the pair."""
    sink = Fake("team", batch=7, shape="thin", order="call", rate=3.0)
    front = Shaped(sink, Addresses(None, None))
    assert (front.batch, front.concurrency, front.order, front.rate) == (7, sink.concurrency, sink.order, sink.rate)
    assert (front.name, front.settings) == ("team", sink.settings)
    await front.open()
    assert await front.send([Delivery(id="dlv_1", sink="team", attempt=2, event=RENDER(row()))]) == [Delivered()]
    await front.close()
    ((sent,),) = sink.sent
    assert (sink.opened, sink.closed, sent.attempt) == (1, 1, 2)
    assert json.loads(sent.event.data)["thin"] is True
