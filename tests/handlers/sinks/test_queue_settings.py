"""Settings, keys and entries of the sinks rabbitmq and sqs, without a broker."""

import sys
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.sinks.rabbitmq import RabbitMQ
from handlers.sinks.rabbitmq.message import routing_key
from handlers.sinks.rabbitmq.settings import RabbitMQSettings
from handlers.sinks.sqs import Sqs
from handlers.sinks.sqs.message import ATTRIBUTES, entry, packed
from handlers.sinks.sqs.settings import SqsSettings
from receiver.contract.errors import ConfigError
from receiver.contract.settings import Secret
from receiver.contract.sink import SinkPorts
from receiver.testing.events import sample_event

PORTS = SinkPorts(http=None, links=None, now=time.time)  # type: ignore[arg-type]
GOOD = "amqp://ann:s3cret@host:5672/calls"
QUEUE = "https://sqs.eu-central-1.amazonaws.com/1/q.fifo"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"url": ()}, "url must name at least one broker"),
        ({"url": (Secret("http://ann:s3cret@host"),)}, "url must be like"),
        ({"url": (Secret(f"{GOOD}?no_verify_ssl=1&x=s3cret"),)}, "url must be like"),
        ({"url": (Secret("amqp://s3cret@[x"),)}, "url must be like"),
        ({"routing_key": "{call}"}, "routing_key may hold"),
        ({"routing_key": "{"}, "routing_key may hold"),
        ({"routing_key": "x" * 256}, "routing_key must be at most 255 bytes"),
    ],
)
def test_rabbitmq_settings_that_cannot_be_are_errors(settings: dict[str, Any], words: str) -> None:
    """The message names the key and shows no secret."""
    with pytest.raises(ConfigError, match=words) as raised:
        RabbitMQSettings(**{"kind": "rabbitmq", "url": (Secret(GOOD),), **settings}).check()
    assert "s3cret" not in str(raised.value)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"queue_url": "sqs"}, "queue_url must be like"),
        ({"queue_url": "https://ann:s3cret@host/q"}, "queue_url must be like"),
        ({"queue_url": "https://[x"}, "queue_url must be like"),
        ({"endpoint_url": "ftp://host"}, "endpoint_url must be like"),
        ({"access_key_id": "a"}, "belong together"),
        ({"session_token": Secret("s3cret")}, "session_token belongs to"),
    ],
)
def test_sqs_settings_that_cannot_be_are_errors(settings: dict[str, Any], words: str) -> None:
    """The message names the key and shows no secret."""
    with pytest.raises(ConfigError, match=words) as raised:
        SqsSettings(**{"kind": "sqs", "queue_url": QUEUE, **settings}).check()
    assert "s3cret" not in str(raised.value)


def test_the_region_is_read_from_the_queue() -> None:
    """Unless the settings name one; a stand-in's address names none."""
    assert SqsSettings(kind="sqs", queue_url=QUEUE).aws_region == "eu-central-1"
    assert SqsSettings(kind="sqs", queue_url=QUEUE, region="us-east-1").aws_region == "us-east-1"
    assert SqsSettings(kind="sqs", queue_url="http://127.0.0.1:5000/1/q").aws_region is None


def test_missing_libraries_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the command that installs them."""
    monkeypatch.setitem(sys.modules, "aiormq", None)
    monkeypatch.setitem(sys.modules, "aiobotocore", None)
    with pytest.raises(ConfigError, match="pip install aiormq"):
        RabbitMQ("queue", RabbitMQSettings(kind="rabbitmq", url=(Secret(GOOD),)), PORTS)
    with pytest.raises(ConfigError, match="pip install aiobotocore"):
        Sqs("queue", SqsSettings(kind="sqs", queue_url=QUEUE), PORTS)


@given(st.text(), st.text())
def test_any_text_gives_a_routing_key_that_is_one(kind: str, source: str) -> None:
    """At most 255 bytes, and no wildcard."""
    key = routing_key("a.{source}.{type}", sample_event(type=kind, source_name=source))
    assert len(key.encode()) <= 255
    assert not set(key) & set("*# \n")


@given(st.text(), st.text())
def test_attributes_stay_within_what_largest_leaves_them(kind: str, subject: str) -> None:
    """So an event of just that size fits."""
    event = sample_event(type=kind * 50, subject=subject * 50, data=b"{}")
    one = entry(0, event, fifo=True)
    assert one.size - len(one.fields["MessageBody"].encode()) <= ATTRIBUTES


def test_entries_are_packed_by_number_and_size() -> None:
    """Ten at most, and no more bytes than allowed; their order stays."""
    entries = [entry(number, sample_event(number + 1), fifo=True) for number in range(25)]
    requests = list(packed(entries, 1024 * 1024))
    assert [len(request) for request in requests] == [10, 10, 5]
    assert [one.number for request in requests for one in request] == list(range(25))
    assert [len(request) for request in packed(entries[:4], entries[0].size * 2 + 50)] == [2, 2]
