"""Sample events of every kind, whole and bare, on which a sink's `where` is tried before anything starts."""

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Any

import msgspec

from receiver.contract.model import (
    Analysis,
    Call,
    Flag,
    Insight,
    Job,
    Provenance,
    ResultError,
    Segment,
    Speaker,
    Transcript,
    Verdict,
    Word,
)

_TIME = "2026-01-31T10:00:00Z"
_SOURCE = {"source": "x", "provider": "x"}
_DEAD = {"id": "dlv_x", "sink": "x", "event": "evt_x", "type": "x.y", "attempts": 1}
_OPS: dict[str, tuple[dict[str, Any], ...]] = {
    "ops.receipt_unreadable": ({"id": "rcp_x", **_SOURCE, "received_at": _TIME, "size": 1, "reason": "x"},),
    "ops.delivery_dead": (
        {**_DEAD, "reason": "x"},
        {**_DEAD, "reason": None},
    ),
    "ops.source_silent": (
        {**_SOURCE, "last_receipt": None, "silent_after": 1.0},
        {"source": "x", "subscription": "x", "expires_at": None, "reason": None, "way_out": "x"},
    ),
    "ops.refusals_rising": ({**_SOURCE, "since": _TIME, "refused": 1, "accepted": 1, "reasons": {}},),
    "ops.test": ({"sink": "x", "text": "x"},),
    "ops.sink_tripped": ({"sink": "x", "reason": "x"}, {"sink": "x", "reason": None}),
}
_JOB = {
    "id": "job_x",
    **_SOURCE,
    "operation": "x",
    "state": "submitted",
    "has_recording": True,
    "metadata": {},
    "options": {},
    "adopted": False,
    "created_at": _TIME,
    "polls": 0,
}
_JOB_MAY = {
    "job_id": "x",
    "file": "x",
    "recording": "x",
    "size": 1,
    "language": "en",
    "submitted_at": _TIME,
    "result_at": _TIME,
    "deadline": _TIME,
    "late": 1.0,
    "next_poll": _TIME,
    "detail": "x",
}
"""What of a job can be null."""


def samples(
    globs: Sequence[str], prefix: str, types: Sequence[str], providers: Sequence[str]
) -> Iterator[tuple[str, Any]]:
    """Yield the events that a sink with these globs may get, each with its name: CloudEvents as JSON has them.

    `types` are those that are no provider's own, `providers` those of the sources.
    """
    bare = [glob.removeprefix(f"{prefix}.") if prefix else glob for glob in globs]
    for event_type in types:
        if any(fnmatchcase(event_type, glob) for glob in bare):
            for name, data in _data_of(event_type):
                yield name, _event(event_type, prefix, data)
    for provider in providers:
        if any(fnmatchcase(provider, glob.partition(".")[0]) for glob in bare):
            event_type = f"{provider}.something"
            data = {"provider": provider, "name": "something", "body": {}}
            yield f"an event {provider}.*", _event(event_type, prefix, data)


def _event(event_type: str, prefix: str, data: Any) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": "evt_x",
        "source": "https://hookscribe.example/sources/x",
        "type": f"{prefix}.{event_type}" if prefix else event_type,
        "time": _TIME,
        "subject": "trn_x",
        "datacontenttype": "application/json",
        "data": data,
    }


def _data_of(event_type: str) -> Iterator[tuple[str, Any]]:
    if event_type.startswith(("transcript.", "analysis.")):
        status = "failed" if event_type.endswith(".failed") else "completed"
        yield f"a whole {event_type}", _as_json(_transcript(status, whole=True))
        yield f"a {event_type} without what providers may leave out", _as_json(_transcript(status))
        return
    for data in _others(event_type):
        yield f"an event {event_type}", data


def _others(event_type: str) -> Iterator[dict[str, Any]]:
    if event_type == "call.completed":
        yield _as_json(_call())
        yield _as_json(Call(id="call_x"))
    elif event_type.startswith("job."):
        yield {**_JOB, **_JOB_MAY, "call": _as_json(_call())}
        yield {**_JOB, **dict.fromkeys([*_JOB_MAY, "call"])}
    else:
        yield from _OPS[event_type]


def _transcript(status: Any, *, whole: bool = False) -> Transcript:
    said = Segment(
        start=0.0,
        end=1.0,
        speaker="A",
        channel=0,
        text="x",
        confidence=0.5,
        sentiment="neutral",
        words=(Word(start=0.0, end=1.0, text="x", confidence=0.5, speaker="A"),),
    )
    return Transcript(
        id="trn_x",
        version=1,
        source="x",
        provider="x",
        operation="transcription",
        job_id="x",
        job=Job(id="job_x", recording="x") if whole else None,
        call=_call() if whole else Call(id="call_x"),
        status=status,
        language="en" if whole else None,
        duration=1.0 if whole else None,
        received_at=_TIME,
        created_at=_TIME if whole else None,
        completed_at=_TIME if whole else None,
        text="x" if whole else None,
        speakers=(Speaker(id="A", label="x", role="agent", talk_time=1.0),) if whole else (),
        segments=(said,) if whole else (),
        analysis=_analysis() if whole else None,
        error=ResultError(code="x", message="x") if status == "failed" and whole else None,
        metadata={},
        provenance=Provenance(receipt_id="rcp_x", verdict=Verdict.SIGNATURE, normalizer="x/1"),
    )


def _call() -> Call:
    return Call(
        id="call_x",
        external_id="x",
        started_at=_TIME,
        direction="inbound",
        from_="+1",
        to="+2",
        agent_id="x",
        contact_id="x",
        recording_id="x",
    )


def _analysis() -> Analysis:
    return Analysis(
        summary="x",
        sentiment="neutral",
        topics=("x",),
        action_items=("x",),
        flags=(Flag(name="x", ok=True, at=0.0),),
        insights=(Insight(name="x", value=1, speaker="A"),),
        raw={},
    )


def _as_json(said: Transcript | Call) -> Any:
    return msgspec.json.decode(msgspec.json.encode(said))
