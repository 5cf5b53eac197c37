"""Rows as people and programs see them: public ids, RFC 3339 times, headers masked."""

from enum import StrEnum
from typing import Any

import msgspec

from receiver.contract.model import DeliveryState
from receiver.contract.times import from_ms
from receiver.masking import shown_headers
from receiver.store.ids import ATTEMPT, CALL, DELIVERY, EVENT, JOB, RECEIPT, TRANSCRIPT, encode, moment
from receiver.store.jobs import JobRow
from receiver.store.records import SinkRow, unpack_headers
from receiver.store.store import Row

Shape = dict[str, Any]


class Status(StrEnum):
    """What a transcript can be."""

    COMPLETED = "completed"
    FAILED = "failed"


def receipt(row: Row) -> Shape:
    """Show a receipt without its body."""
    number, source, provider, verdict, state, tries, received_at, size, reason, outcome, checks, headers = row
    return {
        "id": encode(RECEIPT, number),
        "source": source,
        "provider": provider,
        "verdict": verdict,
        "state": state,
        "tries": tries,
        "received_at": from_ms(received_at),
        "size": size,
        "reason": reason,
        "outcome": msgspec.json.decode(outcome) if outcome else None,
        "checks": msgspec.json.decode(checks) if checks else [],
        "headers": [list(pair) for pair in shown_headers(unpack_headers(headers))],
    }


def job(row: JobRow) -> Shape:
    """Show a job: what was asked for, and how it stands; without the recording's place on this machine."""
    doc = row.doc
    late = None if row.result_at is None or row.deadline is None else max(0, row.result_at - row.deadline) / 1000
    return {
        "id": encode(JOB, row.id),
        "source": row.source,
        "provider": row.provider,
        "operation": row.operation,
        "job_id": row.job_id,
        "state": row.state,
        "file": doc.name,
        "recording": row.sha256,
        "has_recording": doc.path is not None or doc.recording_id is not None,
        "size": doc.size,
        "call": doc.call,
        "language": doc.language,
        "metadata": doc.metadata,
        "options": doc.options,
        "adopted": doc.adopted,
        "created_at": from_ms(row.created_at),
        "submitted_at": from_ms(row.submitted_at) if row.submitted_at else None,
        "result_at": from_ms(row.result_at) if row.result_at else None,
        "deadline": from_ms(row.deadline) if row.deadline else None,
        "late": late,
        "next_poll": from_ms(row.next_poll) if row.next_poll else None,
        "polls": row.polls,
        "detail": row.detail,
    }


def transcript(row: Row) -> Shape:
    """Show what routes a transcript, without what it says."""
    number, source, provider, operation, job_id, kind, call_id, status, version, received_at, *_ = row
    return {
        "id": encode(TRANSCRIPT, number),
        "version": version,
        "kind": kind,
        "source": source,
        "provider": provider,
        "operation": operation,
        "job_id": job_id,
        "call_id": encode(CALL, call_id),
        "status": status,
        "received_at": from_ms(received_at),
    }


def version(row: Row) -> Shape:
    """Show where a version of a transcript comes from."""
    number, receipt_id, created_at, normalizer = row
    return {
        "version": number,
        "receipt_id": encode(RECEIPT, receipt_id),
        "created_at": from_ms(created_at),
        "normalizer": normalizer,
    }


def call(row: Row) -> Shape:
    """Show a call with everything known of it."""
    number, created_at, updated_at, doc = row
    known = {**msgspec.json.decode(doc), "id": encode(CALL, number)}
    return {"id": known.pop("id"), **known, "created_at": from_ms(created_at), "updated_at": from_ms(updated_at)}


def event(row: Row) -> Shape:
    """Show an event without its data."""
    number, source, event_type, time, subject, call_id, *_ = row
    return {
        "id": encode(EVENT, number),
        "type": event_type,
        "source": source,
        "time": time,
        "subject": subject,
        "call_id": None if call_id is None else encode(CALL, call_id),
    }


def delivery(row: Row) -> Shape:
    """Show a delivery without its attempts."""
    number, sink, event_id, event_type, source, state, attempts, next_at, detail, updated_at = row
    return {
        "id": encode(DELIVERY, number),
        "sink": sink,
        "event_id": encode(EVENT, event_id),
        "type": event_type,
        "source": source,
        "state": state,
        "attempts": attempts,
        "next_at": from_ms(next_at) if state == DeliveryState.PENDING else None,
        "detail": detail,
        "created_at": from_ms(moment(number)),
        "updated_at": from_ms(updated_at),
    }


def attempt(row: Row) -> Shape:
    """Show one try of a delivery; its duration in seconds."""
    number, count, started_at, duration, outcome, detail = row
    return {
        "id": encode(ATTEMPT, number),
        "number": count,
        "started_at": from_ms(started_at),
        "duration": duration / 1000,
        "outcome": outcome,
        "detail": detail,
    }


def sink(row: SinkRow, kind: str | None, backlog: dict[str, int], oldest: int | None) -> Shape:
    """Show a sink: its state, and what waits for it; `kind` None is a sink that is configured no more."""
    return {
        "name": row.name,
        "kind": kind,
        "state": row.state,
        "failures": row.failures,
        "reason": row.reason,
        "probe_at": from_ms(row.probe_at) if row.probe_at else None,
        "backlog": {state: backlog.get(state, 0) for state in DeliveryState if state is not DeliveryState.DELIVERED},
        "oldest_pending": None if oldest is None else from_ms(moment(oldest)),
        "updated_at": from_ms(row.updated_at) if row.updated_at else None,
    }
