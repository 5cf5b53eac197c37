"""Sample events and deliveries for the tests of sinks: whole transcripts, large ones, hostile ones."""

from typing import Any

import msgspec

from receiver.contract.model import (
    Analysis,
    Call,
    Delivery,
    Event,
    Flag,
    Insight,
    Job,
    Provenance,
    Segment,
    Speaker,
    Transcript,
    Verdict,
    Word,
)

HOSTILE = (
    "<!channel> <!here> <@U0123456> <#C0123456> <https://evil.example|click me> *bold* _it_ `code` ```block``` @everyone",
    "<script>alert(1)</script> <img src=x onerror=alert(1)> &amp; &lt;b&gt; ]]> {{7*7}} ${HOME} %s %n",
    "bidi \u202e\u2066reversed\u2069\u202c \u200f zero\u200bwidth \ufeff separators \u2028 \u2029 \x85 end",
    'NUL \x00 bell \x07 backspace \x08 escape \x1b[31mred\x1b[0m \x1b]0;title\x07 \x9b31m delete \x7f quote " back \\ ',
    "first line\nevt_forged transcript.completed\r\nsecond line\ttab\x0b\x0c",
    "emoji \U0001f926\U0001f3fd\u200d\u2640\ufe0f combining e\u0301\u0301\u0301 \u4e2d\u6587 \u05e2\u05d1\u05e8\u05d9\u05ea",
)
"""Texts that somebody may say, or type, to hurt the reader of an event."""

LONE_SURROGATE = b'"\\ud800 lone \\udfff"'
"""JSON text of a string that has no UTF-8 form: valid JSON by RFC 8259, and unreadable for many."""


def sample_transcript(serial: int = 1, **changes: Any) -> Transcript:
    """Return a whole transcript; `serial` tells one from another, `changes` replace fields."""
    text = changes.get("text", "Good morning, you are through to Ann. Hello, my parcel never came.")
    transcript = Transcript(
        id=f"trn_{serial:026d}",
        version=1,
        source="callcov",
        provider="callcov",
        operation="call-analysis",
        job_id=f"job-{serial}",
        job=Job(id=f"job_{serial:026d}", recording="recordings/1.wav", metadata={"campaign": "autumn"}),
        call=_call(serial),
        status="completed",
        language="en",
        duration=61.5,
        received_at="2026-11-20T10:00:02.000Z",
        created_at="2026-11-20T09:58:00Z",
        completed_at="2026-11-20T10:00:00Z",
        text=text,
        speakers=(
            Speaker(id="A", label="Ann", role="agent", talk_time=2.5),
            Speaker(id="B", label=None, role="customer", talk_time=2.0),
        ),
        segments=_segments(),
        analysis=_analysis(),
        error=None,
        metadata={"ticket": f"T-{serial}"},
        provenance=Provenance(receipt_id=f"rcp_{serial:026d}", verdict=Verdict.SIGNATURE, normalizer="callcov/1"),
    )
    return msgspec.structs.replace(transcript, **changes)


def _call(serial: int) -> Call:
    return Call(
        id=f"call_{serial:026d}",
        external_id=f"x-{serial}",
        started_at="2026-11-20T09:56:00Z",
        direction="inbound",
        from_="+4930123456",
        to="+4930654321",
        agent_id="ann",
    )


def _segments() -> tuple[Segment, ...]:
    said = "Good morning, you are through to Ann."
    words = tuple(
        Word(start=index * 0.3, end=index * 0.3 + 0.25, text=word, confidence=0.97, speaker="A")
        for index, word in enumerate(said.split())
    )
    return (
        Segment(start=0.0, end=2.5, speaker="A", channel=0, text=said, confidence=0.98, words=words),
        Segment(
            start=2.75, end=4.75, speaker="B", channel=1, text="Hello, my parcel never came.", sentiment="negative"
        ),
    )


def _analysis() -> Analysis:
    return Analysis(
        summary="A parcel never came; a new one is sent.",
        sentiment="mixed",
        topics=("delivery", "refund"),
        action_items=("send a new parcel",),
        flags=(Flag(name="greeting", ok=True, at=0.0), Flag(name="identity_checked", ok=False, detail="not asked")),
        insights=(Insight(name="politeness", value=8, speaker="A"),),
        raw={"score": 8.25},
    )


def sample_event(serial: int = 1, *, data: bytes | None = None, grow_to: int = 0, **changes: Any) -> Event:
    """Return a `transcript.completed` event, its data at least `grow_to` bytes; `changes` replace its attributes."""
    if data is None:
        transcript = sample_transcript(serial)
        data = msgspec.json.encode(transcript)
        if len(data) < grow_to:
            one = len(msgspec.json.encode(transcript.segments)) - 1
            longer = transcript.segments * (grow_to // one + 1)
            data = msgspec.json.encode(msgspec.structs.replace(transcript, segments=longer))
    event = Event(
        id=f"evt_{serial:026d}",
        source="https://calls.example.com/sources/callcov",
        source_name="callcov",
        type="transcript.completed",
        time="2026-11-20T10:00:00Z",
        subject=f"trn_{serial:026d}",
        call_id=f"call_{serial:026d}",
        data=data,
        dataschema="https://hookscribe.internal/api/schemas/transcript/v1",
    )
    return msgspec.structs.replace(event, **changes)


def hostile_events(first: int = 1) -> list[Event]:
    """Return events that hold each hostile text wherever people's words stand, and one with lone surrogates."""
    events = []
    for serial, text in enumerate(HOSTILE, first):
        transcript = hostile_transcript(serial, text)
        events.append(sample_event(serial, data=msgspec.json.encode(transcript)))
    data = msgspec.json.encode(sample_transcript(first + len(HOSTILE), text="REPLACE", language="REPLACE"))
    return [*events, sample_event(first + len(HOSTILE), data=data.replace(b'"REPLACE"', LONE_SURROGATE))]


def hostile_transcript(serial: int, text: str) -> Transcript:
    """Return a transcript whose every free text is `text`."""
    return sample_transcript(
        serial,
        text=text,
        language=text,
        job_id=text,
        call=Call(id=f"call_{serial:026d}", external_id=text, from_=text, to=text, agent_id=text),
        speakers=(Speaker(id="A", label=text, role="agent"),),
        segments=(Segment(start=0.0, end=1.0, speaker=text, text=text, words=(Word(start=0, end=1, text=text),)),),
        analysis=Analysis(
            summary=text,
            topics=(text,),
            action_items=(text,),
            flags=(Flag(name=text, ok=False, detail=text),),
            insights=(Insight(name=text, value=text),),
            raw={text: text},
        ),
        metadata={text: text},
    )


def sample_delivery(event: Event | None = None, *, serial: int = 1, sink: str = "sink", attempt: int = 1) -> Delivery:
    """Return the delivery of an event (by default of sample number `serial`) to a sink."""
    event = event or sample_event(serial)
    return Delivery(id=event.id.replace("evt_", "dlv_", 1), sink=sink, attempt=attempt, event=event)


def sample_deliveries(count: int, *, first: int = 1, sink: str = "sink") -> list[Delivery]:
    """Return deliveries of `count` different events, in order."""
    return [sample_delivery(serial=serial, sink=sink) for serial in range(first, first + count)]
