"""CallCov's objects as its pages show them: an analysis of either generation, errors in either shape."""

from datetime import UTC, datetime
from typing import Any

import msgspec
from starlette.responses import JSONResponse

from receiver.testing.emulators.callcov_switches import Switches

_SAID = (
    ("Agent", "Good morning, this is Dana from Northside Energy. This call is recorded.", 0.0, 4.6),
    ("Customer", "Hi Dana, I want to ask about my last bill.", 4.9, 8.1),
    ("Agent", "Of course. I am calling back about exactly that bill.", 8.4, 12.0),
)
_COMPLIANCE = {
    "identity_verification": {"verified": True, "timestamp": 1.2, "flagged": False},
    "mandatory_disclosures": {
        "read": True,
        "matched_disclosures": ["call_recording_notice"],
        "missing_disclosures": [],
    },
    "purpose_declaration": {"disclosed": True, "interaction_number": 2, "flagged": False},
    "prohibited_phrases": {"used": False, "instances": []},
    "sensitive_data": {"shared": False, "instances": []},
}
_WHY = "Audio could not be decoded"


class Analysis(msgspec.Struct, kw_only=True):
    """One submitted recording."""

    id: str
    generation: str
    members: dict[str, str]
    created: float
    size: int
    format: str
    status: str = "processing"
    ended: float | None = None

    def shown(
        self, switches: Switches, generation: str, *, whole: bool = True, speakers: bool = True
    ) -> dict[str, Any]:
        """Return the object as a generation has it; without transcript and results unless `whole`."""
        done = self.status == "completed" and whole
        if generation == "calls":
            return self._as_calls(switches, done=done)
        own: dict[str, Any] = {
            "webhook_url": self.echoed(switches),
            "completed_at": None if self.ended is None else _when(self.ended, switches),
            "processing_time_ms": None if self.ended is None else int((self.ended - self.created) * 1000),
            "error_message": _WHY if self.status == "failed" and switches.failure == "metadata" else None,
        }
        return {
            "id": self.id,
            "object": "analysis",
            "created": int(self.created),
            "status": self.status,
            "livemode": False,
            "call": {
                "agent_id": self.members["agent_id"],
                "contact_id": self.members["contact_id"],
                "duration_ms": 12_000,
                "duration_seconds": 12.0,
            },
            "audio": {
                "url": f"https://storage.example.com/callcov/{self.id}.{self.format}",
                "size_bytes": self.size,
                "format": self.format,
                "duration_seconds": 12.0,
            },
            "transcript": _transcript(switches, speakers=speakers) if done else None,
            "results": _results(switches) if done else None,
            "metadata": own,
            **self._failure(switches),
        }

    def made(self, switches: Switches) -> dict[str, Any]:
        """Return the answer to the submission."""
        if self.generation == "analysis":
            return self.shown(switches, "analysis")
        return {
            "analysis_id": self.id,
            "status": self.status,
            "created_at": iso(self.created),
            "estimated_completion": iso(self.created + 115),
            "webhook_url": self.echoed(switches),
        }

    def echoed(self, switches: Switches) -> str | None:
        """Return the `webhook_url` as answers name it."""
        if switches.echo == "other":
            return "https://hooks.example.com/another"
        return self.members.get("webhook_url") if switches.echo == "same" else None

    def _as_calls(self, switches: Switches, *, done: bool) -> dict[str, Any]:
        shown: dict[str, Any] = {**self.made(switches), "status": self.status}
        shown |= {key: self.members[key] for key in ("call_direction", "call_timestamp") if key in self.members}
        if "metadata" in self.members:
            shown["metadata"] = msgspec.json.decode(self.members["metadata"])
        if done:
            shown |= {"transcript": _text(), "analysis": {"sentiment": "positive", "summary": "A bill is explained."}}
        return shown | ({"error": _WHY} if self.status == "failed" else {})

    def _failure(self, switches: Switches) -> dict[str, Any]:
        if self.status != "failed" or switches.failure == "metadata":
            return {}
        return {"error_message": _WHY} if switches.failure == "top" else {"error": {"code": "decode", "message": _WHY}}


def iso(seconds: float) -> str:
    """Return a moment as the pages write it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def error(
    switches: Switches, status: int, code: str, message: str, headers: dict[str, str] | None = None, **details: Any
) -> JSONResponse:
    """Return an error in the shape that is switched on."""
    if switches.errors == "error":
        body: Any = {"error": {"code": code, "message": message, "details": details, "request_id": "req_9f3b1c"}}
    elif status == 422:
        body = {"detail": [{"type": code, "loc": ["body", *details], "msg": message, "input": {}}]}
    else:
        body = {"detail": message}
    return JSONResponse(body, status, headers=headers)


def _when(seconds: float, switches: Switches) -> str | int:
    return iso(seconds) if switches.completed_at == "text" else int(seconds)


def _text() -> str:
    return "\n".join(f"{who}: {text}" for who, text, _, _ in _SAID)


def _transcript(switches: Switches, *, speakers: bool) -> dict[str, Any]:
    names = {"Agent": "A", "Customer": "B"} if switches.speakers == "letters" else {}
    segments = [
        {**({"speaker": names.get(who, who)} if speakers else {}), "text": text, "start": start, "end": end}
        for who, text, start, end in _SAID
    ]
    return {"text": _text(), "segments": segments, "language": "en"}


def _results(switches: Switches) -> dict[str, Any]:
    found: dict[str, Any] = {"compliance": _COMPLIANCE, "quality": {"sentiment_analysis": {"overall": "positive"}}}
    found["coaching"] = {"customer_effort_score": 2}
    return found | ({"summary": "A bill is explained."} if switches.summary else {})
